"""Fingerprints against slow and literal computations."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from hdrnet_bench.color import srgb_to_linear
from hdrnet_bench.fingerprints import picture
from hdrnet_bench.fingerprints.picture import hash_bits, jpeg_facts, of_pixels
from hdrnet_bench.images.pixels import Pixels
from tests.fingerprints.pack import pictures, rounded

small = arrays(np.uint8, st.tuples(st.integers(18, 40), st.integers(18, 40), st.just(3)))


def literal_cells(grey: np.ndarray) -> np.ndarray:
    """Means of 17 x 17 cells, every pixel counted by the share of it that lies in a cell."""
    weights = []
    for side in grey.shape:
        share = np.zeros((17, side))
        for cell in range(17):
            low, high = side * cell / 17, side * (cell + 1) / 17
            for place in range(side):
                share[cell, place] = max(0.0, min(high, place + 1) - max(low, place))
        weights.append(share / share.sum(axis=1, keepdims=True))
    return weights[0] @ grey @ weights[1].T


@settings(max_examples=25, deadline=None)
@given(small)
def test_statistics_detail_and_hash_are_what_they_say(pixels: Pixels) -> None:
    found = of_pixels(pixels, "a0001", "input")
    numbers = pixels.astype(np.float64) / 255
    np.testing.assert_allclose(found.mean, numbers.mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(found.std, numbers.std(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(found.light, srgb_to_linear(numbers).mean(axis=(0, 1)), atol=1e-6)
    luma = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    laplacian = [
        abs(4 * luma[y, x] - luma[y - 1, x] - luma[y + 1, x] - luma[y, x - 1] - luma[y, x + 1])
        for y in range(1, luma.shape[0] - 1)
        for x in range(1, luma.shape[1] - 1)
    ]
    assert found.detail == pytest.approx(np.mean(laplacian), abs=2e-4, rel=1e-5)
    cells = literal_cells(pixels.astype(np.float64).mean(axis=2))
    right = cells[:16, 1:] - cells[:16, :-1]
    down = cells[1:, :16] - cells[:-1, :16]
    differences = np.concatenate([right.ravel(), down.ravel()])
    sure = np.abs(differences) > 1e-3  # else the order of summing decides
    assert (hash_bits(found.hash)[sure] == (differences > 0)[sure]).all()


def test_a_picture_in_strips_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = pictures()[0]
    whole = of_pixels(pixels, "a0001", "input")
    for rows in (1, 2, 7, 255, 256, 257):
        monkeypatch.setattr(picture, "_ROWS", rows)
        assert of_pixels(pixels, "a0001", "input") == whole, rows


def test_16_bits_give_the_same_statistics_as_8() -> None:
    pixels = pictures()[2]
    eight = of_pixels(pixels, "a0001", "input")
    sixteen = of_pixels(pixels.astype(np.uint16) * 257, "a0001", "input")
    assert (eight.bits, sixteen.bits) == (8, 16)
    assert sixteen.pixels_sha256 != eight.pixels_sha256
    same = {"mean", "std", "light", "detail", "blocking", "hash", "width", "height"}
    for key in same:
        assert (
            getattr(sixteen, key) == pytest.approx(getattr(eight, key), abs=1e-4) or key == "hash"
        )
    assert (hash_bits(sixteen.hash) == hash_bits(eight.hash)).mean() > 0.99


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (3, 3), (8, 9)])
def test_the_smallest_pictures_have_fingerprints(shape: tuple[int, int]) -> None:
    pixels = np.full((*shape, 3), 77, np.uint8)
    found = of_pixels(pixels, "a0001", "target")
    assert (found.detail, found.blocking) == (0.0, 1.0)
    assert found.std == (0.0, 0.0, 0.0)


def jpeg(quality: int, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pictures()[0]).save(stream, "JPEG", quality=quality, **options)
    return stream.getvalue()


@pytest.mark.parametrize("quality", [20, 30, 50, 70, 75, 90, 95, 98, 100])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_quality_is_that_of_libjpeg(quality: int, progressive: bool) -> None:
    found = jpeg_facts(jpeg(quality, progressive=progressive)).quality
    assert found is not None
    assert abs(found - quality) <= 1
    assert (found == 100) == (quality == 100)


@pytest.mark.parametrize("quality", [1, 5, 10])
def test_of_the_coarsest_tables_it_is_low(quality: int) -> None:
    """They are clipped to 255, and no longer in proportion."""
    found = jpeg_facts(jpeg(quality)).quality
    assert found is not None
    assert found <= 15


def test_what_is_no_jpeg_or_has_no_table_has_no_quality() -> None:
    stream = io.BytesIO()
    Image.fromarray(pictures()[0]).save(stream, "PNG")
    assert jpeg_facts(stream.getvalue()).quality is None
    assert jpeg_facts(b"").quality is None
    whole = jpeg(90)
    assert jpeg_facts(whole[:30]).quality is None
    assert jpeg_facts(b"\xff\xd8\xff\xdb\x00\x05\x00\x01\x02").quality is None


def test_a_table_of_16_bits_and_one_behind_another_are_read() -> None:
    table = bytes([2] * 64)
    wide = b"\x10" + b"\x00\x02" * 64
    chroma = b"\x01" + bytes([9] * 64)
    expected = round((200 - 100 * 128 / 3688) / 2)
    for body in (b"\x00" + table, wide, chroma + b"\x00" + table):
        segment = b"\xff\xdb" + (len(body) + 2).to_bytes(2, "big") + body
        assert jpeg_facts(b"\xff\xd8" + segment + b"\xff\xd9").quality == expected


@pytest.mark.parametrize(
    ("subsampling", "chroma"), [("4:4:4", "1x1"), ("4:2:2", "2x1"), ("4:2:0", "2x2")]
)
def test_the_sampling_of_colour_is_read(subsampling: str, chroma: str) -> None:
    for progressive in (False, True):
        content = jpeg(90, subsampling=subsampling, progressive=progressive)
        assert jpeg_facts(content).chroma == chroma
    stream = io.BytesIO()
    Image.fromarray(pictures()[0]).convert("L").save(stream, "JPEG")
    assert jpeg_facts(stream.getvalue()).chroma is None
    assert jpeg_facts(b"\xff\xd8\xff\xc0\x00\x11\x08" + bytes(14)).chroma is None
    assert jpeg_facts(b"").chroma is None


def test_blocks_show_where_they_are() -> None:
    blocks = np.kron(np.random.default_rng(1).integers(0, 255, (12, 16, 3)), np.ones((8, 8, 1)))
    found = of_pixels((blocks + np.arange(128)[None, :, None] % 2).clip(0, 255).astype(np.uint8),
                      "a0001", "input")  # fmt: skip
    assert found.blocking > 20
    noise = np.random.default_rng(2).random((96, 128, 3))
    assert of_pixels(rounded(noise), "a0001", "input").blocking == pytest.approx(1, abs=0.05)
