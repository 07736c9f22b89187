"""Blending on a GPU: batches of several sizes, what the device could do, and CPU processes.

Bytes are counted by a model: every operation that torch dispatches reads each of its tensors once
and writes what it returns once; views move nothing, and what picks elements out of a tensor reads
as many as it returns. Caches make it less, and what an operation keeps for itself makes it more.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset

from faceblend import draw as drawing
from faceblend.bank import FaceBank
from faceblend.bench.machine import check_least, machine, processes, ratio
from faceblend.bench.parallel import opened
from faceblend.errors import BadArgument, Rejected
from faceblend.gpu import BatchBlend, GpuBatch, GpuPlan
from faceblend.recipe import Recipe
from faceblend.sample import sample
from faceblend.search_torch import usable

BATCHES = (64, 128, 256, 512, 1024)
"""Samples a batch, unless others are asked for."""

CROPS = {"resident": True, "streamed": False}
"""Where crops are when a batch begins: on the device, or in files."""

_COPIED = 2**28  # bytes: more than any cache of a device holds
_AHEAD = 2  # batches that a loader's process draws ahead
_CHUNK = 50  # samples that a CPU process takes at a time
_SELECTS = {"index", "index_select", "gather", "take", "take_along_dim", "embedding"}
_MAKES = {"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty"}  # and fills not
_RATE = 1e-4  # of the trained network, whose losses nobody reads


@dataclass(frozen=True, kw_only=True)
class Batched:
    """One batch size; rates are medians over the rounds."""

    batch: int
    """samples a batch"""
    crops: str
    """``resident`` on the device, or ``streamed`` to it"""
    plan_per_second: float
    """samples drawn by one process"""
    render_per_second: float
    """samples rendered of plans that were there"""
    together_per_second: float
    """samples of drawing and rendering by turns, in one process"""
    on_cpu_share: float
    """samples that were rendered one by one on the CPU"""
    bytes_per_sample: float
    """moved on the device while it renders, by the model above"""
    bandwidth_share: float
    """of what copying moves, what rendering moves by the model"""
    floor_per_second: float
    """samples, were those bytes moved as fast as copying does, and nothing else to be done"""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network trained on batches; rates are medians over the rounds."""

    network: str
    """its name in timm"""
    batch: int
    constant_per_second: float
    """images of one batch that stays on the device"""
    online_per_second: float
    """images that are blended meanwhile, drawn by the processes"""
    share: float
    """of the first, the second; side by side"""


