"""The nearest of all faces by brute force on a GPU: the rows that the CPU's index finds.

The device compares every query with every face, by the bounds of ``search``, and measures those
that can be nearest. Its float32 arithmetic adds in another order than the CPU's, so it keeps every
face within a tolerance, and ``partner.nearest`` chooses among these few.
"""

import numpy as np
from jaxtyping import Int

from faceblend import partner, search
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument

try:
    import torch
except ModuleNotFoundError as error:
    raise ImportError(
        "faceblend.search_torch needs PyTorch; install it with: pip install 'faceblend[train]'"
    ) from error

QUERIES = 256
"""Faces that are compared at a time with ..."""

FACES = 32_768
"""... so many: 32 MiB a matrix of float32, five of them at once."""

_PAIRS = 65_536  # pairs that are measured at a time: 36 MB a copy of their landmarks
_PROMISING = 4  # faces that are measured for each that is wanted, before the others


class Brute:
    """Real faces of one split on a device.

    Takes 620 bytes a face there, and some 300 MiB for what is being compared; on the host as
    many bytes a face while they are brought there.

    Args:
        bank: the faces.
        split: its number in ``bank.splits``.
        device: as torch calls it, such as ``cuda`` or ``cuda:1``.

    Raises:
        BadArgument: there is no such device.
    """

    def __init__(self, bank: FaceBank, split: int, device: str) -> None:
        where = usable(device)
        self._bank = bank
        self._rows = bank.reals[bank.splits[bank.reals] == split]
        landmarks = bank.landmarks[self._rows]
        self._largest = float(np.abs(landmarks).max(initial=0))
        self._sums = torch.from_numpy(search.sums(landmarks)).to(where)
        self._landmarks = torch.from_numpy(landmarks).to(where)
        self._videos = torch.from_numpy(bank.videos[self._rows]).to(where)
        self._subjects = torch.from_numpy(bank.subjects[self._rows]).to(where)

    def nearest(
        self, rows: Int[np.ndarray, " queries"], top: int = 1
    ) -> list[Int[np.ndarray, " found"]]:
        """``partner.nearest_of_all`` of many faces.

        Args:
            rows: real faces of the split.
            top: how many of each are wanted.

        Returns:
            For each, up to ``top`` rows of the bank, nearest first, ties to the lower row.
        """
        found = list[np.ndarray]()
        for start in range(0, len(rows), QUERIES):
            some = rows[start : start + QUERIES]
            near = self._near(torch.from_numpy(np.searchsorted(self._rows, some)), top)
            found += [
                partner.nearest(self._bank, int(row), self._rows[places], top)
                for row, places in zip(some, near, strict=True)
            ]
        return found

    @torch.no_grad()
    def _near(self, places: torch.Tensor, top: int) -> list[np.ndarray]:
        """Of each query, the places of all faces that can be among its ``top`` nearest."""
        places = places.to(self._sums.device)
        best = torch.full((len(places), top), torch.inf, device=places.device)
        kept = list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]()
        for start in range(0, len(self._rows), FACES):
            block = slice(start, start + FACES)
            bound = self._bounds(places, block)
            # the most promising first, so that few of the others need be measured
            count = min(_PROMISING * top, bound.shape[1])
            least, at = bound.topk(count, largest=False)
            apart = self._measured(places.repeat_interleave(count), start + at.ravel())
            apart = apart.reshape(at.shape).masked_fill_(least == torch.inf, torch.inf)
            best = torch.cat([best, apart], dim=1).topk(top, largest=False).values
            reach = self._reach(best[:, -1:])
            query, at = torch.nonzero((bound <= reach) & (bound < torch.inf), as_tuple=True)
            apart = self._measured(places[query], start + at)
            near = apart <= reach[query, 0]
            kept.append((query[near], start + at[near], apart[near]))
        query, at, apart = (torch.cat(parts) for parts in zip(*kept, strict=True))
        # what was within reach of an early block need not be within reach of all
        near = apart <= self._reach(best[:, -1])[query]
        query, at = query[near], at[near]
        order = torch.argsort(query, stable=True)
        ends = torch.bincount(query, minlength=len(places)).cumsum(0).cpu().numpy()
        return np.split(at[order].cpu().numpy(), ends[:-1])

    def _reach(self, distance: torch.Tensor) -> torch.Tensor:
        # what rounding adds is the same whoever adds; search.slack says how much
        return distance * (1 + search.slack(0, 1)) + search.slack(self._largest, 0)

    def _bounds(self, places: torch.Tensor, block: slice) -> torch.Tensor:
        """(queries, faces) at most the distances; infinite where a face is not eligible."""
        ours, theirs = self._sums[places], self._sums[block]
        groups = len(search.GROUPS)
        total = ours.new_zeros(len(ours), len(theirs))
        for group in range(groups):
            x = ours[:, group, None] - theirs[None, :, group]
            y = ours[:, group + groups, None] - theirs[None, :, group + groups]
            total += x.mul_(x).addcmul_(y, y).sqrt_()
        # the rule of partner.eligible
        video, subject = self._videos[places, None], self._subjects[places, None]
        same = (video == self._videos[block]) | (
            (subject >= 0) & (subject == self._subjects[block])
        )
        return total.masked_fill_(same, torch.inf)

    def _measured(self, ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
        """Distances of pairs."""
        apart = self._landmarks.new_empty(len(ours))
        for start in range(0, len(ours), _PAIRS):
            pairs = slice(start, start + _PAIRS)
            difference = self._landmarks[ours[pairs]] - self._landmarks[theirs[pairs]]
            apart[pairs] = difference.square_().sum(dim=2).sqrt_().sum(dim=1)
        return apart


def usable(device: str) -> torch.device:
    """The device of that name.

    Raises:
        BadArgument: torch does not know it, or cannot compute on it here.
    """
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadArgument("device", f"is {device!r}: {reason}", "use cpu") from error
    return found
