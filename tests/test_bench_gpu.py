# ruff: noqa: E402 - without torch nothing below can be imported
"""The benchmark of the GPU times what it says, and says where there was none."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from faceblend.bank import FaceBank
from faceblend.bench import gpu as bench
from faceblend.bench.gpu import Moved, bench_gpu
from faceblend.cli import DONE, main
from faceblend.errors import BadArgument
from faceblend.recipe import load_recipe


def test_bytes_are_those_that_each_operation_reads_and_writes() -> None:
    one = torch.ones(1000)  # 4000 bytes

    def moved(work: object) -> int:
        with Moved() as count:
            work()  # type: ignore[operator]
        return count.bytes

    assert moved(lambda: one + one) == 3 * 4000
    assert moved(lambda: one + 1) == 2 * 4000
    assert moved(lambda: one.add_(1)) == 2 * 4000
    assert moved(lambda: one.reshape(10, 100).T[3:]) == 0
    assert moved(lambda: torch.empty(50)) == 0
    # a product of batches is one of matrices between views that do not say that they are
    wide, square = torch.ones(2, 5, 10), torch.ones(10, 10)
    assert moved(lambda: wide @ square) == 400 + 400 + 400
    assert moved(lambda: torch.zeros(50)) == 200
    # a thousand times the same value is read once
    assert moved(lambda: one[:1].expand(1000) + one) == 4000 + 4000 + 4000
    # of a bank of crops, those that are picked
    rows = torch.tensor([3, 4])  # 16 bytes
    assert moved(lambda: one[rows]) == 8 + 8 + 16
    assert moved(lambda: torch.cat([one, one])) == 4 * 4000


def test_batches_are_timed_beside_processes(
    bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gpu.json"
    words = ("--device", "cpu", "--batches", "2", "1", "--count", "2", "--rounds", "1")
    words = (*words, "--workers", "1", "--json", str(path))
    assert main(["bench", "gpu", str(bank.root), *words]) == DONE
    told = json.loads(path.read_text())
    assert [(one["batch"], one["crops"]) for one in told["sizes"]] == [
        (1, "resident"), (2, "resident"), (1, "streamed"), (2, "streamed"),
    ]  # fmt: skip
    for one in told["sizes"]:
        # drawing and rendering by turns is slower than either
        assert 0 < one["together_per_second"] < 3 * one["render_per_second"]
        assert one["render_per_second"] < one["plan_per_second"]
        # a picture is written and an X-ray, at the least
        assert one["bytes_per_sample"] > 256 * 256 * 7
        floor = told["copied_per_second"] / one["bytes_per_sample"]
        assert one["floor_per_second"] == pytest.approx(floor)
        share = one["render_per_second"] / floor
        assert one["bandwidth_share"] == pytest.approx(share)
        assert 0 <= one["on_cpu_share"] <= 1
    assert {"mask", "blend", "jpeg"} <= set(told["step_ms"])
    assert all(spent >= 0 for spent in told["step_ms"].values())
    assert list(told["step_bytes"]) == list(told["step_ms"])
    # all but the X-ray and what a batch is put together of is in a step
    (largest,) = [one for one in told["sizes"][:2] if one["batch"] == 2]
    assert 0.8 < sum(told["step_bytes"].values()) / largest["bytes_per_sample"] < 1.2
    # the steps are the most of what a sample takes
    slowest = 1000 / min(one["render_per_second"] for one in told["sizes"])
    assert 0.1 * slowest < sum(told["step_ms"].values())
    for name in ("resident", "streamed"):
        assert told["fed_ratio"][name] == told["fed_per_second"][name] / told["cpu_per_second"]
    assert told["decoded_per_second"] > 0
    assert (told["device"], told["means_a_gpu"], told["trained"]) == ("cpu", False, None)
    assert told["machine"]["gpu"] == "none"
    assert told["machine"]["torch"] == torch.__version__
    said = capsys.readouterr().out
    assert "NOT A GPU: on cpu these ratios mean nothing for one" in said
    assert f"{told['fed_ratio']['streamed']:.2f} times as many" in said
    assert all(step in said for step in told["step_ms"])


@pytest.mark.slow
def test_a_network_is_trained_on_one_batch_and_on_new_ones(bank: FaceBank) -> None:
    pytest.importorskip("timm")
    result = bench_gpu(
        bank, load_recipe("bi"), device="cpu", batches=[2], count=4, rounds=1, workers=1,
        train="test_resnet", train_batch=2,
    )  # fmt: skip
    assert result.trained is not None
    assert (result.trained.network, result.trained.batch) == ("test_resnet", 2)
    assert result.trained.share == (
        result.trained.online_per_second / result.trained.constant_per_second
    )
    json.dumps(result.to_dict())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"count": 0}, "count: is 0; give 1 or more"),
        ({"workers": 0}, "workers: is 0; give 1 or more"),
        ({"batches": []}, "batches: names none"),
        ({"batches": [4, 0]}, r"batches\[1\]: is 0; give 1 or more"),
        ({"device": "cuda:99"}, "use cpu"),
        ({"train": "no such network"}, "--train: (is 'no such network'|needs timm)"),
    ],
    ids=str,
)
def test_what_cannot_be_timed_is_refused(
    bank: FaceBank, wrong: dict[str, object], said: str
) -> None:
    with pytest.raises(BadArgument, match=said):
        bench_gpu(bank, load_recipe("bi"), **{"device": "cpu", **wrong})  # type: ignore[arg-type]


def test_without_timm_it_says_what_to_install(
    bank: FaceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "find_spec", lambda _: None)
    with pytest.raises(
        BadArgument, match=r"--train: needs timm; pip install 'faceblend\[train\]'"
    ):
        bench_gpu(bank, load_recipe("bi"), device="cpu", train="hrnet_w18_small")
