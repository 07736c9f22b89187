"""People in folders, CelebA, banks and digits: numbered, divided, in RGB, each pair whole."""

import gzip
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank, BadImage
from tests.conftest import make_bank
from xray_train.data import Batches, Mix, Mixed
from xray_train.sources import BankPeople, CelebA, Digits, Pairs, PairsOf, People
from xray_train.sources.digits import read_idx
from xray_train.sources.pairs import _unranked


def left_red(number: int, side: int = 40) -> np.ndarray:
    """RGB: red on the left, blue on the right; swapped colours or sides would both show."""
    picture = np.zeros((side, side, 3), np.uint8)
    picture[:, : side // 2, 0], picture[:, side // 2 :, 2] = 200, 150
    picture[..., 1] = number * 10
    return picture


def write(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people; the n-th has n + 1 pictures."""
    root = tmp_path_factory.mktemp("people")
    for person in range(6):
        for number in range(person + 1):
            write(root / f"p{person}" / f"{number}.png", left_red(number))
    (root / "nobody").mkdir()
    return root


def is_left_red(image: torch.Tensor) -> bool:
    red, blue = image[..., 0, :, :].float(), image[..., 2, :, :].float()
    half = image.shape[-1] // 2
    return bool((red[..., :half] > 150).all() and (blue[..., half:] > 100).all()) and bool(
        (red[..., half:] < 50).all() and (blue[..., :half] < 50).all()
    )


def test_folders_are_people_and_pictures_are_rgb_as_they_lie(folder: Path, tmp_path: Path) -> None:
    """Training, pairs and CelebA read alike: no loader swaps channels or mirrors the width."""
    people = People(str(folder), size=40)
    assert len(people) == 21
    assert people.people == tuple(f"p{one}" for one in range(6))
    assert people.classes() == set(range(6))
    item, name = people.named(20)
    assert (name, int(item["label"])) == ("p5", 5)
    assert is_left_red(item["image"])
    (tmp_path / "pairs.txt").write_text("p0/0.png p5/5.png 0\n")
    assert is_left_red(Pairs(str(folder), str(tmp_path / "pairs.txt"), size=40).item(0)["image"])
    (tmp_path / "id.txt").write_text("0.png 3\n1.png 10177\n")
    assert is_left_red(CelebA(str(folder / "p5"), str(tmp_path / "id.txt"), 40).item(0)["image"])


def test_people_or_pictures_are_held_out(folder: Path) -> None:
    def made(**options: object) -> People:
        return People(str(folder), size=16, **options)  # type: ignore[arg-type]

    train, held = made(part="train", every=3), made(part="held", every=3)
    assert train.people == ("p0", "p1", "p3", "p4")
    assert held.people == ("p2", "p5")
    assert train.classes() == set(range(4))
    assert held.classes() == {0, 1}
    train, held = (made(part=part, by="picture", every=2) for part in ("train", "held"))
    assert len(train) + len(held) == 21
    assert train.people == held.people == tuple(f"p{one}" for one in range(6))
    assert train.classes() == set(range(6))
    assert held.classes() == set(range(1, 6))
    seen = [train.named(number)[0]["image"][1, 0, 0] for number in range(len(train))]
    assert {int(one) for one in seen} == {0, 20, 40}


def test_training_crops_and_mirrors_and_evaluation_does_not(folder: Path) -> None:
    source = People(str(folder), size=32, augment=True)
    mix = Mix(sources=[source], seed=3)
    loaded = Mixed(mix)
    places = [place for batch in Batches(mix, 8, start=0, stop=4) for place in batch]
    given = [loaded[place]["image"] for place in places]
    again = [loaded[place]["image"] for place in places]
    assert all(torch.equal(one, other) for one, other in zip(given, again, strict=True))
    assert all(one.shape == (3, 32, 32) for one in given)
    mirrored = sum(bool(one[2, 16, 4] > one[0, 16, 4]) for one in given)
    assert 0 < mirrored < len(given)
    edges = {int((one[0, 16] > 100).sum()) for one in given}
    assert len(edges) > 1, "the crop is always at one place"
    assert source.named(0)[0]["image"].shape == (3, 32, 32)
    assert is_left_red(source.named(0)[0]["image"][:, :, [0, 1, 2, -3, -2, -1]])


def test_celebas_identities_become_classes_without_gaps(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "id.txt").write_text("0.png 10177\n1.png 9\n2.png 9\n\n3.png 120\n")
    source = CelebA(str(folder / "p5"), str(tmp_path / "id.txt"), size=16)
    assert source.labels.tolist() == [2, 0, 0, 1]
    for text, words in (
        ("0.png 1\n1.png\n", r"line 2: is '1\.png'; write: file id"),
        ("0.png 1\n1.png x\n", "line 2"),
        ("0.png 1\nz.png 2\n", r"line 2: z\.png is not in"),
        ("", "holds no line"),
    ):
        (tmp_path / "id.txt").write_text(text)
        with pytest.raises(BadArgument, match=words):
            CelebA(str(folder / "p5"), str(tmp_path / "id.txt"))


def test_every_line_of_a_pair_list_gives_two_faces_or_is_named(
    folder: Path, tmp_path: Path
) -> None:
    """A list must never lose a second face: features and labels would no longer match."""
    path = tmp_path / "pairs.txt"
    path.write_text("p1/0.png p1/1.png 1\np2/0.png p3/0.png 0\n\np4/0.png p4/1.png 1\n")
    pairs = Pairs(str(folder), str(path), size=16)
    assert pairs.labels.tolist() == [1, 0, 1]
    assert len(pairs) == 3
    for number in range(3):
        assert pairs.item(number)["image"].shape == (2, 3, 16, 16)
    assert pairs.item(0)["image"][:, 1, 0, 0].tolist() == [0, 10]
    assert pairs.named(2)[1] == str(folder / "p4")
    for text, words in (
        ("p1/0.png p1/1.png 1\np1/0.png 1\n", "line 2: is .*write: pathA pathB label"),
        ("p1/0.png p1/1.png 1\n\np1/0.png p1/9.png 1\n", r"line 3: .*9\.png is not there"),
        ("p1/0.png p1/1.png 2\n", "line 1"),
        ("p1/0.png p1/1.png p1/1.png 1\n", "line 1"),
    ):
        path.write_text(text)
        with pytest.raises(BadArgument, match=words):
            Pairs(str(folder), str(path))


def test_drawn_pairs_are_distinct_and_half_are_one_person(folder: Path) -> None:
    source = People(str(folder), size=16)
    pairs = PairsOf(source, count=40, seed=1)
    assert len(set(pairs._pairs)) == 40
    for number, (one, other) in enumerate(pairs._pairs):
        same = source.labels[one] == source.labels[other]
        assert one != other
        assert same == (number % 2 == 0)
    assert pairs._pairs == PairsOf(source, count=40, seed=1)._pairs
    assert pairs._pairs != PairsOf(source, count=40, seed=2)._pairs
    assert int(pairs.item(0)["label"]) == 1
    assert int(pairs.item(1)["label"]) == 0
    # 0 + 1 + 3 + 6 + 10 + 15 pairs of one person
    every = PairsOf(source)
    assert set(every._pairs[::2]) == {
        (a, b) for b in range(21) for a in range(b) if source.labels[a] == source.labels[b]
    }
    assert len(every) == 70
    with pytest.raises(BadArgument, match="an even number up to 70"):
        PairsOf(source, count=72)
    with pytest.raises(BadArgument, match="an even number"):
        PairsOf(source, count=7)


def test_pairs_are_counted_without_a_gap() -> None:
    assert [_unranked(place) for place in range(5000)] == [
        (first, second) for second in range(1, 101) for first in range(second)
    ][:5000]


def test_faces_of_a_bank_are_people_by_their_subject(people: FaceBank) -> None:
    source = BankPeople(str(people.root), split="train", size=64)
    subjects, splits = (people.table[name].to_pylist() for name in ("subject", "split"))
    real = [row for row in people.reals.tolist() if splits[row] == "train"]
    assert len(source) == len(real)
    assert source.people == tuple(sorted({subjects[row] for row in real}))
    for number, row in enumerate(real[:5]):
        assert source.people[source.labels[number]] == subjects[row]
    test = BankPeople(str(people.root), split="test", size=64)
    assert not set(test.people) & set(source.people)
    assert source.item(0)["image"].shape == (3, 64, 64)


@pytest.mark.model
def test_faces_are_turned_upright_by_their_landmarks(people: FaceBank) -> None:
    source = BankPeople(str(people.root), size=150, align="dlib")
    image = source.item(0)["image"]
    assert image.shape == (3, 150, 150)
    plain = BankPeople(str(people.root), size=150).item(0)["image"]
    # RGB as the crop: the aligned face has the same mean colour, about
    means = [one.float().mean(dim=(1, 2)) for one in (image, plain)]
    assert torch.argsort(means[0]).tolist() == torch.argsort(means[1]).tolist()


def test_a_bank_without_subjects_is_refused(tmp_path: Path) -> None:
    make_bank(tmp_path / "bank")
    with pytest.raises(BadBank, match=r"real faces have no subject; find them: xray-train"):
        BankPeople(str(tmp_path / "bank"))
    with pytest.raises(BadBank, match="no real face of the split 'test'"):
        BankPeople(str(tmp_path / "bank"), split="test")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 2}, "8 or more"),
        ({"every": 1}, "2 or more"),
        ({"parts": 0}, "1 or more"),
        ({"part": "held", "every": 6}, "leaves 1 people of 6"),
    ],
)
def test_what_leaves_no_people_is_refused(
    folder: Path, options: dict[str, object], words: str
) -> None:
    with pytest.raises(BadArgument, match=words):
        People(str(folder), **options)  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="is no folder"):
        People(str(folder / "none"))


def test_an_unreadable_picture_is_never_another_one(tmp_path: Path) -> None:
    for person in ("a", "b"):
        write(tmp_path / person / "0.png", left_red(0))
    (tmp_path / "a" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    with pytest.raises(BadImage, match=r"a/0\.png: is damaged"):
        People(str(tmp_path)).item(0)


# -- digits ------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_mnist_is_read_from_its_files_packed_or_not(tmp_path: Path) -> None:
    images = np.arange(12 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(12, 28, 28)
    digits = np.arange(12, dtype=np.uint8) % 10
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(digits)))
    source = Digits(str(tmp_path))
    assert len(source) == 12
    assert source.labels.tolist() == digits.tolist()
    item = source.item(7)
    assert all(np.array_equal(channel, images[7]) for channel in item["image"].numpy())
    assert "MNIST, train: 12 digits" in source.data
    with pytest.raises(BadArgument, match=r"t10k-images-idx3-ubyte.*cannot be read"):
        Digits(str(tmp_path), part="test")
    (tmp_path / "cut").write_bytes(idx(images)[:-1])
    with pytest.raises(BadArgument, match="cut off"):
        read_idx(tmp_path / "cut")
    (tmp_path / "cut").write_bytes(b"PK")
    with pytest.raises(BadArgument, match="no idx file"):
        read_idx(tmp_path / "cut")


def test_scikit_learns_digits_are_divided_without_overlap() -> None:
    pytest.importorskip("sklearn")
    train, test, both = Digits(), Digits(part="test"), Digits(part="all")
    assert len(train) + len(test) == len(both) == 1797
    assert train.classes() == test.classes() == set(range(10))
    assert not set(train._rows.tolist()) & set(test._rows.tolist())
    assert "scikit-learn's digits, test: 355 of 8x8 px" in test.data
    assert train.item(0)["image"].shape == (3, 28, 28)
    assert np.bincount(test.labels).min() > 30


def test_digits_without_scikit_learn_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(BadArgument, match=r"give the folder of MNIST's files"):
        Digits()
