"""``BatchBlend``: the samples of a run, rendered in batches where the training happens."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from faceblend import capped
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank
from faceblend.gpu import render as rendering
from faceblend.gpu.matrices import Matrices
from faceblend.gpu.plan import GpuPlan
from faceblend.gpu.plan import plan as drawn
from faceblend.recipe import Recipe, load_recipe
from faceblend.sample import Sample, unblended
from faceblend.torch import sample_or_stand_in

_MAY_FILL = 0.5  # of the device's free memory by crops; batches need the rest
_AT_ONCE = 256  # crops that are brought to the device together


@dataclass(frozen=True, kw_only=True, eq=False)
class GpuBatch:
    """Samples on the device, in the order in which they were asked for."""

    images: torch.Tensor
    """(N, 3, S, S) uint8 RGB; S is the recipe's ``crop.size``"""
    xrays: torch.Tensor
    """(N, S, S) float32 in [0, 1]; zero everywhere for a real face"""
    labels: torch.Tensor
    """(N,) int64, 1 blended, 0 real"""
    landmarks: torch.Tensor
    """(N, 68, 2) float32 ``(x, y)`` of the background's face, px of the picture"""
    indices: torch.Tensor
    """(N,) int64, the samples' numbers; of a rejected one, its stand-in's"""
    on_cpu: int
    """how many of them ``sample`` rendered on the CPU"""


