"""Names that others wrote (tables, JSON, lists) stay inside the folder that they start from.

Links inside that folder are followed: datasets and banks are put together with them.
"""

import re

# the folder itself, an absolute path of any system, a drive, a NUL, or a step up
_OUT = re.compile(r"\A(?:[./\\]*\Z|[/\\]|[A-Za-z]:)|\0|(?:\A|[/\\])\.\.(?:[/\\]|\Z)")


def leaves(name: str) -> bool:
    r"""Whether a relative path, written by whatever system, may lead out of its folder.

    An absolute path does, one with a drive, with a step up even if it comes back, with a NUL
    character, and one of dots alone or of nothing, which is the folder itself.

    Example:
        >>> leaves("ann/000.png"), leaves("../000.png"), leaves("C:\\000.png")
        (False, True, True)
    """
    return _OUT.search(name) is not None
