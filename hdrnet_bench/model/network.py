"""The coefficient network: a low-res copy of the picture in, the bilateral grid out.

Shapes: B batch; S side of the low-res input; D, GH, GW bilateral grid (luma bins, rows, columns);
n_out, n_in rows and columns of a cell's matrix.

Source: Gharbi et al. 2017, section 3.1, and the reference's hdrnet/models.py.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import N_IN, HDRNetConfig
from .layers import Conv, Dense


class CoefficientNetwork(nn.Module):
    """Low-res picture to grid: low-level features, a local and a global path, their sum."""

    def __init__(self, config: HDRNetConfig) -> None:
        super().__init__()
        depth, multiplier, norm = config.luma_bins, config.channel_multiplier, config.batch_norm
        width = 8 * multiplier * depth
        self.config = config

        # Each layer halves the picture, until it has the grid's size, and doubles the channels.
        splat, channels = [], 3
        for i in range(config.splat_layers):
            # The first layer has no batch norm, whatever the configuration.
            out = multiplier * 2**i * depth
            splat.append(Conv(channels, out, stride=2, norm=norm and i > 0))
            channels = out
        self.splat = nn.Sequential(*splat)

        # At the grid's size from here on: what a cell's neighbourhood has to say.
        local_convs = [
            Conv(channels if i == 0 else width, width, norm=norm)
            for i in range(config.local_layers - 1)
        ]
        local_in = width if local_convs else channels
        # Neither bias nor ReLU: the global path's bias is added, and the sum has the ReLU.
        self.local = nn.Sequential(*local_convs, Conv(local_in, width, bias=False, relu=False))

        # What the whole picture has to say: one vector, added in every cell.
        self.global_convs = nn.Sequential(
            Conv(channels, width, stride=2, norm=norm), Conv(width, width, stride=2, norm=norm)
        )
        side = math.ceil(math.ceil(config.spatial_bin / 2) / 2)  # after both, rounded up by SAME
        self.global_dense = nn.Sequential(
            Dense(side * side * width, 4 * width, norm=norm),
            Dense(4 * width, 2 * width, norm=norm),
            Dense(2 * width, width, relu=False),
        )
        self.prediction = Conv(width, depth * config.outputs * N_IN, kernel=1, relu=False)

    def forward(self, lowres: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, n_out * n_in, D, GH, GW)."""
        features = self.splat(lowres)
        context = self.global_dense(self.flat(self.global_convs(features)))
        return self.predict(self.local(features), context)

    @staticmethod
    def flat(features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, H * W * C), as the reference flattens: its dense weights then fit."""
        return features.permute(0, 2, 3, 1).flatten(1)

    def predict(self, local: Tensor, context: Tensor) -> Tensor:
        """(B, C, GH, GW) of the cells' neighbourhoods, (B, C) of the whole picture -> the grid."""
        fusion = F.relu(local + context[:, :, None, None])
        # The prediction's channel is (i_in * n_out + i_out) * D + z.
        grid = self.prediction(fusion).unflatten(1, (N_IN, self.config.outputs, -1))
        return grid.transpose(1, 2).flatten(1, 2)
