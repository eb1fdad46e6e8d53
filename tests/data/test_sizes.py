"""480p is what a dataset prepared at that size would hold."""

from pathlib import Path

import numpy as np
import pytest

from hdrnet_bench.color import linear_to_srgb, srgb_to_linear
from hdrnet_bench.data import sizes
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.data.sizes import any_differs, averaged, load_pair_at, size_of
from hdrnet_bench.images.resize import SizeRule
from hdrnet_bench.prepare.build import build
from tests.conftest import TINY, in_a_thread, make_tiny, tiny_plan


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    build(tiny_plan(), TINY, make_tiny, tmp_path, open_pool=in_a_thread)
    return Dataset(tmp_path / "demo-tiny")


def test_the_short_edge_and_only_downwards(dataset: Dataset) -> None:
    row = dataset.rows[0]
    for whole, small in (
        ((4000, 3000), (640, 480)),
        ((3000, 4001), (480, 640)),
        ((481, 900), (480, 898)),
        ((480, 900), (480, 900)),
        ((100, 90), (100, 90)),
    ):
        at = row.model_copy(update={"width": whole[0], "height": whole[1]})
        assert size_of(at, "480p") == small
        assert size_of(at, "full") == whole
        assert any_differs([at]) == (whole != small)
    assert not any_differs([])


def test_averages_in_linear_light_and_rounds_once() -> None:
    """Four pixels to one: srgb is decoded, averaged and encoded; linear is averaged as it is."""
    random = np.random.default_rng(0)
    for kind, white in ((np.uint8, 255), (np.uint16, 65535)):
        pixels = random.integers(0, white + 1, (2, 2, 3)).astype(kind)
        (srgb,) = averaged(pixels, (1, 1), "srgb")[0]
        light = srgb_to_linear(pixels / white).mean((0, 1))
        np.testing.assert_allclose(srgb, linear_to_srgb(light) * white, atol=0.51)
        (linear,) = averaged(pixels, (1, 1), "linear")[0]
        np.testing.assert_allclose(linear, pixels.mean((0, 1)), atol=0.51)
        assert srgb.dtype == linear.dtype == kind
    assert averaged(pixels, (2, 2), "srgb") is pixels


def test_a_pair_at_480p(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "RULE_480P", SizeRule(edge="short", pixels=25))
    row = dataset.split("test")[0]
    full, small = (load_pair_at(dataset, row, size) for size in ("full", "480p"))
    assert full.input.shape[-2:] == (row.height, row.width)
    width, height = size_of(row, "480p")
    assert small.input.shape == small.target.shape == (3, height, width)
    assert min(width, height) == 25
    assert small.row == row
    for whole, averaged_ in zip(full[1:3], small[1:3], strict=True):
        # The mean of linear light is kept.
        here, there = (srgb_to_linear(x).mean((1, 2)) for x in (whole, averaged_))
        np.testing.assert_allclose(here, there, atol=2e-3)
        levels = averaged_.numpy() * 255
        np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
