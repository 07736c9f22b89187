"""Draws every figure of README.md and docs/: ``make figures``.

The people are the demo's: Eileen Collins (NASA) and Grace Hopper (US Navy), both in the
public domain.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from faceblend import BlendSet, FaceBank, atomic, load_recipe
from faceblend.audit.page import page
from faceblend.audit.report import contact_sheet, overlay
from faceblend.clips import clip
from faceblend.clips.preview import strip
from faceblend.demo import photographs
from faceblend.draw import FakeDraw, MaskDraw, Operation, StagesDraw, noise
from faceblend.face import Face, Image, Mask
from faceblend.generate import generate
from faceblend.ingest.extract import extract
from faceblend.ops import NAMED, Seed, Span, degrade
from faceblend.ops.geometry import Layers
from faceblend.ops.xray import xray
from faceblend.sample import Blend, compose, sample

OUT = Path(__file__).parent / "figures"
PANEL = 200  # px
CLIP_PANEL = 120  # px
QUALITY = 88

PLAIN = FakeDraw(
    foreground=0,
    align="similarity",
    move=None,
    mask=MaskDraw(
        kind="hull",
        options={},
        offsets=None,
        warp=None,
        erode=1,
        dilate=1,
        soften="feather",
        width=0.15,
        stages=None,
        of_hull=False,
    ),
    color=Operation(name="lab", options={}),
    blend=Operation(name="alpha", options={}),
    opacity=1.0,
    min_area=0.0,
)
"""What every figure but its own subject keeps fixed."""


def main() -> None:
    """Make the demo's bank and set in a temporary folder, and draw from them."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        photographs(root / "photographs")
        bank = extract(root / "photographs", root / "bank").bank
        generate(bank, load_recipe("bi"), root / "set", count=60)
        with BlendSet(root / "set") as made:
            samples = list(made)
        fakes, reals = ([one for one in samples if one.label == label] for label in (1, 0))
        save("contact-sheet", contact_sheet([*fakes[:10], *reals[:2]]))
        for family in ("bi", "sbi", "i2g"):
            save(f"family-{family}", family_of(family, bank))
        save("clip", filmed(bank))
        first = {name: index for index, name in reversed(list(enumerate(names(bank))))}
        draw_all(bank[first["collins"]], bank[first["hopper"]])
        save_report(page(root / "set", bank=bank))


def save_report(file: Path) -> None:
    """The page as a browser shows it; where there is none, the figure that is there stays."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if browser is None or find_spec("playwright") is None:
        print("report.jpg stays as it is: playwright or Chromium is missing")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        opened = player.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        shown = opened.new_page(viewport={"width": 1200, "height": 860}, color_scheme="light")
        shown.goto(file.as_uri())
        shown.locator("input[value=overlay]").check(force=True)
        taken = np.frombuffer(shown.screenshot(), np.uint8)
        opened.close()
    save("report", cv2.cvtColor(cv2.imdecode(taken, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def filmed(bank: FaceBank) -> Image:
    """A clip's frames, their X-rays, and both."""
    recipe = load_recipe("bi", {"fake_share": 1.0, "resample.probability": 0})
    return strip(clip(bank, recipe, 0, 1, frames=8), panel=CLIP_PANEL)


def names(bank: FaceBank) -> list[str]:
    return [str(name) for name in bank.table["video"].to_pylist()]


def draw_all(background: Face, foreground: Face) -> None:
    background = replace(background, segment=ellipse(background))
    for kind, op in NAMED["mask"].items():
        if not op.options:
            fake = replace(PLAIN, mask=replace(PLAIN.mask, kind=kind))
            save(f"mask-{kind}", steps(blend(background, foreground, fake)))
    for name, drawn in shapes().items():
        made = [blend(background, foreground, replace(PLAIN, mask=one)) for one in drawn]
        save(name, row([overlay(one.image, xray(one.alpha)) for one in made]))
    draw_painted(background, foreground)
    save("deform", row(bent(background, foreground)))
    save("soften", row(softened(background, foreground)))
    save("degrade", row(degraded(background.image)))
    for name, pictures in degrade_steps(background.image).items():
        save(f"degrade-{name}", row(pictures))


