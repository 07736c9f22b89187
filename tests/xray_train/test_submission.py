"""A submission is the mean over faces and the weighted mean over networks, to the letter."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument
from faceblend.face import Image
from tests.conftest import make_bank
from tests.xray_train.test_predict import Squares, film, picture
from tests.xray_train.tiny import made_checkpoint
from xray_train.checkpoint import save
from xray_train.commands import BAD_INPUT, DONE, FAILURES, main
from xray_train.evaluate import Diverged
from xray_train.metrics import log_loss
from xray_train.sources.videos import resized
from xray_train.submission import Member, Submitted, judged, read_labels, submit
from xray_train.tasks import Images, Prediction
from xray_train.tasks.frame import Frame
from xray_train.tasks.wsdan import Wsdan


class Given(nn.Module):
    """Gives its scores one after the other, and keeps what it was shown."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self._scores, self.seen = list(scores), list[torch.Tensor]()

    def predict(self, images: Images) -> Prediction:
        self.seen.append(images)
        taken = [self._scores[number % len(self._scores)] for number in range(len(images))]
        return Prediction(scores=torch.tensor(taken))


def two_faces(number: int) -> Image:
    """A grey face that moves, and a smaller one, which is green."""
    made = picture((40 + number, 60, 80), (200, 20, 40))
    made[20:60, 200:240, ::2] = 40
    return made


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    root = tmp_path / "clips"
    root.mkdir()
    film(root / "b.mp4", 31, two_faces)
    film(root / "c.mp4", 5, lambda _: picture())
    film(root / "a.mp4", 11, lambda _: picture((60, 60, 100)))
    return root


