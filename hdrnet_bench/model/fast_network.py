"""The coefficient network for inference on a GPU, whose small kernels wait for their launches.

The layers are `CoefficientNetwork.forward`'s, but a convolution, its bias and its ReLU are one
kernel, and in a CUDA graph what does not wait for each other runs side by side. On an H100 the bits
are the same; on another GPU cuDNN may choose other algorithms.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .captured import clears_workspaces
from .layers import Conv, Dense
from .network import CoefficientNetwork

# What the network is made of.
_PARTS = {
    *(CoefficientNetwork, nn.Sequential, Conv, Dense),
    *(nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d),
}


class Branch:
    """A part of a CUDA graph that runs beside the rest: see `branch`."""

    def __init__(self, stream: torch.cuda.Stream | None) -> None:
        self._stream = stream
        self._open = False

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """What is done inside waits for what was done before, and nothing outside for it until
        `join`. A tensor that crosses over must be kept until then: its memory would be given to
        what comes next on its own side."""
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream())
        self._open = True
        with torch.cuda.stream(self._stream):
            yield

    def join(self) -> None:
        """What follows waits for all that was done beside."""
        if self._stream is not None and self._open:
            torch.cuda.current_stream().wait_stream(self._stream)
            self._open = False


@contextlib.contextmanager
def branch(device: torch.device) -> Iterator[Branch]:
    """A branch of the graph that is being captured, joined at the end whatever happens: else no
    capture can be ended. Where none is, what is beside comes in its place."""
    # Without a workspace of its own, cuBLAS would keep the graph's memory for that stream.
    capturing = (
        device.type == "cuda" and torch.cuda.is_current_stream_capturing() and clears_workspaces()
    )
    # Of a priority that hardly anyone asks for, as the stream that captures.
    part = Branch(torch.cuda.Stream(priority=-1) if capturing else None)
    try:
        yield part
    finally:
        part.join()


def serves(network: nn.Module) -> bool:
    """Whether a network is what it is named, so that nobody misses a call of a part of it: nothing
    was put in another's place, wrapped or compiled. (Hooks are `weights_state`'s to find.)"""
    if type(network) is not CoefficientNetwork:
        return False
    paths = (network.splat, network.local, network.global_convs, network.global_dense)
    return all(type(path) is nn.Sequential for path in paths) and all(
        type(module) in _PARTS
        and "forward" not in vars(module)
        and module._compiled_call_impl is None
        for module in network.modules()
    )


def fast_coefficients(network: CoefficientNetwork, lowres: Tensor, part: Branch) -> Tensor:
    """(B, 3, S, S) -> the grid, as a network that `serves`, without gradients.

    The global path runs beside the rest in `part`, which is joined before this returns.
    """
    features = _run(network.splat, lowres)
    with part.beside():
        context = network.global_dense(network.flat(_run(network.global_convs, features)))
    local = _run(network.local, features)
    part.join()
    return network.predict(local, context)


def _run(layers: nn.Sequential, x: Tensor) -> Tensor:
    for layer in layers:
        x = _fused(layer, x) if isinstance(layer, Conv) and _can_fuse(layer, x) else layer(x)
    return x


def _can_fuse(layer: Conv, x: Tensor) -> bool:
    return (
        layer.relu
        and layer.norm is None
        and x.dtype == layer.conv.weight.dtype
        and torch.backends.cudnn.is_acceptable(x)
        # The operator does not ask for either.
        and not torch.backends.cudnn.deterministic
        and not torch.are_deterministic_algorithms_enabled()
        and not torch.is_autocast_enabled("cuda")  # which does not know the operator
    )


def _fused(layer: Conv, x: Tensor) -> Tensor:
    conv = layer.conv
    assert not isinstance(conv.padding, str)
    try:
        return torch.cudnn_convolution_relu(
            layer.padded(x),
            conv.weight,
            conv.bias,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
        )
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # cuDNN has no such kernel for this GPU or shape: one after the other
        return layer(x)
