"""The coefficient network for inference on a GPU, where its thirty small layers wait for launches.

The numbers are `CoefficientNetwork.forward`'s: the same layers, but a convolution, its bias and its
ReLU are one kernel, and in a CUDA graph what does not wait for each other runs side by side.
"""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn

from .layers import Conv
from .network import CoefficientNetwork


class Branch:
    """A part of a CUDA graph that runs beside the rest, as a context, once or several times.

    Outside a capture it is a part like any other, in its place. A tensor that crosses over must be
    kept until `join`: its memory would be given to what comes next on its own side.
    """

    def __init__(self) -> None:
        capturing = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
        # Of a priority that hardly anyone asks for: see captured._captured.
        self._stream = torch.cuda.Stream(priority=-1) if capturing else None
        self._inside = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream())
            self._inside.enter_context(torch.cuda.stream(self._stream))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inside.close()

    def join(self) -> None:
        """What follows waits for all that was done inside."""
        if self._stream is not None:
            torch.cuda.current_stream().wait_stream(self._stream)


def fast_coefficients(network: CoefficientNetwork, lowres: Tensor, branch: Branch) -> Tensor:
    """(B, 3, S, S) -> the grid, as the network itself, but for gradients and hooks.

    Joins the branch, in which the global path is.
    """
    features = _run(network.splat, lowres)
    with branch:
        context = network.global_dense(network.flat(_run(network.global_convs, features)))
    local = _run(network.local, features)
    branch.join()
    return network.predict(local, context)


def _run(layers: nn.Sequential, x: Tensor) -> Tensor:
    for layer in layers:
        x = _fused(layer, x) if type(layer) is Conv and _can_fuse(layer, x) else layer(x)
    return x


def _can_fuse(layer: Conv, x: Tensor) -> bool:
    return (
        layer.relu
        and layer.norm is None
        and type(layer.conv) is nn.Conv2d  # nothing that someone put in its place
        and layer.conv.bias is not None
        and torch.backends.cudnn.is_acceptable(x)
        and x.dtype == layer.conv.weight.dtype
        and not torch.is_autocast_enabled("cuda")  # which does not know the operator
    )


def _fused(layer: Conv, x: Tensor) -> Tensor:
    conv = layer.conv
    assert not isinstance(conv.padding, str)
    return torch.cudnn_convolution_relu(
        layer.padded(x),
        conv.weight,
        conv.bias,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
    )
