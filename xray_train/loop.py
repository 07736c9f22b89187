"""The one training loop: every system, one process or many, interrupted or not.

Read top to bottom. What makes a run repeatable: the batch of a step is a function of (seed,
step), the learning rate and what is fixed are functions of the step, and a checkpoint holds
all the rest.
"""

import copy
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from faceblend import jobs
from faceblend.errors import BadArgument
from xray_train.checkpoint import BadCheckpoint, Checkpoint, fit_into, load, save
from xray_train.data import Batches, Mix, training_batches
from xray_train.evaluate import LOWER, Diverged, Result, arithmetic, evaluate
from xray_train.journal import Journal
from xray_train.schedule import backbone_fixed, learning_rate, plateau_falls, stepped_rate
from xray_train.settings import Fit
from xray_train.sources import Item, Source
from xray_train.tasks import Changes, TellsApart

LAST = "last.pt"
"""Name of the checkpoint that a run goes on from."""

_FREE = {
    "out", "device", "workers", "threads", "log_every", "save_every", "keep_every", "keep",
    "compile",
}  # fmt: skip
"""Settings that a run may be continued with others of."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a call of :func:`fit` left behind."""

    step: int
    """steps that are done"""
    stopped: str
    """``done``, ``patience``, or ``floor`` of the rate"""
    checkpoint: Path
    """the last one"""
    result: Result | None
    """of the last validation; None without one"""


