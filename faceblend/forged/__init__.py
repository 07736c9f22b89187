"""X-rays of real forgeries: from the masks that a dataset ships, or from the originals.

They are estimates (:mod:`faceblend.ops.forged`): nobody kept the alpha that blended them.

estimate   one forgery, frame by frame
ffpp       the forgeries of an FF++ tree and what tells of each
xrays      the job: one forgery or a whole tree, its records and a contact sheet
"""

from faceblend.forged.estimate import How
from faceblend.forged.xrays import ForgedReport, xray_of, xray_of_ffpp

__all__ = ["ForgedReport", "How", "xray_of", "xray_of_ffpp"]
