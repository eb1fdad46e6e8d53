"""Live video."""

import base64
from pathlib import Path

import pytest

from tests.web.browser import (
    HOLD,
    Driver,
    canvas_size,
    choose,
    download,
    hand_over,
    open_page,
    pixels,
    press,
    read,
    said,
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


def start_camera(driver: Driver) -> None:
    """With a small picture: no graphics processor is here that would enhance a large one."""
    script = """
      const devices = navigator.mediaDevices;
      const ask = devices.getUserMedia.bind(devices);
      devices.getUserMedia = ({ video }) => ask({ video: { ...video, width: 320, height: 240 } });
      document.getElementById("camera").click();
    """
    driver.execute_script(script)


def film_a_photograph(driver: Driver) -> None:
    """Start a camera that films a still photograph."""
    script = """
      const [content, done] = arguments;
      const photograph = new Image();
      photograph.src = `data:image/png;base64,${content}`;
      photograph.decode().then(() => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [photograph.width, photograph.height];
        const context = canvas.getContext("2d");
        setInterval(() => context.drawImage(photograph, 0, 0), 50);
        navigator.mediaDevices.getUserMedia = async () => canvas.captureStream();
        document.getElementById("camera").click();
        done();
      });
    """
    content = base64.b64encode(png(picture("chelsea", (320, 240)))).decode()
    driver.execute_async_script(script, content)


# What WebGL2 drew stays to be read; where there is none, JavaScript computes.
CONTEXTS = """
  const { getContext } = HTMLCanvasElement.prototype;
  HTMLCanvasElement.prototype.getContext = function (kind, options) {
    if (kind === "webgl2" && !%s) return null;
    return getContext.call(this, kind, { ...options, preserveDrawingBuffer: true });
  };
"""


@pytest.mark.parametrize(("way", "canvas"), [("WebGL2", "live"), ("JavaScript", "after")])
@pytest.mark.parametrize("variant", ["curves", "pyramid"])
def test_video_is_what_the_model_makes_of_it(
    driver: Driver, folder: Path, variant: str, way: str, canvas: str
) -> None:
    path = make_page(folder, f"{variant}.html", [], variant=variant)
    open_page(driver, path, first=CONTEXTS % ("true" if way == "WebGL2" else "false"))
    set_range(driver, "strength", 40)
    set_range(driver, "divider", 20)
    film_a_photograph(driver)
    until(driver, "/^[1-9]\\d* frames a second/.test(times.textContent)")
    assert f"({way})" in text(driver, "times")
    frame, enhanced = pixels(driver, "video"), pixels(driver, canvas)
    expected = exact(random_model(**SMALL, variant=variant), frame[:, :, :3])
    difference = abs(enhanced[:, :, :3] - expected)
    assert abs(expected - frame[:, :, :3]).mean() > 5, "there is something to see"
    assert difference.max() <= 3
    assert difference.mean() < 1
    # Strength and divider are styles: the frame itself is enhanced in full.
    assert style(driver, canvas, "opacity") == "0.4"
    assert style(driver, canvas, "clip-path") == "inset(0px 0px 0px 20%)"
    shown = driver.find_elements("css selector", "canvas.after:not([hidden])")
    assert [one.get_attribute("id") for one in shown] == [canvas]


def test_only_enhanced_frames_are_counted(driver: Driver, bare: Path) -> None:
    open_page(driver, bare, first=HOLD)
    driver.execute_script("hold('predict')")
    start_camera(driver)
    until(driver, "times.textContent.endsWith('network starting (WebGL2)')")
    driver.execute_async_script("setTimeout(arguments[0], 700)")  # to be said once more
    assert text(driver, "times") == "0 frames a second, network starting (WebGL2)"
    driver.execute_script("release()")
    until(driver, "/^[1-9]\\d* frames a second, network \\d/.test(times.textContent)")
    press(driver, "[value=grid]")
    until(driver, "/^network \\d[^,]* \\(WebGL2\\)$/.test(times.textContent)")
    assert driver.find_elements("css selector", "#tiles canvas")
    press(driver, "[value=result]")
    until(driver, "/^[1-9]\\d* frames a second, network \\d/.test(times.textContent)")


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


def test_javascript_goes_on_where_video_does_not_fit(page: Driver) -> None:
    page.execute_script("WebGL2RenderingContext.prototype.getError = () => 0x0505;")
    start_camera(page)
    until(page, "/^[1-9].*\\(JavaScript\\)/.test(times.textContent)")
    line = "JavaScript goes on, more slowly: the graphics processor has too little memory for it."
    assert said(page).startswith(line)
    assert not page.find_element("id", "live").is_displayed()


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
