"""Inputs are linear pictures turned to lie as on a sensor; targets are made from the same scenes by
means of Pillow's resizing and this file's tone curves, not with the code under test."""

from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from hdrnet_bench.color import linear_to_srgb, srgb_to_linear
from hdrnet_bench.images.files import read_picture
from hdrnet_bench.images.pixels import quantise, upright
from hdrnet_bench.prepare.operators import OPERATORS
from hdrnet_bench.prepare.sources import demo
from hdrnet_bench.prepare.sources.align import (
    LONG_EDGE,
    MAX_SHIFT,
    MIN_CORRELATION,
    ZOOMS,
    Alignment,
    align,
    apply,
    problem,
)
from tests.dng import sensor

ORIENTATIONS = range(1, 9)
PHOTOGRAPHS = {photo.id: photo for photo in demo.PHOTOGRAPHS}
# Every scene once: the two views of the motorcycle are nearly the same picture.
SCENES = sorted(PHOTOGRAPHS.keys() - {"motorcycle-right"})


@cache
def scene(name: str) -> np.ndarray:
    """A photograph in linear light, (H, W, 3) in [0, 1], about 600 pixels long at most, a multiple
    of 6 on each side."""
    photo = PHOTOGRAPHS[name]
    image = Image.fromarray(read_picture(Path(str(files(photo.package))) / photo.path).pixels)
    pixels = np.asarray(image.reduce(max(1, round(max(image.size) / 600))))
    height, width = (side // 6 * 6 for side in pixels.shape[:2])
    return srgb_to_linear(pixels[:height, :width] / 255.0)


def generated(seed: int, height: int = 300, width: int = 396) -> np.ndarray:
    """Noise with most of its power in what is coarse, as photographs have it."""
    random = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(height)[:, None, None], np.fft.fftfreq(width)[:, None]
    falling = 1 / np.maximum(np.hypot(y, x), 1 / width)
    waves = np.fft.ifft2(np.fft.fft2(random.normal(size=(height, width, 3)), axes=(0, 1)) * falling,
                         axes=(0, 1)).real  # fmt: skip
    return 0.18 * np.exp(waves / waves.std())


def raw(linear: np.ndarray, orientation: int, exposure: float = 0.25, noise: float = 0.0):
    """(H, W, 3) uint16 as it lies on the sensor."""
    random = np.random.default_rng(1)
    exposed = linear * exposure
    noisy = exposed + noise * np.sqrt(exposed) * random.normal(size=exposed.shape)
    return np.rint(sensor(noisy, orientation).clip(0, 2) * 32767).astype(np.uint16)


TONES = {
    "plain": lambda linear: linear_to_srgb(linear),
    "bright": lambda linear: linear_to_srgb(4 * linear / (1 + 3 * linear)),
    "steep": lambda linear: 3 * linear_to_srgb(linear) ** 2 - 2 * linear_to_srgb(linear) ** 3,
    "retouch": lambda linear: OPERATORS["retouch"].apply(linear_to_srgb(linear)),
}


def finished(
    linear: np.ndarray,
    *,
    tone: str = "retouch",
    zoom: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    size: tuple[int, int] | None = None,
    noise: float = 0.0,
) -> np.ndarray:
    """The target, (H, W, 3) uint8: toned, zoomed into, shifted by pixels of 256, sharpened."""
    height, width = linear.shape[:2]
    across, down = size or (width, height)
    toned = quantise(TONES[tone](linear.clip(0, 1).transpose(2, 0, 1)))
    scale = min(width / across, height / down) / zoom
    half = across * scale / 2, down * scale / 2
    pixel = scale * max(across, down) / LONG_EDGE
    x, y = width / 2 - shift[0] * pixel, height / 2 - shift[1] * pixel
    margin = 8  # of the mirrored frame, for a shift without zoom
    framed = np.pad(toned, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    box = tuple(margin + v for v in (x - half[0], y - half[1], x + half[0], y + half[1]))
    image = Image.fromarray(framed).resize((across, down), Image.Resampling.BICUBIC, box=box)
    sharp = np.asarray(image.filter(ImageFilter.UnsharpMask(2, 60, 0)), dtype=np.float64)
    sharp += 255 * noise * np.random.default_rng(2).normal(size=sharp.shape)
    return np.rint(sharp.clip(0, 255)).astype(np.uint8)


def step(zoom: float) -> float:
    return float(np.log(zoom) / np.log(1.02))


@pytest.mark.parametrize(
    ("orientation", "k"), [(1, 0), (6, 0), *((code, 11) for code in ORIENTATIONS)]
)
def test_finds_every_orientation_with_and_without_zoom(orientation: int, k: int) -> None:
    linear = scene("chelsea")
    target = finished(linear, zoom=1.02**k)
    alignment = align(raw(linear, orientation), target)
    assert (alignment.orientation, alignment.zoom) == (orientation, ZOOMS[k])
    assert problem(alignment) is None
    assert max(map(abs, alignment.shift)) < 0.05
    height, width = linear.shape[:2]
    assert abs(alignment.crop[2] - width / 1.02**k) <= 0.5
    assert abs(alignment.crop[3] - height / 1.02**k) <= 0.5


@pytest.mark.parametrize("name", SCENES[::2])
@pytest.mark.parametrize("k", [0, 7.5, 70])
def test_finds_the_zoom_into_photographs(name: str, k: float) -> None:
    linear = scene(name)
    height, width = linear.shape[:2]
    target = finished(linear, zoom=1.02**k, size=(width * 2 // 3, height * 2 // 3))
    alignment = align(raw(linear, 6), target)
    assert alignment.orientation == 6
    assert abs(step(alignment.zoom) - k) <= 0.1
    assert alignment.correlation > 2 * MIN_CORRELATION


@settings(max_examples=12, derandomize=True)
@given(
    linear=st.sampled_from(SCENES).map(scene) | st.integers(0, 99).map(generated),
    orientation=st.sampled_from(ORIENTATIONS),
    k=st.floats(0, 70),
    shift=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    tone=st.sampled_from(sorted(TONES)),
    noise=st.floats(0, 0.03),
    shrunk=st.sampled_from([1, 2, 3]),
)
def test_finds_what_was_done(linear, orientation, k, shift, tone, noise, shrunk) -> None:
    height, width = linear.shape[:2]
    target = finished(
        linear, tone=tone, zoom=1.02**k, shift=shift, noise=noise,
        size=(width // shrunk, height // shrunk),
    )  # fmt: skip
    alignment = align(raw(linear, orientation, noise=noise), target)
    assert alignment.orientation == orientation
    assert abs(step(alignment.zoom) - k) <= 0.3
    assert alignment.correlation >= MIN_CORRELATION


def test_a_dark_and_noisy_input_is_found() -> None:
    linear = scene("coffee")
    dark = raw(linear, 8, exposure=1 / 200, noise=0.01)
    assert dark.mean() < 100
    alignment = align(dark, finished(linear, tone="bright", zoom=ZOOMS[5]))
    assert (alignment.orientation, alignment.zoom) == (8, ZOOMS[5])
    assert problem(alignment) is None


@pytest.mark.parametrize("first", SCENES)
def test_unrelated_pictures_are_rejected(first: str) -> None:
    other = SCENES[SCENES.index(first) - 1]
    alignment = align(raw(scene(first), 1), finished(scene(other)))
    assert 0 < alignment.correlation < 0.2
    reason = problem(alignment)
    assert reason is not None
    assert f"correlate by less than 0.3: correlation {alignment.correlation:.3f}" in reason


@pytest.mark.parametrize("shift", [(0.35, 0.0), (0.0, -0.4), (-0.35, 0.35)])
def test_a_shift_below_the_limit_is_let_pass(shift: tuple[float, float]) -> None:
    linear = scene("coffee")
    alignment = align(raw(linear, 3), finished(linear, zoom=1.02**20, shift=shift))
    assert alignment.shift == pytest.approx(shift, abs=0.1)
    assert problem(alignment) is None


@pytest.mark.parametrize("shift", [(0.65, 0.0), (0.0, -0.7), (-0.3, 1.6)])
def test_a_shift_above_the_limit_is_rejected(shift: tuple[float, float]) -> None:
    linear = scene("coffee")
    alignment = align(raw(linear, 3), finished(linear, zoom=1.02**20, shift=shift))
    assert alignment.orientation == 3
    assert alignment.shift == pytest.approx(shift, abs=0.15)
    reason = problem(alignment)
    assert reason is not None
    assert f"shifted by more than {MAX_SHIFT} of 256 pixels" in reason
    assert f"zoom {alignment.zoom:.3f}" in reason
    assert abs(step(alignment.zoom) - 20) <= 0.3


@pytest.mark.parametrize("shift", [(3, 0), (-2, 2), (0, 8), (30, 5)])
def test_a_large_shift_is_rejected_whatever_seems_to_fit(shift: tuple[int, int]) -> None:
    linear = scene("coffee")
    assert problem(align(raw(linear, 3), finished(linear, zoom=2.0, shift=shift))) is not None


def test_a_shift_is_in_pixels_of_256_whatever_the_size() -> None:
    linear = scene("coffee")
    for size in ((600, 396), (150, 99)):
        alignment = align(
            raw(linear, 1), finished(linear, zoom=1.02**20, shift=(0.8, 0), size=size)
        )
        assert alignment.shift == pytest.approx((0.8, 0), abs=0.15)


def test_both_sides_of_each_limit() -> None:
    good = Alignment(1, 1.0, MIN_CORRELATION, (MAX_SHIFT, -MAX_SHIFT), (0, 0, 10, 10))
    assert problem(good) is None
    assert problem(good._replace(correlation=MIN_CORRELATION - 1e-6)) is not None
    assert problem(good._replace(shift=(MAX_SHIFT + 1e-3, 0.0))) is not None
    assert problem(good._replace(shift=(0.0, -MAX_SHIFT - 1e-3))) is not None


@pytest.mark.parametrize("level", [0, 5000, 65535])
def test_nothing_matches_a_flat_picture(level: int) -> None:
    flat = np.full((90, 120, 3), level, np.uint16)
    target = finished(scene("coffee"))
    for alignment in (
        align(flat, target),
        align(raw(scene("coffee"), 1), (flat >> 8).astype(np.uint8)),
        align(flat, (flat >> 8).astype(np.uint8)),
    ):
        assert alignment[:4] == (1, 1.0, 0.0, (0.0, 0.0))
        assert problem(alignment) is not None


def test_a_mirrored_target_is_told_from_its_scene() -> None:
    linear = scene("coffee")
    alignment = align(raw(linear, 1), finished(linear)[:, ::-1])
    assert alignment.orientation == 2


def test_symmetric_scenes_stay_as_they_lie() -> None:
    half = scene("coffee")
    left_right = np.concatenate([half, half[:, ::-1]], 1)
    alignment = align(raw(left_right, 1), finished(left_right))
    assert (alignment.orientation, alignment.zoom) == (1, 1.0)
    square = half[:396, :396]
    square = square + square[::-1]
    square = square + square[:, ::-1]
    square = (square + square.transpose(1, 0, 2)) / 8
    for orientation in (1, 6):
        alignment = align(raw(square, orientation), finished(square, tone="plain"))
        assert (alignment.orientation, alignment.zoom) == (1, 1.0)
        assert problem(alignment) is None


@pytest.mark.parametrize(
    ("size", "crop"),
    [
        ((480, 270), (0, 29, 600, 338)),
        ((300, 300), (102, 0, 396, 396)),
        ((200, 396), (200, 0, 200, 396)),
    ],
)
def test_another_shape_is_cut_and_not_stretched(
    size: tuple[int, int], crop: tuple[int, int, int, int]
) -> None:
    linear = scene("coffee")
    assert linear.shape[:2] == (396, 600)
    alignment = align(raw(linear, 1), finished(linear, size=size))
    assert (alignment.orientation, alignment.zoom, alignment.crop) == (1, 1.0, crop)
    assert problem(alignment) is None
    zoomed = align(raw(linear, 1), finished(linear, size=size, zoom=ZOOMS[20]))
    assert zoomed.zoom == ZOOMS[20]
    assert zoomed.crop[2] / zoomed.crop[3] == pytest.approx(size[0] / size[1], rel=0.01)


def test_a_stretched_target_is_no_part_of_its_scene() -> None:
    """Squeezed by a quarter: something else may fit a little, never as the whole frame would."""
    linear = scene("coffee")
    stretched = np.asarray(Image.fromarray(finished(linear)).resize((450, 396)))
    assert problem(align(raw(linear, 1), stretched)) is not None


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_applying_turns_and_cuts_and_changes_no_pixel(orientation: int) -> None:
    pixels = np.random.default_rng(3).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    crop = (2, 3, 11, 13)
    result = apply(pixels, Alignment(orientation, 1.2, 0.9, (0.0, 0.0), crop))
    assert np.array_equal(result, upright(pixels, orientation)[3:16, 2:13])
    assert result.flags["C_CONTIGUOUS"]


def test_the_crop_is_what_the_target_shows() -> None:
    linear = scene("coffee")
    target = finished(linear, tone="plain", zoom=ZOOMS[18])
    crop = apply(raw(linear, 7, exposure=1.0), align(raw(linear, 7), target))
    small = [
        np.asarray(Image.fromarray(p).resize((60, 40), Image.Resampling.BOX), dtype=float)
        for p in (quantise(linear_to_srgb(crop.transpose(2, 0, 1) / 32767)), target)
    ]
    assert np.abs(small[0] - small[1]).mean() < 3
    assert np.abs(small[0][:, ::-1] - small[1]).mean() > 20


def test_the_same_twice() -> None:
    linear = generated(5)
    pair = raw(linear, 2), finished(linear, zoom=1.3)
    assert align(*pair) == align(*pair)
