"""Models for the page's tests."""

from typing import Any

import torch

from hdrnet_bench import HDRNet, HDRNetConfig


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
