"""What is trained and tested on: one file a kind of data, one class a kind of sample.

blends   generated sets and blends made while training: :class:`Shards`, :class:`Online`
faces    the faces of a bank as they are: :class:`Faces`
listed   pictures in a folder, with a list of their labels: :class:`Listed`
"""

from xray_train.sources.blends import Online, Shards
from xray_train.sources.faces import WINDOW, Faces, window
from xray_train.sources.listed import Listed
from xray_train.sources.source import Item, Source

__all__ = ["WINDOW", "Faces", "Item", "Listed", "Online", "Shards", "Source", "window"]
