"""People in folders, in CelebA and in banks, numbered from 0."""

from pathlib import Path
from typing import Literal

import numpy as np

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank
from faceblend.face import Image
from faceblend.ingest.photograph import pictures, read_photograph
from xray_train.backbones.identity import dlib_chip
from xray_train.sources.faces import of_split, window
from xray_train.sources.labelled import By, Labelled, Part


class People(Labelled):
    """A folder of folders, each of one person's pictures: CASIA-WebFace, LFW.

    Folders without a picture are no person.

    Args:
        folder: where the people are.
        size: side of the pictures that are given, px.
        parts, augment, part, by, every: see :class:`Labelled`.

    Raises:
        BadArgument: it is not there, or holds fewer than two people.
    """

    def __init__(
        self,
        folder: str,
        size: int = 160,
        parts: int = 1,
        augment: bool = False,
        part: Part = "all",
        by: By = "person",
        every: int = 5,
    ) -> None:
        root = Path(folder)
        if not root.is_dir():
            raise BadArgument(root, "is no folder", "give one with a folder for each person")
        homes = sorted(one for one in root.iterdir() if one.is_dir() and one.name[0] != ".")
        self._paths = [home / name for home in homes for name in pictures(home)]
        names = [path.parent.name for path in self._paths]
        if len(set(names)) < 2:
            raise BadArgument(
                root, f"holds pictures of {len(set(names))} people", "give one folder a person"
            )
        super().__init__(
            names, size=size, parts=parts, augment=augment, part=part, by=by, every=every
        )

    def picture(self, row: int, side: int) -> Image:
        """The whole picture, RGB.

        Raises:
            BadImage: it cannot be read.
        """
        del side
        return read_photograph(self._paths[row])


class CelebA(Labelled):
    """CelebA's pictures by ``identity_CelebA.txt``: lines of ``file id``.

    Its 10,177 identities are numbered anew from 0: as many classes, and none that is empty.

    Args:
        images: folder of the pictures, ``img_align_celeba``.
        identities: the file.
        size: side of the pictures that are given, px: of their middle squares.
        parts, augment, part, by, every: see :class:`Labelled`.

    Raises:
        BadArgument: a line is none of ``file id``, or names a picture that is not there.
    """

    def __init__(
        self,
        images: str,
        identities: str,
        size: int = 160,
        parts: int = 1,
        augment: bool = False,
        part: Part = "all",
        by: By = "person",
        every: int = 5,
    ) -> None:
        self._root = Path(images)
        if not self._root.is_dir():
            raise BadArgument(self._root, "is no folder", "give that of CelebA's pictures")
        there = {one.name for one in self._root.iterdir()}
        self._files, names = list[str](), list[str]()
        for number, words in lines(Path(identities)):
            where = f"{identities}, line {number}"
            if len(words) != 2 or not words[1].isdecimal():
                raise BadArgument(where, f"is {' '.join(words)!r}", "write: file id")
            if words[0] not in there:
                raise BadArgument(where, f"{words[0]} is not in {images}", "complete the pictures")
            self._files.append(words[0])
            names.append(words[1].zfill(8))  # so that their order is that of the numbers
        super().__init__(
            names, size=size, parts=parts, augment=augment, part=part, by=by, every=every
        )

    def picture(self, row: int, side: int) -> Image:
        """The whole picture, RGB.

        Raises:
            BadImage: it cannot be read.
        """
        del side
        return read_photograph(self._root / self._files[row])


class BankPeople(Labelled):
    """Real faces of a bank, by the ``subject`` of each.

    Args:
        bank: folder of the bank; every real face of it must have a subject.
        split: one split of it only; ``all`` for every face.
        size: side of the pictures that are given, px.
        align: ``none``, the window of the crop that training sees; or ``dlib``, turned upright
            and scaled by the landmarks, as dlib's descriptor was trained.
        parts, augment, part, by, every: see :class:`Labelled`.

    Raises:
        BadBank: a face has no subject, or the split no real face.
        BadArgument: fewer than two people are left.
    """

    def __init__(
        self,
        bank: str,
        split: str = "all",
        size: int = 160,
        align: Literal["none", "dlib"] = "none",
        parts: int = 1,
        augment: bool = False,
        part: Part = "all",
        by: By = "person",
        every: int = 5,
    ) -> None:
        self._bank, self._align = FaceBank.open(bank), align
        reals = self._bank.reals
        self._faces = reals[of_split(self._bank, split)[reals]]
        if not len(self._faces):
            raise BadBank(bank, f"holds no real face of the split {split!r}", "give another")
        names = self._bank.table["subject"].take(self._faces).to_pylist()
        if None in names:
            raise BadBank(
                bank,
                f"{names.count(None)} of {len(names)} real faces have no subject",
                "find them: xray-train subjects",
            )
        super().__init__(
            names, size=size, parts=parts, augment=augment, part=part, by=by, every=every
        )

    def picture(self, row: int, side: int) -> Image:
        """The face, RGB, cut or aligned.

        Raises:
            BadImage: its crop cannot be read.
            MissingModel: ``align`` is ``dlib``, which is not there.
        """
        face = int(self._faces[row])
        return face_picture(self._bank, face, side, self._align)


def face_picture(bank: FaceBank, row: int, side: int, align: Literal["none", "dlib"]) -> Image:
    """A face of a bank as :class:`BankPeople` gives it, before the last resizing.

    Raises:
        BadImage: its crop cannot be read.
        MissingModel: ``align`` is ``dlib``, which is not there.
    """
    if align == "none":
        return np.ascontiguousarray(window(bank.image(row)))
    return dlib_chip(bank.image(row), np.asarray(bank.landmarks[row]), side)


def lines(path: Path) -> list[tuple[int, list[str]]]:
    """Number, from 1, and words of each line of a text file that has some.

    Raises:
        BadArgument: it cannot be read, or holds none.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgument(path, f"cannot be read ({error})", "give a text file") from error
    found = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    found = [(number, words) for number, words in found if words]
    if not found:
        raise BadArgument(path, "holds no line", "give another file")
    return found
