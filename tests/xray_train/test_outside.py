"""Lists and banks that somebody else wrote lead the trainers to nothing outside their folder."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadImage
from tests.conftest import make_bank
from xray_train.sources.listed import Listed
from xray_train.sources.pairs import Pairs
from xray_train.subjects import with_subjects


def outside(root: Path) -> FaceBank:
    """A bank of two faces, of which one claims a crop beside the bank's folder."""
    make_bank(root, videos=2, frames=1)
    table = pq.read_table(root / "faces.parquet")
    crops = ["../private.png", table["crop"][1].as_py()]
    place = table.schema.get_field_index("crop")
    pq.write_table(table.set_column(place, "crop", pa.array(crops)), root / "faces.parquet")
    return FaceBank.open(root)


def test_copying_a_bank_with_its_people_writes_nothing_outside(tmp_path: Path) -> None:
    bank = outside(tmp_path / "bank")
    (tmp_path / "private.png").write_bytes(b"mine")
    with pytest.raises(BadImage, match="leaves the bank's folder"):
        with_subjects(bank, ["a", "b"], tmp_path / "deep" / "known")
    assert not (tmp_path / "deep" / "private.png").exists()


@pytest.mark.parametrize("name", ["../private.png", "/etc/passwd", "C:/private.png"])
def test_a_list_of_pictures_names_none_outside(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "private.png").write_bytes(b"mine")
    (tmp_path / "list.csv").write_text(f"img_name,target\n{name},1\n")
    with pytest.raises(BadArgument, match=r"line 2: names .* leaves the folder"):
        Listed(str(tmp_path / "in"), str(tmp_path / "list.csv"))
    (tmp_path / "pairs.txt").write_text(f"{name} {name} 1\n")
    with pytest.raises(BadArgument, match=r"line 1: .* leaves"):
        Pairs(str(tmp_path / "in"), str(tmp_path / "pairs.txt"))
