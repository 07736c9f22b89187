"""Arrays that are kept beside a bank as NumPy files: only copies, made again where damaged."""

from pathlib import Path

import numpy as np


def mapped(
    path: Path, shape: tuple[int | None, ...], dtype: type, *, below: int | None = None
) -> np.ndarray | None:
    """Map an array's file, shared by all processes.

    Args:
        path: the file.
        shape: what the array must have; None where any length will do.
        dtype: what its numbers must be.
        below: what all numbers must stay under, such as the rows of a bank; this reads all.

    Returns:
        The array, read-only; None where it is missing, damaged or another.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # NumPy evaluates the header, so a damaged one raises nearly anything
        return None
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != len(shape):
        return None
    if any(want not in (None, there) for want, there in zip(shape, array.shape, strict=True)):
        return None
    if below is not None and array.size and array.max() >= below:
        return None
    return np.asarray(array)
