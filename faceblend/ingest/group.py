"""Which photographs make a "video", and where its files go."""

import hashlib
import re
from pathlib import PurePosixPath

from faceblend.errors import BadArgument
from faceblend.ingest.photograph import writable

_LONGEST = 100  # characters of a folder's name
_HASHED = re.compile(r"-[0-9a-f]{12}\Z")


def check_rule(name: str, rule: str) -> None:
    """See that :func:`named` can use a rule.

    Raises:
        BadArgument: it is neither ``folder`` nor ``file`` nor a regular expression.
    """
    try:
        re.compile(rule)
    except re.error as error:
        raise BadArgument(
            name,
            f"is {rule!r}, which is no regular expression ({error})",
            "give folder, file or a regular expression",
        ) from error


def named(rule: str, source: str, root_name: str) -> str | None:
    """What a rule calls a photograph.

    Args:
        rule: ``folder``, ``file``, or a regular expression that is searched in the path; its
            first group counts, or the whole match where it has none.
        source: path of the photograph below the folder that is read, with forward slashes.
        root_name: what ``folder`` calls photographs that lie in no subfolder.

    Returns:
        The name; None where the expression does not match, or matches nothing.

    Example:
        >>> named("folder", "ann/1.jpg", "photographs"), named(r"^[^_]+", "ann_1.jpg", "")
        ('ann', 'ann')
    """
    if rule == "file":
        return source
    if rule == "folder":
        parent = PurePosixPath(source).parent.as_posix()
        return writable(root_name) if parent == "." else parent
    found = re.search(rule, source)
    if found is None:
        return None
    return (found[1] if found.re.groups else found[0]) or None


def safe_path(video: str) -> str:
    """A relative path for a video's files, of letters, digits and ``._-`` alone.

    It leaves no folder, and no two videos share one: a name that had to change carries a
    hash of what it was, and so does one that looks as if it had.

    Example:
        >>> safe_path("ann/2024"), safe_path("../ann")
        ('ann/2024', '__/ann-2a8c40f72d4a')
    """
    safe = "/".join(_safe_part(part) for part in video.split("/"))
    if safe != video or _HASHED.search(video):
        safe += "-" + hashlib.sha256(video.encode()).hexdigest()[:12]
    return safe


def _safe_part(part: str) -> str:
    part = re.sub(r"[^A-Za-z0-9._-]", "_", part)[:_LONGEST] or "_"
    if part.startswith("-"):
        part = "_" + part[1:]  # a command that is given it would take it for an option
    # hidden names are for unfinished files; crops and checkpoints lie beside such folders
    if part.startswith(".") or re.fullmatch(r"\d{6,}_\d+\.\w+|.*\.json", part):
        part = part.replace(".", "_")
    return part
