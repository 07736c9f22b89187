"""Where a set lies, a folder or a URL: both are asked the same way."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from faceblend import atomic
from faceblend.errors import BadArgument, BadShard
from faceblend.store.folder import FOLDERS
from faceblend.store.manifest import Manifest


class Place(ABC):
    """Where the files of a set lie; small, and pickled to workers."""

    @abstractmethod
    def __str__(self) -> str:
        """The place as errors name it."""

    @abstractmethod
    def alone(self) -> AbstractContextManager[None]:
        """Make the place, and keep other runs out of it where that can be done."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """What lies there by name, in bytes; nothing where there is no such place.

        Raises:
            BadShard, BadArgument: the system or the network does not tell.
        """

    @abstractmethod
    def load(self) -> Manifest:
        """Read the manifest.

        Raises:
            BadShard: there is none, or it contradicts itself.
        """

    @abstractmethod
    def save(self, manifest: Manifest) -> None:
        """Write the manifest, whole or not at all."""

    @abstractmethod
    def writing(self, name: str) -> AbstractContextManager[Path]:
        """A local file to write; it is at its place when the block has ended well."""

    @abstractmethod
    def reading(self, name: str) -> AbstractContextManager[Path]:
        """A local folder in which the file lies while the block lasts, if there is one."""

    @abstractmethod
    def remove_temporary(self) -> None:
        """Remove what killed runs left behind; nobody may be writing meanwhile."""


@dataclass(frozen=True)
class Folder(Place):
    """A set in a folder of a disk that every worker sees."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def alone(self) -> AbstractContextManager[None]:
        """Make the folder and lock it; see :func:`faceblend.atomic.alone_in`."""
        return atomic.alone_in(self.path)

    def sizes(self) -> dict[str, int]:
        """What lies in the folder itself; -1 for a link that leads nowhere."""
        return {path.name: _size(path) for path in self.path.iterdir()}

    def load(self) -> Manifest:
        """Read the manifest; see :meth:`Manifest.load`."""
        return Manifest.load(self.path)

    def save(self, manifest: Manifest) -> None:
        """Write the manifest, whole or not at all."""
        manifest.save(self.path)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """The final name: what writes shards here puts them in place whole."""
        yield self.path / name

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:  # noqa: ARG002 - all of them lie there
        """The folder itself."""
        yield self.path

    def remove_temporary(self) -> None:
        """Remove temporary files from the folder and those of the classic layout."""
        for place in (self.path, *(self.path / name for name in FOLDERS)):
            for path in place.glob(f".*{atomic.TEMPORARY}"):
                path.unlink(missing_ok=True)


def place_at(path: str | os.PathLike[str]) -> Place:
    """The place that a folder's path or a URL names; what has ``://`` is a URL.

    Raises:
        BadArgument: nothing that is installed reaches the URL.
    """
    text = os.fspath(path)
    if "://" not in text:
        if isinstance(path, Path) and re.match(r"[a-z][a-z0-9+.-]+:/[^/]", text):
            raise BadArgument(path, "was a URL before it became a Path", "give it as text")
        return Folder(Path(text))
    from faceblend.store.remote import remote_at

    return remote_at(text)


def folder_at(path: str | os.PathLike[str]) -> Path:
    """The same for a job that takes folders alone.

    Raises:
        BadArgument: it is a URL.
    """
    text = os.fspath(path)
    if "://" in text:
        raise BadArgument(
            text,
            "is a URL, which only generate --out and verify take",
            "copy it into a folder first, or read the set with faceblend.BlendSet(URL)",
        )
    return Path(text)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1  # a link that leads nowhere
    except OSError as error:
        remedy = "see that its disk is there and may be read, then run the same command again"
        raise BadShard(path, f"cannot be read ({error.strerror})", remedy) from error
