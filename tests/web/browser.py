"""Chromium for the page's tests: opened, given files, waited for, asked what it shows."""

import base64
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Driver = Any
PATIENCE = 30  # seconds; two busy cores are slow

# For `open_page` to run first. After `hold("predict")` the worker gets no message of that task
# until `release()`; `workers` are those that the page started.
HOLD = """
  window.workers = [];
  const held = [];
  let task = null;
  const { postMessage } = Worker.prototype;
  Worker.prototype.postMessage = function (message, transfer) {
    if (!workers.includes(this)) workers.push(this);
    const send = () => postMessage.call(this, message, transfer);
    if (message.task === task) held.push(send);
    else send();
  };
  window.hold = (name) => { task = name; };
  window.release = () => {
    task = null;
    for (const send of held.splice(0)) send();
  };
"""

# No flag chooses a graphics processor: where there is none, Chromium has one of software. Moving
# pictures stand in for two cameras.
_ARGUMENTS = (
    "headless=new",
    "disable-dev-shm-usage",
    "use-fake-device-for-media-stream=fps=20,device-count=2",
    "use-fake-ui-for-media-stream",
)


@contextmanager
def chromium(folder: Path, *more: str) -> Iterator[Driver]:
    """A browser whose profile is in that folder; `driver.downloads` is where it saves. more: of its
    own arguments."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is missing: make setup")
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not in PATH (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    for argument in (*_ARGUMENTS, *more, f"user-data-dir={folder / 'profile'}"):
        options.add_argument(f"--{argument}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(programs["chromedriver"])
    with webdriver.Chrome(options=options, service=service) as driver:
        driver.downloads = folder / "downloads"
        driver.downloads.mkdir()
        behaviour = {"behavior": "allow", "downloadPath": str(driver.downloads)}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
        yield driver


def open_page(
    driver: Driver,
    page: Path,
    width: int = 1400,
    height: int = 900,
    scheme: str = "light",
    first: str = "",
) -> None:
    """Open a page as on a screen of that size, in that colour scheme, and wait for its picture.
    first: JavaScript that runs before the page's own."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    driver.get_log("browser")
    driver.get_log("performance")
    added = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": first})
    try:
        driver.get(page.as_uri())
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    wait(driver)


def until(driver: Driver, expression: str, *values: Any) -> Any:
    """Wait until an expression of JavaScript holds: what it gives."""
    end = time.monotonic() + PATIENCE
    while not (found := driver.execute_script(f"return {expression}", *values)):
        if time.monotonic() > end:
            raise AssertionError(
                f"not in {PATIENCE} s: {expression}; the page says {said(driver)!r}"
            )
        time.sleep(0.02)
    return found


def wait(driver: Driver) -> None:
    """Until the page computes nothing any more."""
    until(driver, "document.getElementById('stage').getAttribute('aria-busy') === 'false'")


def said(driver: Driver) -> str:
    """The page's message."""
    return text(driver, "status")


def text(driver: Driver, id_: str) -> str:
    script = "return document.getElementById(arguments[0]).textContent"
    return driver.execute_script(script, id_)


def press(driver: Driver, css: str) -> None:
    """Click on what a selector finds first, on the screen or not, and wait for the page."""
    driver.execute_script("document.querySelector(arguments[0]).click()", css)
    wait(driver)


def choose(driver: Driver, path: Path) -> None:
    """Choose a file and wait until it is enhanced, or refused."""
    driver.find_element("id", "file").send_keys(str(path))
    wait(driver)


def download(driver: Driver, format_: str | None = None) -> Path:
    """Press Download: the file, whole. format_: jpeg or png, otherwise what the page proposes."""
    for old in driver.downloads.iterdir():
        old.unlink()
    if format_:
        press(driver, f"[name=format][value='image/{format_}']")
    press(driver, "#download")
    until(driver, "!document.getElementById('download').disabled")
    assert said(driver).startswith("Saved as "), said(driver)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = list(driver.downloads.iterdir())
        if found and not any(one.suffix in {".crdownload", ".tmp"} for one in found):
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"nothing was downloaded in {PATIENCE} s")


def pixels(driver: Driver, id_: str) -> np.ndarray:
    """What a canvas holds, or a video shows: height x width x RGBA."""
    script = """
      const shown = document.getElementById(arguments[0]);
      const [width, height] =
        [shown.videoWidth ?? shown.width, shown.videoHeight ?? shown.height];
      // Chromium complains of a canvas on the graphics processor that is read back.
      const copy = document.createElement("canvas");
      [copy.width, copy.height] = [width, height];
      const context = copy.getContext("2d", { willReadFrequently: true });
      context.drawImage(shown, 0, 0);
      const { data } = context.getImageData(0, 0, width, height);
      let text = "";
      for (let i = 0; i < data.length; i += 8192) {
        text += String.fromCharCode(...data.subarray(i, i + 8192));
      }
      return [width, height, btoa(text)];
    """
    width, height, content = driver.execute_script(script, id_)
    return np.frombuffer(base64.b64decode(content), np.uint8).reshape(height, width, 4)


def canvas_size(driver: Driver, id_: str) -> tuple[int, int]:
    """Height and width."""
    script = (
        "const { width, height } = document.getElementById(arguments[0]); return [height, width]"
    )
    return tuple(driver.execute_script(script, id_))


def read(path: Path) -> np.ndarray:
    """A file's pixels, as they are stored."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def complaints(driver: Driver) -> list[str]:
    """What the console holds since the page was opened, but for what Chromium says of graphics in
    software, and of reading back from it."""
    messages = [entry["message"] for entry in driver.get_log("browser")]
    own = ("Automatic fallback to software WebGL", "GPU stall due to ReadPixels")
    return [message for message in messages if not any(text in message for text in own)]


def requested(driver: Driver) -> set[str]:
    """The addresses that the page asked for since it was opened, those within itself left out."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    addresses = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    return {one for one in addresses if not one.startswith(("data:", "blob:"))}


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


def style(driver: Driver, id_: str, name: str) -> str:
    return driver.find_element("id", id_).value_of_css_property(name)


def set_range(driver: Driver, id_: str, value: int) -> None:
    script = """
      const range = document.getElementById(arguments[0]);
      range.value = arguments[1];
      range.dispatchEvent(new Event("input", { bubbles: true }));
    """
    driver.execute_script(script, id_, value)
