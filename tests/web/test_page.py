"""The page in a real, headless Chromium: all that a visitor can do with it."""

import base64
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
import torch
from PIL import Image

from hdrnet_bench.web.page import render
from hdrnet_bench.web.samples import samples
from tests.web.browser import (
    Driver,
    canvas_size,
    choose,
    complaints,
    download,
    open_page,
    pixels,
    press,
    read,
    requested,
    said,
    text,
    until,
    wait,
)
from tests.web.models import random_model

pytestmark = pytest.mark.browser

pytest.importorskip("selenium.webdriver", reason="selenium is missing: make setup")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

PICTURES = Path(skimage.__file__).parent / "data"
SMALL = {"net_input_size": 32, "spatial_bin": 4, "luma_bins": 4}
HOSTILE = "<img src=x onerror=document.title='run'>"
ABOUT = {
    "title": f"HDRNet: {HOSTILE}",
    "summary": f"What the recipe learns, and {HOSTILE}.",
    "rows": [("recipe", "tiny"), ("data", HOSTILE)],
    "scores": [
        ("demo-tiny", "test", 4, "30.1 [29.0, 31.2]", "20.2 [19.1, 21.3]"),
        (HOSTILE, "test", 4, "30.1 [29.0, 31.2]", None),
    ],
    "note": "A note.",
}


def make_page(folder: Path, name: str, pictures: list, **settings: Any) -> Path:
    path = folder / name
    path.write_text(render(random_model(**(SMALL | settings)), ABOUT, pictures))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    return make_page(folder, "page.html", samples())


@pytest.fixture(scope="module")
def bare(folder: Path) -> Path:
    return make_page(folder, "bare.html", [])


@pytest.fixture
def page(driver: Driver, bare: Path) -> Iterator[Driver]:
    """Opened without samples, and without a fault at the end."""
    open_page(driver, bare)
    yield driver
    assert complaints(driver) == []
    assert requested(driver) == {bare.as_uri()}
    assert driver.title == ABOUT["title"], "no text was run"


def picture(name: str, size: tuple[int, int] = (150, 100)) -> Image.Image:
    with Image.open(PICTURES / f"{name}.png") as opened:
        return Image.fromarray(np.asarray(opened.convert("RGB").resize(size)))


def saved(folder: Path, name: str, image: Image.Image, **options: Any) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def hand_over(driver: Driver, kind: str, files: dict[str, bytes]) -> None:
    """Drop or paste files, as a browser does, and do not wait."""
    script = """
      const [kind, files] = arguments;
      const transfer = new DataTransfer();
      for (const [name, content] of Object.entries(files)) {
        const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
        transfer.items.add(new File([bytes], name));
      }
      const options = { bubbles: true, cancelable: true };
      if (kind === "paste") {
        document.body.dispatchEvent(
          new ClipboardEvent("paste", { ...options, clipboardData: transfer }));
        return [];
      }
      return ["dragenter", "dragover", "drop"].map((name) => {
        const event = new DragEvent(name, { ...options, dataTransfer: transfer });
        document.querySelector(".about").dispatchEvent(event);
        const sheet = document.querySelector(".drop");
        return [event.defaultPrevented, getComputedStyle(sheet).display !== "none"];
      });
    """
    contents = {name: base64.b64encode(content).decode() for name, content in files.items()}
    done = driver.execute_script(script, kind, contents)
    assert kind == "paste" or done[1:] == [[True, True], [True, False]]


def png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def start_camera(driver: Driver) -> None:
    """With a small picture: no graphics processor is here that would enhance a large one."""
    script = """
      const devices = navigator.mediaDevices;
      const ask = devices.getUserMedia.bind(devices);
      devices.getUserMedia = ({ video }) => ask({ video: { ...video, width: 320, height: 240 } });
      document.getElementById("camera").click();
    """
    driver.execute_script(script)


def style(driver: Driver, id_: str, name: str) -> str:
    return driver.find_element("id", id_).value_of_css_property(name)


def set_range(driver: Driver, id_: str, value: int) -> None:
    script = """
      const range = document.getElementById(arguments[0]);
      range.value = arguments[1];
      range.dispatchEvent(new Event("input", { bubbles: true }));
    """
    driver.execute_script(script, id_, value)


def overflow(driver: Driver) -> int:
    root = "document.documentElement"
    return driver.execute_script(f"return {root}.scrollWidth - {root}.clientWidth")


