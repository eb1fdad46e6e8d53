"""PSNR_HC and dE_HC against a literal computation, worked cases, and what their weights imply."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hdrnet_bench.metric_specs import METRICS
from hdrnet_bench.metrics import _pairs, delta_e_76, delta_e_hc, psnr, psnr_hc
from hdrnet_bench.metrics.as_published import MODES
from tests.metrics import ppr10k

BOTH = {"psnr_hc": psnr_hc, "delta_e_hc": delta_e_hc}


def triple(seed: int, height: int = 21, width: int = 34) -> tuple[Tensor, Tensor, Tensor]:
    """An output, neither of 8 bits nor in range, a target, and a mask of three levels."""
    random = np.random.default_rng(seed)
    target = random.random((3, height, width))
    output = target + random.normal(0, 0.1, target.shape)
    mask = random.choice([0, 1, 255], (height, width), p=[0.5, 0.1, 0.4]) / 255
    return tuple(map(torch.from_numpy, (output, target, mask)))  # type: ignore[return-value]


def saved(x: Tensor) -> np.ndarray:
    """(3, H, W) or (H, W) in [0, 1] as 8 bits, channels last."""
    levels = np.rint(np.clip(x.numpy(), 0, 1) * 255).astype(np.uint8)
    return levels.transpose(1, 2, 0) if levels.ndim == 3 else levels


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30))
def test_agrees_with_the_literal_computation(seed: int, height: int, width: int) -> None:
    pictures = triple(seed, height, width)
    literal = [saved(picture) for picture in pictures]
    assert float(psnr_hc(*pictures)) == pytest.approx(ppr10k.psnr_hc(*literal), abs=1e-9)
    assert float(delta_e_hc(*pictures)) == pytest.approx(ppr10k.delta_e_hc(*literal), abs=1e-9)


def test_worked_by_hand() -> None:
    """Two pixels, grey, each off by 10 levels in all channels: one is the person's. The weighted
    squares are 100 and 25, and their mean is taken over both pixels, whatever their weights."""
    target = torch.full((3, 1, 2), 100 / 255)
    output = torch.full((3, 1, 2), 110 / 255)
    mask = torch.tensor([[1.0, 0.0]])
    expected = 10 * math.log10(255**2 / ((100 + 25) / 2))
    assert float(psnr_hc(output, target, mask)) == pytest.approx(expected, abs=1e-9)
    # White beside black is 100 of L*: 100 for the person, 50 for what is behind.
    white, black = torch.ones(3, 1, 2), torch.zeros(3, 1, 2)
    assert float(delta_e_hc(white, black, mask)) == pytest.approx((100 + 50) / 2, abs=1e-9)
    assert float(delta_e_hc(white, black, torch.zeros(1, 2))) == pytest.approx(50, abs=1e-9)


def test_a_mask_of_one_value_is_the_plain_metric_shifted() -> None:
    output, target, mask = triple(1)
    person, background = torch.ones_like(mask), torch.zeros_like(mask)
    plain = float(psnr(output, target))
    assert float(psnr_hc(output, target, person)) == pytest.approx(plain, abs=1e-12)
    halved = float(psnr_hc(output, target, background))
    assert halved == pytest.approx(plain + 20 * math.log10(2), abs=1e-12)
    published = MODES["zeng"](output, target)["delta_e"]
    assert published is not None
    difference = float(delta_e_hc(output, target, person))
    assert difference == pytest.approx(float(published), abs=1e-12)
    assert float(delta_e_hc(output, target, background)) == pytest.approx(difference / 2, abs=1e-12)
    # rgb2lab's digits are not scikit-image's: near, not the same.
    rounded = delta_e_76(*((p.clamp(0, 1) * 255).round() / 255 for p in (output, target)))
    assert difference == pytest.approx(float(rounded), rel=1e-3)
    assert difference != pytest.approx(float(rounded), rel=1e-7)


@pytest.mark.parametrize(
    ("level", "weight"), [(0.0, 0.5), (0.49 / 255, 0.5), (0.51 / 255, 1.0), (1.0, 1.0)]
)
def test_a_pixel_is_the_persons_where_the_8_bit_mask_is_not_0(level: float, weight: float) -> None:
    target, output = torch.zeros(3, 4, 4), torch.full((3, 4, 4), 100 / 255)
    expected = 20 * math.log10(255 / (weight * 100))
    assert float(psnr_hc(output, target, torch.full((4, 4), level))) == pytest.approx(expected)


@pytest.mark.parametrize("name", BOTH)
def test_what_is_wrong_on_the_person_counts_more(name: str) -> None:
    _, target, _ = triple(2)
    mask = torch.zeros(target.shape[1:])
    mask[:, :17] = 1
    half = (target * 0.7, target)
    on_person, behind = (torch.where(m, *half) for m in (mask > 0, mask == 0))
    worse, better = (float(BOTH[name](picture, target, mask)) for picture in (on_person, behind))
    assert (better > worse) == METRICS[name].higher_is_better


def test_identical_pictures() -> None:
    _, target, mask = triple(3)
    assert float(psnr_hc(target, target, mask)) == math.inf
    assert float(delta_e_hc(target, target, mask)) == 0


@pytest.mark.parametrize("name", BOTH)
def test_batches_layouts_and_strips(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    triples = [triple(seed) for seed in range(3)]
    alone = [float(BOTH[name](*pictures)) for pictures in triples]
    batch = [torch.stack(pictures) for pictures in zip(*triples, strict=True)]
    assert BOTH[name](*batch).tolist() == pytest.approx(alone, abs=1e-11)
    assert BOTH[name](*triples[0]).shape == ()
    one = BOTH[name](*(pictures[:1] for pictures in batch))
    assert one.tolist() == pytest.approx(alone[:1], abs=1e-11)
    kept = [p.clone() for p in batch]
    for size in (1, 100):
        monkeypatch.setitem(_pairs._STRIP, "cpu", size)
        assert BOTH[name](*batch).tolist() == pytest.approx(alone, abs=1e-11)
    assert all(torch.equal(a, b) for a, b in zip(batch, kept, strict=True))
    lower = [p.float().requires_grad_() for p in triples[0]]
    assert not BOTH[name](*lower).requires_grad


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(8, 9), "the mask is \\(8, 9\\), the picture 9 x 8"),
        (torch.ones(1, 1, 9, 8), "the mask is"),
        (torch.ones(2, 9, 8), "the mask is"),
        (torch.ones(9, 8, dtype=torch.uint8), "uint8"),
        (torch.full((9, 8), 255.0), "not in \\[0, 1\\]"),
        (torch.full((9, 8), -1e-6), "not in \\[0, 1\\]"),
        (torch.full((9, 8), torch.nan), "not in \\[0, 1\\]"),
    ],
)
def test_masks_that_are_none(name: str, mask: Tensor, message: str) -> None:
    picture = torch.rand(3, 9, 8)
    with pytest.raises(ValueError, match=message):
        BOTH[name](picture, picture, mask)


@pytest.mark.parametrize("name", BOTH)
def test_pictures_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        BOTH[name](torch.rand(3, 9, 8), torch.rand(3, 8, 9), torch.ones(9, 8))
