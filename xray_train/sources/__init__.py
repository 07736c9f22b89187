"""What is trained and tested on: one file a kind of data, one class a kind of sample.

blends   generated sets and blends made while training: :class:`Shards`, :class:`Online`
faces    the faces of a bank as they are: :class:`Faces`
videos   frames of real and forged videos, drawn each pass: :class:`Videos`, :class:`VideoShares`
"""

from xray_train.sources.blends import Online, Shards
from xray_train.sources.faces import WINDOW, Faces, window
from xray_train.sources.source import Item, Source
from xray_train.sources.videos import Videos, VideoShares

__all__ = [
    "WINDOW",
    "Faces",
    "Item",
    "Online",
    "Shards",
    "Source",
    "VideoShares",
    "Videos",
    "window",
]
