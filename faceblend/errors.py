"""What can go wrong, in words: where, what is wrong there, and what to do."""

import errno

_LONGEST = 600  # characters of each part of a message
_LASTING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)


def shown(text: object) -> str:
    r"""One line that a terminal obeys in nothing, whatever names are in it.

    Control characters, line ends, those that turn the direction of writing, and bytes of a name
    that are no text become their escapes.

    Example:
        >>> shown("a\x1b[2J\nb.png")
        'a\\x1b[2J\\nb.png'
    """
    words = str(text)
    if words.isprintable():
        return words
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in words
    )


class FaceblendError(Exception):
    """Names the place, says what is wrong there and what to do.

    Args:
        where: the file, row, argument or value at fault.
        wrong: what is wrong with it, with the value that was found.
        remedy: what the reader can do about it.

    All three stay in ``args``, so the error survives the way out of a worker process.
    """

    def __init__(self, where: object, wrong: str, remedy: str) -> None:
        super().__init__(str(where), wrong, remedy)

    @property
    def where(self) -> str:
        """The place at fault."""
        return str(self.args[0])

    @property
    def reason(self) -> str:
        """What is wrong there, without the place and the remedy; one line."""
        return _words(self.args[1])

    def __str__(self) -> str:
        where, wrong, remedy = self.args
        return f"{shown(_cut(where))}: {_words(wrong)}; {_words(remedy)}"


def _words(text: str) -> str:
    # what libraries say may have several lines; a name never starts one
    return shown(" ".join(_cut(text).splitlines()))


def _cut(text: str) -> str:
    # a damaged file's bytes and names come up in messages, and these go to terminals and logs
    return f"{text[: _LONGEST - 100]} ... {text[-90:]}" if len(text) > _LONGEST else text


class BadImage(FaceblendError):
    """A picture that cannot be read as what it claims to be."""


class BadVideo(FaceblendError):
    """A video that cannot be read, or not as far as was asked."""


class NoFace(FaceblendError):
    """A picture that reads well and shows no usable face."""


class BadBank(FaceblendError):
    """A face bank that is missing, damaged or not fit for the job."""


class BadShard(FaceblendError):
    """A generated set, its manifest or one of its shards, that is not what it says."""


class BadRecipe(FaceblendError):
    """A recipe, or a value in it, that cannot be drawn from."""


class BadArgument(FaceblendError):
    """A command-line or function argument that cannot be used."""


class Unwritable(FaceblendError):
    """A file that the system did not let us write; what was written before it stands."""


class Rejected(FaceblendError):
    """A sample whose mask stayed degenerate after every redraw that the recipe allows."""


class MissingModel(FaceblendError):
    """A detector or landmark model that is not installed or not where it was said to be."""


def may_pass(error: Exception) -> bool:
    """Whether an error's cause is the system rather than the file, so that trying again may help.

    A disk that fails, a network that is away, a permission, too many open files; but not a file
    that is missing, or one that holds something else.
    """
    cause = error.__cause__
    # a number comes from the system; Pillow raises OSError for damage too, without one
    return isinstance(cause, OSError) and cause.errno not in (None, *_LASTING)


def at_least(low: int, **values: float) -> None:
    """See that arguments are as large as they have to be.

    Args:
        low: the smallest that can be used.
        values: the arguments by their names.

    Raises:
        BadArgument: one is smaller.
    """
    for name, value in values.items():
        if value < low:
            raise BadArgument(name, f"is {value}", f"give {low} or more")
