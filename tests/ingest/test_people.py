"""Faces are given to persons by where they were."""

from faceblend.ingest.people import People
from faceblend.ingest.pyramid import Box


def box(x: float, y: float, size: float = 50) -> Box:
    return (x, y, x + size, y + size)


def test_a_face_that_moves_a_little_is_the_same_person() -> None:
    people = People()
    assert people.numbers([box(0, 0), box(200, 0)]) == [0, 1]
    assert people.numbers([box(190, 5), box(12, 3)]) == [1, 0]


def test_a_near_face_without_overlap_is_the_same_and_a_far_one_is_new() -> None:
    people = People()
    people.numbers([box(0, 0)])
    assert people.numbers([box(48, 0)]) == [0]
    assert people.numbers([box(300, 0)]) == [1]


def test_two_faces_of_a_frame_are_two_people() -> None:
    people = People()
    people.numbers([box(0, 0)])
    assert people.numbers([box(10, 0), box(0, 0)]) == [1, 0]
    assert people.numbers([box(0, 0), box(0, 2), box(10, 0)]) == [0, 2, 1]


def test_who_was_gone_for_a_while_is_known_again_at_the_same_place() -> None:
    people = People()
    people.numbers([box(0, 0), box(200, 0)])
    people.numbers([box(0, 0)])
    assert people.numbers([box(0, 0), box(205, 0)]) == [0, 1]


def test_who_is_in_few_frames_does_not_last() -> None:
    people = People()
    for frame in range(20):
        people.numbers([box(0, 0), box(300, 0)] if frame < 3 else [box(0, 0)])
        people.numbers([])  # frames without a face count for nobody
    assert people.lasting() == {0}


def test_a_fifth_of_the_frames_is_enough() -> None:
    people = People()
    for frame in range(20):
        people.numbers([box(0, 0), box(300, 0)] if frame < 4 else [box(0, 0)])
    assert people.lasting() == {0, 1}
