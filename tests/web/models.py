"""Models for the page's tests, and what they make of a picture."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from hdrnet_bench import HDRNet, HDRNetConfig

SMALL = {"net_input_size": 32, "spatial_bin": 4, "luma_bins": 4}


def random_model(**settings: Any) -> HDRNet:
    """Random in every parameter, batch norm's included, and of the size of a trained one."""
    torch.manual_seed(1)
    config = HDRNetConfig(**settings)
    model = HDRNet(config).train()
    size = config.net_input_size
    for _ in range(3):
        model(torch.rand(4, 3, size, size), torch.rand(4, 3, 40, 40))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model.eval()


def exact(model: HDRNet, pixels: np.ndarray, strength: float = 1) -> np.ndarray:
    """(H, W, 3) uint8 by the plain path in float64, unrounded, in levels."""
    picture = torch.tensor(pixels).permute(2, 0, 1)[None].double() / 255
    model, config = model.double(), model.config
    side = config.net_input_size
    with torch.no_grad():
        grid = model.coefficients(
            F.interpolate(picture, size=(side, side), mode=config.lowres_resize)
        )
        output = model.render(grid, picture, "reference").clamp(0, 1)
    mixed = picture + strength * (output - picture)
    return (mixed * 255)[0].permute(1, 2, 0).numpy()