def test_opens_with_the_first_sample_enhanced(driver: Driver, path: Path) -> None:
    open_page(driver, path)
    first, *others = driver.find_elements("css selector", ".sample")
    assert len(others) == 2
    name = first.get_attribute("data-name")
    assert text(driver, "name") == name
    assert first.get_attribute("aria-pressed") == "true"
    before, after = pixels(driver, "before"), pixels(driver, "after")
    assert before.shape == after.shape
    assert abs(before.astype(int) - after).mean() > 2
    assert "(WebGL2)" in text(driver, "times")
    press(driver, ".sample:not([aria-pressed=true])")
    assert text(driver, "name") not in ("", name)
    assert first.get_attribute("aria-pressed") == "false"
    credits = [one.text for one in driver.find_elements("css selector", ".samples small")]
    assert credits == [f"{one.credit}, {one.licence}" for one in samples()]
    assert complaints(driver) == []
    assert requested(driver) == {path.as_uri()}


def test_invites_where_it_has_no_sample(page: Driver) -> None:
    assert page.find_element("css selector", "#invitation button").text == "Choose a photo"
    assert not page.find_element("id", "frame").is_displayed()
    assert not page.find_element("id", "download").is_enabled()


def test_says_what_the_model_is_and_runs_none_of_it(page: Driver) -> None:
    about = page.find_element("css selector", ".about").text
    for said_of_it in (
        ABOUT["summary"],
        ABOUT["note"],
        "demo-tiny",
        "20.2 [19.1, 21.3]",
        "not measured",
    ):
        assert said_of_it in about
    assert page.find_element("tag name", "h1").text == ABOUT["title"]
    assert page.find_elements("css selector", "img[src=x]") == []
    assert "nothing leaves your device" in page.find_element("tag name", "header").text


def test_a_file_is_chosen_enhanced_and_saved(page: Driver, tmp_path: Path) -> None:
    source = saved(tmp_path, "cup.of.coffee.png", picture("coffee"))
    choose(page, source)
    assert text(page, "size") == "150 × 100 pixels"
    result = download(page)
    assert result.name == "cup.of.coffee-enhanced.png"
    assert np.array_equal(read(result), pixels(page, "after")[:, :, : read(result).shape[2]])
    assert np.array_equal(read(source), pixels(page, "before")[:, :, :3])
    assert download(page, "jpeg").name == "cup.of.coffee-enhanced.jpg"


def test_of_files_dropped_the_first_is_taken(page: Driver) -> None:
    files = {"one.png": png(picture("coffee")), "two.png": png(picture("chelsea"))}
    hand_over(page, "drop", files)
    wait(page)
    assert text(page, "name") == "one.png"
    assert said(page) == "Of 2 files the first was taken: one.png."
    hand_over(page, "drop", {})
    assert said(page).startswith("That holds no picture file.")


def test_a_picture_is_pasted_and_its_name_is_text(page: Driver) -> None:
    hand_over(page, "paste", {f"{HOSTILE}.png": png(picture("chelsea", (40, 60)))})
    wait(page)
    assert text(page, "name") == f"{HOSTILE}.png"
    assert page.find_elements("css selector", "img[src=x]") == []


def test_a_photo_lying_on_its_side_is_put_upright(page: Driver, tmp_path: Path) -> None:
    upright = Image.new("RGB", (96, 160), "navy")
    upright.paste("yellow", (0, 0, 96, 40))
    exif = Image.Exif()
    exif[274] = 6  # to be turned to the right
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    choose(page, saved(tmp_path, "phone.jpg", lying, exif=exif, quality=95))
    assert text(page, "size") == "96 × 160 pixels"
    result = download(page)
    assert result.name == "phone-enhanced.jpg"
    with Image.open(result) as opened:
        assert opened.format == "JPEG"
        assert dict(opened.getexif()) == {}
    assert read(result).shape == (160, 96, 3)
    before = pixels(page, "before")[:, :, :3].astype(int)
    assert abs(before - np.asarray(upright)).mean() < 8
    assert abs(read(result).astype(int) - pixels(page, "after")[:, :, :3]).mean() < 8
    assert "metadata" in text(page, "notes")


