"""What is trained and tested on: one file a kind of data, one class a kind of sample.

blends   generated sets and blends made while training: :class:`Shards`, :class:`Online`
faces    the faces of a bank as they are: :class:`Faces`
frames   the faces of a bank cut by their boxes, by class: :class:`Frames`
listed   pictures in a folder, with a list of their labels: :class:`Listed`
triplets two faces of a class and one of the other: :class:`Triplets`
videos   frames of real and forged videos, drawn each pass: :class:`Videos`, :class:`VideoShares`
"""

from xray_train.sources.blends import Online, Shards
from xray_train.sources.faces import WINDOW, Faces, window
from xray_train.sources.frames import Frames
from xray_train.sources.listed import Listed
from xray_train.sources.source import Item, Source
from xray_train.sources.triplets import Triplets
from xray_train.sources.videos import Videos, VideoShares

__all__ = [
    "WINDOW",
    "Faces",
    "Frames",
    "Item",
    "Listed",
    "Online",
    "Shards",
    "Source",
    "Triplets",
    "VideoShares",
    "Videos",
    "window",
]
