"""Codecs lose detail, and nothing of colours, range or place."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as Pillow
from skimage.color import rgb2ycbcr, ycbcr2rgb
from skimage.data import astronaut
from skimage.transform import downscale_local_mean

from faceblend.face import Image
from faceblend.ops import codecs, degrade

VIDEO: dict[str, Callable[..., Image]] = {"h264": codecs.h264, "h265": codecs.h265}
BEST: dict[str, Callable[[Image], Image]] = {
    "jpeg": lambda image: degrade.jpeg(image, quality=100),
    "webp": lambda image: codecs.webp(image, quality=100),
    "h264": lambda image: codecs.h264(image, crf=4),
    "h265": lambda image: codecs.h265(image, crf=4),
}
PATCHES = {
    "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "skin": (214, 160, 132),
}  # fmt: skip


@pytest.fixture(scope="module")
def picture() -> Image:
    """A photograph with odd sides, and colours of every kind."""
    return np.ascontiguousarray(astronaut()[:181, 100:303])


def of_pillow(image: Image, kind: str, **options: Any) -> np.ndarray:
    buffer = BytesIO()
    Pillow.fromarray(image).save(buffer, kind, **options)
    return np.asarray(Pillow.open(buffer).convert("RGB")).astype(int)


def of_container(image: Image, encoder: str, crf: int) -> np.ndarray:
    """scikit-image's BT.601, a video file of one frame, Pillow's way to larger chroma."""
    height, width = image.shape[:2]
    even = np.pad(image, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    planes = rgb2ycbcr(even)
    small = downscale_local_mean(planes, (2, 2, 1))
    parts = [planes[..., 0], small[..., 1], small[..., 2]]
    packed = np.concatenate([np.rint(part).ravel() for part in parts]).astype(np.uint8)
    file = BytesIO()
    with av.open(file, "w", format="matroska") as video:
        quiet = {"x265-params": "log-level=none:pools=none"} if encoder == "libx265" else {}
        stream: Any = video.add_stream(encoder, rate=25, options={"crf": str(crf), **quiet})
        stream.height, stream.width, stream.pix_fmt = *even.shape[:2], "yuv420p"
        stream.codec_context.thread_count = 1  # of more, each codes a slice of its own
        frame = av.VideoFrame.from_ndarray(packed.reshape(-1, even.shape[1]), format="yuv420p")
        video.mux([*stream.encode(frame), *stream.encode(None)])
    with av.open(BytesIO(file.getvalue())) as video:
        (seen,) = video.decode(video=0)
        read = seen.to_ndarray(format="yuv420p")
    tall, wide = even.shape[:2]
    chroma = read[tall:].reshape(2, tall // 2, wide // 2).astype(np.float32)
    way = Pillow.Resampling.BILINEAR
    grown = [np.asarray(Pillow.fromarray(one).resize((wide, tall), way)) for one in chroma]
    rgb = 255 * ycbcr2rgb(np.dstack([read[:tall].astype(float), *grown]))
    return np.rint(np.clip(rgb, 0, 255))[:height, :width]


@pytest.mark.parametrize("name", sorted(PATCHES))
@pytest.mark.parametrize("codec", sorted(BEST))
def test_a_pure_patch_keeps_its_colour(name: str, codec: str) -> None:
    patch = np.full((48, 64, 3), PATCHES[name], np.uint8)
    assert np.abs(BEST[codec](patch).astype(int) - patch).max() <= 2


@pytest.mark.parametrize("codec", sorted(BEST))
def test_a_grey_ramp_stays_grey_and_keeps_its_range(codec: str) -> None:
    """Full range taken for limited would be off by 16; a wrong way back by up to 20."""
    ramp = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (31, 1))[..., None], 3, axis=2)
    made = BEST[codec](ramp).astype(int)
    assert np.abs(made - ramp).max() <= 2
    assert np.abs(made.mean(axis=(0, 1)) - 127.5).max() < 0.25
    assert np.ptp(made, axis=2).max() <= 1


@pytest.mark.parametrize("codec", sorted(BEST))
@pytest.mark.parametrize("colour", [(250, 30, 30), (30, 30, 250)])
def test_colour_stays_where_it_was(codec: str, colour: tuple[int, int, int]) -> None:
    """Chroma of half the size, taken from every other pixel, would move by half a pixel."""
    y, x = np.indices((121, 133))
    bump = np.exp(-((y - 55.3) ** 2 + (x - 71.8) ** 2) / (2 * 12.0**2))[..., None]
    image = np.rint(110 + bump * (np.array(colour) - 110)).astype(np.uint8)

    def centre(seen: Image) -> np.ndarray:
        weight = np.abs(seen[..., 0].astype(float) - seen[..., 2])
        weight = np.clip(weight - 40, 0, None)
        return np.array([(weight * y).sum(), (weight * x).sum()]) / weight.sum()

    assert np.abs(centre(BEST[codec](image)) - centre(image)).max() < 0.06


@pytest.mark.parametrize("quality", [50, 85])
def test_webp_is_that_of_pillow_in_the_same_order_of_colours(quality: int, picture: Image) -> None:
    ours = codecs.webp(picture, quality=quality).astype(int)
    swapped = of_pillow(np.ascontiguousarray(picture[..., ::-1]), "WEBP", quality=quality)
    right = np.abs(ours - of_pillow(picture, "WEBP", quality=quality)).mean()
    assert right < 0.3 < np.abs(ours - swapped[..., ::-1]).mean()


@pytest.mark.parametrize("sampling", sorted(degrade.SAMPLING))
def test_jpeg_samples_chroma_as_pillow_does(sampling: str, picture: Image) -> None:
    ours = degrade.jpeg(picture, quality=70, sampling=sampling).astype(int)
    apart = {
        one: np.abs(ours - of_pillow(picture, "JPEG", quality=70, subsampling=one)).mean()
        for one in degrade.SAMPLING
    }
    assert apart.pop(sampling) < 0.1
    assert min(apart.values()) > 0.3


@pytest.mark.parametrize(("name", "encoder"), [("h264", "libx264"), ("h265", "libx265")])
@pytest.mark.parametrize("crf", [10, 30])
def test_a_frame_is_that_of_a_video_file(
    name: str, encoder: str, crf: int, picture: Image
) -> None:
    apart = np.abs(VIDEO[name](picture, crf=crf) - of_container(picture, encoder, crf))
    # a value beside .5 may round the other way before it is coded, or after
    assert apart.mean() < 0.02


@pytest.mark.parametrize("name", ["webp", *VIDEO])
def test_less_quality_loses_more_and_keeps_the_mean(name: str, picture: Image) -> None:
    steps = [{"quality": q} for q in (95, 70, 40, 10)]
    if name in VIDEO:
        steps = [{"crf": crf} for crf in (0, 15, 30, 45)]
    made = [getattr(codecs, name)(picture, **step).astype(int) for step in steps]
    losses = [np.abs(one - picture).mean() for one in made]
    assert losses == sorted(losses)
    assert losses[0] < 2 * losses[0] < losses[-1]
    assert np.abs((made[1] - picture).mean(axis=(0, 1))).max() < 1


def test_encoders_say_nothing(picture: Image, capfd: pytest.CaptureFixture[str]) -> None:
    for codec in VIDEO.values():
        codec(picture, crf=30)
    assert capfd.readouterr() == ("", "")


def test_another_process_makes_the_same_pixels_and_loads_ffmpeg_only_then() -> None:
    image = np.arange(70 * 90 * 3).reshape(70, 90, 3).astype(np.uint8)
    code = (
        "import sys, hashlib, numpy as np\n"
        "from faceblend.ops import codecs\n"
        "assert 'av' not in sys.modules\n"
        "image = np.arange(70 * 90 * 3).reshape(70, 90, 3).astype(np.uint8)\n"
        "made = codecs.h264(image, crf=25).tobytes() + codecs.h265(image, crf=25).tobytes()\n"
        "print(hashlib.sha256(made).hexdigest())\n"
    )
    ours = codecs.h264(image, crf=25).tobytes() + codecs.h265(image, crf=25).tobytes()
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == hashlib.sha256(ours).hexdigest()
    assert told.stderr == ""
