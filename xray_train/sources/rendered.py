"""Blended samples: the loader's processes draw their numbers, and the GPU renders batches."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from faceblend.gpu import BatchBlend, GpuPlan
from xray_train.augment.batched import jittered_batch
from xray_train.augment.jitter import Jitter, draw_jitter
from xray_train.sources.blends import Online
from xray_train.sources.source import Item, Planned

_LOG = logging.getLogger(__name__)

_TRIED = 64  # samples that are drawn to see whether the device can render the recipe
_MOST_ON_CPU = 0.5  # share of them; with more the GPU waits for one processor most of the time
_TOLD_AT = 1024  # rendered samples, after which a share of them on the CPU is told
_TOLD_SHARE = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """A batch as a worker drew it."""

    plan: GpuPlan
    read: torch.Tensor | None
    """the crops that it is rendered from; None where they lie on the device"""
    jitters: list[Jitter] | None
    """what is changed afterwards; None for nothing"""

    def pin_memory(self) -> "Drawn":
        """The same, from where a GPU fetches by itself; the loader asks for it."""
        return self if self.read is None else replace(self, read=self.read.pin_memory())


class OnlineGpuBlend(Online, Planned):
    """Samples blended while training, whole batches at once on the GPU that trains.

    Item ``k`` is that of :class:`Online`, within the bounds of ``docs/gpu.md``. Processes of the
    loader draw, this one renders. What has no form for the device is rendered on the CPU, and
    counted in ``on_cpu``. Where there is no GPU, or the recipe is mostly of such operations, a
    line of the log says so and the loader's processes render everything. Validation has its
    samples from them always, byte for byte those of :class:`Online`.

    Args:
        bank: folder of the bank.
        recipe: a preset or a YAML file.
        seed: of the samples; another one than the validation's.
        length: samples that differ; validation takes that many.
        parts: of the mix.
        pairs: as of :class:`Online`; a pair that two batches share is rendered on the CPU.
        augment: training changes colours, size and place at random, on the device.
        device: ``cuda`` renders on the GPU that trains; ``cpu`` takes the same way on the CPU,
            which is slower than :class:`Online` and for tests.
        resident: keep the bank's crops on the device; if not given, where they fit.
    """

    rendered: int = 0
    """samples that were rendered in batches so far"""
    on_cpu: int = 0
    """those of them that were rendered one by one on the CPU"""

    def __init__(
        self,
        bank: str,
        recipe: str = "bi",
        seed: int = 0,
        length: int = 10_000_000,
        parts: int = 1,
        pairs: bool = False,
        augment: bool = False,
        device: Literal["cuda", "cpu"] = "cuda",
        resident: bool | None = None,
    ) -> None:
        super().__init__(bank, recipe, seed, length, parts, pairs, augment)
        self._device, self._resident = device, resident
        self._blends: dict[torch.device | None, BatchBlend] = {}
        self._told = self._reads = False

    def __getstate__(self) -> dict[str, Any]:
        # a worker draws, and needs nothing of what lies on the device
        return {**vars(self), "_blends": {}}

    def renders_on(self, training: torch.device) -> torch.device | None:
        """Where its batches are rendered in a run that trains on ``training``."""
        device = torch.device("cpu") if self._device == "cpu" else training
        reason = self._unfit(device)
        if not reason:
            # the loader's processes, which start after this, read what is not there
            self._reads = not self._blend_on(device).resident
            return device
        _LOG.warning(
            "OnlineGpuBlend of %s: %s; the loader's processes render its samples on the CPU",
            self._blend.bank.root,
            reason,
        )
        return None

    def plan(self, numbers: Sequence[int], rngs: Sequence[np.random.Generator] | None) -> Drawn:
        """Draw the items that are named."""
        jitters = None if rngs is None else [draw_jitter(rng) for rng in rngs]
        blend = self._blend_on(None)
        if self.pairs:
            plan = blend.plan(
                [number // 2 for number in numbers],
                [place for place, number in enumerate(numbers) if number % 2],
            )
        else:
            plan = blend.plan(numbers)
        return Drawn(plan=plan, read=blend.read(plan) if self._reads else None, jitters=jitters)

    def render(self, plan: Drawn, device: torch.device) -> Item:
        """Render what was drawn; see :class:`Planned`.

        Raises:
            Rejected: a sample and all that may stand in for it were rejected.
            BadImage: a crop of the bank cannot be read.
        """
        made = self._blend_on(device).render(plan.plan, read=plan.read)
        self._count(len(made.labels), made.on_cpu)
        image, xray = made.images, (made.xrays * 255).round_().to(torch.uint8)[:, None]
        if plan.jitters is not None:
            image, xray = jittered_batch(image, xray, plan.jitters)
        return {"image": image, "xray": xray, "label": made.labels}

    def _blend_on(self, device: torch.device | None) -> BatchBlend:
        """What renders on a device, made once a process; None for what draws alone."""
        if device not in self._blends:
            of, resident = self._blend, False if device is None else self._resident
            self._blends[device] = BatchBlend(
                of.bank, of.recipe, of.seed, "cpu" if device is None else device, resident=resident
            )
        return self._blends[device]

    def _unfit(self, device: torch.device) -> str:
        """Why its batches cannot be rendered there; empty where they can."""
        if self._device == "cuda" and device.type != "cuda":
            here = "" if torch.cuda.is_available() else ", and torch finds no GPU here"
            return f"training is on {device}{here}"
        tried = min(_TRIED, len(self))
        lost = len(self._blend_on(None).plan(range(tried)).left)
        if lost > _MOST_ON_CPU * tried:
            return f"{lost} of its first {tried} samples need operations without a device form"
        return ""

    def _count(self, rendered: int, on_cpu: int) -> None:
        self.rendered, self.on_cpu = self.rendered + rendered, self.on_cpu + on_cpu
        if not self._told and self.rendered >= _TOLD_AT:
            self._told = True
            if self.on_cpu >= _TOLD_SHARE * self.rendered:
                _LOG.warning(
                    "OnlineGpuBlend of %s: %d of %d samples so far were rendered one by one on "
                    "the CPU, which the GPU waits for",
                    self._blend.bank.root,
                    self.on_cpu,
                    self.rendered,
                )
