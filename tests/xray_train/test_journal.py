"""What TensorBoard shows of embeddings: whose each is, in a plane and in the projector."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib import colormaps
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from xray_train.evaluate import evaluate
from xray_train.journal import Journal
from xray_train.look import plane, scatter
from xray_train.settings import Fit
from xray_train.sources import Pairs, PairsOf, People, Source
from xray_train.tasks.identity import Identity

CPU = torch.device("cpu")
PEOPLE, EACH = 20, 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty people of ten grey pictures each, and a list of pairs that knows half of them."""
    root = tmp_path_factory.mktemp("journal")
    rng = np.random.default_rng(0)
    for person in range(PEOPLE):
        (root / f"p{person:02d}").mkdir()
        for number in range(EACH):
            picture = np.full((16, 16, 3), 12 * person + number, np.uint8)
            picture[:8] += rng.integers(0, 9, (8, 16, 1), np.uint8)
            cv2.imwrite(str(root / f"p{person:02d}" / f"{number}.png"), picture)
    lines = [f"p{one:02d}/0.png p{one:02d}/1.png 1\np{one:02d}/0.png p{one + 1:02d}/0.png 0"
             for one in range(9, -1, -1)]  # fmt: skip
    (root / "pairs.txt").write_text("\n".join(lines) + "\n")
    return root


def shown(source: Source, task: Identity, out: Path, steps: tuple[int, ...]) -> EventAccumulator:
    result = evaluate(task, source, device=CPU, settings=Fit(out="", batch=8))
    with Journal(out, rank=0) as journal:
        for step in steps:
            journal.result(step, result, task, source, CPU)
    events = EventAccumulator(str(out))
    events.Reload()
    return events


def digits(embedding: int) -> Identity:
    torch.manual_seed(0)
    return Identity("digits", classes=PEOPLE, embedding=embedding).train()


@pytest.mark.parametrize("embedding", [2, 8])
def test_people_are_drawn_at_each_validation_and_projected_now_and_then(
    folder: Path, tmp_path: Path, embedding: int
) -> None:
    people, task = People(str(folder), size=16), digits(embedding)
    wider = People(str(folder), size=16, augment=True)  # validation sees it as it is
    events = shown(PairsOf(wider, count=8), task, tmp_path, (100, 200, 5100))
    assert task.training
    drawn = events.Images("val/faces")
    assert [one.step for one in drawn] == [100, 200, 5100]
    (one, two) = sorted(path.parent for path in tmp_path.rglob("tensors.tsv"))
    assert (one.parent.name, two.parent.name) == ("00100", "05100")
    # 16 of the 20 people, spread evenly, and 128 / 16 faces of each
    whose = (one / "metadata.tsv").read_text().split()
    spread = [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 19]
    assert whose == [str(person) for person in spread for _ in range(8)]
    task.eval()
    rows = [person * EACH + number for person in spread for number in range(8)]
    vectors = task.embed(torch.stack([people.item(row)["image"] for row in rows])).numpy()
    told = np.loadtxt(one / "tensors.tsv", dtype=np.float32)
    np.testing.assert_allclose(told, vectors, atol=1e-5)
    picture = cv2.imdecode(np.frombuffer(drawn[0].encoded_image_string, np.uint8), 1)[..., ::-1]
    # of the numbers that were written, or rounding might move a pixel's edge
    np.testing.assert_array_equal(picture, scatter(told, whose))
    assert (one / "sprite.png").exists()


def test_a_list_of_pairs_shows_each_of_its_pictures_once(folder: Path, tmp_path: Path) -> None:
    source = Pairs(str(folder), str(folder / "pairs.txt"), size=16)
    events = shown(source, digits(2), tmp_path, (1,))
    assert [one.step for one in events.Images("val/faces")] == [1]
    (table,) = tmp_path.rglob("metadata.tsv")
    # numbered as the list first names them: p09, p10 by one picture alone, p08, p07, ...
    two = [str(person) for person in range(2, 11) for _ in range(2)]
    assert table.read_text().split() == ["0", "0", "1", *two]
    first, second = source.item(0)["image"]
    assert torch.equal(source.faces.item(0)["image"], first)
    assert torch.equal(source.faces.item(1)["image"], second)
    assert source.faces.named(0)[1] == str(folder / "p09")


def test_two_numbers_are_drawn_as_they_are_and_more_by_their_principal_components() -> None:
    rng = np.random.default_rng(1)
    flat = rng.normal(size=(9, 2)) * [3, 0.5] + 4
    np.testing.assert_array_equal(plane(flat), flat)
    # turned into five dimensions and moved, the same points come back, but for mirroring
    way = np.linalg.qr(rng.normal(size=(5, 2)))[0]
    back = plane(flat @ way.T + rng.normal(size=5))
    distances = [np.linalg.norm(one[:, None] - one, axis=2) for one in (flat, back)]
    np.testing.assert_allclose(*distances, atol=1e-9)
    assert back[:, 0].var() > back[:, 1].var()
    np.testing.assert_allclose(back.mean(axis=0), 0, atol=1e-9)
    assert abs(np.cov(back.T)[0, 1]) < 1e-9
    np.testing.assert_allclose(plane(-flat @ way.T), -plane(flat @ way.T), atol=1e-9)
    assert plane(flat[:1] @ way.T).tolist() == [[0.0, 0.0]]
    assert plane(flat[:, :1])[:, 1].tolist() == [0.0] * 9


def test_a_point_has_the_colour_of_its_name() -> None:
    vectors = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 1.0], [2.0, 1.0]])
    picture = scatter(vectors, ["0", "0", "4", "4"])
    assert picture.shape == (480, 480, 3)
    # the first name's the first colour, the second's the second, and no third
    blue, pale, orange = (
        np.argwhere((picture == np.rint(255 * np.array(colormaps["tab20"](number)[:3]))).all(-1))
        for number in range(3)
    )
    assert len(blue) > 20
    assert len(pale) > 10
    assert not len(orange)
    assert pale[:, 1].max() > blue[:, 1].max()  # further to the right