@dataclass(frozen=True, kw_only=True)
class GpuBench:
    """Figures of one benchmark, ready for JSON."""

    device: str
    """what torch calls it"""
    means_a_gpu: bool
    """False where it ran on a CPU: ratios and shares say nothing of a GPU then"""
    sizes: list[Batched]
    step_ms: dict[str, float]
    """of a sample in the largest batch, crops resident: milliseconds of each step, with the device
    waited for after each"""
    step_bytes: dict[str, float]
    """the same: bytes that each step moves, by the model above"""
    copied_per_second: float
    """bytes read and written by copying a tensor on the device; median over the rounds"""
    fed_per_second: dict[str, float]
    """samples of the largest batch, drawn by the processes and rendered here meanwhile: with crops
    ``resident``, and ``streamed`` after they have read and decoded them, too"""
    cpu_per_second: float
    """samples rendered by the processes on their own, as a loader's workers do"""
    decoded_per_second: float
    """samples whose crops the processes read and decode: the floor where they are streamed"""
    fed_ratio: dict[str, float]
    """the same over the processes alone; side by side"""
    trained: Trained | None
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def bench_gpu(
    bank: FaceBank,
    recipe: Recipe,
    *,
    device: str = "cuda",
    batches: Sequence[int] = BATCHES,
    count: int = 4096,
    rounds: int = 5,
    workers: int = 2,
    train: str | None = None,
    train_batch: int = 32,
) -> GpuBench:
    """Time drawing and rendering of batches, beside processes that render one by one.

    Args:
        bank: the faces, in a folder of their own.
        recipe: what is drawn, reals and fakes.
        device: as torch calls it; ``cpu`` takes the same way, and says nothing of a GPU.
        batches: samples a batch.
        count: samples a round, of at least one batch.
        rounds: timed, after one that is not counted.
        workers: processes that draw, decode, or render on their own.
        train: a network of timm's to train; None leaves it out.
        train_batch: images a step.

    Raises:
        BadArgument: there is nothing to time, no such device, or timm is not there or knows no
            such network.
    """
    check_least(1, count=count, rounds=rounds, workers=workers, train_batch=train_batch)
    if not batches:
        raise BadArgument("batches", "names none", f"give such as {BATCHES[0]}")
    check_least(1, **{f"batches[{number}]": one for number, one in enumerate(batches)})
    recipe.check_fits(bank.crop_size)
    where = usable(device)
    make = None if train is None else _network(train)
    copied = [_copied(where) for _ in range(rounds + 1)][1:]
    bandwidth = statistics.median(copied)
    sizes = [
        _batched(bank, recipe, where, batch, resident, count, rounds, bandwidth)
        for resident in CROPS.values()
        for batch in sorted(batches)
    ]
    step_ms, step_bytes = _steps(bank, recipe, where, max(batches))
    with processes(workers) as pool:
        fed: dict[str, list[float]] = {name: [] for name in CROPS}
        alone, decoded = list[float](), list[float]()
        for number in range(rounds + 1):
            for name, resident in CROPS.items() if number else ():  # they warm up by themselves
                blend = BatchBlend(bank, recipe, number, where, resident=resident)
                fed[name].append(_fed(blend, max(batches), count, workers))
            chunks = [range(at, min(at + _CHUNK, count)) for at in range(0, count, _CHUNK)]
            crops = [_crops(bank, recipe, number, chunk) for chunk in chunks]
            for rates, work, given in (
                (alone, partial(_render, bank.root, recipe, number), chunks),
                (decoded, partial(_decode, bank.root), crops),
            ):
                begun = time.perf_counter()
                made = sum(pool.map(work, given))
                rates.append(made / (time.perf_counter() - begun))
    alone, decoded = alone[1:], decoded[1:]
    trained = None
    if make is not None and train is not None:
        trained = _trained(bank, recipe, where, train, make, train_batch, count, rounds, workers)
    return GpuBench(
        device=str(where),
        means_a_gpu=where.type != "cpu",
        sizes=sizes,
        step_ms=step_ms,
        step_bytes=step_bytes,
        copied_per_second=bandwidth,
        fed_per_second={name: statistics.median(rates) for name, rates in fed.items()},
        cpu_per_second=statistics.median(alone),
        decoded_per_second=statistics.median(decoded),
        fed_ratio={name: ratio(rates, alone) for name, rates in fed.items()},
        trained=trained,
        machine=machine(
            recipe=recipe.name,
            faces=len(bank),
            workers=workers,
            threads=torch.get_num_threads(),
            torch=torch.__version__,
            **_gpu(where),
        ),
    )


