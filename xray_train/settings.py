"""What a run of the loop is asked for: how long, how fast, on what and into which folder."""

from dataclasses import dataclass, replace
from typing import Literal

from faceblend.errors import BadArgument, at_least

_FROM_ONE = ("steps", "batch", "period", "accumulate", "log_every", "save_every", "keep")
_FROM_ZERO = (
    "epochs", "warmup", "decay", "cooldown", "fixed", "workers", "threads", "validate_every",
    "keep_every", "momentum", "rate", "floor", "weight_decay", "clip", "patience",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How long, how fast, on what and into which folder to train."""

    out: str
    """folder of the run: checkpoints, TensorBoard's events, results; the same continues it"""
    steps: int = 200_000
    """steps of the optimizer"""
    epochs: int = 0
    """passes over the sources instead of steps; 0 counts steps"""
    batch: int = 32
    """samples a step, over all processes"""
    optimizer: Literal["adam", "sgd"] = "adam"
    """what moves the weights"""
    momentum: float = 0.9
    """of sgd"""
    rate: float = 2e-4
    """learning rate"""
    schedule: Literal["linear", "step", "plateau"] = "linear"
    """linear: up, level, down to 0; step: falls every so many epochs; plateau: falls when the
    validations' log loss does not any more"""
    warmup: int = 0
    """linear: steps over which the rate rises"""
    decay: int = 50_000
    """linear: steps at the end over which it falls to 0"""
    period: int = 1
    """step: epochs from one fall to the next; plateau: validations without a better loss that are
    waited for"""
    factor: float = 0.1
    """step, plateau: what the rate is multiplied with when it falls"""
    cooldown: int = 0
    """plateau: validations after a fall that do not count"""
    floor: float = 0.0
    """plateau: share of the first rate at which the run stops; 0 never"""
    fixed: int = 50_000
    """steps at the beginning with the backbone as it was loaded"""
    weight_decay: float = 0.0
    """added to the gradient"""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """of the network's arithmetic; losses are float32 always"""
    channels_last: bool = False
    """memory layout that GPUs with tensor cores prefer"""
    accumulate: int = 1
    """parts that each process takes its share of a batch in"""
    clip: float = 0.0
    """largest norm of all gradients; 0 for no limit"""
    ema: float = 0.0
    """decay of the weights' moving average, such as 0.999; 0 keeps none"""
    compile: bool = False
    """torch.compile the network"""
    device: str = "auto"
    """``auto`` takes a GPU where there is one"""
    workers: int = 0
    """processes that load samples; 0 loads in this one"""
    threads: int = 0
    """of the network on a CPU; 0 takes every core, which leaves none to the workers"""
    seed: int = 0
    """of the order of samples, and of the weights that are not loaded"""
    log_every: int = 50
    """steps from one line of figures to the next"""
    validate_every: int = 1000
    """steps from one validation to the next; 0 only at the end"""
    save_every: int = 1000
    """steps from one ``last.pt`` to the next"""
    keep_every: int = 0
    """steps from one checkpoint that is kept for good to the next; 0 keeps none"""
    keep: int = 1
    """best checkpoints that are kept, by validation"""
    best: Literal["auc", "loss", "accuracy"] = "auc"
    """what makes a validation better: frame AUC, log loss, or accuracy at a score of one half"""
    patience: int = 0
    """validations without a better one after which to stop; 0 never stops early"""

    def __post_init__(self) -> None:
        at_least(1, **{name: getattr(self, name) for name in _FROM_ONE})
        at_least(0, **{name: getattr(self, name) for name in _FROM_ZERO})
        if not self.epochs:
            self._check_linear()
        if not 0 <= self.ema < 1:
            raise BadArgument("ema", f"is {self.ema}", "give 0, or up to but not 1")
        if not 0 < self.factor < 1:
            raise BadArgument("factor", f"is {self.factor}", "give more than 0 and less than 1")

    def of_passes(self, length: int) -> "Fit":
        """The same with ``steps`` where epochs are asked for.

        Args:
            length: steps of a pass over the sources.

        Raises:
            BadArgument: a linear schedule is longer than these passes.
        """
        if not self.epochs:
            return self
        made = replace(self, steps=self.epochs * length)
        made._check_linear()
        return made

    def _check_linear(self) -> None:
        if self.schedule == "linear" and self.warmup + self.decay > self.steps:
            raise BadArgument(
                "decay",
                f"is {self.decay} and warmup {self.warmup}, in a run of {self.steps} steps",
                "shorten them, or give more steps",
            )