class BatchBlend:
    """Samples of a run as :func:`faceblend.sample` makes them, rendered in batches by torch.

    What is drawn is the same to the last digit: labels, faces, every number, and landmarks.
    Pixels and X-rays are the same but for rounding and for the steps that the guide lists, by no
    more than ``tests/gpu/test_parity.py`` says. A sample with an operation that no device renders,
    or whose mask is rejected, is rendered by ``sample`` on the CPU and counted; one that is
    rejected there, too, is replaced by a stand-in, as :class:`faceblend.torch.OnlineBlend` does.

    Args:
        bank: the real faces, or their folder.
        recipe: what may be drawn, or the name of a preset, or a YAML file.
        seed: 0 to 2**64 - 1.
        device: where batches are rendered.
        resident: whether all crops stay on the device as bytes; None: where they take no more
            than half of its free memory. Else each batch reads its own.

    Raises:
        BadArgument: ``seed`` is no such number.
        BadBank, BadRecipe: the bank or the recipe cannot be used.
        BadImage: a crop of the bank cannot be read.

    Example:
        >>> blend = BatchBlend("bank", "bi", seed=0, device="cuda")     # doctest: +SKIP
        >>> batch = blend(range(256))                                   # doctest: +SKIP
        >>> image = batch.images.float() / 255                          # doctest: +SKIP
    """

    def __init__(
        self,
        bank: FaceBank | str | os.PathLike[str],
        recipe: Recipe | str | os.PathLike[str],
        seed: int,
        device: str | torch.device = "cuda",
        *,
        resident: bool | None = None,
    ) -> None:
        if not 0 <= seed < 2**64:
            raise BadArgument("seed", f"is {seed}", "give a number from 0 to 2**64 - 1")
        self.bank = bank if isinstance(bank, FaceBank) else FaceBank.open(bank)
        if not len(self.bank.reals):
            raise BadBank(
                self.bank.root, "holds no real face", "blends are made of them: add some"
            )
        self.recipe = recipe if isinstance(recipe, Recipe) else load_recipe(os.fspath(recipe))
        self.recipe.check_fits(self.bank.crop_size)
        for one in self.recipe.partners:
            if one.cap is not None:
                capped.arrange(self.bank, one.top, one.cap)
        self.seed, self.device = seed, torch.device(device)
        self._matrices = Matrices(self.device)
        self.resident = _fits(self.bank, self.device) if resident is None else resident
        self._crops = _all_crops(self.bank, self.device) if self.resident else None

    def __call__(self, indices: Sequence[int]) -> GpuBatch:
        """Draw and render the samples of these numbers.

        Raises:
            Rejected: a sample and all its stand-ins were rejected.
            BadImage: a crop of the bank cannot be read.
        """
        return self.render(self.plan(indices))

    def plan(self, indices: Sequence[int], halves: Sequence[int] = ()) -> GpuPlan:
        """Draw the samples of these numbers; needs no device, and can run in another process.

        Args:
            indices: 0 to 2**63 - 1, one or more.
            halves: places among them of real halves of pairs, each the background of the blend of
                that number with all that was drawn but the blending, as
                :func:`faceblend.sample.unblended` makes it. The recipe must make blends alone,
                and the blend be in the batch, or the CPU renders the half.

        Raises:
            BadArgument: there is none, or one is out of range; or halves are asked for of a recipe
                that makes reals.
        """
        if len(halves) and self.recipe.fake_share < 1:
            raise BadArgument(
                "halves", "are of a recipe that makes reals", "give one of fake_share 1"
            )
        numbers = [int(one) for one in indices]
        if not numbers or not 0 <= min(numbers) <= max(numbers) < 2**63:
            raise BadArgument("indices", f"are {numbers}", "give some, from 0 to 2**63 - 1")
        return drawn(self.bank, self.recipe, self.seed, numbers, frozenset(halves))

    def read(self, plan: GpuPlan) -> torch.Tensor:
        """The crops that a plan is rendered from, where none are resident; needs no device.

        Returns:
            (R + F, C, C, 3) uint8 RGB in the CPU's memory: the backgrounds, then the foregrounds.

        Raises:
            BadImage: one cannot be read.
        """
        rows = plan.backgrounds
        if plan.fakes is not None:
            rows = np.concatenate([rows, plan.fakes.foregrounds])
        side = self.bank.crop_size
        made = np.empty((len(rows), side, side, 3), np.uint8)
        for place, row in zip(made, rows.tolist(), strict=True):
            place[:] = self.bank.image(row)
        return torch.from_numpy(made)

    def render(
        self,
        plan: GpuPlan,
        watch: rendering.Watch | None = None,
        *,
        read: torch.Tensor | None = None,
    ) -> GpuBatch:
        """Render what was drawn.

        Args:
            plan: by a ``BatchBlend`` of the same bank, recipe and seed.
            read: what :meth:`read` read for it in another process, best in pinned memory; if not
                given, and crops are not resident, they are read here.
            watch: called with the name of each step once it is queued; a benchmark waits for the
                device there, and so learns what a step costs.

        Raises:
            Rejected: a sample and all its stand-ins were rejected.
            BadImage: a crop of the bank cannot be read.
        """
        count, size = len(plan.indices), plan.size
        images = torch.empty((count, 3, size, size), dtype=torch.uint8, device=self.device)
        xrays = torch.empty((count, size, size), device=self.device)
        labels, indices = np.zeros(count, np.int64), plan.indices.copy()
        landmarks = np.zeros((count, 68, 2), np.float32)
        left = plan.left
        if len(plan.rendered):
            crops = self.crops if read is None else _given(plan, read, self.device)
            made = rendering.render(
                plan, crops, self.bank.crop_size, self._matrices, watch or _unwatched
            )
            at = torch.from_numpy(plan.rendered).to(self.device)
            images[at] = made.images
            xrays[at] = 4 * made.alphas * (1 - made.alphas)
            labels[plan.rendered], landmarks[plan.rendered] = plan.labels, plan.landmarks
            faint = plan.rendered[made.faint.cpu().numpy()]
            # a blend that is drawn again has another half
            lost = plan.halves[np.isin(indices[plan.halves], indices[faint])]
            left = np.concatenate([left, faint, lost])
        halves, blends = frozenset(plan.halves.tolist()), dict[int, Sample]()
        for place in left.tolist():
            index = int(indices[place])
            one = blends.get(index) or sample_or_stand_in(self.bank, self.recipe, self.seed, index)
            blends[index] = one
            if place in halves:
                one = unblended(one, self.bank)
            images[place] = torch.from_numpy(one.image).permute(2, 0, 1).to(self.device)
            xrays[place] = torch.from_numpy(one.xray).to(self.device)
            labels[place], indices[place], landmarks[place] = one.label, one.index, one.landmarks
        return GpuBatch(
            images=images,
            xrays=xrays,
            labels=torch.from_numpy(labels).to(self.device),
            landmarks=torch.from_numpy(landmarks).to(self.device),
            indices=torch.from_numpy(indices).to(self.device),
            on_cpu=len(left),
        )

    def crops(self, rows: np.ndarray) -> torch.Tensor:
        """Crops of some faces, (N, 3, C, C) uint8 RGB on the device.

        Raises:
            BadImage: one cannot be read.
        """
        if self._crops is not None:
            return self._crops[torch.from_numpy(rows).to(self.device)]
        made = torch.from_numpy(np.stack([self.bank.image(int(row)) for row in rows]))
        return _sent(made, self.device).permute(0, 3, 1, 2)


def _unwatched(step: str) -> None:
    del step


def _fits(bank: FaceBank, device: torch.device) -> bool:
    # on the CPU, crops are read where they are
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return len(bank) * 3 * bank.crop_size**2 <= _MAY_FILL * free


def _all_crops(bank: FaceBank, device: torch.device) -> torch.Tensor:
    side = bank.crop_size
    held = torch.empty((len(bank), 3, side, side), dtype=torch.uint8, device=device)
    for start in range(0, len(bank), _AT_ONCE):
        stop = min(start + _AT_ONCE, len(bank))
        read = np.stack([bank.image(row) for row in range(start, stop)])
        held[start:stop] = _sent(torch.from_numpy(read), device).permute(0, 3, 1, 2)
    return held


def _given(plan: GpuPlan, read: torch.Tensor, device: torch.device) -> rendering.Read:
    count = len(plan.backgrounds)

    def crops(rows: np.ndarray) -> torch.Tensor:
        part = read[:count] if rows is plan.backgrounds else read[count:]
        return part.to(device, non_blocking=True).permute(0, 3, 1, 2)

    return crops


def _sent(crops: torch.Tensor, device: torch.device) -> torch.Tensor:
    return crops.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else crops