def run(source: Path, out: Path, *members: Member, **options: object) -> Submitted:
    return submit(
        members, source, out, detector=Squares(), device=torch.device("cpu"),
        **options,  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_csv_to_the_letter(clips: Path, tmp_path: Path) -> None:
    (clips / "broken.mp4").write_bytes(b"no video")
    (clips / "lost.mp4").symlink_to("nowhere.mp4")
    first, second, third = Given(0.1), Given(0.0, 1.0), Given(0.9)
    made = run(
        clips,
        tmp_path / "s.csv",
        Member(name="x", task=first, weight=0.2),
        Member(name="y", task=second, weight=0.7),
        Member(name="z", task=third, weight=0.1),
    )
    # a: two faces, b: four; each .2 * .1 + .7 * .5 + .1 * .9
    assert (tmp_path / "s.csv").read_bytes().decode() == (
        "filename,label\n"
        "a.mp4,0.460000\n"
        "b.mp4,0.460000\n"
        "broken.mp4,0.500000\n"
        "c.mp4,0.500000\n"
        "lost.mp4,0.500000\n"
    )
    refused = [name for name, _ in made.refused]
    assert (made.faceless, refused) == (1, ["broken.mp4", "lost.mp4"])
    head, row, _ = (tmp_path / "s.csv.refused.csv").read_text().splitlines()
    assert head == "filename,reason"
    assert row.startswith("broken.mp4,")
    for name in refused:
        (clips / name).unlink()
    run(clips, tmp_path / "s.csv", Member(name="x", task=first))
    assert not (tmp_path / "s.csv.refused.csv").exists()


def test_weights_need_not_add_up_to_one(clips: Path, tmp_path: Path) -> None:
    one, other = Given(0.2), Given(0.8)
    members = [Member(name="x", task=one, weight=3.0), Member(name="y", task=other, weight=1.0)]
    assert run(clips, tmp_path / "s.csv", *members).labels["a.mp4"] == pytest.approx(0.35)


def test_every_tenth_frame_shows_its_largest_face(clips: Path, tmp_path: Path) -> None:
    task = Given(0.5)
    run(clips, tmp_path / "s.csv", Member(name="x", task=task))
    assert [len(one) for one in task.seen] == [2, 4]  # frames 0, 10 and 0, 10, 20, 30
    assert all(one.shape[1:] == (3, 320, 320) for one in task.seen)
    task = Given(0.5)
    run(clips, tmp_path / "s.csv", Member(name="x", task=task), cut="upright")
    assert (task.seen[1][:, 0, 190, 158] > 150).all()  # grey, not green
    for options, counts in (
        ({"every": 5}, [3, 7]),
        ({"every": 1, "faces": 6}, [6, 6]),
        ({"batch": 3}, [2, 3, 1]),
    ):
        task = Given(0.5)
        run(clips, tmp_path / "s.csv", Member(name="x", task=task), **options)
        assert [len(one) for one in task.seen] == counts


def test_of_more_frames_than_are_taken_those_are_even(clips: Path, tmp_path: Path) -> None:
    """And not the first ones."""
    all_, few = Given(0.5), Given(0.5)
    run(clips, tmp_path / "s.csv", Member(name="x", task=all_), every=3)
    run(clips, tmp_path / "s.csv", Member(name="x", task=few), every=3, faces=3)
    # of frames 0, 3, ... 30 the first, the middle and the last
    assert torch.equal(few.seen[1], all_.seen[1][[0, 5, 10]])


def test_each_network_sees_its_own_size(clips: Path, tmp_path: Path) -> None:
    one, other = Given(0.5), Given(0.5)
    members = [Member(name="x", task=one, side=300), Member(name="y", task=other)]
    run(clips, tmp_path / "s.csv", *members)
    assert one.seen[0].shape == (2, 3, 300, 300)
    shown = other.seen[0][0].permute(1, 2, 0).numpy()
    assert np.array_equal(one.seen[0][0].permute(1, 2, 0).numpy(), resized(shown, 300))
    for cut, side in (("upright", 317), ("window", 256)):
        task = Given(0.5)
        run(clips, tmp_path / "s.csv", Member(name="x", task=task), cut=cut)
        assert task.seen[0].shape[2:] == (side, side)


def test_a_bank_gives_its_videos(tmp_path: Path) -> None:
    bank = make_bank(tmp_path / "bank", videos=3, frames=4)
    (bank.root / bank.crop(4)).unlink()
    task = Given(0.25)
    made = run(bank.root, tmp_path / "s.csv", Member(name="x", task=task), faces=2)
    assert list(made.labels.items()) == [("v0", 0.25), ("v1", 0.5), ("v2", 0.25)]
    assert [name for name, _ in made.refused] == ["v1"]
    want = np.stack([bank.image(row) for row in (0, 3)])
    assert np.array_equal(task.seen[0].permute(0, 2, 3, 1).numpy(), want)


def test_a_network_without_numbers_is_no_submission(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"best\.pt: gives scores that are no numbers"):
        run(clips, tmp_path / "s.csv", Member(name="best.pt", task=Given(float("nan"))))
    assert not (tmp_path / "s.csv").exists()


def test_the_log_loss_is_of_the_videos_that_both_name(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("filename,label\na.mp4,1\nb.mp4,0\nz.mp4,1\n")
    truth = read_labels(tmp_path / "truth.csv")
    want = log_loss(np.array([1, 0]), np.array([0.8, 0.4]))
    told = judged({"a.mp4": 0.8, "b.mp4": 0.4, "c.mp4": 0.5}, truth)
    assert told == (
        f"log loss {want:.5f} of 2 videos; 1 without a label; 1 with a label are not in the input"
    )
    with pytest.raises(BadArgument, match=r"names none of the videos, such as q\.mp4"):
        judged({"q.mp4": 0.5}, truth)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("filename,label\na.mp4,FAKE\n", "line 2: says 'a.mp4': 'FAKE'"),
        ("name,label\na.mp4,1\n", "columns filename and label"),
        ("filename,label\na.mp4,1\na.mp4,0\n", "line 3: names a.mp4 again"),
        ("", "holds no label"),
    ],
)
def test_what_is_no_table_of_labels_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(BadArgument, match=words):
        read_labels(tmp_path / "truth.csv")


