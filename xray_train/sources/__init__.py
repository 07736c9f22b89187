"""What is trained and tested on: one file a kind of data, one class a kind of sample.

blends   generated sets and blends made while training: :class:`Shards`, :class:`Online`
rendered blends of which whole batches are rendered on a GPU: :class:`OnlineGpuBlend`
faces    the faces of a bank as they are: :class:`Faces`
frames   the faces of a bank cut by their boxes, by class: :class:`Frames`
listed   pictures in a folder, with a list of their labels: :class:`Listed`
triplets two faces of a class and one of the other: :class:`Triplets`
videos   frames of real and forged videos, drawn each pass: :class:`Videos`, :class:`VideoShares`
labelled pictures of numbered people, some held out: :class:`Labelled`
people   those of folders, CelebA and banks: :class:`People`, :class:`CelebA`, :class:`BankPeople`
digits   handwritten digits: :class:`Digits`
pairs    two faces, one person or not: :class:`Pairs`, :class:`PairsOf`
"""

from xray_train.sources.blends import Online, Shards
from xray_train.sources.digits import Digits
from xray_train.sources.faces import WINDOW, Faces, window
from xray_train.sources.frames import Frames
from xray_train.sources.labelled import Labelled
from xray_train.sources.listed import Listed
from xray_train.sources.pairs import Pairs, PairsOf
from xray_train.sources.people import BankPeople, CelebA, People
from xray_train.sources.rendered import OnlineGpuBlend
from xray_train.sources.source import Item, Planned, Source
from xray_train.sources.triplets import Triplets
from xray_train.sources.videos import Videos, VideoShares

__all__ = [
    "WINDOW",
    "BankPeople",
    "CelebA",
    "Digits",
    "Faces",
    "Frames",
    "Item",
    "Labelled",
    "Listed",
    "Online",
    "OnlineGpuBlend",
    "Pairs",
    "PairsOf",
    "People",
    "Planned",
    "Shards",
    "Source",
    "Triplets",
    "VideoShares",
    "Videos",
    "window",
]