def test_transparency_is_kept(page: Driver, tmp_path: Path) -> None:
    image = picture("chelsea")
    alpha = np.tile(np.linspace(0, 255, 150).astype(np.uint8), (100, 1))
    image.putalpha(Image.fromarray(alpha))
    choose(page, saved(tmp_path, "cut-out.png", image))
    assert "PNG keeps that" in text(page, "notes")
    assert not page.find_element("css selector", "[value='image/jpeg']").is_enabled()
    assert (pixels(page, "before")[:, :, 3] == 255).all(), "it lies on a ground that can be seen"
    result = read(download(page))
    assert np.array_equal(result[:, :, 3], alpha)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("words.jpg", "words.jpg: this browser cannot open it as a picture."),
        ("none.png", "none.png: the file is empty."),
        ("cut.png", "cut.png: this browser cannot open it as a picture."),
        ("phone.heic", "phone.heic: this browser cannot open it as a picture."),
    ],
)
def test_what_cannot_be_read_is_said(page: Driver, name: str, line: str) -> None:
    contents = {
        "words.jpg": b"only words",
        "none.png": b"",
        "cut.png": png(picture("coffee"))[:60],
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    }
    hand_over(page, "paste", {"good.png": png(picture("coffee"))})
    wait(page)
    hand_over(page, "drop", {name: contents[name]})
    wait(page)
    assert said(page).startswith(line)
    assert ("`hdrbench enhance` also reads HEIC" in said(page)) == (name != "none.png")
    assert page.find_element("id", "status").get_attribute("role") == "status"
    assert text(page, "name") == "good.png", "the picture before stays"
    assert page.find_element("id", "download").is_enabled()


def test_what_is_lost_of_a_file_is_said(page: Driver, tmp_path: Path) -> None:
    deep = Image.fromarray(np.arange(6000, dtype=np.uint16).reshape(60, 100) * 10)
    choose(page, saved(tmp_path, "deep.png", deep))
    assert "16 bits a channel" in text(page, "notes")
    frames = {"save_all": True, "append_images": [picture("coffee")]}
    choose(page, saved(tmp_path, "moving.gif", picture("chelsea"), **frames))
    assert "the first frame was taken" in text(page, "notes")
    choose(page, saved(tmp_path, "moving.webp", picture("chelsea"), **frames))
    assert "the first frame was taken" in text(page, "notes")
    choose(page, PICTURES / "chelsea.png")
    assert "converted to sRGB" in text(page, "notes")
    assert "metadata (EXIF or the like) is not written" in text(page, "notes")
    choose(page, saved(tmp_path, "plain.png", picture("chelsea")))
    assert text(page, "notes") == ""


def test_the_divider_moves_by_key_and_by_mouse(page: Driver, tmp_path: Path) -> None:
    choose(page, saved(tmp_path, "a.png", picture("coffee", (600, 400))))
    divider = page.find_element("id", "divider")
    assert style(page, "after", "clip-path") == "inset(0px 0px 0px 50%)"
    for _ in range(3):
        divider.send_keys(Keys.ARROW_RIGHT)
    assert style(page, "after", "clip-path") == "inset(0px 0px 0px 53%)"
    assert divider.get_attribute("aria-valuetext") == "53 % before, the rest after"
    divider.send_keys(Keys.HOME)
    assert style(page, "after", "clip-path") == "inset(0px 0px 0px 0%)"
    frame = page.find_element("id", "frame")
    quarter = round(frame.size["width"] / 4)
    actions = ActionChains(page)
    actions.move_to_element_with_offset(frame, -quarter, 0).click_and_hold()
    actions.move_by_offset(2 * quarter, 5).release().perform()
    assert float(divider.get_attribute("value")) == pytest.approx(75, abs=1)
    handle = page.find_element("css selector", ".handle")
    assert handle.location["x"] == pytest.approx(frame.location["x"] + 3 * quarter, abs=4)


