"""Every CUDA kernel once or twice on small pictures: for tools that make each access slow."""

from __future__ import annotations

import torch
from torch import Tensor

from hdrnet_bench.slicing import cpu, cuda
from hdrnet_bench.slicing.cuda import Launch
from tests.slicing.test_native import curves

# Rows as words of four pixels, and not; more than one segment, strip and block.
SIZES = ((9, 516), (21, 70))


def run_every_kernel(launch: Launch, device: str = "cpu") -> list[Tensor]:
    """All results, on the device."""
    torch.manual_seed(0)
    results = []
    for height, width in SIZES:
        grid = torch.rand(2, 12, 8, 4, 5).to(device)
        image = torch.rand(2, 3, height, width).to(device)
        guide, grad = image[:, 0].contiguous(), image.flip(2).contiguous()
        results += _slices(launch, grid, guide, image, grad)
        results += _guides(launch, grid, guide, image)
    # Matrices of 2 x 3, for the kernels of any shape.
    small = (torch.rand(1, 6, 3, 2, 2), torch.rand(1, 9, 40), *torch.rand(2, 1, 2, 9, 40))
    return results + _slices(launch, *(t.to(device) for t in small))


def _slices(
    launch: Launch, grid: Tensor, guide: Tensor, image: Tensor, grad: Tensor
) -> list[Tensor]:
    results = []
    for dtype in cuda.PICTURES:
        narrow = [t.to(dtype) for t in (guide, image, grad)]
        out = torch.empty_like(narrow[1])
        cuda.slice_apply(launch, grid, narrow[0], narrow[1], True, out)
        results += [out, *cuda.slice_gradient(launch, grid, *narrow, True)]
    return results


def _guides(launch: Launch, grid: Tensor, guide: Tensor, image: Tensor) -> list[Tensor]:
    points = cpu.pack_curves(*curves(0).parameters()).to(image.device)
    packed = cuda.with_constant(points)
    results = [cuda.curves_forward(launch, image, packed)]
    results += cuda.curves_backward(launch, image, packed, guide)
    table, hidden = cuda.curves_table(launch, points), 5
    pointwise = cuda.by_channel(torch.rand(5 * hidden + 1).to(image.device), hidden)
    for dtype in cuda.FUSED:
        levels = (image * 255).to(dtype) if dtype == torch.uint8 else image.to(dtype)
        interleaved = levels.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        for picture in (levels, interleaved):
            results.append(cuda.area_lowres(launch, picture, 16))
            for parameters, width in ((table, 0), (pointwise, hidden)):
                out = cuda.enhance(launch, grid, picture, parameters, width)
                assert out is not None
                results.append(out)
    return results
