"""A generated set on disk: shards, the manifest that lists them, reading, verifying.

In the order in which each builds on the one before::

    manifest    what a set holds and what decided it: manifest.json
    shard       one HDF5 file of samples: written whole, opened, read by row
    folder      the classic true/ fake/ mask/: where things lie, read by row
    blendset    BlendSet: a set as a sequence of samples
    check       verify: is a set what it says?
"""

from faceblend.store.blendset import BlendSet
from faceblend.store.check import Problem, VerifyReport, verify
from faceblend.store.manifest import Manifest, Plan, Rejection, ShardEntry, Written
from faceblend.store.shard import write_shard

__all__ = [
    "BlendSet",
    "Manifest",
    "Plan",
    "Problem",
    "Rejection",
    "ShardEntry",
    "VerifyReport",
    "Written",
    "verify",
    "write_shard",
]
