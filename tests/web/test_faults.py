"""What fails under the page: graphics, the worker, a file that cannot be read. What goes on is
right, what does not is one line, and nothing hangs or is kept for good."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.web.browser import (
    HOLD,
    Driver,
    choose,
    download,
    hand_over,
    open_page,
    pixels,
    press,
    read,
    said,
    text,
    until,
    wait,
)
from tests.web.models import SMALL, exact, random_model
from tests.web.pages import make_page
from tests.web.pictures import picture, png, saved

pytestmark = pytest.mark.browser

NO_TEXTURE = "WebGL2RenderingContext.prototype.texImage2D = () => {};"
NO_TARGET = "WebGL2RenderingContext.prototype.checkFramebufferStatus = () => 0x8cd6;"
NO_MEMORY = "WebGL2RenderingContext.prototype.getError = () => 0x0505;"
LOST_AFTER_A_TILE = """
  const { readPixels } = WebGL2RenderingContext.prototype;
  WebGL2RenderingContext.prototype.readPixels = function (...all) {
    readPixels.apply(this, all);
    this.getError();
    this.getExtension("WEBGL_lose_context").loseContext();
  };
"""


FAULTS = {
    "no texture": (NO_TEXTURE, "WebGL2 cannot draw into a texture of that size"),
    "no target": (NO_TARGET, "WebGL2 cannot draw into a texture of that size"),
    "no memory": (NO_MEMORY, "the graphics processor has too little memory for it"),
    "lost after a tile": (LOST_AFTER_A_TILE, "the browser took WebGL2 away"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_that_javascript_goes_on_stays_said(page: Driver, tmp_path: Path, name: str) -> None:
    fault, reason = FAULTS[name]
    page.execute_script(fault)
    choose(page, saved(tmp_path, "a.png", picture("coffee", (1100, 60))))
    assert said(page).startswith(f"JavaScript goes on, more slowly: {reason}.")
    assert page.find_element("id", "status").is_displayed()


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("alpha", [255, 128])
def test_javascript_goes_on_where_graphics_fail(
    page: Driver, tmp_path: Path, name: str, alpha: int
) -> None:
    before = picture("coffee", (1100, 60))  # two tiles
    source = before.copy()
    source.putalpha(alpha)
    page.execute_script(FAULTS[name][0])
    choose(page, saved(tmp_path, "a.png", source if alpha < 255 else before))
    assert "(JavaScript)" in text(page, "times")
    result = read(download(page, "png"))[:, :, :3]
    if alpha == 255:
        expected = exact(random_model(**SMALL), np.asarray(before))
        assert abs(pixels(page, "after")[:, :, :3] - expected).max() <= 1.01
        assert abs(result - expected).max() <= 1.01
    else:
        assert "colours are lost here" in text(page, "notes")


@pytest.mark.parametrize("variant", ["curves", "pyramid"])
def test_no_texture_is_kept_for_good(
    driver: Driver, folder: Path, tmp_path: Path, variant: str
) -> None:
    script = """
      window.textures = 0;
      const { createTexture, deleteTexture } = WebGL2RenderingContext.prototype;
      WebGL2RenderingContext.prototype.createTexture = function () {
        textures += 1;
        return createTexture.call(this);
      };
      WebGL2RenderingContext.prototype.deleteTexture = function (id) {
        textures -= 1;
        deleteTexture.call(this, id);
      };
    """
    open_page(driver, make_page(folder, f"{variant}.html", [], variant=variant), first=script)
    transparent = picture("chelsea")
    transparent.putalpha(100)
    for image in (picture("coffee"), transparent):
        choose(driver, saved(tmp_path, "a.png", image))
        press(driver, "[value=guide]")
        press(driver, "[value=result]")
        assert "(WebGL2)" in text(driver, "times")
        assert driver.execute_script("return textures") == 1, "the grid's alone"


def test_a_broken_worker_is_one_line_and_nothing_waits_for_it(driver: Driver, bare: Path) -> None:
    open_page(driver, bare, first=HOLD)
    driver.execute_script("hold('predict')")
    hand_over(driver, "paste", {"a.png": png(picture("coffee"))})
    until(driver, "busy.textContent.startsWith('The network looks at')")
    driver.execute_script("workers[0].dispatchEvent(new ErrorEvent('error', { message: 'gone' }))")
    line = "the worker broke: gone. Load the page again."
    until(driver, "document.getElementById('status').textContent === arguments[0]", line)
    wait(driver)
    hand_over(driver, "paste", {"b.png": png(picture("chelsea"))})
    until(driver, "document.getElementById('name').textContent === 'b.png'")
    wait(driver)
    assert said(driver) == line


def test_a_file_that_cannot_be_read_leaves_the_one_at_work(driver: Driver, bare: Path) -> None:
    open_page(driver, bare, first=HOLD)
    driver.execute_script("hold('predict')")
    image = picture("coffee")
    hand_over(driver, "paste", {"a.png": png(image)})
    until(driver, "busy.textContent.startsWith('The network looks at')")
    hand_over(driver, "paste", {"b.png": b"words"})
    until(driver, "document.getElementById('status').textContent.startsWith('b.png: ')")
    driver.execute_script("release()")
    wait(driver)
    assert said(driver).startswith("b.png: this browser cannot open it as a picture")
    assert text(driver, "name") == "a.png"
    expected = exact(random_model(**SMALL), np.asarray(image))
    assert abs(pixels(driver, "after")[:, :, :3] - expected).max() <= 1.01
    assert abs(read(download(driver, "png"))[:, :, :3] - expected).max() <= 1.01


def test_every_bitmap_is_closed(driver: Driver, bare: Path, tmp_path: Path) -> None:
    script = """
      window.bitmaps = { made: 0, open: 0 };
      const create = window.createImageBitmap;
      window.createImageBitmap = async (...all) => {
        const bitmap = await create(...all);
        bitmaps.made += 1;
        bitmaps.open += 1;
        return bitmap;
      };
      const { close } = ImageBitmap.prototype;
      ImageBitmap.prototype.close = function () {
        bitmaps.open -= 1;
        close.call(this);
      };
    """
    open_page(driver, bare, first=script)
    choose(driver, saved(tmp_path, "a.png", picture("coffee")))
    assert driver.execute_script("return bitmaps") == {"made": 1, "open": 0}
    transparent = picture("chelsea")
    transparent.putalpha(100)
    choose(driver, saved(tmp_path, "b.png", transparent))
    assert driver.execute_script("return bitmaps") == {"made": 4, "open": 0}
    driver.execute_script("document.getElementById('camera').click()")
    until(driver, "times.textContent.includes('frames a second')")
    press(driver, "#shutter")
    until(driver, "document.getElementById('name').textContent === 'photo'")
    wait(driver)
    assert driver.execute_script("return bitmaps") == {"made": 5, "open": 0}
    # One that gives way half-way, where it lets the browser draw.
    slow = """
      const { postMessage } = MessagePort.prototype;
      MessagePort.prototype.postMessage = function (message) {
        setTimeout(() => postMessage.call(this, message), 300);
      };
    """
    driver.execute_script(slow)
    hand_over(driver, "paste", {"large.png": png(Image.new("RGB", (3000, 2000)))})
    until(driver, "progress.value > 0 && busy.textContent.startsWith('Reading large.png')")
    hand_over(driver, "paste", {"small.png": png(picture("coffee"))})
    until(driver, "document.getElementById('name').textContent === 'small.png'")
    wait(driver)
    until(driver, "bitmaps.made === 7 && bitmaps.open === 0")


def test_a_pyramid_takes_a_narrow_picture_and_refuses_a_tiny_one(
    driver: Driver, folder: Path, tmp_path: Path
) -> None:
    open_page(driver, make_page(folder, "pyramid.html", [], variant="pyramid"))
    choose(driver, saved(tmp_path, "line.png", picture("coffee", (6000, 6))))
    assert said(driver) == "line.png is enhanced."
    assert "at 2000 × 4 pixels" in text(driver, "times")
    assert read(download(driver, "png")).shape[:2] == (6, 6000)
    choose(driver, saved(tmp_path, "tiny.png", picture("coffee", (3, 3))))
    assert said(driver) == "a pyramid needs pictures of 4 x 4 pixels, not 3 x 3"
