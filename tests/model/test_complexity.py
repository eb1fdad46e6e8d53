"""Parameters and multiply-accumulates, against literal counts and against torch's own counter."""

import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.model.complexity import complexity, network_macs, pixel_macs


def test_the_paper_s_network_by_hand() -> None:
    splat = (  # side of the output squared, 3 x 3 window, channels in and out
        128**2 * 9 * 3 * 8 + 64**2 * 9 * 8 * 16 + 32**2 * 9 * 16 * 32 + 16**2 * 9 * 32 * 64
    )
    local = 2 * 16**2 * 9 * 64 * 64
    context = 8**2 * 9 * 64 * 64 + 4**2 * 9 * 64 * 64
    dense = 1024 * 256 + 256 * 128 + 128 * 64
    prediction = 16**2 * 64 * 96
    assert network_macs(HDRNetConfig()) == splat + local + context + dense + prediction
    colour_matrix, curves, mix, slicing, applying = 9, 48, 3, 8 * 12, 9
    assert pixel_macs(HDRNetConfig()) == colour_matrix + curves + mix + slicing + applying
    assert complexity(HDRNetConfig()).parameters == 482_080


@pytest.mark.parametrize("variant", ["curves", "pointwise", "pyramid"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_network_agrees_with_torch_s_counter(variant: str, batch_norm: bool) -> None:
    config = HDRNetConfig(
        variant=variant, net_input_size=64, spatial_bin=8, luma_bins=5, local_layers=3,
        channel_multiplier=2, batch_norm=batch_norm,
    )  # fmt: skip
    model = HDRNet(config).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.coefficients(torch.rand(1, 3, 64, 64))
    measured = complexity(config)
    assert counter.get_total_flops() == 2 * measured.network_macs
    assert measured.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("variant", ["curves", "pointwise", "pyramid"])
def test_the_guide_agrees_with_torch_s_counter(variant: str) -> None:
    """Its colour matrix, mix and pointwise layers: what torch counts. Curves it does not count."""
    config = HDRNetConfig(variant=variant, guide_complexity=7)
    guide = HDRNet(config).eval().guides[0]
    side = 8
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        guide(torch.rand(1, 3, side, side), "reference")
    counted = counter.get_total_flops() / 2 / side**2
    assert counted == (9 + 3 if variant == "curves" else 7 * 3 + 7)


def test_a_pyramid_is_three_levels_and_four_resizes() -> None:
    single, pyramid = (
        pixel_macs(HDRNetConfig(variant=v, guide_complexity=16)) for v in ("pointwise", "pyramid")
    )
    down, up = 12 / 4 + 12 / 16, 12 + 12 / 4
    assert pyramid == pytest.approx(single * (1 + 1 / 4 + 1 / 16) + down + up)


def test_each_key_that_costs_changes_the_count() -> None:
    counts = [
        (measured.network_macs, measured.pixel_macs)
        for measured in map(
            complexity,
            (
                HDRNetConfig(),
                HDRNetConfig(luma_bins=4),
                HDRNetConfig(spatial_bin=32),
                HDRNetConfig(local_layers=1),
                HDRNetConfig(variant="pointwise"),
                HDRNetConfig(variant="pointwise", guide_complexity=8),
            ),
        )
    ]
    assert all(a != b for a, b in itertools.pairwise(counts))