@pytest.mark.parametrize(
    ("member", "options", "words"),
    [
        ({}, {"every": 0}, "every: is 0"),
        ({}, {"faces": 0}, "faces: is 0"),
        ({"weight": 0.0}, {}, "give more than 0"),
        ({"weight": float("nan")}, {}, "give more than 0"),
        ({"side": -1}, {}, "give px, or 0"),
    ],
)
def test_numbers_out_of_range_are_refused(
    clips: Path, tmp_path: Path, member: dict[str, float], options: dict[str, int], words: str
) -> None:
    one = Member(name="x", task=Given(0.5), **member)  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match=words):
        run(clips, tmp_path / "s.csv", one, **options)


# -- the command -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints and a bank."""
    root = tmp_path_factory.mktemp("kept")
    torch.manual_seed(0)
    for name, task, path, told in (
        ("frame", Frame("test_resnet"), "frame.Frame", {"backbone": "test_resnet"}),
        (
            "wsdan", Wsdan("test_resnet", maps=3), "wsdan.Wsdan",
            {"backbone": "test_resnet", "maps": 3, "pretrained": "runs/none/last.pt"},
        ),
    ):  # fmt: skip
        saved = {"class_path": f"xray_train.tasks.{path}", "init_args": told}
        save(made_checkpoint(task, task=saved), root / f"{name}.pt")
    make_bank(root / "bank", videos=3, frames=2)
    (root / "truth.csv").write_text("filename,label\nv0,1\nv1,0\nv2,0\n")
    return root


def command(kept: Path, *words: object) -> int:
    given = ("submit", "--ckpt", kept / "frame.pt", kept / "wsdan.pt", "--device", "cpu", *words)
    return main([str(word) for word in given])


def test_the_command_mixes_checkpoints_and_tells_the_loss(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--weights", 0.3, 0.7, "--sides", 64, 96, "--labels", kept / "truth.csv")
    words = (*options, "--input", kept / "bank", "--out", tmp_path / "s.csv")
    assert command(kept, *words) == DONE
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0] == "filename,label"
    assert [line.split(",")[0] for line in lines[1:]] == ["v0", "v1", "v2"]
    bank = FaceBank.open(kept / "bank")
    torch.manual_seed(0)
    tasks = (Frame("test_resnet").eval(), Wsdan("test_resnet", maps=3).eval())
    want = 0.0
    for task, weight, side in zip(tasks, (0.3, 0.7), (64, 96), strict=True):
        faces = np.stack([resized(bank.image(row), side).transpose(2, 0, 1) for row in range(2)])
        want += weight * float(task.predict(torch.from_numpy(faces)).scores.mean())
    labels = [float(line.split(",")[1]) for line in lines[1:]]
    assert labels[0] == pytest.approx(want, abs=2e-6)
    loss = log_loss(np.array([1, 0, 0]), np.array(labels))
    told = re.search(r"log loss (\S+) of 3 videos$", capsys.readouterr().out, re.MULTILINE)
    assert told is not None
    assert float(told[1]) == pytest.approx(loss, abs=2e-5)


def test_strict_fails_where_a_video_was_refused(kept: Path, tmp_path: Path) -> None:
    bank = make_bank(tmp_path / "bank", videos=2, frames=1)
    (bank.root / bank.crop(0)).unlink()
    words = ("--sides", 64, 64, "--input", bank.root, "--out", tmp_path / "s.csv")
    assert command(kept, *words) == DONE
    assert command(kept, *words, "--strict") == FAILURES
    assert (tmp_path / "s.csv").read_text().splitlines()[1] == "v0,0.500000"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--weights", 1), "--weights: names 1 for 2 checkpoints; give one each"),
        (("--sides", 1, 2, 3), "--sides: names 3 for 2 checkpoints"),
        (("--labels", "nowhere.csv"), "nowhere.csv: cannot be read"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    kept: Path, tmp_path: Path, words: tuple[object, ...], said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = ("--input", kept / "bank", "--out", tmp_path / "s.csv", *words)
    assert command(kept, *given) == BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
