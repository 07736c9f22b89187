"""Landmarks like a bank's, as many as wanted: what a large bank costs, without having one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.random import Generator

from faceblend import jobs
from faceblend.bank import FaceBank, FaceRow
from faceblend.bench.machine import check_least
from faceblend.errors import BadArgument

FRAMES = 100
"""Faces a video of the made-up landmarks."""

TWIN = 200
"""Every so many faces, one has the landmarks of another: distances tie, as those of copies do."""

_BLOCK = 16_384
_WITHIN = 0.2  # share of the variance that is inside a video
_NOISE = 0.5  # px, of the landmark detector
_KEPT = 0.99  # share of the variance that the modes keep


def made_up(bank: FaceBank, faces: int, rng: Generator, path: Path) -> int:
    """Write landmarks with the mean and the main modes of variation of a bank's.

    Four fifths of the variance are between videos of ``FRAMES`` faces, half a pixel is noise,
    and one face in ``TWIN`` repeats an earlier one.

    Args:
        bank: whose landmarks the made-up ones are like.
        faces: how many.
        rng: where they are drawn from.
        path: of the file, (faces, 68, 2) float32 as numpy writes it.

    Returns:
        How many modes keep 99% of the variance.

    Raises:
        BadArgument: the bank has too few faces to be like, or too few are asked for.
    """
    check_least(2 * FRAMES, faces=faces)
    if len(bank) < 8:
        raise BadArgument("bank", f"has {len(bank)} faces", "give one of 8 or more")
    points = np.asarray(bank.landmarks, np.float64).reshape(len(bank), 136)
    mean = points.mean(axis=0)
    _, spread, ways = np.linalg.svd(points - mean, full_matrices=False)
    share = np.cumsum(spread**2) / (spread**2).sum()
    modes = int(np.searchsorted(share, _KEPT)) + 1
    ways = ways[:modes] * (spread[:modes, np.newaxis] / np.sqrt(len(bank)))
    videos = rng.standard_normal((faces // FRAMES + 1, modes)) * np.sqrt(1 - _WITHIN)
    mapped = np.lib.format.open_memmap(path, "w+", np.float32, (faces, 68, 2))
    for start in range(0, faces, _BLOCK):
        number = np.arange(start, min(start + _BLOCK, faces))
        weights = videos[number // FRAMES]
        weights = weights + rng.standard_normal(weights.shape) * np.sqrt(_WITHIN)
        block = mean + weights @ ways + _NOISE * rng.standard_normal((len(number), 136))
        mapped[number] = block.reshape(-1, 68, 2)
        twins = number[number % TWIN == TWIN - 1]
        if len(twins):
            mapped[twins] = mapped[rng.integers(0, twins)]
    mapped.flush()
    return modes


def made_up_bank(bank: FaceBank, faces: int, rng: Generator, root: Path) -> FaceBank:
    """A bank with made-up landmarks, whose videos all show the same few crops of another.

    Args:
        bank: whose landmarks and crops are taken.
        faces: how many.
        rng: where the landmarks are drawn from.
        root: an empty folder for it.

    Raises:
        BadArgument: see :func:`made_up`.
    """
    made_up(bank, faces, rng, root / "landmarks.npy")
    landmarks = np.load(root / "landmarks.npy", mmap_mode="r", allow_pickle=False)
    shown = [bank.crop(place % len(bank)) for place in range(FRAMES)]
    crcs = [bank.table["crc32"][place % len(bank)].as_py() for place in range(FRAMES)]
    names = [f"{place:06d}{Path(crop).suffix}" for place, crop in enumerate(shown)]
    (root / "shown").mkdir()
    (root / "crops").mkdir()
    for crop, name in zip(shown, names, strict=True):
        shutil.copy(bank.root / crop, root / "shown" / name)
    videos = range(-(-faces // FRAMES))
    for video in videos:
        # a name of its own for every crop, and one folder of files
        (root / "crops" / f"v{video:06d}").symlink_to("../shown", target_is_directory=True)

    def rows(report: jobs.Progress) -> Iterator[FaceRow]:
        for video in videos:
            points = landmarks[video * FRAMES : (video + 1) * FRAMES].reshape(-1, 136).tolist()
            for frame, one in enumerate(points):
                yield FaceRow(
                    video=f"v{video:06d}",
                    frame=frame,
                    source=f"v{video:06d}.mp4",
                    crop=f"crops/v{video:06d}/{names[frame]}",
                    crc32=crcs[frame],
                    box=[0.0, 0.0, 100.0, 100.0],
                    score=1.0,
                    crop_to_frame=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                    landmarks=one,
                )
            report.advance(len(points))

    with jobs.progress("make up a bank", total=faces, unit="faces") as report:
        made = FaceBank.create(root, rows(report), crop_size=bank.crop_size, made_by={})
    (root / "landmarks.npy").unlink()
    return made
