"""A generated set on disk: shards, the manifest that lists them, reading, verifying.

In the order in which each builds on the one before::

    manifest    what a set holds and what decided it: manifest.json
    listing     the manifest of a set that is being made: saved often, at a bounded cost
    hdf5        a new HDF5 file whose writer survives the disk
    heap        where a shard's records lie, walked before HDF5 does
    shard       one HDF5 file of samples: written whole, opened, read by row
    folder      the classic true/ fake/ mask/: where things lie, read by row
    place       where a set lies, asked the same way: a folder, or
    remote      a URL that fsspec knows: staged here, uploaded, published whole
    scratch     private folders for what passes through this disk
    cache       whole shards of a URL, kept on this disk as they are read
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
