"""Every configuration of Face X-ray, WS-DAN and ArcFace trains small, and goes on exactly.

Those of icpr2020dfdc and of the FFDI baseline have this in their own modules.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend import FaceBank
from faceblend.errors import MissingModel
from xray_train.backbones.identity import find_descriptor_model
from xray_train.checkpoint import load
from xray_train.commands import DONE, main
from xray_train.sources import window

CONFIGS = Path(__file__).parents[2] / "xray_train" / "configs"
ELSEWHERE = {"icpr2020", "ffdi"}
SIDE = 64
KNOWN, HELD = 22, 5  # of the 27 people, every fifth is held out
FEW = 6  # people of the split val
MEAN = 30  # steps
FALLS = 0.9  # share of the first losses' mean under which the last ones' is


@dataclass(frozen=True, kw_only=True)
class Small:
    """What of a configuration is changed so that it runs in seconds."""

    task: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    size: int = SIDE
    steps: int = 160

    @property
    def cut(self) -> int:
        """Step that a second run goes on from."""
        return self.steps * 7 // 10


# WS-DAN: features of norm 1 times 100 go into its last layer; from random weights .001 is too fast
WSDAN = Small(
    task={"backbone": "test_resnet", "pretrained": "none", "maps": 4},
    fit={"batch": 8, "rate": 0.0001},
)
# IR-18 whole, on small pictures; 0.1 is for batches of 16 people among thousands. The rate falls
# between the cut and the end
IR18 = Small(
    task={"classes": KNOWN + HELD, "embedding": 64, "side": 32},
    fit={"batch": 8, "rate": 0.02, "period": 5},
    size=32,
    steps=100,
)
SMALL = {
    "face_xray": Small(
        task={"backbone": "hrnet_w18_small", "pretrained": "none", "shrink": 4},
        # head first, then all, then down, a quarter each as of the 200,000 steps; five times the
        # rate, for so few of them
        fit={"batch": 4, "rate": 0.001, "fixed": 40, "decay": 40},
    ),
    "smoke": Small(task={"shrink": 4}, fit={"batch": 4, "warmup": 8, "decay": 96}),
    "wsdan/wsdan_efficientnetb3": Small(
        task={**WSDAN.task, "backbone": "test_efficientnet"}, fit=WSDAN.fit
    ),
    "wsdan/wsdan_xception": WSDAN,
    "wsdan/xception": Small(
        task={"backbone": "test_resnet", "pretrained": "none"}, fit={"batch": 16, "period": 20}
    ),
    "arcface/celeba_resnet50": Small(
        task={"backbone": "test_resnet", "classes": KNOWN}, fit={"batch": 16}
    ),
    "arcface/casia_ir18": IR18,
    "arcface/casia_cosface": IR18,
    "arcface/casia_sphereface": IR18,
    "arcface/bank_dlib": Small(task={"classes": FEW}, size=150),
    "arcface/digits_ce": Small(fit={"period": 2}),
    "arcface/digits_arcface": Small(fit={"period": 2}),
}


@pytest.fixture(scope="session")
def folders(people: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real people as CelebA lies, as CASIA-WebFace lies, and with a list of pairs."""
    root = tmp_path_factory.mktemp("folders")
    table = people.table.to_pylist()
    (root / "celeba").mkdir()
    identities, homes = list[str](), dict[str, list[str]]()
    numbers = {
        name: 7 * place + 3 for place, name in enumerate(sorted({r["subject"] for r in table}))
    }
    for row in people.reals.tolist():
        person = table[row]["subject"]
        picture = cv2.resize(window(people.image(row)), (96, 96), interpolation=cv2.INTER_AREA)
        data = cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()
        (root / "celeba" / f"{row:06d}.jpg").write_bytes(data)
        identities.append(f"{row:06d}.jpg {numbers[person]}\n")
        (root / "people" / person).mkdir(parents=True, exist_ok=True)
        (root / "people" / person / f"{row:06d}.jpg").write_bytes(data)
        homes.setdefault(person, []).append(f"{person}/{row:06d}.jpg")
    (root / "identity_CelebA.txt").write_text("".join(identities))
    several = [home for home in homes.values() if len(home) > 1]
    pairs = [
        f"{one[0]} {one[1]} 1\n{one[0]} {other[0]} 0\n"
        for one, other in zip(several, several[1:] + several[:1], strict=True)
    ]
    (root / "pairs.txt").write_text("".join(pairs))
    return root


