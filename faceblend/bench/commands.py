"""``faceblend bench …``: what each benchmark prints, and the file for its figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from faceblend import atomic
from faceblend.bank import FaceBank
from faceblend.recipe import Recipe

if TYPE_CHECKING:
    from faceblend.bench.flat import Verdict


def generate(
    bank: Path,
    recipe: Recipe,
    count: int = 200,
    rounds: int = 5,
    reference: int = 0,
    mixed: bool = False,
    crops: Path | None = None,
    json: Path | None = None,
) -> int:
    """Time the generator on one core, and each of its steps; nothing is stored.

    Args:
        bank: folder of the bank, or a classic landmark file (see --crops)
        recipe: preset or YAML file; --recipe.FIELD VALUE overrides one of its fields
        count: samples a round
        rounds: timed rounds, after one that is not counted
        reference: samples a round of the straightforward way, in turn with the library's; meant
            for the recipe algohunt
        mixed: reals and fakes in the recipe's shares, instead of fakes only
        crops: folder that the keys of a landmark file start from; its own if not given
        json: file for the figures
    """
    from faceblend.bench.generate import bench_generate as run
    from faceblend.convert import open_bank

    result = run(
        open_bank(bank, crops),
        recipe,
        count=count,
        rounds=rounds,
        fakes_only=not mixed,
        reference=reference,
    )
    kind = "samples" if mixed else "fakes"
    table = Table("step", f"ms a {kind[:-1]}", title=f"{recipe.name}, one core")
    for name, spent in result.step_ms.items():
        table.add_row(name, f"{spent:.3f}")
    Console(markup=False).print(table)
    rates = ", ".join(f"{rate:.0f}" for rate in sorted(result.rounds))
    print(f"{result.samples_per_second:.0f} {kind} a second (median of {rates})")
    print(f"{result.floor_share:.0%} of the speed of decoding two crops and the JPEG step alone")
    if result.reference_ratio is not None and result.reference_per_second is not None:
        print(
            f"{result.reference_ratio:.1f} times the straightforward way "
            f"({1000 / result.reference_per_second:.0f} ms a fake)"
        )
    return _measured(result, json)


def read(set: Path, count: int = 2000, rounds: int = 5, json: Path | None = None) -> int:
    """Time reading a set on one core, page cache warm.

    Args:
        set: folder of the set
        count: samples a round
        rounds: timed rounds, after one that is not counted
        json: file for the figures
    """
    from faceblend.bench.read import bench_read as run

    result = run(set, count=count, rounds=rounds)
    table = Table("", "a second", title=f"{result.samples:,} samples, one core")
    for name, rate in (
        ("images with X-rays, at random", result.pixels_per_second),
        ("from the first to the last", result.in_order_per_second),
        ("with landmarks and record, at random", result.whole_per_second),
    ):
        table.add_row(name, f"{rate:.0f}")
    Console(markup=False).print(table)
    return _measured(result, json)


def search(
    bank: Path,
    faces: int = 1_000_000,
    candidates: int = 5000,
    queries: int = 1000,
    rounds: int = 5,
    checked: int = 1000,
    workers: int = 2,
    json: Path | None = None,
) -> int:
    """Time partner search by one process and by several, over landmarks made up like a bank's.

    Args:
        bank: folder of the bank whose landmarks the made-up ones are like
        faces: faces that are made up, 100 a video
        candidates: faces that a sampled search looks at
        queries: queries a round and process
        rounds: timed rounds, after one that is not counted
        checked: queries that are compared with measuring every face; 1000 of a million take two
            minutes of one process
        workers: processes that search at once
        json: file for the figures
    """
    from faceblend.bench.search import bench_search as run

    result = run(
        FaceBank.open(bank),
        faces=faces,
        candidates=candidates,
        queries=queries,
        rounds=rounds,
        checked=checked,
        workers=workers,
    )
    table = Table(
        "", "figure", title=f"{faces:,} faces that vary in {result.modes} ways, one process"
    )
    table.add_row("nearest of all, queries a second", f"{result.exact_per_second:.0f}")
    table.add_row(f"of {workers} processes at once", f"{result.all_per_second:.0f}")
    table.add_row("times as many as of one", f"{result.speedup:.2f}")
    table.add_row("plain arithmetic: what the machine gives", f"{result.spin_speedup:.2f}")
    table.add_row(f"nearest of {candidates:,}, ms", f"{result.sampled_ms:.3f}")
    table.add_row(f"nearest of {candidates:,} in a loop, ms", f"{result.loop_ms:.1f}")
    table.add_row("arranging all, once, s", f"{result.build_seconds:.1f}")
    table.add_row("most resident memory while arranging, MiB", f"{result.peak_mib:.0f}")
    table.add_row("while searching, mapped files included", f"{result.worker_peak_mib:.0f}")
    Console(markup=False).print(table)
    print(
        f"{result.equal} of {result.checked} checked queries are those of measuring every face, "
        f"{result.tied} with ties ({result.check_seconds:.0f} s)"
    )
    return _measured(result, json)


def store(
    bank: Path, recipe: Recipe, count: int = 200, rounds: int = 5, json: Path | None = None
) -> int:
    """Time layouts of a shard: writing, reading at random, size.

    Args:
        bank: folder of the bank
        recipe: preset or YAML file; --recipe.FIELD VALUE overrides one of its fields
        count: samples
        rounds: timed rounds, after one that is not counted
        json: file for the figures
    """
    from faceblend.bench.store import bench_store as run

    result = run(FaceBank.open(bank), recipe, count=count, rounds=rounds)
    table = Table("layout", "write, ms", "reads a second", "KiB", title="a sample, one core")
    for name, one in result.layouts.items():
        table.add_row(name, f"{one.write_ms:.2f}", f"{one.reads_per_second:.0f}", f"{one.kib:.0f}")
    Console(markup=False).print(table)
    return _measured(result, json)


def parallel(
    bank: Path,
    recipe: Recipe,
    workers: int = 2,
    shards: int = 12,
    rounds: int = 5,
    json: Path | None = None,
) -> int:
    """Time several processes beside one, with and without committing shards.

    Args:
        bank: folder of the bank
        recipe: preset or YAML file; --recipe.FIELD VALUE overrides one of its fields
        workers: processes
        shards: shards of 100 samples that each process makes a round
        rounds: timed rounds, after one that is not counted
        json: file for the figures
    """
    from faceblend.bench.parallel import bench_parallel as run

    result = run(FaceBank.open(bank), recipe, workers=workers, shards=shards, rounds=rounds)
    print(
        f"one process {result.one_per_second:.0f} samples a second, {workers} processes "
        f"{result.bare_per_second:.0f}: {result.speedup:.2f} times, and plain arithmetic "
        f"{result.spin_speedup:.2f} times\n"
        f"committing shards {result.stored_per_second:.0f}: {result.stored_share:.0%} of that\n"
        f"most resident memory of a worker: {result.peak_mib:.0f} MiB"
    )
    return _measured(result, json)


def cluster(
    bank: Path,
    recipe: Recipe,
    workers: int = 2,
    shards: int = 20,
    rounds: int = 5,
    json: Path | None = None,
) -> int:
    """Time sets made by a Dask scheduler's workers on this machine, all beside one.

    Args:
        bank: folder of the bank
        recipe: preset or YAML file; --recipe.FIELD VALUE overrides one of its fields
        workers: Dask workers, processes of one thread each
        shards: shards of 100 samples that each worker makes a round
        rounds: timed rounds, after one that is not counted
        json: file for the figures
    """
    from faceblend.bench.cluster import bench_cluster as run

    result = run(FaceBank.open(bank), recipe, workers=workers, shards=shards, rounds=rounds)
    print(
        f"one worker commits {result.one_per_second:.0f} samples a second, {workers} workers "
        f"{result.all_per_second:.0f}: {result.speedup:.2f} times\n"
        f"as many processes of generate {result.local_per_second:.0f}: the workers reach "
        f"{result.local_share:.0%} of that"
    )
    return _measured(result, json)


def memory(
    bank: Path,
    recipe: Recipe,
    faces: int = 1_000_000,
    candidates: int = 5000,
    samples: int = 200,
    workers: int = 2,
    json: Path | None = None,
) -> int:
    """Measure how much memory blending from a large bank takes: one made up from a small one.

    It goes to the temporary folder, 1.9 GB for a million faces; writing it takes a minute or two
    and 4 GB of memory.

    Args:
        bank: folder of the bank whose crops are repeated and landmarks imitated
        recipe: preset or YAML file; --recipe.FIELD VALUE overrides one of its fields
        faces: faces that are made up, 100 a video
        candidates: faces that a sampled search looks at
        samples: samples that each process makes with either search
        workers: processes
        json: file for the figures
    """
    from faceblend.bench.memory import bench_memory as run

    result = run(
        FaceBank.open(bank),
        recipe,
        faces=faces,
        candidates=candidates,
        samples=samples,
        workers=workers,
    )
    table = Table("partner search", "MiB", title=f"most resident memory, {faces:,} faces")
    for name, peaks in (("sampled", result.sampled_mib), ("exact", result.exact_mib)):
        table.add_row(name, ", ".join(f"{peak:.0f}" for peak in peaks))
    Console(markup=False).print(table)
    print(
        "a process each; pages of mapped files count, and all processes share them "
        f"(the bank's files: {result.bank_mib:.0f} MiB); opened in {result.open_seconds:.1f} s"
    )
    return _measured(result, json)


def extract(video: Path, frames: int = 0, rounds: int = 1, json: Path | None = None) -> int:
    """Time following faces in a video on one core, beside searching every frame in full.

    Args:
        video: the file; decoding counts
        frames: evenly spaced ones; 0 takes all
        rounds: of both ways, in alternation
        json: file for the figures
    """
    from faceblend.bench.extract import bench_extract as run

    result = run(video, frames=frames, rounds=rounds)
    table = Table(
        "", "s", "ms a frame", title=f"{result.frames} frames of {result.size}, one core"
    )
    ways = {"every frame in full": result.naive_seconds, "followed": result.seconds}
    for name, seconds in ways.items():
        table.add_row(name, f"{seconds:.2f}", f"{1000 * seconds / result.frames:.1f}")
    Console().print(table)
    print(
        f"{result.ratio:.1f} times as fast; {result.kept:.1%} of {result.naive_faces} faces kept; "
        f"landmarks {result.apart_median:.1%} of the eyes' distance apart (median), "
        f"{result.apart_95:.1%} (95th percentile)"
    )
    return _measured(result, json)


def load(
    bank: Path,
    recipe: Recipe,
    count: int = 200_000,
    window: int = 64,
    workers: int = 2,
    shard_size: int = 1000,
    readers: int = 8,
    batch: int = 32,
    minutes: float = 10.0,
    every: float = 1.0,
    out: Path | None = None,
    json: Path | None = None,
    plot: Path | None = None,
) -> int:
    """Make a long set, read it at random for minutes, and see that memory and open files stay.

    Needs Linux. The line through the second half of a process's readings may change its memory
    by 5% in that time; the exit status is 1 where one changes more, or leaves files open.

    Args:
        bank: folder of the bank
        recipe: preset or YAML file; --recipe.FIELD VALUE overrides one of its fields
        count: samples; 200,000 with a window of 64 px take 4 GB
        window: side of the samples, px, on the cheek; 0 keeps the recipe's window, and 262 kB a
            sample
        workers: processes that make the set
        shard_size: samples a shard
        readers: processes of the loader that reads it
        batch: samples a batch
        minutes: minutes of reading, which needs PyTorch; 0 leaves it out
        every: seconds between two readings of the processes
        out: new folder for the set, which is kept; a temporary one if not given
        json: file for the figures
        plot: PNG for the curves
    """
    from faceblend.bench.curves import save_load
    from faceblend.bench.load import bench_load as run

    result = run(
        FaceBank.open(bank),
        recipe,
        count=count,
        window=window,
        workers=workers,
        shard_size=shard_size,
        readers=readers,
        batch=batch,
        minutes=minutes,
        every=every,
        out=out,
    )
    for name, part in result.parts.items():
        title = f"{name}: {part.samples:,} samples in {part.seconds:.0f} s"
        head = ("process", "MiB", "an hour", "a 100,000 samples", "bound", "open files", "")
        table = Table(*head, title=title)
        for one in part.verdicts:
            each = "" if one.mib_per_100k is None else f"{one.mib_per_100k:+.2f}"
            low, high = one.files
            table.add_row(
                one.name,
                f"{one.rss_mib:.0f}",
                f"{one.mib_per_hour:+.1f}",
                each,
                f"{one.bound_mib_per_hour:.1f}",
                str(low) if low == high else f"{low} to {high}",
                _verdict(one),
            )
        Console(markup=False).print(table)
    if plot is not None:
        save_load(result.to_dict(), plot)
    _measured(result, json)
    grown = [
        f"{one.name} ({name})"
        for name, part in result.parts.items()
        for one in part.verdicts
        if not one.flat
    ]
    print(f"NOT FLAT: {', '.join(grown)}" if grown else "flat: memory and open files stay")
    return 1 if grown else 0


def gpu(
    bank: Path,
    recipe: Recipe,
    device: str = "cuda",
    batches: list[int] | None = None,
    count: int = 4096,
    rounds: int = 5,
    workers: int = 2,
    train: str | None = None,
    train_batch: int = 32,
    json: Path | None = None,
) -> int:
    """Time rendering of batches on a GPU beside processes that render on the CPU; needs PyTorch.

    Args:
        bank: folder of the bank
        recipe: preset or YAML file; --recipe.FIELD VALUE overrides one of its fields
        device: as torch calls it; cpu takes the same way, and its ratios mean nothing for a GPU
        batches: samples a batch, one or more sizes; 64 128 256 512 1024 if not given
        count: samples a round
        rounds: timed rounds, after one that is not counted
        workers: processes that draw for the device, and those that render on their own
        train: network of timm's, such as hrnet_w18_small, that is trained on one batch over and
            over and on what is blended meanwhile; none if not given
        train_batch: samples a step of it
        json: file for the figures
    """
    from faceblend.bench.gpu import BATCHES
    from faceblend.bench.gpu import bench_gpu as run

    result = run(
        FaceBank.open(bank),
        recipe,
        device=device,
        batches=batches or BATCHES,
        count=count,
        rounds=rounds,
        workers=workers,
        train=train,
        train_batch=train_batch,
    )
    head = ("batch", "crops", "plan", "render", "both", "CPU", "MB", "share", "floor")
    table = Table(*head, title=f"{recipe.name} on {result.device}: samples a second")
    for one in result.sizes:
        rates = (one.plan_per_second, one.render_per_second, one.together_per_second)
        table.add_row(
            str(one.batch),
            one.crops,
            *(f"{rate:,.0f}" for rate in rates),
            f"{one.on_cpu_share:.1%}",
            f"{one.bytes_per_sample / 1e6:.1f}",
            f"{one.bandwidth_share:.1%}",
            f"{one.floor_per_second:,.0f}",
        )
    Console(markup=False).print(table)
    table = Table(
        "step", "us a sample", "MB", title=f"rendering {max(batches or BATCHES)} at once"
    )
    for name, spent in result.step_ms.items():
        table.add_row(name, f"{1000 * spent:.1f}", f"{result.step_bytes[name] / 1e6:.1f}")
    Console(markup=False).print(table)
    print(
        f"plan, render, both: by one process; CPU: samples rendered one by one on it\n"
        f"MB: moved on the device a sample, each operation's tensors once; share: of the "
        f"{result.copied_per_second / 1e9:,.0f} GB a second of copying; floor: all of them\n"
        f"{result.cpu_per_second:,.0f} samples a second are rendered by {workers} processes, "
        f"{result.decoded_per_second:,.0f} are what they decode the crops of"
    )
    for name, rate in result.fed_per_second.items():
        print(
            f"crops {name}: {rate:,.0f} samples a second of what they draw, "
            f"{result.fed_ratio[name]:.2f} times as many"
        )
    if result.trained is not None:
        net = result.trained
        print(
            f"{net.network}, {net.batch} a step: {net.constant_per_second:,.0f} images a second "
            f"of a batch that stays, {net.online_per_second:,.0f} of new ones: {net.share:.0%}"
        )
    if not result.means_a_gpu:
        print(f"NOT A GPU: on {result.device} these ratios mean nothing for one")
    return _measured(result, json)


def _verdict(one: "Verdict") -> str:
    wrong = {"memory": one.flat_memory, "open files": one.flat_files}
    return " and ".join(name for name, flat in wrong.items() if not flat) or "flat"


def _measured(result: Any, json: Path | None) -> int:
    print(", ".join(f"{name} {value}" for name, value in result.machine.items()))
    if json is not None:
        atomic.write_json(json, result.to_dict())
    return 0
