"""The forgeries of an FF++ tree, each with its mask video or its original."""

from collections.abc import Iterator
from pathlib import Path

from faceblend.forged.estimate import Forgery

PATTERN = "manipulated_sequences/*/*/videos/*.mp4"
"""Where the forgeries are: method, then quality."""


def forgeries(root: Path, out: Path, *, originals: bool = False) -> Iterator[Forgery]:
    """Find the forgeries of a tree, whole or in part, ordered by path.

    The mask of ``<method>/<quality>/videos/x.mp4`` is ``<method>/masks/videos/x.mp4``. Its
    original, of the same quality, is ``youtube/.../000.mp4`` for ``000_003.mp4``, and for
    ``01_02__scene__HASH.mp4`` of DeepFakeDetection ``actors/.../01__scene.mp4``.

    Args:
        root: folder with ``manipulated_sequences`` and ``original_sequences``.
        out: folder; each forgery gets ``<method>/<quality>/<name>`` in it.
        originals: take the original even where there is a mask.
    """
    for fake in sorted(root.glob(PATTERN)):
        quality, method = fake.parts[-3], fake.parts[-4]
        if quality == "masks":
            continue
        mask = fake.parents[2] / "masks" / "videos" / fake.name
        original = root / "original_sequences" / _original(method, quality, fake.stem)
        masked = mask.is_file() and not (originals and original.is_file())
        yield Forgery(
            name=fake.relative_to(root).as_posix(),
            fake=fake,
            mask=mask if masked else None,
            original=original if original.is_file() and not masked else None,
            out=out / method / quality / fake.stem,
        )


def _original(method: str, quality: str, name: str) -> Path:
    if method == "DeepFakeDetection":
        actors, _, rest = name.partition("__")
        actor, scene = actors.partition("_")[0], rest.partition("__")[0]
        return Path("actors", quality, "videos", f"{actor}__{scene}.mp4")
    return Path("youtube", quality, "videos", f"{name.partition('_')[0]}.mp4")