def placed(source: dict[str, Any], people: FaceBank, folders: Path, size: int) -> None:
    """Let a source read what is here."""
    kind, told = source["class_path"].rpartition(".")[2], source["init_args"]
    if kind == "PairsOf":
        placed(told["of"], people, folders, size)
        told["count"] = min(told["count"], 20)
    elif kind == "Online":
        told["bank"] = str(people.root.parent / "reals")  # blends are made of reals
        if "length" in told:
            told["length"] = 8
    elif kind in ("Videos", "VideoShares"):
        told |= {"bank": str(people.root), "side": size}
        if kind == "Videos":
            # photographs of a person, not a video; and few people, for a small network
            told |= {"per_video": 4, "stride": 1, "split": "val"}
    elif kind == "CelebA":
        told |= {
            "images": str(folders / "celeba"), "size": size,
            "identities": str(folders / "identity_CelebA.txt"),
        }  # fmt: skip
    elif kind == "People":
        told |= {"folder": str(folders / "people"), "size": size}
    elif kind == "Pairs":
        told |= {"folder": str(folders / "people"), "size": size}
        told["pairs"] = str(folders / "pairs.txt")
    elif kind == "BankPeople":
        told |= {"bank": str(people.root), "size": size, "split": "val"}
    else:
        assert kind == "Digits", f"say how a test gives {kind} what it reads"


def reduced(name: str, people: FaceBank, folders: Path, out: Path) -> dict[str, Any]:
    """A configuration with what :data:`SMALL` says, and all else as it is written."""
    small = SMALL[name]
    config: dict[str, Any] = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    config["task"]["init_args"] |= small.task
    for source in (*config["train"], config["val"]):
        placed(source, people, folders, small.size)
    config["fit"] |= {
        "out": str(out), "steps": small.steps, "epochs": 0, "workers": 0, "threads": 1,
        "device": "cpu", "precision": "fp32", "log_every": 1, "save_every": small.steps,
        "keep_every": small.cut, "validate_every": small.steps // 2, **small.fit,
    }  # fmt: skip
    return config


def train(config: dict[str, Any]) -> Path:
    out = Path(config["fit"]["out"])
    path = out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", str(path)]) == DONE
    return out


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line["train/loss"] for line in lines if "train/loss" in line]


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Every tensor and number of a checkpoint's part, by where it is."""
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)  # type: ignore[assignment]
    else:
        return {name: value}
    return {key: one for at, part in inner for key, one in flat(part, f"{name}/{at}").items()}


def test_every_configuration_of_a_run_is_trained_somewhere() -> None:
    found = {
        path.relative_to(CONFIGS).with_suffix("").as_posix()
        for path in CONFIGS.rglob("*.yaml")
        if "\ntask:" in path.read_text() and path.parent.name not in ELSEWHERE
    }
    assert found == set(SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_each_learns_and_goes_on_where_it_was(
    name: str, people: FaceBank, folders: Path, tmp_path: Path
) -> None:
    if name.endswith("dlib"):
        try:
            find_descriptor_model()
        except MissingModel as error:
            pytest.skip(str(error))
    if "digits" in name:
        pytest.importorskip("sklearn")
    small = SMALL[name]
    whole = train(reduced(name, people, folders, tmp_path / "whole"))
    told = losses(whole)
    assert len(told) == small.steps
    first, last = np.mean(told[:MEAN]), np.mean(told[-MEAN:])
    print(f"{name}: {first:.4f} to {last:.4f}")
    assert last < FALLS * first

    middle, cut = small.cut, tmp_path / "cut"
    cut.mkdir()
    shutil.copy(whole / f"step-{middle:07d}.pt", cut / "last.pt")
    train(reduced(name, people, folders, cut))
    one, other = load(whole / "last.pt"), load(cut / "last.pt")
    assert one.step == other.step == small.steps
    before = flat(load(whole / f"step-{middle:07d}.pt").model)
    for part in ("model", "ema", "optimizer", "random", "progress"):
        these, those = flat(getattr(one, part)), flat(getattr(other, part))
        assert these.keys() == those.keys()
        for key, value in these.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, those[key]), (part, key)
            else:
                assert value == those[key], (part, key)
    # the second half moved them, so that the above says something
    assert any(not torch.equal(value, one.model[key[1:]]) for key, value in before.items())
    assert losses(cut) == told[middle:]
