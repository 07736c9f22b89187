"""The jitter of a batch on the device that trains: ``jittered`` of every sample at once."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch.nn import functional

from xray_train.augment.jitter import Jitter, color_matrix, gamma_curve, movement


def jittered_batch(
    images: torch.Tensor, xrays: torch.Tensor, jitters: Sequence[Jitter]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Change pictures, and move their X-rays along.

    OpenCV interpolates at 32nds of a pixel and torch where the pixel came from: beside
    ``jittered``, noise of all levels differs by 3 levels in the mean, a photograph by less than 1.

    Args:
        images: (N, 3, H, W) uint8 RGB.
        xrays: (N, 1, H, W) uint8, on the same device.
        jitters: what was drawn, one a sample.

    Returns:
        Both, of the same shapes; what lay beyond the border is mirrored.
    """
    device, (height, width) = images.device, images.shape[2:]
    both = torch.cat([images, xrays], dim=1).float()
    back = np.stack(
        [cv2.invertAffineTransform(movement(one, height, width)) for one in jitters]
    ).astype(np.float32)
    moved = functional.grid_sample(
        both,
        _grid(torch.from_numpy(back).to(device), height, width),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=True,
    ).round_()
    curves = np.stack([gamma_curve(one) for one in jitters]).astype(np.float32)
    colors = np.stack([color_matrix(one) for one in jitters]).astype(np.float32)
    levels = moved[:, :3].flatten(1).long()
    curved = torch.from_numpy(curves).to(device).gather(1, levels).reshape(len(images), 3, -1)
    mix = torch.from_numpy(colors).to(device)
    pictures = torch.baddbmm(mix[:, :, 3:], mix[:, :, :3], curved).round_().clamp_(0, 255)
    return pictures.reshape(images.shape).to(torch.uint8), moved[:, 3:].to(torch.uint8)


def _grid(back: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(N, H, W, 2): where each pixel came from, -1 and 1 the middles of the outermost pixels."""
    y, x = torch.meshgrid(
        torch.arange(height, device=back.device, dtype=torch.float32),
        torch.arange(width, device=back.device, dtype=torch.float32),
        indexing="ij",
    )
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    came = torch.einsum("nij,hwj->nhwi", back, points)
    return came * (2 / came.new_tensor([width - 1, height - 1])) - 1
