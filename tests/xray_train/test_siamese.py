"""Triplets are drawn by number, features learn from them, and a head learns on the features."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend import FaceBank
from faceblend.errors import BadArgument, BadBank
from tests.conftest import make_bank
from tests.xray_train.tiny import made_checkpoint
from xray_train.backbones.attention import AUTO_ATTENTION
from xray_train.checkpoint import BadCheckpoint, save
from xray_train.data import Mix, Mixed
from xray_train.evaluate import evaluate
from xray_train.journal import Journal
from xray_train.rebuild import rebuild
from xray_train.settings import Fit
from xray_train.sources import Triplets
from xray_train.tasks import Task
from xray_train.tasks.siamese import FrozenHead, Triplet

CPU = torch.device("cpu")
SMALL = "test_efficientnet"
TRIPLES = torch.randint(0, 256, (4, 3, 3, 64, 64), dtype=torch.uint8)
XRAYS, ONES = torch.zeros(4, 1, 64, 64, dtype=torch.uint8), torch.ones(4, dtype=torch.int64)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    return make_bank(tmp_path_factory.mktemp("half"), labels={"v1": 1})


def test_two_faces_of_a_class_and_one_of_the_other(half: FaceBank) -> None:
    source = Triplets(str(half.root), size=32, length=40)
    labels = source.faces.labels
    for number in range(40):
        anchor, near, far = source.drawn(number)
        assert anchor != near
        assert labels[anchor] == labels[near] == number % 2
        assert labels[far] == 1 - number % 2
    item, video = source.named(7)
    assert item["image"].shape == (3, 3, 32, 32)
    for place, face in enumerate(source.drawn(7)):
        assert torch.equal(item["image"][place], source.faces.item(face)["image"])
    assert video == "v1"
    assert len({source.drawn(number) for number in range(40)}) > 30


def test_triplets_are_a_function_of_seed_and_number(half: FaceBank) -> None:
    one, same, other = (Triplets(str(half.root), seed=seed) for seed in (1, 1, 2))
    drawn = [one.drawn(number) for number in (3, 1, 2)]
    assert drawn == [same.drawn(number) for number in (3, 1, 2)]
    assert drawn != [other.drawn(number) for number in (3, 1, 2)]


def test_each_of_the_three_is_changed_by_a_draw_of_its_own(half: FaceBank) -> None:
    source = Triplets(str(half.root), size=32, length=9, augment=True)
    mix = Mix(sources=[source], seed=0)
    places = [mix.at(number) for number in range(9)]
    changed = [Mixed(mix)[place]["image"] for place in places]
    plain = [source.item(place.item)["image"] for place in places]
    differ = [
        [not torch.equal(one[k], other[k]) for k in range(3)]
        for one, other in zip(changed, plain, strict=True)
    ]
    assert any(any(one) for one in differ)
    assert torch.equal(changed[4], Mixed(mix)[places[4]]["image"])


def test_a_class_of_one_face_is_refused(tmp_path: Path) -> None:
    make_bank(tmp_path / "bank", videos=2, frames=1, labels={"v1": 1})
    with pytest.raises(BadBank, match=r"1 real and 1 forged.*two of each"):
        Triplets(str(tmp_path / "bank"))
    with pytest.raises(BadArgument, match="length"):
        Triplets(str(tmp_path / "bank"), length=0)


def test_the_loss_is_torchs_triplet_margin_loss() -> None:
    torch.manual_seed(0)
    task = Triplet(SMALL, margin=0.7).eval()
    assert isinstance(task, Task)
    a, p, n = (task.embed(TRIPLES[:, place]) for place in range(3))
    wanted = torch.nn.TripletMarginLoss(margin=0.7)(a, p, n)
    parts = task.loss(TRIPLES, XRAYS, ONES)
    torch.testing.assert_close(parts["loss"].detach(), wanted)
    near, far = (a - p).norm(dim=1), (a - n).norm(dim=1)
    assert float(parts["accuracy"]) == float((near < far).float().mean())
    said = task.predict(TRIPLES)
    assert said.logits is not None
    torch.testing.assert_close(said.logits, far - near, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(said.scores, said.logits.sigmoid())


@pytest.mark.parametrize(
    ("backbone", "count"),
    [("efficientnet_b4", 1792), ("legacy_xception", 2048), ("efficientnet_auto_att_b4", 1792)],
)
def test_the_published_backbones_have_their_features(backbone: str, count: int) -> None:
    task = Triplet(backbone).eval()
    assert task.embed(TRIPLES[:1, 0]).shape == (1, count)
    assert FrozenHead(backbone).head.weight.shape == (1, count)


def test_the_projector_has_the_features_of_real_and_forged_faces(
    half: FaceBank, tmp_path: Path
) -> None:
    task, source = Triplet(SMALL).train(), Triplets(str(half.root), size=64, length=6)
    result = evaluate(task, source, device=CPU, settings=Fit(out="", batch=6))
    assert result.summary.frame_auc is None  # every triplet has the label 1
    with Journal(tmp_path, rank=0) as journal:
        for step in (500, 1000, 5500):
            journal.result(step, result, task, source, CPU)
    assert task.training
    (one, two) = sorted(path.parent for path in tmp_path.rglob("tensors.tsv"))
    assert (one.parent.name, two.parent.name) == ("00500", "05500")
    rows = np.loadtxt(one / "tensors.tsv")
    faces = source.faces
    images = torch.stack([faces.item(number)["image"] for number in range(len(faces))])
    np.testing.assert_allclose(rows, task.eval().embed(images).numpy(), rtol=1e-3, atol=1e-3)
    labels = (one / "metadata.tsv").read_text().split()
    assert labels == ["forged" if label else "real" for label in faces.labels.tolist()]


def test_one_face_cannot_be_compared() -> None:
    with pytest.raises(BadArgument, match="FrozenHead"):
        Triplet.forward.__wrapped__(Triplet(SMALL), TRIPLES[:, 0])  # type: ignore[attr-defined]
    with pytest.raises(BadArgument, match="give 0"):
        Triplet(SMALL).fix_backbone(True)
    with pytest.raises(BadArgument, match="margin"):
        Triplet(SMALL, margin=0.0)


@pytest.fixture(scope="module")
def triplet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Triplet, Path]:
    """A triplet network and its checkpoint."""
    torch.manual_seed(3)
    task, path = Triplet(SMALL), tmp_path_factory.mktemp("run") / "last.pt"
    told = {
        "class_path": "xray_train.tasks.siamese.Triplet", "init_args": {"backbone": SMALL},
    }  # fmt: skip
    save(made_checkpoint(task, task=told), path)
    return task.eval(), path


def test_a_head_takes_the_features_of_a_triplet_run_and_keeps_them(
    triplet: tuple[Triplet, Path],
) -> None:
    task, path = triplet
    head = FrozenHead(SMALL, pretrained=str(path))
    assert isinstance(head, Task)
    images, labels = TRIPLES[:, 0], torch.tensor([0, 1, 0, 1])
    torch.testing.assert_close(head.features(images), task.embed(images))
    before = {name: one.clone() for name, one in head.features.state_dict().items()}
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    for fixed in (True, False):
        head.fix_backbone(fixed)
        head.train()
        assert not head.features.training
        head.loss(images, XRAYS, labels)["loss"].backward()
        optimizer.step()
    for name, one in head.features.state_dict().items():
        assert torch.equal(one, before[name]), name  # batch statistics, too
    assert {name for name, one in head.named_parameters() if one.requires_grad} == {
        "norm.weight", "norm.bias", "head.weight", "head.bias",
    }  # fmt: skip
    assert head.norm.num_batches_tracked == 2


def test_a_head_is_rebuilt_from_its_own_checkpoint_alone(
    triplet: tuple[Triplet, Path], tmp_path: Path
) -> None:
    """The triplet run's file may be gone: all weights are in the head's."""
    head = FrozenHead(SMALL, pretrained=str(triplet[1])).eval()
    told = {
        "class_path": "xray_train.tasks.siamese.FrozenHead",
        "init_args": {"backbone": SMALL, "pretrained": str(tmp_path / "gone.pt")},
    }
    save(made_checkpoint(head, task=told), tmp_path / "head.pt")
    again = rebuild(tmp_path / "head.pt", CPU).task
    images = TRIPLES[:, 1]
    torch.testing.assert_close(again.predict(images).logits, head.predict(images).logits)  # type: ignore[operator]


def test_a_triplet_run_is_rebuilt(triplet: tuple[Triplet, Path]) -> None:
    again = rebuild(triplet[1], CPU).task
    torch.testing.assert_close(again.predict(TRIPLES).scores, triplet[0].predict(TRIPLES).scores)  # type: ignore[operator]


def test_a_head_is_not_trained_on_random_features() -> None:
    with pytest.raises(BadArgument, match=r"'none'.*Triplet"):
        FrozenHead(SMALL).loss(TRIPLES[:, 0], XRAYS, ONES)


def test_a_head_takes_no_others_features(triplet: tuple[Triplet, Path], tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="is of another model"):
        FrozenHead("resnet10t", pretrained=str(triplet[1]))
    with pytest.raises(BadCheckpoint, match="is not there"):
        FrozenHead(SMALL, pretrained=str(tmp_path / "nowhere.pt"))


def test_a_head_on_attention_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AUTO_ATTENTION, "small_auto_att", SMALL)
    said = FrozenHead("small_auto_att").eval().predict(TRIPLES[:, 0])
    assert said.attention is not None
    assert said.attention.shape == (4, 8, 8)


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 2, 3, 32, 32)])
def test_what_is_no_triplet_is_refused(shape: tuple[int, ...]) -> None:
    forward = inspect.unwrap(Triplet.forward)  # the tests' type checks would come first
    with pytest.raises(BadArgument, match=r"compares three faces, and was given [12]; give"):
        forward(Triplet("resnet18"), torch.zeros(shape, dtype=torch.uint8))
