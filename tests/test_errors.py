"""Every error says where, what is wrong and what to do, and survives a trip between processes."""

import pickle

import pytest

from faceblend import errors
from faceblend.errors import FaceblendError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, FaceblendError)
]


def test_there_is_a_child_for_each_kind_of_thing_that_can_be_bad() -> None:
    named = {"BadImage", "NoFace", "BadBank", "BadShard", "BadRecipe", "BadArgument"}
    assert named | {"Rejected", "MissingModel"} <= {kind.__name__ for kind in KINDS}
    assert all(kind.__doc__ for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_message_is_one_line_of_where_wrong_and_remedy(kind: type[FaceblendError]) -> None:
    error = kind("bank.json", "has format 2", "extract the bank again")
    assert str(error) == "bank.json: has format 2; extract the bank again"
    assert (error.where, error.reason) == ("bank.json", "has format 2")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_out_of_a_worker_as_it_went_in(kind: type[FaceblendError]) -> None:
    error = kind("a", "b", "c")
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - made one line above
    assert type(back) is kind
    assert back.args == error.args == ("a", "b", "c")
    assert str(back) == str(error)


def test_a_place_that_is_no_text_is_told_as_text() -> None:
    assert FaceblendError(7, "is odd", "give 8").where == "7"


@pytest.mark.parametrize("kind", KINDS)
def test_one_except_clause_catches_them_all(kind: type[FaceblendError]) -> None:
    with pytest.raises(FaceblendError, match="a: b; c"):
        raise kind("a", "b", "c")


def test_a_message_is_one_short_line_whatever_a_file_held() -> None:
    error = FaceblendError("a\nb", "has \x1b[31m and \ud800", "x" * 70_000)
    assert str(error).startswith("a\\nb: has \\x1b[31m and \\ud800; xxx")
    assert str(error).isprintable()
    assert len(str(error)) < 700
    assert FaceblendError("é 人", "fits", "as it is").args == ("é 人", "fits", "as it is")
    assert str(FaceblendError("é 人", "fits", "as it is")) == "é 人: fits; as it is"