def draw_painted(background: Face, foreground: Face) -> None:
    """Background, foreground, blend: by every colour transfer, then in every way to blend."""
    for color in NAMED["color"]:
        made = blend(background, foreground, replace(PLAIN, color=usual("color", color)))
        save(f"color-{color}", row([background.image, foreground.image, made.image]))
    for way in NAMED["blend"]:
        # the colours as they are: what happens to them is the way's own doing
        fake = replace(PLAIN, color=usual("color", "none"), blend=usual("blend", way))
        made = blend(background, foreground, fake)
        save(f"blend-{way}", row([background.image, foreground.image, made.image]))


def usual(kind: str, name: str) -> Operation:
    """An operation with the middle of each of its ranges."""
    middles: dict[str, Any] = {}
    for option, may in NAMED[kind][name].options.items():
        if isinstance(may, Span):
            middle = (may.low + may.high) / 2
            middles[option] = int(middle) if may.whole else middle
        else:
            middles[option] = 0 if isinstance(may, Seed) else may.words[0]
    return Operation(name=name, options=middles)


def family_of(name: str, bank: FaceBank) -> Image:
    """Some blends of a preset, their X-rays over them below."""
    recipe = replace(load_recipe(name), fake_share=1.0)
    made = [sample(bank, recipe, 0, index) for index in range(6)]
    painted = [overlay(one.image, one.xray) for one in made]
    return np.concatenate([row([one.image for one in made]), row(painted)])


def blend(background: Face, foreground: Face, fake: FakeDraw) -> Blend:
    layers = Layers(
        image=background.image,
        alpha=None,
        landmarks=background.landmarks,
        segment=background.segment,
    )
    return compose(layers, foreground, fake)


def ellipse(face: Face) -> Mask:
    """What a user's segmentation may say: the ellipse around brows, chin and some forehead."""
    left, top = face.landmarks.min(axis=0)
    right, bottom = face.landmarks.max(axis=0)
    top -= (bottom - top) / 4
    rows, columns = np.indices(face.image.shape[:2])
    across = (2 * columns - left - right) / (right - left)
    down = (2 * rows - top - bottom) / (bottom - top)
    return np.asarray(across**2 + down**2 <= 1)


def steps(made: Blend) -> Image:
    """Background, alpha, blend, X-ray over it."""
    alpha = np.rint(made.alpha * 255).astype(np.uint8)
    painted = overlay(made.image, xray(made.alpha))
    return row([made.background, np.dstack([alpha] * 3), made.image, painted])


def bent(background: Face, foreground: Face) -> list[Image]:
    """X-rays of one hull, its 4x4 points moved by more and more."""
    # the figure shows one draw of these numbers; the generator draws its own
    moves = np.sin(np.arange(1, 33, dtype=float) ** 2).reshape(4, 4, 2)
    pictures = []
    for strength in (0.0, 0.02, 0.04, 0.06):
        mask = replace(PLAIN.mask, offsets=(moves * strength).tolist())
        made = blend(background, foreground, replace(PLAIN, mask=mask))
        pictures.append(overlay(made.image, xray(made.alpha)))
    return pictures


def shapes() -> dict[str, list[MaskDraw]]:
    """Masks that are drawn, four of each, and one hull bent in each way, more and more."""
    told: dict[str, list[dict[str, Any]]] = {
        "regions": [{"parts": parts} for parts in (1 + 8, 4 + 16 + 32, 64 + 128, 255 - 4)],
        "grid": [
            {"rows": rows, "columns": columns, "rng": rng}
            for rows, columns, rng in ((2, 2, 3), (3, 3, 2), (4, 3, 5), (4, 4, 9))
        ],
        "mesh": [
            {"share": share, "rng": rng}
            for share, rng in ((0.2, 1), (0.33, 2), (0.47, 3), (0.6, 4))
        ],
    }
    bends: dict[str, list[dict[str, Any]]] = {
        "elastic": [
            {"alpha": alpha, "sigma": sigma, "rng": 1}
            for alpha, sigma in ((50.0, 4.0), (50.0, 7.0), (200.0, 7.0), (400.0, 12.0))
        ],
        "elastic-grid": [
            {"points": points, "sigma": sigma, "rng": 1}
            for points, sigma in ((6, 2.0), (6, 4.0), (6, 8.0), (12, 4.0))
        ],
        "thin-plate": [
            {"points": points, "sigma": sigma, "rng": 1}
            for points, sigma in ((3, 6.0), (4, 6.0), (5, 6.0), (4, 12.0))
        ],
        "similarity": [
            {"turn": turn, "scale": scale, "right": right, "down": 0.0}
            for turn, scale, right in (
                (5.0, 1.0, 0.0), (0.0, 0.95, 0.0), (0.0, 1.05, 0.0), (0.0, 1.0, 0.02),
            )
        ],
    }  # fmt: skip
    made = {
        f"mask-{kind}": [replace(PLAIN.mask, kind=kind, options=one) for one in each]
        for kind, each in told.items()
    }
    for name, each in bends.items():
        warps = [Operation(name=name, options=one) for one in each]
        made[f"warp-{name}"] = [replace(PLAIN.mask, warp=one) for one in warps]
    return made


