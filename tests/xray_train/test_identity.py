"""Embeddings: what they are trained by, what they say of pairs, what is kept of them."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend.errors import BadArgument, MissingModel
from xray_train.backbones.identity import DESCRIPTOR_VARIABLE, IR18, find_descriptor_model
from xray_train.checkpoint import BadCheckpoint, save
from xray_train.rebuild import rebuild
from xray_train.tasks import Changes, Task
from xray_train.tasks.identity import Identity

from .tiny import made_checkpoint

IMAGES = torch.randint(
    0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
XRAYS, LABELS = torch.zeros(4, 1, 32, 32, dtype=torch.uint8), torch.tensor([0, 2, 1, 2])


def small(**options: object) -> Identity:
    torch.manual_seed(0)
    return Identity(**{"backbone": "digits", "classes": 3, "embedding": 8, **options})  # type: ignore[arg-type]


def cosines(task: Identity) -> np.ndarray:
    features = task(IMAGES).detach().double().numpy()
    directions = task.persons.detach().double().numpy()
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features @ (directions / np.linalg.norm(directions, axis=1)[:, None]).T)


def cross_entropy(logits: np.ndarray) -> float:
    own = logits[np.arange(len(LABELS)), LABELS.numpy()]
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - own))


def test_it_is_a_task_that_changes_with_the_step() -> None:
    task = small()
    assert isinstance(task, Task)
    assert isinstance(task, Changes)


@pytest.mark.parametrize("margin", ["arcface", "cosface", "sphereface", "none"])
def test_the_loss_is_the_papers_from_cosines(margin: str) -> None:
    task = small(margin=margin).eval()
    task.at(100, 0)
    c = cosines(task)
    theta = np.arccos(c)
    own = np.eye(3)[LABELS.numpy()]
    if margin == "arcface":
        beyond = c - 0.5 * math.sin(math.pi - 0.5)
        logits = 30 * np.where(own, np.where(theta + 0.5 < np.pi, np.cos(theta + 0.5), beyond), c)
    elif margin == "cosface":
        logits = 30 * (c - 0.35 * own)
    elif margin == "sphereface":
        length = np.linalg.norm(task(IMAGES).detach().double().numpy(), axis=1, keepdims=True)
        k = np.floor(4 * theta / np.pi)
        psi = (-1.0) ** k * np.cos(4 * theta) - 2 * k
        softness = 1000 / (1 + 0.12 * 100)
        logits = length * np.where(own, (softness * c + psi) / (1 + softness), c)
    else:
        logits = (task(IMAGES) @ task.persons.T).detach().double().numpy()
    got = task.loss(IMAGES, XRAYS, LABELS)
    assert float(got["loss"].detach()) == pytest.approx(cross_entropy(logits), rel=1e-4)
    nearest = logits if margin == "none" else c
    right = float((nearest.argmax(axis=1) == LABELS.numpy()).mean())
    assert float(got["accuracy"]) == right


def test_a_pair_is_scored_by_its_cosine_whatever_the_order() -> None:
    task = small().eval()
    pairs = torch.stack([IMAGES, IMAGES.roll(1, 0)], dim=1)
    scores = task.predict(pairs).scores.numpy()
    features = task(IMAGES).detach().double().numpy()
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    want = ((features * np.roll(features, 1, axis=0)).sum(axis=1) + 1) / 2
    np.testing.assert_allclose(scores, want, atol=1e-6)
    swapped = task.predict(pairs.flip(1)).scores.numpy()
    np.testing.assert_allclose(scores, swapped, atol=1e-6)
    alike = task.predict(torch.stack([IMAGES, IMAGES], dim=1)).scores
    assert torch.allclose(alike, torch.ones(4))


def test_the_mirror_image_is_put_behind_or_added() -> None:
    task = small().eval()
    plain, other = task(IMAGES), task(IMAGES.flip(-1))
    both = torch.cat([plain, other], 1)
    assert torch.allclose(
        task.embed(IMAGES, "concat"), both / both.norm(dim=1, keepdim=True), atol=1e-6
    )
    added = plain + other
    assert torch.allclose(
        task.embed(IMAGES, "sum"), added / added.norm(dim=1, keepdim=True), atol=1e-6
    )
    # symmetric: a picture and its mirror image have one sum
    assert torch.allclose(task.embed(IMAGES, "sum"), task.embed(IMAGES.flip(-1), "sum"), atol=1e-6)
    assert not torch.allclose(task.embed(IMAGES), task.embed(IMAGES.flip(-1)), atol=1e-3)


def test_the_directions_of_the_margin_are_trained_and_kept(tmp_path: Path) -> None:
    """They belong to the module: a resumed run has them, and so has a rebuilt one."""
    task = small()
    assert "persons" in dict(task.named_parameters())
    task.loss(IMAGES, XRAYS, LABELS)["loss"].backward()
    assert task.persons.grad is not None
    assert float(task.persons.grad.abs().min(dim=1).values.max()) > 0
    told = {
        "class_path": "xray_train.tasks.identity.Identity",
        "init_args": {"backbone": "digits", "classes": 3, "embedding": 8},
    }
    save(made_checkpoint(task, task=told), tmp_path / "last.pt")
    back = rebuild(tmp_path / "last.pt", torch.device("cpu")).task
    assert isinstance(back, Identity)
    assert torch.equal(back.persons, task.persons)
    assert torch.equal(back.embed(IMAGES), task.eval().embed(IMAGES))


def test_ir18_has_the_published_shape_and_says_which_side_it_wants() -> None:
    grey = Identity("ir18", embedding=512, grey=True)
    assert grey.backbone.features == 512 * 8 * 8
    linear, norm = grey.head[0], grey.head[1]  # type: ignore[index]
    assert (linear.in_features, linear.out_features, norm.num_features) == (32768, 512, 512)
    squeezed, plain = (sum(p.numel() for p in IR18(squeeze=s).parameters()) for s in (True, False))
    assert squeezed > plain
    with pytest.raises(BadArgument, match="are 32x32 px, and ir18 was made for 128"):
        grey(IMAGES)
    task = Identity("ir18_se", grey=True, side=32).eval()
    assert task.embed(IMAGES).shape == (4, 128)


def test_grey_is_of_red_green_and_blue_in_this_order() -> None:
    """ITU-R BT.601's luminance: red and blue swapped would show."""
    task, seen = small().eval(), []
    task.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for channel, weight in enumerate((0.299, 0.587, 0.114)):
        pure = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
        pure[:, channel] = 255
        task(pure)
        assert seen[-1].shape == (1, 1, 16, 16)
        assert torch.allclose(seen[-1], torch.tensor(2 * weight - 1), atol=1e-5)


