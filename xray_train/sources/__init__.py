"""What is trained and tested on: one file a kind of data, one class a kind of sample.

blends   generated sets and blends made while training: :class:`Shards`, :class:`Online`
faces    the faces of a bank as they are: :class:`Faces`
labelled pictures of numbered people, some held out: :class:`Labelled`
people   those of folders, CelebA and banks: :class:`People`, :class:`CelebA`, :class:`BankPeople`
digits   handwritten digits: :class:`Digits`
pairs    two faces, one person or not: :class:`Pairs`, :class:`PairsOf`
"""

from xray_train.sources.blends import Online, Shards
from xray_train.sources.digits import Digits
from xray_train.sources.faces import WINDOW, Faces, window
from xray_train.sources.labelled import Labelled
from xray_train.sources.pairs import Pairs, PairsOf
from xray_train.sources.people import BankPeople, CelebA, People
from xray_train.sources.source import Item, Source

__all__ = [
    "WINDOW",
    "BankPeople",
    "CelebA",
    "Digits",
    "Faces",
    "Item",
    "Labelled",
    "Online",
    "Pairs",
    "PairsOf",
    "People",
    "Shards",
    "Source",
    "window",
]
