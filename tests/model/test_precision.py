"""Reduced precision: what runs under autocast, and models whose weights are half."""

import copy

import pytest
import torch
from torch import Tensor

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.config import FULL_SCALE
from hdrnet_bench.training.optimisation import TrainingForward

VARIANTS = ["curves", "pointwise", "pyramid"]


def network(variant: str, **settings: object) -> HDRNet:
    torch.manual_seed(0)
    small = {"net_input_size": 32, "spatial_bin": 8, "luma_bins": 4, **settings}
    return HDRNet(HDRNetConfig(variant=variant, **small))  # type: ignore[arg-type]


def pictures(seed: int = 1) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return (
        torch.rand(2, 3, 32, 32, generator=random),
        torch.rand(2, 3, 40, 48, generator=random),
    )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_coefficients_alone_are_narrow(variant: str, dtype: torch.dtype) -> None:
    model, (lowres, fullres) = network(variant), pictures()
    exact = model(lowres, fullres)
    with torch.autocast("cpu", dtype):
        grid = model.coefficients(lowres)
        output = model(lowres, fullres)
        guides = model.guide(fullres)
    assert grid.dtype == dtype
    assert output.dtype == torch.float32
    assert torch.equal(output, model.render(grid.float(), fullres))
    for inside, outside in zip(guides, model.guide(fullres), strict=True):
        assert torch.equal(inside, outside)
    assert 0 < (output - exact).abs().max() < 0.02 * exact.abs().max()
    output.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_narrow_picture_comes_back_as_it_came(variant: str) -> None:
    """Computed in the weights' float32: its own rounding is all that is lost."""
    model, (lowres, fullres) = network(variant), pictures()
    for autocast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            narrow = model(lowres, fullres.half())
            wide = model(lowres, fullres.half().float())
        assert narrow.dtype == torch.float16
        assert torch.equal(narrow, wide.half())


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_is_the_model_under_autocast(variant: str) -> None:
    model, inputs = network(variant), pictures()
    with torch.autocast("cpu", torch.bfloat16):
        expected = model(*inputs)
    assert torch.equal(TrainingForward(model, "bfloat16")(*inputs), expected)
    exact = model(*inputs)
    assert torch.equal(TrainingForward(model, "float32")(*inputs), exact)
    # A recipe's float32 is that, whatever is around it.
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(TrainingForward(model, "float32")(*inputs), exact)
    compiled = torch.compile(TrainingForward(model, "bfloat16"), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*inputs), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("white", [FULL_SCALE, 32767])
def test_integers_are_scaled_before_they_are_narrow(
    variant: str, dtype: torch.dtype, white: int
) -> None:
    """65535 is infinity in float16, and 65536 in bfloat16."""
    model = network(variant, input_white=white).eval().to(dtype)
    seen: list[Tensor] = []
    model.guides[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    levels = torch.randint(0, FULL_SCALE + 1, (1, 3, 40, 48), dtype=torch.int32)
    levels[0, :, 0, :2] = torch.tensor([0, FULL_SCALE])
    output = model.enhance(levels.to(torch.uint16))
    assert output.dtype == torch.uint16
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert torch.equal(seen[0], (levels.to(wide) / white).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", [torch.uint8, torch.uint16])
def test_integers_come_back_clamped_in_every_precision(
    dtype: torch.dtype, kind: torch.dtype
) -> None:
    """An image that is 2 everywhere is white, and one that is -1 black."""
    white = torch.iinfo(kind).max
    levels = torch.randint(0, white + 1, (3, 20, 30), dtype=torch.int32).to(kind)
    for value, expected in ((2.0, white), (-1.0, 0), (1.0, white), (0.0, 0)):
        model = network("curves").eval()
        prediction = model.coefficient_network.prediction.conv
        with torch.no_grad():
            prediction.weight.zero_()
            prediction.bias.zero_()
            prediction.bias[9 * 4 :] = value  # the offsets: the last 3 of 12, each of depth 4
        output = model.to(dtype).enhance(levels)
        assert (output.to(torch.int32) == expected).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_linear_model_encodes_before_it_narrows(dtype: torch.dtype) -> None:
    """sRGB's curve is steep in the dark: its argument is not rounded first."""
    model = network("curves", input_encoding="linear", input_transfer="srgb").eval()
    seen: list[Tensor] = []
    for each in (narrow := copy.deepcopy(model).to(dtype), model):
        each.guides[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    dark = (torch.rand(3, 20, 30) * 1000).to(torch.int32).to(torch.uint16)
    narrow.enhance(dark)
    model.enhance(dark.to(torch.float32) / FULL_SCALE, "reference")
    assert torch.equal(seen[0], seen[1].to(dtype))
