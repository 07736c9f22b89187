"""Print the table of docs/gpu.md: ``python tests/gpu/parity.py BANK [--count N] [--device D]``.

Each sample is rendered by the CPU and, as one of a batch, by torch on the device.
"""

import argparse
from pathlib import Path

import numpy as np

from faceblend.bank import FaceBank
from faceblend.gpu import BatchBlend
from faceblend.recipe import load_recipe, preset_names
from faceblend.sample import sample

AT_ONCE = 8


def measured(bank: FaceBank, preset: str, count: int, device: str) -> str:
    """One line of the table."""
    recipe = load_recipe(preset)
    blend = BatchBlend(bank, recipe, 0, device)
    images, xrays, on_cpu = list[float](), list[float](), 0
    for start in range(0, count, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, count))
        made = blend(numbers)
        on_cpu += made.on_cpu
        for place, number in enumerate(numbers):
            one = sample(bank, recipe, 0, number)
            assert (int(made.labels[place]), int(made.indices[place])) == (one.label, number)
            np.testing.assert_array_equal(made.landmarks[place].cpu().numpy(), one.landmarks)
            image = made.images[place].permute(1, 2, 0).cpu().numpy()
            images.append(float(np.abs(image.astype(np.int64) - one.image).mean()))
            if one.label:
                xray = made.xrays[place].cpu().numpy()
                xrays.append(255 * float(np.abs(xray - one.xray).mean()))
    told = " | ".join(
        f"{np.median(one):.3f} | {np.mean(one):.3f} | {np.max(one):.2f}" for one in (images, xrays)
    )
    return f"| `{preset}` | {told} | {on_cpu} of {count} |"


def main() -> None:
    """Print a line a preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bank", type=Path)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    bank = FaceBank.open(chosen.bank)
    for preset in preset_names():
        print(measured(bank, preset, chosen.count, chosen.device), flush=True)


if __name__ == "__main__":
    main()
