"""Methods without training that results stand beside: nothing done, and two that see the target.

The two oracles are bounds, not methods: they are fitted to each picture's target, and no method of
their form can do better. `oracle-affine` is the least-squares 3 x 4 transform of the whole picture;
`oracle-grid-…` the least-squares bilateral grid under one fixed guide (grid_fit.py): no HDRNet with
that grid and that guide has a lower squared error before clamping and rounding. Both transform what
a model of the recipe would be given, in the encoding that it would be given it in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..color import LUMINANCE
from ..config import Encoding, HDRNetConfig
from ..data.pairs import Pair
from ..model.encoding import to_display, to_model_input
from ..slicing import bilateral_slice_apply
from .grid_fit import fit_grid, fit_transform
from .score import Method
from .slopes import Held, WithCoefficients, lighter_input

Baseline = Literal["identity", "affine", "grid"]
Guide = Callable[[Tensor], Tensor]  # (B, 3, H, W) as a model is given it -> (B, H, W) in [0, 1]


def identity(encoding: Encoding) -> Method:
    """The input as it is shown."""
    return lambda pair: to_display(pair.input, encoding)


def affine(config: HDRNetConfig) -> Method:
    """The target's best single 3 x 4 transform of the input."""

    def both(pair: Pair) -> tuple[Tensor, Held]:
        image = to_model_input(pair.input, config)
        transform = fit_transform(_array(image), _array(pair.target))
        matrix = torch.from_numpy(transform).to(image)

        def apply(image: Tensor) -> Tensor:
            return torch.einsum("oi,ihw->ohw", matrix[:, :3], image) + matrix[:, 3, None, None]

        return apply(image), lambda shift: apply(lighter_input(pair.input, config, shift))

    return WithCoefficients(both)


def grid(config: HDRNetConfig, guide: Guide) -> Method:
    """The target's best bilateral grid of the configuration's size, under a guide."""
    bins = (config.luma_bins, config.spatial_bin, config.spatial_bin)

    @torch.no_grad()
    def both(pair: Pair) -> tuple[Tensor, Held]:
        image = to_model_input(pair.input, config)
        place = guide(image[None])
        fitted = fit_grid(_array(image), _array(place[0]), _array(pair.target), bins)
        cells = torch.from_numpy(fitted).to(image)[None]

        @torch.no_grad()
        def held(shift: float) -> Tensor:
            lighter = lighter_input(pair.input, config, shift)[None]
            return bilateral_slice_apply(cells, guide(lighter), lighter)[0]

        return bilateral_slice_apply(cells, place, image[None])[0], held

    return WithCoefficients(both)


def grid_name(config: HDRNetConfig, guide: str) -> str:
    """As results name it, with the guide."""
    return f"oracle-grid-{config.spatial_bin}x{config.spatial_bin}x{config.luma_bins}-{guide}"


def luma(image: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, H, W): Rec. 709's weights on the numbers as they are, in [0, 1]."""
    weights = torch.tensor(LUMINANCE, dtype=image.dtype, device=image.device)
    return torch.einsum("bchw,c->bhw", image, weights).clamp(0, 1)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
