"""A picture in 0 to 255 is refused by every metric, not clamped to a value that looks like one."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hdrnet_bench.metrics.lpips  # noqa: F401  (the name in the package is the function)
from hdrnet_bench import metrics
from hdrnet_bench.metrics.as_published import MODES, hdrnet, llf_lut_lpips, namedcurves
from hdrnet_bench.metrics.lpips import NETS

HEIGHT, WIDTH = 40, 36  # large enough for every metric
MASK = torch.ones(HEIGHT, WIDTH)
NEXT = math.nextafter(10, math.inf)

OF_PAIRS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    **{
        name: getattr(metrics, name)
        for name in ("psnr", "ssim", "delta_e_76", "delta_e_2000", "delta_e_both", "grid_artefact")
    },
    **{name: getattr(metrics, name) for name in NETS},
    "psnr_hc": lambda x, y: metrics.psnr_hc(x, y, MASK),
    "delta_e_hc": lambda x, y: metrics.delta_e_hc(x, y, MASK),
    **MODES,
    "llf-lut.lpips": llf_lut_lpips,
}


class SquaredError(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().mean(dim=(1, 2, 3))


@pytest.fixture(autouse=True)
def some_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of LPIPS's, whose weights may not be here."""
    monkeypatch.setattr(
        sys.modules["hdrnet_bench.metrics.lpips"], "_network", lambda net: SquaredError()
    )


def picture(seed: int, extreme: float | None = None) -> Tensor:
    """In [0, 1], but for one value."""
    made = torch.rand(
        3, HEIGHT, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    if extreme is not None:
        made[1, 2, 3] = extreme
    return made


def test_every_public_metric_is_tried() -> None:
    assert {*OF_PAIRS, "METRICS", "Undefined", "glc", "mean_ab"} >= set(metrics.__all__)


@pytest.mark.parametrize("name", OF_PAIRS)
def test_far_outside_is_refused_in_either_picture(name: str) -> None:
    metric, plain = OF_PAIRS[name], picture(1)
    for extreme in (10.0, -10.0):
        metric(picture(0, extreme), plain)
        metric(plain, picture(0, extreme))
    for extreme in (NEXT, -NEXT):
        wild = picture(0, extreme)
        with pytest.raises(ValueError, match=r"the first picture has .*, far outside"):
            metric(wild, plain)
        with pytest.raises(ValueError, match=r"the second picture has .*, far outside"):
            metric(plain, wild)


@pytest.mark.parametrize("name", OF_PAIRS)
def test_levels_are_refused_with_what_to_do(name: str) -> None:
    levels, other = (255 * picture(seed, 1.0).round() for seed in (0, 1))
    levels[0, 0, 0] = 0
    with pytest.raises(ValueError, match="far outside") as error:
        OF_PAIRS[name](levels, other)
    assert not isinstance(error.value, metrics.Undefined)
    assert str(error.value) == (
        "the first picture has values from 0 to 255, far outside [0, 1]: divide 8-bit levels by "
        "255, 16-bit levels by 65535; clamp a network's output"
    )


def test_the_mean_colour_and_its_groups_refuse_it_too() -> None:
    for extreme in (10.0, -10.0):
        metrics.mean_ab(picture(0, extreme))
        metrics.glc([picture(1), picture(0, extreme)])
    for extreme in (NEXT, -NEXT):
        with pytest.raises(ValueError, match=r"^the picture has .*, far outside"):
            metrics.mean_ab(picture(0, extreme))
        with pytest.raises(ValueError, match=r"^picture 2 of the group has .*, far outside"):
            metrics.glc([picture(1), picture(0, extreme)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_one_picture_of_a_batch_is_enough_in_every_type(dtype: torch.dtype) -> None:
    batch = torch.stack([picture(0), picture(1, 255.0)]).to(dtype).requires_grad_()
    with pytest.raises(ValueError, match="to 255, far outside"):
        metrics.psnr(batch, batch)
    assert metrics.psnr(batch[:1], batch[:1]).tolist() == [math.inf]


def test_what_does_not_clamp_takes_any_range_where_it_is_asked_to() -> None:
    wild, plain = 1000 * picture(0) - 400, picture(1)
    mse = float((wild - plain).square().mean())
    values = hdrnet(wild, plain, any_range=True)
    assert float(values["mse"]) == pytest.approx(mse)
    assert float(values["psnr"]) == pytest.approx(-10 * math.log10(mse))
    assert float(values["l2_lab"]) == float(metrics.delta_e_76(wild.clamp(0, 1), plain))
    values = namedcurves(wild, plain, any_range=True)
    assert float(values["psnr"]) == pytest.approx(-10 * math.log10(mse))
    assert float(values["delta_e_2000"]) == float(metrics.delta_e_2000(wild.clamp(0, 1), plain))
    # Symmetric, and the same of both pictures shrunk: the data range is theirs.
    assert float(values["ssim"]) == pytest.approx(
        float(namedcurves(plain / 1000, wild / 1000)["ssim"])
    )
    for metric in (hdrnet, namedcurves):
        with pytest.raises(ValueError, match="holds NaN or infinite"):
            metric(wild * math.inf, plain, any_range=True)
