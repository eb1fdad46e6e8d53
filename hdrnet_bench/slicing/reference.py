"""Slicing in plain torch: any device, any floating dtype, differentiable; the operators' meaning.

A pixel (x, y) with guide value g reads the grid at ((x + .5) GW / W, (y + .5) GH / H, g D), where
cell i has its centre at i + .5, by trilinear interpolation with indices clamped at the border.
That is `torch.nn.functional.grid_sample` with align_corners=False and border padding. The
TensorFlow reference smooths |d| along z to sqrt(d² + 1e-8) (hdrnet/ops/bilateral_slice.cc); this
does not.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bilateral_slice(grid: Tensor, guide: Tensor) -> Tensor:
    """(B, C, D, GH, GW), (B, H, W) -> (B, C, H, W)."""
    dtype = guide.dtype
    if dtype in (torch.float16, torch.bfloat16):
        # Half precision cannot place a sample within a cell; compute in float32, round at the end.
        grid, guide = grid.float(), guide.float()
    batch, height, width = guide.shape
    # grid_sample's positions: -1 and 1 are the picture's edges, and so the grid's, on every axis.
    x = (torch.arange(width, device=guide.device, dtype=guide.dtype) + 0.5) * (2 / width) - 1
    y = (torch.arange(height, device=guide.device, dtype=guide.dtype) + 0.5) * (2 / height) - 1
    position = torch.stack(
        [
            x.expand(batch, height, width),
            y[:, None].expand(batch, height, width),
            guide * 2 - 1,
        ],
        dim=-1,
    )
    # One sample along a depth of one: grid_sample of a volume takes a volume of positions.
    sliced = F.grid_sample(
        grid, position[:, None], mode="bilinear", padding_mode="border", align_corners=False
    )
    return sliced[:, :, 0].to(dtype)


def apply_coefficients(coefficients: Tensor, image: Tensor, has_offset: bool) -> Tensor:
    """(B, Cout * n_in, H, W), (B, Cin, H, W) -> (B, Cout, H, W): a matrix for every pixel.

    n_in is Cin, and one more for the offset, which stands last in each row.
    """
    inputs = image.shape[1]
    matrix = coefficients.unflatten(1, (-1, inputs + has_offset))
    output = (matrix[:, :, :inputs] * image[:, None]).sum(2)
    return output + matrix[:, :, inputs] if has_offset else output