def softened(background: Face, foreground: Face) -> list[Image]:
    """X-rays of one hull: feathered and blurred, a little and more, and in two stages."""
    ramps = (("feather", 0.05), ("feather", 0.25), ("blur", 0.005), ("blur", 0.03))
    masks = [replace(PLAIN.mask, soften=soften, width=width) for soften, width in ramps]
    for first, second in ((5, 25), (25, 15)):
        stages = StagesDraw(height=224, width=224, first=first, second=second, sigma=25)
        masks.append(replace(PLAIN.mask, soften="two-stage", width=None, stages=stages))
    made = [blend(background, foreground, replace(PLAIN, mask=mask)) for mask in masks]
    return [overlay(one.image, xray(one.alpha)) for one in made]


def degraded(image: Image) -> list[Image]:
    """As it is; by nearest and bilinear through 64 px; JPEG of quality 60."""
    resampled = [degrade.resample(image, 64, "nearest"), degrade.resample(image, 64, "bilinear")]
    return [image, *resampled, degrade.jpeg(image, 60)]


def degrade_steps(image: Image) -> dict[str, list[Image]]:
    """The steps that a recipe can name, kinds together: as it is, then each."""

    def near(picture: Image) -> Image:
        # an eye, every pixel as a square: what is lost would be lost by shrinking, too
        return cv2.resize(picture[100:200, 50:150], (200, 200), interpolation=cv2.INTER_NEAREST)

    def done(name: str, **options: Any) -> Image:
        return np.asarray(NAMED["degrade"][name](image, **options))

    colours = [
        image,
        done("rgb-shift", red=20.0, green=-20.0, blue=-20.0),
        done("hsv-shift", hue=0.3, saturation=0.1, value=0.0),
        done("brightness-contrast", brightness=-0.1, contrast=-0.1),
        done("gamma", exponent=0.7),
    ]
    sharpness = [
        image,
        done("sharpen", amount=0.5, sigma=2.0),
        done("blur", sigma=1.5),
        done("motion-blur", length=8.0, angle=30.0),
        done("median", width=5),
    ]
    sizes = [image] + [
        done("down-up", times=3.0, down=down, up=up)
        for down, up in (
            ("nearest", "nearest"), ("bilinear", "bilinear"), ("area", "bicubic"),
            ("lanczos", "lanczos"),
        )
    ]  # fmt: skip
    noises = [
        image,
        done("noise", sigma=8.0, rng=noise(0)),
        done("shot-noise", full=500.0, rng=noise(0)),
    ]
    codecs = [
        image,
        done("jpeg", quality=60, sampling="4:2:0"),
        done("webp", quality=60),
        done("h264", crf=32),
        done("h265", crf=36),
    ]
    return {
        "colours": colours,
        "sharpness": [near(one) for one in sharpness],
        "sizes": [near(one) for one in sizes],
        "noises": [near(one) for one in noises],
        "codecs": [near(one) for one in codecs],
    }


def row(pictures: Sequence[Image]) -> Image:
    small = [cv2.resize(p, (PANEL, PANEL), interpolation=cv2.INTER_AREA) for p in pictures]
    return np.concatenate(small, axis=1)


def save(name: str, picture: Image) -> None:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    atomic.write_bytes(OUT / f"{name}.jpg", data.tobytes())
    print(OUT / f"{name}.jpg")


if __name__ == "__main__":
    main()
