"""What the page saves of real photographs is what the model computes in float64, by shader and by
JavaScript, at full size. `assert_close` says how close."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hdrnet_bench import HDRNet
from hdrnet_bench.web.page import describe, render
from tests.web.browser import (
    Driver,
    choose,
    chromium,
    download,
    open_page,
    pixels,
    press,
    read,
    set_range,
    text,
)
from tests.web.models import exact, random_model
from tests.web.pictures import PICTURES

pytestmark = pytest.mark.browser

# Without WebGL2 the page computes in JavaScript alone.
WAYS = {"WebGL2": [], "JavaScript": ["disable-3d-apis"]}
MODELS = {
    "curves": {},
    "curves, batch norm, nearest": {
        "batch_norm": True,
        "lowres_resize": "nearest",
        "luma_bins": 5,
        "net_input_size": 64,
        "spatial_bin": 8,
    },
    "pointwise": {"variant": "pointwise"},
    "pointwise, odd": {
        "variant": "pointwise",
        "guide_complexity": 5,
        "luma_bins": 3,
        "net_input_size": 24,
        "spatial_bin": 3,
    },
    "pyramid": {"variant": "pyramid"},
}


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def driver(way: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    with chromium(tmp_path_factory.mktemp("chromium"), *WAYS[way]) as running:
        yield running


def opened(driver: Driver, folder: Path, model: HDRNet) -> HDRNet:
    """The page of a model, without samples."""
    source = folder / "model.safetensors"
    source.write_bytes(b"")
    path = folder / "page.html"
    path.write_text(render(model, describe(model, source), []))
    open_page(driver, path)
    return model


def assert_close(saved: np.ndarray, expected: np.ndarray) -> None:
    """Every value is within one level of 255, at least 90 % are exact, and on average they are less
    than a twentieth of a level too dark or too bright: values cut off instead of rounded are half a
    level too dark, and half of them are off by one."""
    assert saved.shape == expected.shape
    difference = saved.astype(float) - expected.round()
    assert abs(difference).max() <= 1
    assert (difference == 0).mean() >= 0.9
    assert abs(difference.mean()) < 0.05


def photographs(folder: Path) -> list[Path]:
    """Of several proportions, one larger than a tile of the shader and a strip of the worker."""
    coffee = Image.open(PICTURES / "coffee.png").convert("RGB")
    wide, narrow = folder / "wide.png", folder / "narrow.png"
    coffee.resize((2203, 397), Image.Resampling.LANCZOS).save(wide)
    coffee.crop((200, 100, 217, 391)).save(narrow)
    return [PICTURES / "astronaut.png", PICTURES / "rocket.jpg", wide, narrow]


@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_is_what_the_model_computes(
    driver: Driver, way: str, name: str, tmp_path: Path
) -> None:
    model = opened(driver, tmp_path, random_model(**MODELS[name]))
    for path in photographs(tmp_path):
        choose(driver, path)
        assert way in text(driver, "times")
        # A JPEG's pixels are the browser's own: its decoder rounds otherwise than ours.
        before = decoded_by_browser(driver) if path.suffix == ".jpg" else read(path)
        assert_close(read(download(driver, "png"))[..., :3], exact(model, before))


def decoded_by_browser(driver: Driver) -> np.ndarray:
    """What is saved at strength 0 is the picture as it was read."""
    set_range(driver, "strength", 0)
    before = read(download(driver, "png"))[..., :3]
    set_range(driver, "strength", 100)
    return before


def test_strength_mixes_before_it_rounds(driver: Driver, tmp_path: Path) -> None:
    model = opened(driver, tmp_path, random_model())
    choose(driver, PICTURES / "chelsea.png")
    set_range(driver, "strength", 37)
    saved = read(download(driver, "png"))[..., :3]
    before = read(PICTURES / "chelsea.png")
    assert_close(saved, exact(model, before, 0.37))
    set_range(driver, "strength", 0)
    assert np.array_equal(read(download(driver, "png"))[..., :3], before)


def test_the_guide_is_the_models(driver: Driver, tmp_path: Path) -> None:
    model = opened(driver, tmp_path, random_model())
    choose(driver, PICTURES / "chelsea.png")
    press(driver, "[name=view][value=guide]")
    before = read(PICTURES / "chelsea.png")
    with torch.no_grad():
        guide = model.double().guide(torch.tensor(before).permute(2, 0, 1)[None].double() / 255)
    shown = pixels(driver, "after")[..., :3]
    assert_close(shown, np.repeat(guide[0].numpy()[..., None] * 255, 3, axis=2))


def test_what_is_transparent_counts_with_its_colours(
    driver: Driver, way: str, tmp_path: Path
) -> None:
    model = opened(driver, tmp_path, random_model())
    with Image.open(PICTURES / "astronaut.png") as photograph:
        picture = photograph.convert("RGB")
    colours = np.asarray(picture)
    alpha = np.full(colours.shape[:2], 255, np.uint8)
    alpha[:, :256] = 0
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "half.png")
    choose(driver, tmp_path / "half.png")
    note = "Where it is transparent, colours are lost here: the result is another."
    assert (note in text(driver, "notes")) == (way == "JavaScript")
    saved = read(download(driver, "png"))
    assert np.array_equal(saved[:, :, 3], alpha)
    if way == "WebGL2":
        assert_close(saved[:, 256:, :3], exact(model, colours)[:, 256:])


# In JavaScript it would take as long as all else, and a wide picture crosses its strips above.
@pytest.mark.parametrize("way", ["WebGL2"], indirect=True, scope="module")
def test_twelve_megapixels_in_one_go(driver: Driver, tmp_path: Path) -> None:
    model = opened(driver, tmp_path, random_model())
    path = tmp_path / "large.png"
    with Image.open(PICTURES / "astronaut.png") as picture:
        large = picture.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC)
    large.save(path, compress_level=1)
    choose(driver, path)
    saved = read(download(driver, "png"))[..., :3]
    # In float32, a small part of a level from float64, which takes minutes at this size.
    picture = torch.tensor(np.asarray(large)).permute(2, 0, 1) / 255
    expected = model.enhance(picture).clamp(0, 1).permute(1, 2, 0).numpy() * 255
    assert_close(saved, expected)
