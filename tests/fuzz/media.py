"""Every reader of pictures, videos and binary files, and what to throw at it."""

import importlib.util

from tests.fuzz import arrays, pictures, shards, videos
from tests.fuzz.target import Target

TARGETS: tuple[Target, ...] = (
    *pictures.TARGETS,
    *arrays.TARGETS,
    *shards.TARGETS,
    *videos.TARGETS,
)
if importlib.util.find_spec("torch"):  # what xray-train reads
    from tests.fuzz import weights

    TARGETS += weights.TARGETS
