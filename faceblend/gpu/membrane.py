"""Stretch membranes over many regions at once, as :mod:`faceblend.ops.membrane` does over one."""

import torch
from torch.nn.functional import avg_pool2d, interpolate, pad

# as on the CPU
_NEAR = 0.01  # levels; a step that changes no value by more is the last
_STEPS = 30
_SMALLEST = 4  # px; no coarser grid pays
_DAMPED = 0.8  # of a Jacobi step: what damps the fine errors most


def membrane(values: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Replace what is inside by the solution of Laplace's equation.

    See :func:`faceblend.ops.membrane.membrane`: conjugate gradients, a multigrid cycle before
    each step, to about 0.01 levels. Each sample stops where it is solved; the host waits once a
    step to learn whether all are.

    Args:
        values: (N, C, H, W) float32; only those outside count.
        inside: (N, H, W) bool, False along the border.

    Returns:
        (N, C, H, W) float32; outside as it was.
    """
    height, width = inside.shape[1:]
    halvings = max(0, -(-min(height, width) // _SMALLEST) - 1).bit_length()
    right, below = -width % (1 << halvings), -height % (1 << halvings)
    kept = pad(inside[:, None].float(), (0, right, 0, below))
    solved = pad(torch.where(inside[:, None], 0.0, values), (0, right, 0, below))
    grids = [kept]
    for _ in range(halvings):
        # a coarse pixel is inside where all four are: one that is not would overshoot
        grids.append(avg_pool2d(grids[-1], 2).floor())
    left = _laplace(solved) * kept
    way, before = torch.zeros_like(left), left
    wanted = torch.ones(len(left), dtype=torch.float64, device=left.device)
    open_ = torch.ones(len(left), dtype=torch.bool, device=left.device)
    for _ in range(_STEPS):
        step = _cycle(left, grids)
        open_ = open_ & (step.abs().amax((1, 2, 3)) >= _NEAR)
        if not open_.any():
            break
        way = step + _share(_dot(step, left - before), wanted, open_) * way
        wanted = torch.where(open_, _dot(step, left), 1.0)
        pulled = -_laplace(way) * kept
        size = _share(wanted, _dot(way, pulled), open_)
        solved = solved + size * way
        before, left = left, left - size * pulled
    return solved[..., :height, :width]


def _cycle(left: torch.Tensor, grids: list[torch.Tensor]) -> torch.Tensor:
    """About what is missing where ``left`` is left over, from this grid and all coarser ones."""
    kept, push = grids[0], left * (_DAMPED / 4)
    if len(grids) == 1:
        return _relaxed(push, push, kept, 15)
    missing = _relaxed(push, push, kept, 1)
    rest = (_laplace(missing) + left) * kept
    # its pixels are twice as wide, so its Laplacian is a quarter
    coarse = _cycle(4 * avg_pool2d(rest, 2) * grids[1], grids[1:])
    missing = missing + interpolate(coarse, scale_factor=2, mode="bilinear") * kept
    return _relaxed(missing, push, kept, 2)


def _relaxed(
    missing: torch.Tensor, push: torch.Tensor, kept: torch.Tensor, times: int
) -> torch.Tensor:
    for _ in range(times):
        missing = (missing + _DAMPED / 4 * _laplace(missing) + push) * kept
    return missing


def _laplace(field: torch.Tensor) -> torch.Tensor:
    around = pad(field, (1, 1, 1, 1))
    upright = around[..., :-2, 1:-1] + around[..., 2:, 1:-1]
    return upright + around[..., 1:-1, :-2] + around[..., 1:-1, 2:] - 4 * field


def _dot(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one * other).sum((1, 2, 3), dtype=torch.float64)


def _share(part: torch.Tensor, whole: torch.Tensor, open_: torch.Tensor) -> torch.Tensor:
    """Part of a whole, as (N, 1, 1, 1) float32; 0 for what is solved, whose whole may be 0."""
    share = torch.where(open_, part / torch.where(open_, whole, 1.0), 0.0)
    return share.float()[:, None, None, None]