def test_a_fixed_backbone_stays() -> None:
    task = small()
    task.fix_backbone(True)
    task.train()
    assert not any(one.training for one in task.backbone.modules())
    assert not any(one.requires_grad for one in task.backbone.parameters())
    assert task.persons.requires_grad
    task.fix_backbone(False)
    assert task.backbone.training


def test_weights_of_a_backbone_are_read_from_a_file(tmp_path: Path) -> None:
    torch.save(small().backbone.state_dict(), tmp_path / "digits.pth")
    torch.manual_seed(1)
    task = Identity("digits", pretrained=str(tmp_path / "digits.pth"))
    for name, one in small().backbone.state_dict().items():
        assert torch.equal(task.backbone.state_dict()[name], one)
    with pytest.raises(BadCheckpoint, match=r"digits\.pth: is of another model"):
        Identity("ir18", pretrained=str(tmp_path / "digits.pth"))
    timm_one = Identity("resnet18", embedding=4)
    torch.save(timm_one.backbone.state_dict(), tmp_path / "r18.pth")
    other = Identity("resnet18", pretrained=str(tmp_path / "r18.pth"))
    assert torch.equal(other.backbone.conv1.weight, timm_one.backbone.conv1.weight)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 1}, "give 2 or more"),
        ({"backbone": "resnet17"}, "timm.list_models"),
        ({"margin": "sphereface", "m": 1.5}, "a whole number"),
        ({"m": 3.5}, "under pi"),
        ({"s": 0}, "more than 0"),
        ({"focal": -1}, "0 or more"),
        ({"backbone": "resnet18", "grey": True}, "is for ir18"),
        ({"backbone": "ir18", "side": 100}, "a multiple of 16"),
        ({"pretrained": "hub"}, "for digits; give none"),
    ],
)
def test_arguments_that_cannot_be_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        small(**options)


def test_a_person_without_a_class_is_refused() -> None:
    with pytest.raises(BadArgument, match=r"classes: is 3, and a person has the number 7"):
        small().loss(IMAGES, XRAYS, torch.tensor([0, 1, 7, 2]))


def test_single_pictures_have_no_score() -> None:
    with pytest.raises(BadArgument, match=r"an identity is said of pairs .* use: xray-train"):
        small().predict(IMAGES)


def test_on_a_circle_directions_begin_evenly_spread() -> None:
    begun = small(embedding=2, classes=5).persons.detach()
    angles = torch.atan2(begun[:, 1], begun[:, 0]).sort().values
    assert torch.allclose(angles.diff(), torch.tensor(2 * math.pi / 5), atol=1e-5)


def test_the_descriptor_is_found_without_importing_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(DESCRIPTOR_VARIABLE, str(tmp_path / "none.dat"))
    with pytest.raises(MissingModel, match=r"none\.dat: is not there"):
        Identity("dlib")
    monkeypatch.delenv(DESCRIPTOR_VARIABLE)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingModel, match="faceblend\\[landmarks\\]"):
        find_descriptor_model()


@pytest.mark.model
def test_dlibs_descriptor_is_a_frozen_start() -> None:
    try:
        task = Identity("dlib", embedding=0)
    except MissingModel as error:
        pytest.skip(str(error))
    pictures = torch.randint(0, 256, (2, 3, 150, 150), dtype=torch.uint8)
    first = task(pictures)
    assert first.shape == (2, 128)
    assert torch.equal(first, task(pictures))
    assert not torch.allclose(first[0], first[1])
    assert not list(task.backbone.parameters())
