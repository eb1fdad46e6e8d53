"""The guide maps that pick a cell of the grid's depth for every pixel.

Source: Gharbi et al. 2017, section 3.4.1, and the reference's hdrnet/models.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..slicing import Backend, cpu, use_native
from ..slicing.operators import curves_guide
from .layers import Conv

CURVE_POINTS = 16


class CurvesGuide(nn.Module):
    """The paper's guide: a colour matrix, a learned curve per channel, a mix (section 3.4.1)."""

    width = 0  # by which the fused kernel tells curves from a pointwise guide's hidden channels

    def __init__(self) -> None:
        super().__init__()
        self.ccm = nn.Parameter(torch.empty(3, 3))
        self.ccm_bias = nn.Parameter(torch.zeros(3))
        self.shifts = nn.Parameter(torch.empty(3, CURVE_POINTS))
        self.slopes = nn.Parameter(torch.zeros(3, CURVE_POINTS))
        self.mix = nn.Parameter(torch.full((3,), 1 / 3))
        self.mix_bias = nn.Parameter(torch.zeros(()))
        # Where shapes alone are wanted there is nothing to fill, and torch would import its
        # compiler, for a second, to compute what that had for a shape.
        if not self.ccm.is_meta:
            self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        # One random number for all nine, as in the reference; applied as x @ ccm.
        self.ccm.copy_(torch.eye(3) + torch.randn(()) * 1e-4)
        # Every curve begins as the identity: slope 1 from 0 on, and no change of slope after it.
        self.shifts.copy_(torch.arange(CURVE_POINTS) / CURVE_POINTS)
        self.slopes[:, 0] = 1

    def forward(self, fullres: Tensor, backend: Backend = "auto") -> Tensor:
        """(B, 3, H, W) -> (B, H, W) in [0, 1]."""
        if fullres.dtype == torch.float32 and use_native(backend, fullres):
            return curves_guide(fullres, *self.parameters())
        # One control point at a time, so that no tensor holds all 16 for each pixel.
        x = torch.einsum("bihw,io->bohw", fullres, self.ccm) + self.ccm_bias[:, None, None]
        shifts, slopes = self.shifts[:, :, None, None], self.slopes[:, :, None, None]
        curve = slopes[:, 0] * F.relu(x - shifts[:, 0])
        for k in range(1, CURVE_POINTS):
            curve = curve + slopes[:, k] * F.relu(x - shifts[:, k])
        guide = torch.einsum("bchw,c->bhw", curve, self.mix) + self.mix_bias
        return guide.clamp(0, 1)

    def kernel_parameters(self) -> tuple[Tensor, int]:
        """Parameters for the fused kernel."""
        return cpu.pack_curves(*self.parameters()), self.width


class PointwiseGuide(nn.Module):
    """Two 1 x 1 convolutions with batch norm always on (HDRNetPointwiseNNGuide)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.conv1 = Conv(3, width, kernel=1, norm=True)
        self.conv2 = Conv(width, 1, kernel=1, relu=False)

    def forward(self, fullres: Tensor, backend: Backend = "auto") -> Tensor:
        """(B, 3, H, W) -> (B, H, W) in [0, 1]. Plain torch, whatever the backend."""
        return self.conv2(self.conv1(fullres))[:, 0].sigmoid()

    def kernel_parameters(self) -> tuple[Tensor, int]:
        """Parameters for the fused kernel, the batch norm folded into the first layer."""
        norm = self.conv1.norm
        assert norm is not None
        assert norm.running_mean is not None
        assert norm.running_var is not None
        # norm(w x) = (w x - mean) scale + shift: again a convolution with a bias.
        scale = (norm.running_var + norm.eps).rsqrt()
        w1 = self.conv1.conv.weight.flatten(1) * scale[:, None]
        b1 = norm.bias - norm.running_mean * scale
        w2, b2 = self.conv2.conv.weight, self.conv2.conv.bias
        assert b2 is not None
        parts = [part.detach().reshape(-1) for part in (w1, b1, w2, b2)]
        return torch.cat(parts).float().contiguous(), self.width
