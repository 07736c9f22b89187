"""Frames come out exactly by number, and what is wrong with a video is said in words."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from faceblend.errors import BadVideo
from faceblend.ingest import video
from faceblend.ingest.video import evenly, probe, read_frames

WIDTH, HEIGHT = 96, 64


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A frame that tells its number: eight bars, dark or bright, read from its columns."""
    image = np.full((height, width, 3), 128, np.uint8)
    for bit in range(12):
        columns = slice(bit * width // 12, (bit + 1) * width // 12)
        image[:, columns] = 225 if number >> bit & 1 else 30
    return image


def number_in(image: np.ndarray) -> int:
    width = image.shape[1]
    middles = [(2 * bit + 1) * width // 24 for bit in range(12)]
    return sum(1 << bit for bit, x in enumerate(middles) if image[:, x].mean() > 128)


def write(
    path: Path,
    frames: int = 60,
    *,
    gop: int = 12,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    times: Sequence[int] | None = None,
    rotation: int = 0,
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.options = {"bf": "3", "crf": "12"} if codec == "libx264" else {}
        stream.gop_size = gop
        if times is not None:
            stream.time_base = Fraction(1, 1000)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if rotation:
        turn(path, rotation)
    return path


def turn(path: Path, degrees: int) -> None:
    """Set the display matrix in the track header of an MP4: what telephones write."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version and flags, times, ids, duration, layer, volume
    one = 0x10000
    cos, sin = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    matrix = (cos, sin, 0, -sin, cos, 0, 0, 0, 0x40000000)
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(bytes(data))


# -- exact frames --------------------------------------------------------------------


@pytest.mark.parametrize("gop", [1, 7, 60])
@pytest.mark.parametrize("wanted", [[0], [59], [0, 30, 59], [5, 6, 7, 41], list(range(60))])
def test_frames_are_those_that_were_asked_for(gop: int, wanted: list[int], tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", gop=gop)
    got = list(read_frames(path, wanted))
    assert [frame.number for frame in got] == wanted
    assert [number_in(frame.rgb) for frame in got] == wanted


def test_jumping_over_stretches_gives_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, wanted = write(tmp_path / "clip.mp4", 200, gop=10), [3, 50, 51, 120, 199]
    jumped = [frame.rgb for frame in read_frames(path, wanted)]
    monkeypatch.setattr(video, "_JUMP", 10**9)
    for one, other in zip(jumped, read_frames(path, wanted), strict=True):
        np.testing.assert_array_equal(one, other.rgb)


def test_threads_leave_no_trace(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4")
    one_thread, two = (read_frames(path, [4, 33], threads=threads) for threads in (1, 2))
    for one, other in zip(one_thread, two, strict=True):
        np.testing.assert_array_equal(one.rgb, other.rgb)


def test_grey_is_the_luma_of_the_same_frame(tmp_path: Path) -> None:
    (frame,) = read_frames(write(tmp_path / "clip.mp4"), [21])
    assert frame.grey.shape == (HEIGHT, WIDTH)
    assert number_in(frame.grey[..., None]) == 21


@pytest.mark.parametrize(
    ("frames", "count"), [(1000, 32), (300, 32), (32, 32), (5, 32), (1, 32), (2, 1)]
)
def test_even_frames_reach_from_the_first_to_the_last(frames: int, count: int) -> None:
    numbers = evenly(frames, count)
    assert len(numbers) == min(frames, count)
    assert numbers == sorted(set(numbers))
    if count > 1:
        assert (numbers[0], numbers[-1]) == (0, frames - 1)
        gaps = np.diff(numbers)
        assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


# -- every kind of video -------------------------------------------------------------


def test_a_probe_tells_size_and_frames_without_decoding(tmp_path: Path) -> None:
    found = probe(write(tmp_path / "clip.mp4", 60))
    assert (found.width, found.height, found.frames, found.claimed) == (WIDTH, HEIGHT, 60, 60)
    assert found.rate == 25


def test_a_variable_frame_rate_counts_frames_and_not_time(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(0).integers(10, 400, 40)).tolist()
    path = write(tmp_path / "clip.mkv", 40, times=times)
    assert probe(path).frames == 40
    assert [number_in(frame.rgb) for frame in read_frames(path, [0, 13, 39])] == [0, 13, 39]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_videos_stand_upright(degrees: int, tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.mp4", 3)
    turned = write(tmp_path / "turned.mp4", 3, rotation=degrees)
    (upright,) = read_frames(plain, [2])
    (frame,) = read_frames(turned, [2])
    found = probe(turned)
    assert frame.rgb.shape == (found.height, found.width, 3)
    # the matrix turns the picture clockwise
    np.testing.assert_array_equal(frame.rgb, np.rot90(upright.rgb, -degrees // 90))
    np.testing.assert_array_equal(frame.grey, np.rot90(upright.grey, -degrees // 90))


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "size"),
    [
        ("odd.mkv", "ffv1", "yuv444p", (95, 63)),
        ("ten_bit.mkv", "libx264", "yuv420p10le", (WIDTH, HEIGHT)),
        ("motion.avi", "mjpeg", "yuvj420p", (WIDTH, HEIGHT)),
        ("web.webm", "libvpx-vp9", "yuv420p", (WIDTH, HEIGHT)),
    ],
)
def test_other_codecs_depths_and_sizes_are_read(
    name: str, codec: str, pixels: str, size: tuple[int, int], tmp_path: Path
) -> None:
    path = write(tmp_path / name, 12, codec=codec, pixels=pixels, size=size)
    (frame,) = read_frames(path, [7])
    assert frame.rgb.shape == (size[1], size[0], 3)
    assert frame.grey.dtype == np.uint8
    assert number_in(frame.rgb) == number_in(frame.grey[..., None]) == 7


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", 5).rename(tmp_path / "clip.avi")
    assert probe(path).frames == 5


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", 1)
    assert [number_in(frame.rgb) for frame in read_frames(path, [0])] == [0]


# -- what is wrong -------------------------------------------------------------------


def test_a_video_that_was_cut_off_gives_what_is_there_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mkv", 60)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    there = probe(path).frames
    assert 10 < there < 60
    got = list(read_frames(path, range(there - 5)))
    assert [number_in(frame.rgb) for frame in got] == list(range(there - 5))
    with pytest.raises(BadVideo, match=rf"has {there} frames, and frame 59 was asked for"):
        list(read_frames(path, [59]))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"Dear diary,\n" * 40, "is no video that can be read"),
        (b"\0\0\0\x18ftypmp42" + bytes(400), "is no video that can be read"),
    ],
)
def test_what_is_no_video_is_refused_in_words(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(BadVideo, match=words) as caught:
        probe(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.mp4", tmp_path):
        with pytest.raises(BadVideo):
            probe(path)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        silence.sample_rate = 16_000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    with pytest.raises(BadVideo, match="holds no pictures"):
        probe(path)


def test_a_video_without_a_frame_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mkv", 3)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75")])  # where the first cluster begins
    with pytest.raises(BadVideo, match=r"holds no frame|no video that can be read"):
        probe(path)


def test_frames_over_the_limit_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", 2)
    with pytest.raises(
        BadVideo, match=r"96x64, over the limit of 6,143 pixels; give --max-pixels"
    ):
        list(read_frames(path, [0], max_pixels=WIDTH * HEIGHT - 1))


def test_damage_in_the_middle_stops_with_words_or_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mkv", 60, gop=10)
    whole = path.read_bytes()
    told = 0
    for seed in range(12):
        data, rng = bytearray(whole), np.random.default_rng(seed)
        for place in rng.integers(len(data) // 3, len(data), 40):
            data[place] ^= 0xFF
        path.write_bytes(bytes(data))
        seen = []
        try:
            for frame in read_frames(path, range(0, probe(path).frames, 5)):
                seen.append(frame.number)
        except BadVideo:
            told += 1
        assert seen == sorted(seen)
    assert told > 0