def fit(
    task: nn.Module,
    told: dict[str, Any],
    train: Sequence[Source],
    val: Source | None,
    settings: Fit,
) -> Run:
    """Train, validate, keep, and go on where an earlier call was cut off.

    Args:
        task: a :class:`~xray_train.tasks.Task`.
        told: its ``class_path`` and ``init_args``, for the checkpoints.
        train: the sources, mixed by their parts.
        val: what to validate on, in order and unchanged; None for nothing.
        settings: the run.

    Raises:
        BadArgument: a setting cannot be used.
        BadCheckpoint: the folder's ``last.pt`` is damaged or another run's.
        Diverged: a loss is no number any more; the last checkpoint is before that.
    """
    classes = set[int]().union(*(source.classes() for source in train))
    if not isinstance(task, TellsApart) and not classes <= {0, 1}:
        raise BadArgument("train", "has labels of people", "give sources of reals and forgeries")
    if classes < {0, 1}:
        raise BadArgument(
            "train", "holds one class alone", "mix reals and forgeries: faceblend generate does"
        )
    mix = Mix(sources=train, seed=settings.seed)
    epoch = -(-mix.epoch // settings.batch)  # steps
    settings = settings.of_passes(epoch)
    with _processes(settings) as (rank, world, device):
        # the task, its averages, its optimizer
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        task.to(device, memory_format=layout)  # type: ignore[call-overload]
        average = _Average(task, settings.ema) if settings.ema else None
        optimizer = _optimizer(task, settings, device)
        scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16")

        # where the run was
        out = Path(settings.out)
        step, progress = _resumed(out / LAST, task, told, average, optimizer, scaler, settings)
        result: Result | None = None
        stopped = "done"
        if step and (ended := _ended(progress, settings)):
            return Run(step=step, stopped=ended, checkpoint=out / LAST, result=None)

        # what comes
        batches = Batches(
            mix, settings.batch, start=step, stop=settings.steps,
            rank=rank, world=world, accumulate=settings.accumulate,
        )  # fmt: skip
        parts = training_batches(batches, mix, settings.workers, device)
        journal = Journal(out, rank)

        def checkpoint() -> Checkpoint:
            return _checkpoint(step, task, told, average, optimizer, scaler, progress, settings)

        network, unchecked = None, list[tuple[int, torch.Tensor]]()
        with (
            journal,
            jobs.progress("fit", total=settings.steps, unit="steps", kept=step) as report,
        ):
            while step < settings.steps:
                # this step's rules
                fixed = backbone_fixed(step, settings.fixed)
                if network is None or fixed != backbone_fixed(step - 1, settings.fixed):
                    network = _network(task, fixed, device, world, settings)
                rate = _rate(step, step // epoch, progress, settings)
                if isinstance(task, Changes):
                    task.at(step, step // epoch)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                task.train()

                # forward and back
                waited, losses = 0.0, {}
                for part in range(settings.accumulate):
                    asked = time.monotonic()
                    batch = _moved(next(parts), device, layout)
                    waited += time.monotonic() - asked
                    last = part == settings.accumulate - 1
                    # gradients cross between processes once a step
                    with nullcontext() if last or world == 1 else network.no_sync():
                        with arithmetic(settings.precision, device):
                            losses = network(batch["image"], batch["xray"], batch["label"])
                        scaler.scale(losses["loss"] / settings.accumulate).backward()
                unchecked.append((step, losses["loss"].detach()))

                # move
                if settings.clip:
                    scaler.unscale_(optimizer)
                    nn.utils.clip_grad_norm_(task.parameters(), settings.clip)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad(set_to_none=True)
                step += 1
                if average is not None:
                    average.follow(step)
                journal.step(waited, settings.batch)
                report.advance(1)

                # tell, look, keep: nothing of a run that has no numbers any more
                over = step == settings.steps
                events = (settings.log_every, settings.validate_every, settings.save_every)
                if over or any(_due(step, every) for every in (*events, settings.keep_every)):
                    _check_numbers(unchecked)
                if step % settings.log_every == 0:
                    journal.log(step, rate, losses)
                    report.note(", ".join(f"{key} {x.item():.4g}" for key, x in losses.items()))
                if val is not None and (over or _due(step, settings.validate_every)):
                    looked = average.task if average is not None else task
                    result = evaluate(looked, val, device=device, settings=settings, rank=rank)
                    journal.result(step, result, looked, val, device)
                    known = _note(progress, step, result, settings)
                    if rank == 0:
                        _keep_best(out, progress, settings.keep, checkpoint if known else None)
                    if ended := _ended(progress, settings):
                        stopped, over = ended, True
                if over or _due(step, settings.save_every):
                    _check_weights(task, step)
                if rank == 0 and (over or _due(step, settings.save_every)):
                    save(checkpoint(), out / LAST)
                if rank == 0 and _due(step, settings.keep_every):
                    save(checkpoint(), out / f"step-{step:07d}.pt")
                if over:
                    break
        return Run(step=step, stopped=stopped, checkpoint=out / LAST, result=result)


# -- the parts, in the order of their use ------------------------------------------------


@contextmanager
def _processes(settings: Fit) -> Iterator[tuple[int, int, torch.device]]:
    """Rank, number of processes and device; torchrun's environment tells."""
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    else:
        device = torch.device(name)
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads or threads)
    joined = world > 1 and not distributed.is_initialized()
    if joined:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield rank, world, device
    finally:
        torch.set_num_threads(threads)
        if joined:
            distributed.destroy_process_group()


def _optimizer(task: nn.Module, settings: Fit, device: torch.device) -> torch.optim.Optimizer:
    weights, rate, decay = task.parameters(), settings.rate, settings.weight_decay
    if settings.optimizer == "sgd":
        # not fused: torch's then fails on weights that were fixed before
        return torch.optim.SGD(weights, lr=rate, momentum=settings.momentum, weight_decay=decay)
    fused = device.type in ("cpu", "cuda")
    return torch.optim.Adam(weights, lr=rate, weight_decay=decay, fused=fused)


def _rate(step: int, epoch: int, progress: dict[str, Any], settings: Fit) -> float:
    if settings.schedule == "step":
        return stepped_rate(
            epoch, base=settings.rate, period=settings.period, factor=settings.factor
        )
    if settings.schedule == "plateau":
        return settings.rate * settings.factor ** _falls(progress, settings)
    return learning_rate(
        step, base=settings.rate, steps=settings.steps,
        warmup=settings.warmup, decay=settings.decay,
    )  # fmt: skip


def _falls(progress: dict[str, Any], settings: Fit) -> int:
    return plateau_falls(
        progress.get("losses", []), patience=settings.period, cooldown=settings.cooldown
    )


class _Average:
    """A copy of a task whose weights and statistics follow the task's slowly."""

    def __init__(self, task: nn.Module, decay: float) -> None:
        self.task, self._decay = copy.deepcopy(task).requires_grad_(False), decay
        # once: both change in place alone, and a step on a CPU is short
        self._floats, self._counts = (
            [
                [one for one in of.state_dict().values() if one.is_floating_point() is kind]
                for of in (self.task, task)
            ]
            for kind in (True, False)
        )

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """The task has done ``step`` steps; after the first the two are equal."""
        mine, theirs = self._floats
        torch._foreach_lerp_(mine, theirs, 1.0 if step == 1 else 1 - self._decay)
        for count, other in zip(*self._counts, strict=True):
            count.copy_(other)


def _resumed(
    path: Path,
    task: nn.Module,
    told: dict[str, Any],
    average: _Average | None,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    settings: Fit,
) -> tuple[int, dict[str, Any]]:
    if not path.exists():
        return 0, {"best": [], "since": 0, "threshold": 0.5, "curve": []}
    saved = load(path)
    if saved.task != told:
        raise BadCheckpoint(
            path, "is of another task than this run's", "give another folder, or the same task"
        )
    # what an older version did not ask for, it did as is the default
    defaults = asdict(Fit(out=""))
    asked, was = _decisive(asdict(settings)), _decisive({**defaults, **saved.settings})
    differing = sorted(name for name in asked if asked[name] != was.get(name))
    if differing:
        one = differing[0]
        raise BadCheckpoint(
            path,
            f"was trained with {one} {was.get(one)!r}, and {asked[one]!r} is asked for",
            "give the same to continue, or another folder",
        )
    fit_into(task, saved.model, path)
    if average is not None:
        fit_into(average.task, saved.ema or {}, path)
    optimizer.load_state_dict(saved.optimizer)
    scaler.load_state_dict(saved.scaler)
    torch.set_rng_state(saved.random["cpu"])
    if torch.cuda.is_available() and "cuda" in saved.random:
        torch.cuda.set_rng_state(saved.random["cuda"])
    return saved.step, saved.progress


def _decisive(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide what a run becomes."""
    return {name: value for name, value in settings.items() if name not in _FREE}


def _checkpoint(
    step: int,
    task: nn.Module,
    told: dict[str, Any],
    average: _Average | None,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    progress: dict[str, Any],
    settings: Fit,
) -> Checkpoint:
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    return Checkpoint(
        step=step,
        task=told,
        model=task.state_dict(),
        ema=None if average is None else average.task.state_dict(),
        optimizer=optimizer.state_dict(),
        scaler=scaler.state_dict(),
        random=random,
        progress=progress,
        settings=asdict(settings),
    )


class _Loss(nn.Module):
    """The objective as a forward pass, which is what DDP and the compiler wrap."""

    def __init__(self, task: nn.Module) -> None:
        super().__init__()
        self.task = task

    def forward(self, *batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.task.loss(*batch)  # type: ignore[no-any-return, operator]


def _network(task: nn.Module, fixed: bool, device: torch.device, world: int, settings: Fit) -> Any:
    """The objective, wrapped anew whenever the fixed part changes: DDP counts gradients."""
    task.fix_backbone(fixed)  # type: ignore[operator]
    network: Any = _Loss(task)
    if world > 1:
        if device.type == "cuda":
            convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
            network = convert(network)
        network = DistributedDataParallel(
            network, device_ids=[device.index] if device.type == "cuda" else None
        )
    return torch.compile(network) if settings.compile else network


def _moved(batch: Item, device: torch.device, layout: torch.memory_format) -> Item:
    if batch["image"].dim() != 4:
        layout = torch.preserve_format  # several pictures a sample
    image = batch["image"].to(device, non_blocking=True, memory_format=layout)
    rest = {name: batch[name].to(device, non_blocking=True) for name in ("xray", "label")}
    return {"image": image, **rest}


def _check_numbers(unchecked: list[tuple[int, torch.Tensor]]) -> None:
    # many at once: asking for each would make the GPU wait for it
    values = torch.stack([loss for _, loss in unchecked]).tolist() if unchecked else []
    for (step, _), value in zip(unchecked, values, strict=True):
        if not math.isfinite(value):
            raise Diverged(f"step {step}", f"the loss is {value}", LOWER)
    unchecked.clear()


def _check_weights(task: nn.Module, step: int) -> None:
    # the loss of a step says nothing of the weights behind it
    for name, tensor in task.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise Diverged(f"step {step}", f"{name} holds values that are no numbers", LOWER)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _ended(progress: dict[str, Any], settings: Fit) -> str:
    """Why the validations so far end the run: ``patience``, ``floor``, or nothing."""
    if 0 < settings.patience <= int(progress["since"]):
        return "patience"
    # a little over, or rounding keeps a rate that is the floor from being it
    low = settings.schedule == "plateau" and settings.floor > 0
    if low and settings.factor ** _falls(progress, settings) <= settings.floor * (1 + 1e-9):
        return "floor"
    return ""


def _note(progress: dict[str, Any], step: int, result: Result, settings: Fit) -> bool:
    """Keep a validation's figures; whether it has the one by which the best is chosen."""
    figures = result.summary
    score = {
        "auc": figures.frame_auc,
        "loss": -figures.frame_log_loss,
        "accuracy": figures.frame_accuracy_at_half,
    }[settings.best]
    best = max((score for score, _ in progress["best"]), default=-math.inf)
    progress["curve"].append([step, figures.frame_auc])
    progress.setdefault("losses", []).append(figures.frame_log_loss)
    progress["threshold"] = result.threshold
    improved = score is not None and score > best
    progress["since"] = 0 if improved else progress["since"] + 1
    if score is not None:
        progress["best"].append([score, step])
    return score is not None


def _keep_best(out: Path, progress: dict[str, Any], keep: int, made: Any) -> None:
    """Write this step's checkpoint if it is among the best, and delete those that are not."""
    ranked = sorted(progress["best"], key=lambda one: (-one[0], one[1]))
    progress["best"] = ranked[:keep]
    wanted = {f"best-{step:07d}.pt" for _, step in progress["best"]}
    if made is not None:
        checkpoint = made()
        name = f"best-{checkpoint.step:07d}.pt"
        if name in wanted:
            save(checkpoint, out / name)
    for path in out.glob("best-*.pt"):
        if path.name not in wanted:
            path.unlink()