def test_the_divider_follows_a_finger(driver: Driver, bare: Path) -> None:
    open_page(driver, bare, 390, 844)
    hand_over(driver, "paste", {"a.png": png(picture("coffee", (600, 400)))})
    wait(driver)
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        script = "return document.getElementById('frame').getBoundingClientRect().toJSON()"
        box = driver.execute_script(script)
        for kind, share in (("Start", 0.5), ("Move", 0.6), ("Move", 0.8), ("End", None)):
            x = box["x"] + box["width"] * (share or 0)
            points = [{"x": x, "y": box["y"] + 40}] if share else []
            event = {"type": f"touch{kind}", "touchPoints": points}
            driver.execute_cdp_cmd("Input.dispatchTouchEvent", event)
        value = driver.find_element("id", "divider").get_attribute("value")
        assert float(value) == pytest.approx(80, abs=1)
    finally:
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_strength_mixes_on_the_screen_and_in_the_file(page: Driver, tmp_path: Path) -> None:
    source = saved(tmp_path, "a.png", picture("astronaut"))
    choose(page, source)
    full = read(download(page))[:, :, :3].astype(float)
    drawn = pixels(page, "after")
    until(page, "after.getAnimations().length === 0")  # it has faded in
    set_range(page, "strength", 40)
    assert style(page, "after", "opacity") == "0.4"
    assert text(page, "strength-text") == "40 %"
    assert np.array_equal(pixels(page, "after"), drawn), "nothing was computed anew"
    before = read(source).astype(float)
    mixed = read(download(page))[:, :, :3]
    assert abs(full - before).mean() > 2
    assert abs(mixed - (before + 0.4 * (full - before))).max() <= 1


def test_the_guide_is_a_grey_picture(page: Driver, tmp_path: Path) -> None:
    choose(page, saved(tmp_path, "a.png", picture("astronaut")))
    result = pixels(page, "after")
    press(page, "[value=guide]")
    guide = pixels(page, "after")
    assert guide.shape == result.shape
    assert (guide[:, :, 0] == guide[:, :, 1]).all()
    assert (guide[:, :, 0] == guide[:, :, 2]).all()
    assert guide[:, :, 0].std() > 1
    assert page.find_element("id", "guide-note").is_displayed()
    press(page, "[value=result]")
    assert np.array_equal(pixels(page, "after"), result)


@pytest.mark.parametrize("variant", ["curves", "pyramid"])
def test_the_grid_shows_what_its_cells_make_of_grey(
    driver: Driver, folder: Path, bare: Path, tmp_path: Path, variant: str
) -> None:
    other = bare if variant == "curves" else make_page(folder, "o.html", [], variant=variant)
    open_page(driver, other)
    choose(driver, saved(tmp_path, "a.png", picture("astronaut", (32, 32))))
    press(driver, "[value=grid]")
    assert not driver.find_element("id", "frame").is_displayed()
    tiles = driver.find_elements("css selector", "#tiles canvas")
    captions = [one.text for one in driver.find_elements("css selector", "#tiles figcaption")]
    assert captions[0] == "Level 1: grey of 13 %"
    assert len(captions) == 4
    assert tiles[0].value_of_css_property("image-rendering") == "pixelated"
    model = random_model(**SMALL, variant=variant)
    lowres = torch.from_numpy(np.asarray(picture("astronaut", (32, 32))) / 255.0)
    with torch.no_grad():
        grid = model.coefficients(lowres.float().permute(2, 0, 1)[None])[0]
    for z, tile in enumerate(tiles):
        driver.execute_script("arguments[0].id = 'tile'", tile)
        # Of the matrices' rows, those of the finest level stand last.
        expected = grid[-12:].reshape(3, 4, 4, 4, 4)[:, :, z]
        colours = expected[:, :3].sum(1) * (z + 0.5) / 4 + expected[:, 3]
        wanted = (colours.clamp(0, 1) * 255).permute(1, 2, 0).numpy()
        assert abs(pixels(driver, "tile")[:, :, :3] - wanted).max() < 2
        driver.execute_script("arguments[0].id = ''", tile)


