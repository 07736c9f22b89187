"""Checkpoints come back whole, and what is none is refused without running it."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from tests.xray_train.tiny import XRAY, made_checkpoint
from xray_train.checkpoint import BadCheckpoint, load, read_tensors, save


@pytest.fixture(scope="module")
def task() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))


def test_a_checkpoint_comes_back_as_it_was(task: torch.nn.Module, tmp_path: Path) -> None:
    checkpoint = made_checkpoint(task)
    save(checkpoint, tmp_path / "a.pt")
    back = load(tmp_path / "a.pt")
    assert (back.step, back.task, back.progress) == (7, XRAY, {"threshold": 0.25})
    assert all(torch.equal(back.model[name], one) for name, one in checkpoint.model.items())
    assert torch.equal(back.random["cpu"], checkpoint.random["cpu"])


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(form: str, tmp_path: Path) -> None:
    path, mark = tmp_path / "bomb.pt", tmp_path / "ran"
    if form == "torch":
        torch.save({"format": 1, "model": Bomb(mark)}, path)
    else:
        path.write_bytes(pickle.dumps({"format": 1, "model": Bomb(mark)}, protocol=2))
    for read in (load, read_tensors):
        with pytest.raises(BadCheckpoint, match="holds more than tensors, or is damaged"):
            read(path)
    assert not mark.exists()


def test_a_truncated_checkpoint_is_refused(task: torch.nn.Module, tmp_path: Path) -> None:
    save(made_checkpoint(task), tmp_path / "a.pt")
    data = (tmp_path / "a.pt").read_bytes()
    for size in (0, 100, len(data) // 2, len(data) - 10):
        (tmp_path / "cut.pt").write_bytes(data[:size])
        with pytest.raises(BadCheckpoint):
            load(tmp_path / "cut.pt")


def test_what_is_no_run_of_ours_is_refused(task: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(task.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(BadCheckpoint, match="holds no run of xray-train"):
        load(tmp_path / "weights.pt")
    torch.save({"format": 99}, tmp_path / "later.pt")
    with pytest.raises(BadCheckpoint, match="has format 99"):
        load(tmp_path / "later.pt")
    torch.save({"format": 1, "task": "{}"}, tmp_path / "part.pt")
    with pytest.raises(BadCheckpoint, match="is incomplete"):
        load(tmp_path / "part.pt")
    with pytest.raises(BadCheckpoint, match="is not there"):
        load(tmp_path / "nowhere.pt")
