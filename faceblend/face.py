"""The array types that every room shares, and a face with its picture.

Colour order is RGB everywhere. Points are ``(x, y)`` in pixels with pixel centres at
integers; arrays are ``(row, column)``; sizes are ``(height, width)``. The types are
checked in the tests and cost nothing at run time.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

Image = UInt8[np.ndarray, "height width 3"]
"""RGB picture, 0 to 255."""

Landmarks = Float32[np.ndarray, "68 2"]
"""The 68 points of iBUG 300-W as ``(x, y)``: jaw 0-16, brows 17-26, nose 27-35,
eyes 36-47, mouth 48-67; left and right as the viewer sees them."""

Forehead = Float32[np.ndarray, "13 2"]
"""Points 68 to 80 of dlib's 81-point model as ``(x, y)``, along the upper edge of the forehead."""

Mask = Bool[np.ndarray, "height width"]
"""Which pixels belong to the region that is swapped, before its edge is softened."""

Alpha = Float32[np.ndarray, "height width"]
"""Weight of the foreground in [0, 1]: the softened mask that really blends."""

Xray = Float32[np.ndarray, "height width"]
"""Face X-ray in [0, 1]: 1 where both faces weigh the same, 0 where one alone is seen."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """One face of a bank: its crop, its landmarks and where it came from."""

    row: int
    """Position in the bank."""
    image: Image
    """The crop, square, RGB."""
    landmarks: Landmarks
    """In pixels of the crop."""
    crop: str
    """Path of the crop inside the bank: the face's lasting name."""
    video: str
    """What it was filmed in; faces of one video never lend to each other."""
    frame: int
    """Frame number in the video, or position of the photograph in its group."""
    subject: str | None = None
    """Who it is, where that is known."""
    split: str | None = None
    """``train``, ``val`` or ``test``, where the bank is split."""
    label: int = 0
    """0 real, 1 forged."""
    forehead: Forehead | None = None
    """In pixels of the crop, where the bank has it: masks then know 81 points."""
    segment: Mask | None = None
    """(H, W) bool, the user's own segmentation of the face; only where a mask asks for it, see
    :meth:`FaceBank.segment <faceblend.bank.FaceBank.segment>`."""
