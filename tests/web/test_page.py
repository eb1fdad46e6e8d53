"""The page in a real, headless Chromium: what comes in, what is said of it, what is saved."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdrnet_bench.web.samples import samples
from tests.web.browser import (
    Driver,
    choose,
    complaints,
    download,
    hand_over,
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
from tests.web.pages import ABOUT, HOSTILE
from tests.web.pictures import picture, png, saved

pytestmark = pytest.mark.browser


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
        ("words.jpg", "words.jpg: this browser cannot open it as a picture"),
        ("none.png", "none.png: the file is empty."),
        ("cut.png", "cut.png: this browser cannot open it as a picture"),
        ("phone.heic", "phone.heic: this browser cannot open it as a picture"),
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
