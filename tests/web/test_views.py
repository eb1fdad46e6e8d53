"""What the page shows of a picture: divider, strength, guide, grid, 100 %."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.web.browser import (
    Driver,
    canvas_size,
    choose,
    download,
    hand_over,
    open_page,
    pixels,
    press,
    read,
    set_range,
    style,
    text,
    until,
    wait,
)
from tests.web.models import SMALL, exact, random_model
from tests.web.pages import make_page
from tests.web.pictures import picture, png, saved

pytestmark = pytest.mark.browser

pytest.importorskip("selenium.webdriver", reason="selenium is missing: make setup")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402


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


def test_a_picture_wider_than_a_canvas_has_its_pixels(
    driver: Driver, bare: Path, tmp_path: Path
) -> None:
    # WebGL2 would read anew what a canvas lost.
    no_webgl = """
      const { getContext } = HTMLCanvasElement.prototype;
      HTMLCanvasElement.prototype.getContext = function (kind, options) {
        return kind === "webgl2" ? null : getContext.call(this, kind, options);
      };
    """
    open_page(driver, bare, first=no_webgl)
    noise = np.random.default_rng(0).integers(0, 256, (8, 66_000, 3), dtype=np.uint8)
    choose(driver, saved(tmp_path, "wide.png", Image.fromarray(noise)))
    press(driver, "[value=full]")
    expected = exact(random_model(**SMALL), noise)
    for place in (0, 20_000, 70_000):
        script = "const s = document.getElementById('scroller'); s.scrollLeft = arguments[0];"
        driver.execute_script(script, place)
        driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")
        x = round(driver.execute_script("return document.getElementById('scroller').scrollLeft"))
        before, after = pixels(driver, "before"), pixels(driver, "after")
        columns = slice(x, x + before.shape[1])
        assert before.shape[1] > 500
        assert np.array_equal(before[:, :, :3], noise[:, columns])
        assert abs(after[:, :, :3] - expected[:, columns]).max() <= 1.01
    assert x + before.shape[1] == 66_000
