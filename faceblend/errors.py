"""What can go wrong, in words: where, what is wrong there, and what to do."""


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
        """What is wrong there, without the place and the remedy."""
        return str(self.args[1])

    def __str__(self) -> str:
        where, wrong, remedy = self.args
        return f"{where}: {wrong}; {remedy}"


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


class Rejected(FaceblendError):
    """A sample whose mask stayed degenerate after every redraw that the recipe allows."""


class MissingModel(FaceblendError):
    """A detector or landmark model that is not installed or not where it was said to be."""


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
