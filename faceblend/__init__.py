"""faceblend: training data for face-forgery detectors, made by blending real faces.

A bank of real faces goes in; a deterministic stream of (image, X-ray, label, record) comes
out. The map, in the order in which data flows:

    videos      the table of a dataset's videos; splits: train, val and test by published rules
    ingest/     datasets, photographs, videos and others' trees -> faces, landmarks and crops
    bank        FaceBank: crops and landmarks on disk
    convert     a bank in the layouts of other programs; faces_df: as a table
    partner     who lends the foreground to a background; search: exactly, among a million
    neighbours  the job: every face's nearest, once a bank; search_torch: on a GPU
    capped      the same where no face may lend itself more often than a recipe says
    recipe      what may be drawn; presets/ holds the published recipes
    draw        what was drawn: the only file that draws random numbers
    sample      render(faces, draw), sample(bank, recipe, seed, index), replay(record, bank)
      ops/      the arithmetic: mask, warp, color, blend, xray, degrade, geometry
    store       HDF5 shards and their manifest: write, verify, read
    generate    the job: the shards still missing, rendered and committed
    cluster     such jobs on the workers of a Dask scheduler
    export/     a finished set as classic folders, WebDataset tars, parquet
    torch       the same samples for a DataLoader: from shards, or blended online
    gpu/        the same samples in batches, rendered by torch on a device
    doctor/     what is wrong with a bank, or with photographs and videos
    audit/      look, don't trust: contact sheets, a page, diversity, shortcuts, leaks
    clips/      blended video: consecutive frames, one draw a clip
    forged/     X-rays of real forgeries, from their masks or originals
    demo        two public-domain people, from photograph to verified set
    bench/      every speed claim as a command
    cli         ``faceblend ...``

Ground under every room: face (array types), errors, within (names stay in their folder), atomic
(whole files), plainyaml (YAML without bombs), codec (a crop's bytes), kept (arrays beside a
bank), jobs (tasks over any executor).
"""

__version__ = "0.1.0"

# sample.py reads the version, so it stands above the imports
from faceblend.bank import FaceBank
from faceblend.errors import FaceblendError
from faceblend.recipe import Recipe, load_recipe
from faceblend.sample import Sample, render, replay, sample
from faceblend.store import BlendSet

__all__ = [
    "BlendSet",
    "FaceBank",
    "FaceblendError",
    "Recipe",
    "Sample",
    "__version__",
    "load_recipe",
    "render",
    "replay",
    "sample",
]