def test_at_100_percent_every_pixel_is_the_pictures_own(page: Driver, tmp_path: Path) -> None:
    low = {"width": 1400, "height": 500, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", low)
    noise = np.random.default_rng(0).integers(0, 256, (400, 2040, 3), dtype=np.uint8)
    choose(page, saved(tmp_path, "large.png", Image.fromarray(noise)))
    assert canvas_size(page, "before") == (392, 2000), "a copy that fits the screen"
    press(page, "[value=full]")
    result = read(download(page))

    def shown() -> tuple[int, int]:
        script = "const s = document.getElementById('scroller'); return [s.scrollLeft, s.scrollTop]"
        x, y = (round(place) for place in page.execute_script(script))
        before, after = pixels(page, "before"), pixels(page, "after")
        height, width = before.shape[:2]
        assert width > 500
        assert np.array_equal(before[:, :, :3], noise[y : y + height, x : x + width])
        assert np.array_equal(after[:, :, :3], result[y : y + height, x : x + width, :3])
        return x, y

    at = shown()
    assert at[0] == pytest.approx(
        (2040 - page.find_element("id", "frame").size["width"]) / 2, abs=1
    )
    frame = page.find_element("id", "frame")
    aside = -frame.size["width"] // 4
    actions = ActionChains(page).move_to_element_with_offset(frame, aside, 0)
    actions.click_and_hold().move_by_offset(-60, -30).release().perform()
    page.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")
    moved = shown()
    assert moved[0] == pytest.approx(at[0] + 60, abs=2)
    assert moved[1] > at[1]
    page.find_element("id", "scroller").send_keys(Keys.ARROW_LEFT)
    page.execute_async_script("setTimeout(arguments[0], 300)")
    assert shown()[0] < moved[0]
    press(page, "[value=fit]")
    assert canvas_size(page, "before") == (392, 2000)


def test_a_newer_picture_supersedes_an_older_one(page: Driver) -> None:
    large = Image.fromarray(np.zeros((2000, 3000, 3), np.uint8))
    hand_over(page, "paste", {"large.png": png(large)})
    hand_over(page, "paste", {"small.png": png(picture("chelsea"))})
    wait(page)
    page.execute_async_script("setTimeout(arguments[0], 500)")
    wait(page)
    assert text(page, "name") == "small.png"
    assert pixels(page, "after").shape == (100, 150, 4)
    assert read(download(page)).shape[:2] == (100, 150)


def test_a_large_picture_shows_how_far_it_is(page: Driver, tmp_path: Path) -> None:
    script = """
      window.seen = [];
      const progress = document.getElementById("progress");
      new MutationObserver(() => seen.push([busy.textContent, progress.value])).observe(
        progress, { attributes: true });
    """
    page.execute_script(script)
    choose(page, saved(tmp_path, "large.jpg", Image.new("RGB", (3000, 2000))))
    reading = [share for said, share in page.execute_script("return seen") if "Reading" in said]
    assert any(0 < share < 1 for share in reading), reading
    assert "at 2000 × 1333 pixels" in text(page, "times")


def test_what_the_browser_cannot_encode_is_said(page: Driver, tmp_path: Path) -> None:
    choose(page, saved(tmp_path, "line.png", Image.new("RGB", (1, 70_000), "navy")))
    assert "at 1 × 2000 pixels" in text(page, "times")
    press(page, "#download")
    until(page, "!document.getElementById('download').disabled")
    assert said(page).startswith("This browser cannot encode 1 × 70000 pixels.")


def test_the_camera_is_live_and_takes_a_picture(page: Driver) -> None:
    start_camera(page)
    until(page, "/^[1-9]\\d* frames a second, network \\d/.test(times.textContent)")
    assert style(page, "live", "display") == "block"
    assert page.find_element("id", "video").is_displayed()
    set_range(page, "divider", 20)
    set_range(page, "strength", 50)
    assert style(page, "live", "clip-path") == "inset(0px 0px 0px 20%)"
    assert style(page, "live", "opacity") == "0.5"
    assert not page.find_element("css selector", "[value=guide]").is_enabled()
    page.execute_script("window.track = document.getElementById('video').srcObject.getTracks()[0]")
    press(page, "#shutter")
    until(page, "document.getElementById('name').textContent === 'photo'")
    wait(page)
    assert page.execute_script("return window.track.readyState") == "ended"
    assert not page.find_element("id", "video").is_displayed()
    size = canvas_size(page, "after")
    result = download(page)
    assert result.name == "photo-enhanced.jpg"
    assert read(result).shape[:2] == size


def test_of_two_cameras_the_other_is_taken(page: Driver) -> None:
    start_camera(page)
    camera = "document.getElementById('video').srcObject?.getTracks()[0].getSettings().deviceId"
    until(page, "times.textContent.includes('frames a second')")
    first = page.execute_script(f"return {camera}")
    until(page, "!document.getElementById('switch-camera').hidden")
    page.execute_script("document.getElementById('switch-camera').click()")
    until(page, f"{camera} && {camera} !== arguments[0]", first)
    until(page, "times.textContent.includes('frames a second')")
    press(page, "#leave-camera")


def test_the_camera_stops_when_the_page_is_hidden(page: Driver) -> None:
    hand_over(page, "paste", {"a.png": png(picture("coffee"))})
    wait(page)
    start_camera(page)
    until(page, "times.textContent.includes('frames a second')")
    script = """
      window.track = document.getElementById("video").srcObject.getTracks()[0];
      Object.defineProperty(document, "hidden", { value: true, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
      delete document.hidden;
      return window.track.readyState;
    """
    assert page.execute_script(script) == "ended"
    assert said(page) == "The camera was stopped: the page was hidden."
    wait(page)
    assert text(page, "name") == "a.png", "back to the picture before"
    assert page.find_element("id", "after").is_displayed()


@pytest.mark.parametrize(
    ("fault", "line"),
    [("NotAllowedError", "The camera was refused."), ("NotFoundError", "No camera was found.")],
)
def test_no_camera_is_one_clear_line(page: Driver, fault: str, line: str) -> None:
    script = """
      const name = arguments[0];
      navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", name); };
    """
    page.execute_script(script, fault)
    press(page, "#camera")
    assert said(page).startswith(line)
    assert page.find_element("id", "invitation").is_displayed()


def test_javascript_goes_on_where_webgl_is_lost(page: Driver, tmp_path: Path) -> None:
    source = saved(tmp_path, "a.png", picture("coffee"))
    choose(page, source)
    by_shader = pixels(page, "after").astype(int)
    start_camera(page)
    until(page, "times.textContent.includes('(WebGL2)')")
    lose = "live.getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()"
    page.execute_script(lose)
    until(page, "/^[1-9].*\\(JavaScript\\)/.test(times.textContent)")
    assert said(page).startswith("JavaScript goes on, more slowly")
    until(page, "!after.hidden")
    assert not page.find_element("id", "live").is_displayed()
    press(page, "#leave-camera")
    choose(page, source)
    assert "(JavaScript)" in text(page, "times")
    assert abs(pixels(page, "after") - by_shader).max() <= 1
    assert read(download(page)).shape[:2] == (100, 150)


def test_everything_can_be_reached_by_key(driver: Driver, path: Path) -> None:
    open_page(driver, path)
    reached = []
    for _ in range(14):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        focused = driver.switch_to.active_element
        reached.append(focused.get_attribute("id") or focused.get_attribute("name"))
        outline = "return getComputedStyle(arguments[0]).outlineStyle"
        if reached[-1] == "camera":
            assert driver.execute_script(outline, focused) == "solid"
    for name in ("divider", "camera", "view", "zoom", "strength", "format", "download"):
        assert name in reached
    assert "scroller" not in reached, "what does not scroll is no stop on the way"


def test_motion_is_left_out_where_it_is_not_wanted(driver: Driver, bare: Path) -> None:
    script = """
      let animated = 0;
      const animate = Element.prototype.animate;
      Element.prototype.animate = function (...all) {
        animated += 1;
        return animate.apply(this, all);
      };
      window.animated = () => animated;
    """
    for value, count in (("no-preference", 1), ("reduce", 0)):
        open_page(driver, bare)
        features = [{"name": "prefers-reduced-motion", "value": value}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.execute_script(script)
        hand_over(driver, "paste", {"a.png": png(picture("coffee"))})
        wait(driver)
        assert driver.execute_script("return window.animated()") == count


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1400, "light")])
def test_axe_finds_nothing_and_nothing_sticks_out(
    driver: Driver, path: Path, width: int, scheme: str
) -> None:
    axe = Path(sys.prefix) / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    if not axe.is_file():
        pytest.skip("axe-core is missing: make setup, with npm in PATH")
    open_page(driver, path, width, scheme=scheme)
    hand_over(driver, "drop", {f"{'long' * 30}.jpg": b"words"})
    wait(driver)
    driver.execute_script(axe.read_text())
    driver.set_script_timeout(120)
    run = "axe.run({ resultTypes: ['violations'] }).then(arguments[0])"
    for view in ("full", "guide", "grid"):
        press(driver, f"[value={view}]")
        driver.execute_async_script("setTimeout(arguments[0], 400)")  # what fades in is there
        assert overflow(driver) == 0, view
        found = driver.execute_async_script(run)["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == [], view
