"""The page in a real browser: headless Chromium, driven by Playwright."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faceblend.audit.drawn import facts, read
from faceblend.audit.page import page
from faceblend.bank import FaceBank
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.store import BlendSet

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: [browser]")

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("FACEBLEND_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), "")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium (FACEBLEND_CHROMIUM)")

HOSTILE = "</script><img src=x onerror=alert(1)>"
PHONE, DESK = {"width": 375, "height": 812}, {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def made(bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "set"
    generate(bank, load_recipe("bi", {"name": HOSTILE}), folder, count=30)
    row = {"group": HOSTILE, "auc": 0.5, "low": 0.4, "high": 0.6, "verdict": "none found"}
    audit = {"leaks": False, "overall": row, "groups": [row], "reals": 1, "fakes": 1}
    audit |= {"left_out": {"real": 0}, "people": 2, "told_by": "video"}
    (folder / "audit.json").write_text(json.dumps(audit))
    return folder


@pytest.fixture(scope="module")
def drawn(made: Path) -> list[dict[str, Any]]:
    """What was drawn for each sample of the page, in its order."""
    with BlendSet(made) as opened:
        return [facts(read(record)) for record in opened.records()]


@pytest.fixture(scope="module")
def file(made: Path, bank: FaceBank) -> Path:
    return page(made, bank=bank)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # without a sandbox for root, as in containers
    with api.sync_playwright() as player:
        opened = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def shown(browser: Any, file: Path, **options: Any) -> Iterator[Any]:
    """The opened page; whatever it logs, raises or asks for fails the test."""
    context = browser.new_context(**{"viewport": DESK, **options})
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: (said.append("a dialog"), dialog.dismiss()))
    opened.on(
        "request",
        lambda request: said.append(request.url) if request.url.startswith("http") else None,
    )
    opened.on("requestfailed", lambda request: said.append(f"failed: {request.url[:60]}"))
    opened.goto(file.as_uri())
    opened.wait_for_load_state("load")
    yield opened
    context.close()
    assert said == []


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Any]:
    with shown(browser, file) as page_there:
        yield page_there


def left(opened: Any) -> list[int]:
    """Places of the samples that are shown."""
    script = "all => all.map((one, i) => one.hidden ? -1 : i).filter(i => i >= 0)"
    return list(opened.locator(".sample").evaluate_all(script))


def test_it_loads_without_a_word_or_a_request(opened: Any) -> None:
    assert opened.locator(".sample").count() == 30
    opened.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    script = "all => all.every(one => one.complete && one.naturalWidth === 256)"
    opened.locator(".sample img").last.scroll_into_view_if_needed()
    opened.wait_for_function(
        "[...document.querySelectorAll('.sample img')].every(one => (one.loading = 'eager', 1))"
    )
    opened.wait_for_function(f"({script})([...document.querySelectorAll('.sample img')])")
    assert opened.locator("img[src=x]").count() == 0
    assert HOSTILE in opened.locator("header").inner_text()


def test_a_stranger_script_is_not_run(browser: Any, file: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.html"
    text = file.read_text()
    changed.write_text(text.replace("</body>", "<script>document.title = 'taken'</script></body>"))
    context = browser.new_context()
    there = context.new_page()
    there.goto(changed.as_uri())
    assert "taken" not in there.title()
    context.close()


def test_each_view_changes_every_picture(opened: Any, drawn: list[dict[str, Any]]) -> None:
    fakes = [place for place, one in enumerate(drawn) if one["label"] == "fake"]
    reals = [place for place, one in enumerate(drawn) if one["label"] == "real"]
    sources = {}
    read_all = "all => all.map(one => one.hidden ? '' : one.src)"
    for view in ("image", "xray", "overlay", "background", "foreground"):
        opened.locator(f"input[value={view}]").check(force=True)
        sources[view] = opened.locator(".sample img").evaluate_all(read_all)
        word = "X-ray" if view == "xray" else view
        told = opened.locator(".sample img").first.get_attribute("alt")
        assert told is not None
        assert told.endswith(word)
    for place in fakes:
        assert len({one[place] for one in sources.values()}) == 5
        assert all(one[place].startswith("data:image/") for one in sources.values())
    for place in reals:
        same = {sources[view][place] for view in ("image", "overlay", "background")}
        assert len(same) == 1
        assert sources["foreground"][place] == ""
    empty = opened.locator(".sample .empty:visible")
    assert empty.count() == len(reals)
    opened.locator("input[value=image]").check(force=True)
    again = opened.locator(".sample img").evaluate_all(read_all)
    assert again == sources["image"]


def test_arrow_keys_change_the_view(opened: Any) -> None:
    opened.locator("input[value=image]").focus()
    opened.keyboard.press("ArrowRight")
    assert opened.locator("input[value=xray]").is_checked()
    source = opened.locator(".sample img").first.get_attribute("src")
    assert source is not None
    assert source.startswith("data:image/png")


def test_filters_leave_what_the_records_say(opened: Any, drawn: list[dict[str, Any]]) -> None:
    opened.locator("#filters summary").click()

    def places(fits: Any) -> list[int]:
        found = [place for place, one in enumerate(drawn) if fits(one)]
        assert 0 < len(found) < 30
        return found

    def control(field: str, part: str) -> Any:
        return opened.locator(f'.filter[data-field="{field}"] [data-part={part}]')

    control("fake.mask.kind", "word").select_option("=full")
    fits = places(lambda one: one.get("fake.mask.kind") == "full")
    assert left(opened) == fits
    assert opened.locator("#count").inner_text() == f"{len(fits)} of 30 shown"
    assert opened.locator("#active").inner_text() == "(1 set)"
    opened.locator("#clear").click()
    assert left(opened) == list(range(30))

    control("label", "word").select_option("=real")
    control("working_size", "low").fill("200")
    both = places(lambda one: one["label"] == "real" and one["working_size"] >= 200)
    assert left(opened) == both
    opened.locator("#clear").click()

    control("jpeg", "low").fill("70")
    control("jpeg", "high").fill("90")
    between = places(lambda one: one["jpeg"] != "none" and 70 <= one["jpeg"] <= 90)
    assert left(opened) == between
    opened.locator("#clear").click()

    control("jpeg", "word").select_option("=none")
    assert left(opened) == places(lambda one: one["jpeg"] == "none")
    control("jpeg", "word").select_option("=drawn")
    assert left(opened) == places(lambda one: one["jpeg"] != "none")
    control("jpeg", "low").fill("101")
    assert left(opened) == []
    assert opened.locator("#nothing").is_visible()


def test_every_field_that_varies_has_a_filter_and_a_histogram(
    opened: Any, drawn: list[dict[str, Any]]
) -> None:
    names = {name for one in drawn for name in one}
    varied = {name for name in names if len({str(one[name]) for one in drawn if name in one}) > 1}
    there = opened.locator(".filter").evaluate_all("all => all.map(one => one.dataset.field)")
    assert varied <= set(there)
    charts = opened.locator(".charts figure")
    titles = " ".join(charts.locator("figcaption").all_inner_texts())
    assert all(name in titles for name in ("fake.mask.width", "working_size", "jpeg"))
    for place in range(charts.count()):
        chart = charts.nth(place)
        assert chart.locator("svg rect").count() > 0
        box = chart.locator("svg").bounding_box()
        assert box["width"] > 200
        assert box["height"] > 20


def test_a_sample_opens_with_its_record_and_command(
    opened: Any, drawn: list[dict[str, Any]], made: Path, bank: FaceBank
) -> None:
    place = next(i for i, one in enumerate(drawn) if one["label"] == "fake")
    with BlendSet(made) as there:
        record = json.loads(there[place].record)
    button = opened.locator(".sample button").nth(place)
    button.click()
    panel = opened.locator("#panel")
    assert panel.locator("h2").inner_text() == f"Sample {record['index']}, fake"
    assert json.loads(panel.locator("#record").inner_text()) == record
    command = f"faceblend replay {made} {record['index']} --bank {bank.root}"
    assert panel.locator("#command").inner_text().startswith(command)
    told = panel.inner_text()
    assert record["background"] in told
    assert record["foreground"] in told
    assert panel.locator("img").count() == 5
    rows = panel.locator("#facts div").evaluate_all(
        "all => all.map(one => [...one.children].map(part => part.textContent))"
    )
    assert dict(rows)["fake.mask.width"] == f"{drawn[place]['fake.mask.width']:g}"
    opened.keyboard.press("Escape")
    assert not panel.is_visible()
    assert button.evaluate("one => one === document.activeElement")


def test_the_keyboard_alone_opens_steps_and_closes(opened: Any) -> None:
    button = opened.locator(".sample button").first
    for key in ("Enter", "Space"):
        button.focus()
        opened.keyboard.press(key)
        title = opened.locator("#panel-title")
        assert title.inner_text().startswith("Sample 0,")
        opened.keyboard.press("ArrowRight")
        assert title.inner_text().startswith("Sample 1,")
        opened.keyboard.press("ArrowLeft")
        opened.keyboard.press("ArrowLeft")
        assert title.inner_text().startswith("Sample 29,")
        opened.keyboard.press("ArrowRight")
        for _ in range(12):  # it stays inside, or at the browser's own controls
            opened.keyboard.press("Tab")
            inside = "document.activeElement === document.body || panel.contains("
            assert opened.evaluate(f"{inside}document.activeElement)")
        opened.keyboard.press("Escape")
        assert not opened.locator("#panel").is_visible()
        assert button.evaluate("one => one === document.activeElement")


def test_tab_reaches_everything_and_shows_where_it_is(opened: Any) -> None:
    opened.locator("#filters summary").click()
    opened.evaluate("window.scrollTo(0, 0); document.activeElement.blur()")
    wanted = opened.evaluate(
        "[...document.querySelectorAll('a, button, input, select, summary, [tabindex=\"0\"]')]"
        ".filter(one => !one.closest('dialog') && (one.type !== 'radio' || one.checked))"
        ".map((one, number) => one.dataset.number = number)"
    )
    reached, hidden = set[int](), list[str]()
    for _ in range(len(wanted) + 5):
        opened.keyboard.press("Tab")
        at = opened.evaluate(
            "(() => { const one = document.activeElement;"
            "const mark = one.type === 'radio' ? one.nextElementSibling : one;"
            "const style = getComputedStyle(mark);"
            "return [one.dataset.number, style.outlineStyle, style.outlineWidth, one.outerHTML"
            ".slice(0, 80)] })()"
        )
        if at[0] is not None:
            reached.add(int(at[0]))
            if at[1] == "none" or at[2] == "0px":
                hidden.append(at[3])
    assert reached == set(wanted)
    assert not hidden


def test_the_command_is_copied(browser: Any, file: Path) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    with shown(browser, file, permissions=allowed) as opened:
        opened.locator(".sample button").first.click()
        opened.locator("#panel [data-copy=command]").click()
        opened.wait_for_function("document.getElementById('said').textContent !== ''")
        assert opened.locator("#said").inner_text() == "Copied"
        kept = opened.evaluate("navigator.clipboard.readText()")
        assert kept == opened.locator("#command").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_is_wider_than_the_screen_and_text_is_readable(
    browser: Any, file: Path, viewport: dict[str, int], scheme: str
) -> None:
    with shown(browser, file, viewport=viewport, color_scheme=scheme) as opened:
        opened.locator("#filters summary").click()
        width = "document.documentElement.scrollWidth"
        assert opened.evaluate(width) == viewport["width"]
        assert opened.evaluate(CONTRAST) == []
        ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(18, 23, 29)" if scheme == "dark" else "rgb(255, 255, 255)")
        opened.locator(".sample button").first.click()
        box = opened.locator("#panel").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= viewport["width"]
        body = "one => one.scrollWidth <= one.clientWidth"
        assert opened.locator("#panel .body").evaluate(body)
        assert opened.evaluate(width) == viewport["width"]
        assert opened.evaluate(CONTRAST) == []
        small = "all => all.filter(one => one.getBoundingClientRect().height < 24).length"
        assert opened.locator("button:visible").evaluate_all(small) == 0


# WCAG 2.1, success criterion 1.4.3: text of normal size needs 4.5 to 1
CONTRAST = """
(() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((level) => {
    const share = level / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }).reduce((sum, share, place) => sum + share * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const color = parts(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const there = one.checkVisibility() && !one.matches("script, style, option, :disabled");
    if (!own || !there) continue;
    const style = getComputedStyle(one);
    const ink = light(parts(one.matches("svg *") ? style.fill : style.color));
    const ground = light(behind(one));
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    if (ratio < 4.5) faint.push([one.outerHTML.slice(0, 80), ratio]);
  }
  return faint;
})()
"""


def test_without_a_bank_there_are_three_views_and_nothing_is_wrong(
    browser: Any, made: Path, tmp_path: Path
) -> None:
    with shown(browser, page(made, tmp_path, count=2)) as opened:
        assert opened.locator("input[name=view]").count() == 3
        assert opened.get_by_text("Name it with").is_visible()
        opened.locator(".sample button").first.click()
        assert opened.locator("#panel img").count() == 3
        assert "--bank BANK" in opened.locator("#command").inner_text()
