"""Scores of frames and videos are written as they were given."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from faceblend.errors import BadArgument
from tests.conftest import make_bank
from tests.xray_train.tiny import Stripes, Tiny
from xray_train.aggregate import POLICIES
from xray_train.evaluate import Result, evaluate
from xray_train.scores import write_scores
from xray_train.settings import Fit
from xray_train.sources import Faces, Frames, Source
from xray_train.tasks import Images, Prediction


class Red(torch.nn.Module):
    """Logits are the mean red, taken for what they are worth."""

    def predict(self, images: Images) -> Prediction:
        logits = (images[:, 0].float().mean((1, 2)) - 128) / 32
        return Prediction(scores=logits.sigmoid(), logits=logits)


def evaluated(task: torch.nn.Module, source: Source) -> Result:
    settings = Fit(out="", batch=4)
    return evaluate(task, source, device=torch.device("cpu"), settings=settings)


def test_frames_have_their_logit_and_videos_all_eight_policies(tmp_path: Path) -> None:
    bank = make_bank(tmp_path / "bank", labels={"v1": 1}, splits={"v0": "val", "v1": "test"})
    source = Frames(str(bank.root), size=32)
    result = evaluated(Red(), source)
    written = write_scores(result.items, source, tmp_path / "scores")
    frames, videos = pq.read_table(written.frames), pq.read_table(written.videos)
    assert frames.column_names == [
        "video", "frame", "subject", "split", "label", "source", "crop", "score", "loss",
    ]  # fmt: skip
    assert frames["crop"].to_pylist() == [bank.crop(row) for row in range(len(bank))]
    assert {str(frames.schema.field(name).type) for name in ("score", "loss")} == {"float"}
    scores = frames["score"].to_numpy()
    for number in range(len(source)):
        wanted = Red().predict(source.item(number)["image"][None]).logits
        assert wanted is not None
        assert scores[number] == pytest.approx(float(wanted), rel=1e-6)
        p = 1 / (1 + np.exp(-float(scores[number])))
        loss = -np.log(p if frames["label"][number].as_py() else 1 - p)
        assert frames["loss"][number].as_py() == pytest.approx(loss, rel=1e-5)
    assert videos.column_names == ["video", "label", "split", "faces", *POLICIES]
    assert videos["video"].to_pylist() == ["v0", "v1", "v2", "v3"]
    assert videos["label"].to_pylist() == [0, 1, 0, 0]
    assert videos["split"].to_pylist() == ["val", "test", None, None]
    assert videos["faces"].to_pylist() == [3] * 4
    for name, policy in POLICIES.items():
        assert videos[name][1].as_py() == pytest.approx(
            policy(scores[3:6].astype(float)), rel=1e-5
        )


def test_a_video_with_both_classes_counts_as_two_and_any_source_will_do(tmp_path: Path) -> None:
    result = evaluated(Tiny().eval(), Stripes(16))
    written = write_scores(result.items, Stripes(16), tmp_path)
    frames, videos = pq.read_table(written.frames), pq.read_table(written.videos)
    assert frames.column_names == ["video", "label", "score", "loss"]
    assert videos.num_rows == 8
    assert videos["faces"].to_pylist() == [2] * 8
    # a task without logits: those of its scores
    odds = np.log(result.items.scores) - np.log1p(-result.items.scores)
    np.testing.assert_allclose(frames["score"].to_numpy(), odds, rtol=1e-5)


def test_the_items_are_not_among_the_figures_that_are_kept() -> None:
    assert "items" not in evaluated(Tiny().eval(), Stripes(16)).to_dict()


def test_a_table_of_other_items_is_refused(tmp_path: Path) -> None:
    bank = make_bank(tmp_path / "bank", labels={"v1": 1})
    result = evaluated(Red(), Faces(str(bank.root)))
    assert write_scores(result.items, Faces(str(bank.root)), tmp_path / "scores").frames.exists()
    with pytest.raises(BadArgument, match="others were evaluated"):
        write_scores(result.items, Frames(str(bank.root), label="real"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_command_writes_them(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="timm is not installed: make test-train has it")
    from tests.xray_train.tiny import made_checkpoint
    from xray_train.checkpoint import save
    from xray_train.commands import DONE, main
    from xray_train.tasks.frame import Frame

    task = Frame("resnet10t")
    told = {"class_path": "xray_train.tasks.frame.Frame", "init_args": {"backbone": "resnet10t"}}
    save(made_checkpoint(task, task=told), tmp_path / "last.pt")
    bank = make_bank(tmp_path / "bank", labels={"v1": 1}, splits={"v0": "test", "v1": "test"})
    words = (
        "test", "--ckpt", tmp_path / "last.pt", "--device", "cpu",
        "--on.class_path", "xray_train.sources.Frames", "--on.init_args.bank", bank.root,
        "--on.init_args.split", "test", "--on.init_args.size", 64,
        "--out", tmp_path / "test.json", "--scores", tmp_path / "scores",
    )  # fmt: skip
    assert main([str(word) for word in words]) == DONE
    frames = pq.read_table(tmp_path / "scores" / "frames.parquet")
    assert (frames.num_rows, set(frames["split"].to_pylist())) == (6, {"test"})
    assert pq.read_table(tmp_path / "scores" / "videos.parquet").num_rows == 2
    assert "items" not in (tmp_path / "test.json").read_text()