def _gpu(where: torch.device) -> dict[str, Any]:
    if where.type != "cuda":
        return {"gpu": "none"}
    known = torch.cuda.get_device_properties(where)
    return {
        "gpu": known.name,
        "gpu_memory": known.total_memory,
        "cuda": str(torch.version.cuda),
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def _batched(
    bank: FaceBank,
    recipe: Recipe,
    where: torch.device,
    batch: int,
    resident: bool,
    count: int,
    rounds: int,
    bandwidth: float,
) -> Batched:
    plans, renders, both, on_cpu = list[float](), list[float](), list[float](), list[float]()
    each = max(1, math.ceil(count / batch))
    samples = each * batch
    for number in range(rounds + 1):
        # another seed each round: nobody has seen its samples
        blend = BatchBlend(bank, recipe, number, where, resident=resident)
        numbers = [range(start, start + batch) for start in range(0, samples, batch)]
        seconds, drawn = _timed(where, partial(_each, blend.plan, numbers))
        plans.append(samples / seconds)
        blend.render(drawn[0])  # its crops are brought to the device, and kernels chosen
        seconds, made = _timed(where, partial(_each, _counted(blend), drawn))
        renders.append(samples / seconds)
        on_cpu.append(sum(made) / samples)
        seconds, _ = _timed(where, partial(_each, partial(_both, blend), numbers))
        both.append(samples / seconds)
    moved = Moved()
    with moved:
        blend.render(drawn[0])
    rate, each_bytes = statistics.median(renders[1:]), moved.bytes / batch
    return Batched(
        batch=batch,
        crops="resident" if resident else "streamed",
        plan_per_second=statistics.median(plans[1:]),
        render_per_second=rate,
        together_per_second=statistics.median(both[1:]),
        on_cpu_share=statistics.mean(on_cpu),
        bytes_per_sample=each_bytes,
        bandwidth_share=each_bytes * rate / bandwidth,
        floor_per_second=bandwidth / max(each_bytes, 1),
    )


def _steps(
    bank: FaceBank, recipe: Recipe, where: torch.device, batch: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds and bytes of each step, a sample."""
    blend = BatchBlend(bank, recipe, 0, where, resident=True)
    plan = blend.plan(range(batch))
    blend.render(plan)

    def seconds() -> float:
        _wait(where)
        return time.perf_counter()

    spent = _each_step(blend, plan, seconds)
    with Moved() as moved:
        carried = _each_step(blend, plan, lambda: moved.bytes)
    return (
        {step: 1000 * one / batch for step, one in spent.items()},
        {step: one / batch for step, one in carried.items()},
    )


def _each_step(blend: BatchBlend, plan: GpuPlan, gauge: Callable[[], float]) -> dict[str, float]:
    """By how much a gauge rises in each step."""
    risen, last = dict[str, float](), [gauge()]

    def done(step: str) -> None:
        last.append(gauge())
        risen[step] = last[-1] - last[-2]

    blend.render(plan, done)
    return risen


def _counted(blend: BatchBlend) -> Callable[[GpuPlan], int]:
    return lambda plan: blend.render(plan).on_cpu


def _both(blend: BatchBlend, numbers: range) -> int:
    return blend(numbers).on_cpu


def _each(work: Callable[[Any], Any], of: Iterable[Any]) -> list[Any]:
    return [work(one) for one in of]


def _timed(where: torch.device, work: Callable[[], Any]) -> tuple[float, Any]:
    _wait(where)
    begun = time.perf_counter()
    made = work()
    _wait(where)
    return time.perf_counter() - begun, made


def _wait(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def _copied(where: torch.device) -> float:
    """Bytes a second that copying reads and writes."""
    one = torch.zeros(_COPIED, dtype=torch.uint8, device=where)
    other = torch.empty_like(one)
    times = 20 if where.type == "cuda" else 1
    seconds, _ = _timed(where, lambda: [other.copy_(one) for _ in range(times)])
    return 2 * _COPIED * times / seconds


class Moved(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes that operations move while it is entered, by this file's model."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        given, returned = list(_tensors((args, kwargs))), list(_tensors(made))
        held = {one.untyped_storage().data_ptr() for one in given}
        # not every view says that it is one
        shares = any(one.untyped_storage().data_ptr() in held for one in returned)
        if not (name in _MAKES or (shares and not func._schema.is_mutable)):
            read, written = list(map(_size, given)), sum(map(_size, returned))
            if name in _SELECTS:
                # the first is picked from: as much of it is read as is returned
                read[:1] = [min(read[0], written)]
            self.bytes += written + sum(read)
        return made


def _tensors(of: Any) -> Iterator[torch.Tensor]:
    if isinstance(of, torch.Tensor):
        yield of
    elif isinstance(of, dict):
        yield from _tensors(list(of.values()))
    elif isinstance(of, list | tuple):
        for one in of:
            yield from _tensors(one)


def _size(of: torch.Tensor) -> int:
    # what is expanded is there once
    return min(of.numel() * of.element_size(), of.untyped_storage().nbytes())


# -- what the processes do -----------------------------------------------------------------


class _Plans(Dataset[Any]):
    """Plans of the batches of a run without an end, drawn in the loader's processes.

    With them come the crops that they are rendered from, where these do not lie on the device.
    """

    def __init__(self, root: Path, recipe: Recipe, seed: int, batch: int, reads: bool) -> None:
        self._of, self._batch, self._reads = (root, recipe, seed), batch, reads
        self._blend: BatchBlend | None = None

    def __len__(self) -> int:
        return 2**40 // self._batch

    def __getitem__(self, number: int) -> tuple[GpuPlan, torch.Tensor | None]:
        if self._blend is None:
            root, recipe, seed = self._of
            self._blend = BatchBlend(opened(root), recipe, seed, "cpu", resident=False)
        plan = self._blend.plan(range(number * self._batch, (number + 1) * self._batch))
        return plan, self._blend.read(plan) if self._reads else None


@contextmanager
def _fed_by(blend: BatchBlend, batch: int, workers: int) -> Iterator[Iterator[GpuBatch]]:
    """Batches of which processes draw the plans, once what they drew at first is used up."""
    loader = DataLoader(
        _Plans(blend.bank.root, blend.recipe, blend.seed, batch, not blend.resident),
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        multiprocessing_context="spawn",
        prefetch_factor=_AHEAD,
        pin_memory=blend.device.type == "cuda",
    )
    plans = iter(loader)
    made = (blend.render(plan, read=read) for plan, read in plans)
    for _ in range((_AHEAD + 1) * workers):
        next(made)
    yield made
    del plans, made  # ends the processes


def _as_it_is(plan: Any) -> Any:
    return plan


def _fed(blend: BatchBlend, batch: int, count: int, workers: int) -> float:
    length = math.ceil(count / batch)
    with _fed_by(blend, batch, workers) as made:
        seconds, _ = _timed(blend.device, lambda: [next(made) for _ in range(length)])
    return length * batch / seconds


def _render(root: Path, recipe: Recipe, seed: int, numbers: range) -> int:
    bank, made = opened(root), 0
    for number in numbers:
        with suppress(Rejected):
            sample(bank, recipe, seed, number)
            made += 1
    return made


def _crops(bank: FaceBank, recipe: Recipe, seed: int, numbers: range) -> list[list[int]]:
    """The rows that each sample is made of."""
    found = list[list[int]]()
    for number in numbers:
        with suppress(Rejected):
            drawn = drawing.draw(bank, recipe, seed, number)
            fake = [] if drawn.fake is None else [drawn.fake.foreground]
            found.append([drawn.background, *fake])
    return found


def _decode(root: Path, samples: list[list[int]]) -> int:
    bank = opened(root)
    for rows in samples:
        for row in rows:
            bank.image(row)
    return len(samples)


# -- training ------------------------------------------------------------------------------


def _network(name: str) -> Callable[[], torch.nn.Module]:
    """What makes a network of timm's with one logit, from random weights.

    Raises:
        BadArgument: timm is not there, or knows none of that name.
    """
    if find_spec("timm") is None:
        raise BadArgument("--train", "needs timm", "pip install 'faceblend[train]', or drop it")
    import timm

    if not timm.is_model(name):
        raise BadArgument("--train", f"is {name!r}", "give a name of timm.list_models()")
    return partial(timm.create_model, name, pretrained=False, num_classes=1)


def _trained(
    bank: FaceBank,
    recipe: Recipe,
    where: torch.device,
    name: str,
    make: Callable[[], torch.nn.Module],
    batch: int,
    count: int,
    rounds: int,
    workers: int,
) -> Trained:
    network = make().to(where).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)

    def step(given: GpuBatch) -> None:
        # without instructions for it, a CPU takes a hundred times as long
        with torch.autocast(where.type, torch.bfloat16, enabled=where.type == "cuda"):
            logits = network(given.images.float() / 255)[:, 0]
        loss = functional.binary_cross_entropy_with_logits(logits.float(), given.labels.float())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    steps = math.ceil(count / batch)
    constant, online = list[float](), list[float]()
    for number in range(rounds + 1):
        blend = BatchBlend(bank, recipe, number, where)
        with _fed_by(blend, batch, workers) as made:
            kept = [next(made)] * steps
            for rates, given in ((constant, iter(kept)), (online, made)):
                step(next(made))  # and kernels are chosen
                seconds, _ = _timed(where, partial(_each, step, islice(given, steps)))
                rates.append(steps * batch / seconds)
    return Trained(
        network=name,
        batch=batch,
        constant_per_second=statistics.median(constant[1:]),
        online_per_second=statistics.median(online[1:]),
        share=ratio(online[1:], constant[1:]),
    )
