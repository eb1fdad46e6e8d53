"""What the page saves of real photographs is what the model computes in float64: within one level
of 255 at 99.9 % of the values, and never over two. By shader and by JavaScript, at full size."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
import torch.nn.functional as F
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
    text,
)
from tests.web.models import random_model

pytestmark = pytest.mark.browser

PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
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


def exact(model: HDRNet, pixels: np.ndarray, strength: float = 1) -> np.ndarray:
    """(H, W, 3) uint8 by the plain path in float64, unrounded, in levels."""
    picture = torch.tensor(pixels).permute(2, 0, 1)[None].double() / 255
    model, config = model.double(), model.config
    side = config.net_input_size
    with torch.no_grad():
        grid = model.coefficients(
            F.interpolate(picture, size=(side, side), mode=config.lowres_resize)
        )
        output = model.render(grid, picture, "reference").clamp(0, 1)
    mixed = picture + strength * (output - picture)
    return (mixed * 255)[0].permute(1, 2, 0).numpy()


def assert_close(saved: np.ndarray, expected: np.ndarray) -> None:
    assert saved.shape == expected.shape
    difference = np.abs(saved.astype(float) - expected.round())
    assert difference.max() <= 2
    assert (difference <= 1).mean() >= 0.999


def photographs(folder: Path) -> list[Path]:
    """Of several proportions, one larger than a tile of the shader and a strip of the worker."""
    coffee = Image.open(PHOTOGRAPHS / "coffee.png").convert("RGB")
    wide, narrow = folder / "wide.png", folder / "narrow.png"
    coffee.resize((2203, 397), Image.Resampling.LANCZOS).save(wide)
    coffee.crop((200, 100, 217, 391)).save(narrow)
    return [PHOTOGRAPHS / "astronaut.png", PHOTOGRAPHS / "rocket.jpg", wide, narrow]


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
    set_strength(driver, 0)
    before = read(download(driver, "png"))[..., :3]
    set_strength(driver, 100)
    return before


def set_strength(driver: Driver, percent: int) -> None:
    script = """
      const range = document.getElementById("strength");
      range.value = arguments[0];
      range.dispatchEvent(new Event("input", { bubbles: true }));
    """
    driver.execute_script(script, percent)


def test_strength_mixes_before_it_rounds(driver: Driver, tmp_path: Path) -> None:
    model = opened(driver, tmp_path, random_model())
    choose(driver, PHOTOGRAPHS / "chelsea.png")
    set_strength(driver, 37)
    saved = read(download(driver, "png"))[..., :3]
    before = read(PHOTOGRAPHS / "chelsea.png")
    assert_close(saved, exact(model, before, 0.37))
    set_strength(driver, 0)
    assert np.array_equal(read(download(driver, "png"))[..., :3], before)


def test_the_guide_is_the_models(driver: Driver, tmp_path: Path) -> None:
    model = opened(driver, tmp_path, random_model())
    choose(driver, PHOTOGRAPHS / "chelsea.png")
    press(driver, "[name=view][value=guide]")
    before = read(PHOTOGRAPHS / "chelsea.png")
    with torch.no_grad():
        guide = model.double().guide(torch.tensor(before).permute(2, 0, 1)[None].double() / 255)
    shown = pixels(driver, "after")[..., :3]
    assert_close(shown, np.repeat(guide[0].numpy()[..., None] * 255, 3, axis=2))


def test_twelve_megapixels_in_one_go(driver: Driver, tmp_path: Path) -> None:
    model = opened(driver, tmp_path, random_model())
    path = tmp_path / "large.png"
    with Image.open(PHOTOGRAPHS / "astronaut.png") as picture:
        large = picture.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC)
    large.save(path, compress_level=1)
    choose(driver, path)
    saved = read(download(driver, "png"))[..., :3]
    # In float32, a small part of a level from float64, which takes minutes at this size.
    picture = torch.tensor(np.asarray(large)).permute(2, 0, 1) / 255
    expected = model.enhance(picture).clamp(0, 1).permute(1, 2, 0).numpy() * 255
    assert_close(saved, expected)
