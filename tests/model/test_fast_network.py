"""The coefficient network for inference is the network itself; see also tests/gpu."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.model.fast_network import branch, fast_coefficients, serves
from hdrnet_bench.model.layers import Conv
from hdrnet_bench.model.network import CoefficientNetwork

CPU = torch.device("cpu")
# And how many of its convolutions have a bias, a ReLU and nothing between them.
CONFIGS = [
    (HDRNetConfig(), 7),
    (HDRNetConfig(batch_norm=True, spatial_bin=8, luma_bins=4), 1),
    (HDRNetConfig(variant="pyramid", net_input_size=64, local_layers=1), 4),
]


def grids(network: CoefficientNetwork, lowres: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad(), branch(CPU) as part:
        return fast_coefficients(network, lowres, part), network(lowres)


@pytest.fixture
def on_cudnn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As on a GPU: a list that grows with every convolution that has its ReLU."""
    calls: list[int] = []

    def fused(x: Tensor, weight: Tensor, bias: Tensor, *how: Any) -> Tensor:
        calls.append(1)
        return F.relu(F.conv2d(x, weight, bias, *how))

    monkeypatch.setattr(torch, "cudnn_convolution_relu", fused)
    monkeypatch.setattr(torch.backends.cudnn, "is_acceptable", lambda _: True)
    return calls


@pytest.mark.parametrize(("config", "count"), CONFIGS, ids=["default", "batch norm", "pyramid"])
def test_the_same_grid(config: HDRNetConfig, count: int, on_cudnn: list[int]) -> None:
    torch.manual_seed(0)
    network = HDRNet(config).eval().coefficient_network
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 0.05)
    assert serves(network)
    lowres = torch.rand(2, 3, config.net_input_size, config.net_input_size)
    ours, theirs = grids(network, lowres)
    assert torch.equal(ours, theirs)
    assert len(on_cudnn) == count


def test_determinism_and_autocast_keep_the_layers(
    on_cudnn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, lowres = HDRNet().eval().coefficient_network, torch.rand(1, 3, 256, 256)
    with torch.backends.cudnn.flags(enabled=True, deterministic=True):
        grids(network, lowres)
    torch.use_deterministic_algorithms(True)
    try:
        grids(network, lowres)
    finally:
        torch.use_deterministic_algorithms(False)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: device == "cuda")
    grids(network, lowres)
    assert on_cudnn == []


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError])
def test_where_cudnn_has_no_such_kernel(
    error: type[RuntimeError], on_cudnn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Tensor:
        raise error("unable to find an engine")

    monkeypatch.setattr(torch, "cudnn_convolution_relu", fails)
    network, lowres = HDRNet().eval().coefficient_network, torch.rand(1, 3, 256, 256)
    if error is torch.OutOfMemoryError:
        with pytest.raises(error):
            grids(network, lowres)
    else:
        ours, theirs = grids(network, lowres)
        assert torch.equal(ours, theirs)


class OwnConv(Conv):
    pass


class OwnSequential(nn.Sequential):
    pass


def _another_layer(network: CoefficientNetwork) -> None:
    network.splat[1] = nn.Sequential(network.splat[1], nn.Hardtanh(0, 1e-3))


def _own_layer(network: CoefficientNetwork) -> None:
    network.splat[1].__class__ = OwnConv


def _own_path(network: CoefficientNetwork) -> None:
    network.local = OwnSequential(*network.local)


def _one_layer(network: CoefficientNetwork) -> None:
    network.local = nn.Conv2d(64, 64, 3, padding=1)  # type: ignore[assignment]


def _weight_norm(network: CoefficientNetwork) -> None:
    nn.utils.parametrizations.weight_norm(network.splat[0].conv)


def _wrapped(network: CoefficientNetwork) -> None:
    layer = network.splat[2].conv
    layer.forward = lambda x, forward=layer.forward: forward(x)


def _compiled(network: CoefficientNetwork) -> None:
    network.global_convs.compile()


@pytest.mark.parametrize(
    "change",
    [_another_layer, _own_layer, _own_path, _one_layer, _weight_norm, _wrapped, _compiled],
)
def test_a_network_with_a_part_of_another_s_making_runs_as_it_is(
    change: Callable[[CoefficientNetwork], None],
) -> None:
    network = HDRNet().eval().coefficient_network
    assert serves(network)
    change(network)
    assert not serves(network)


def test_a_network_of_another_kind_runs_as_it_is() -> None:
    class Own(CoefficientNetwork):
        pass

    assert not serves(nn.Conv2d(3, 96, 16, 16))  # which has none of its paths
    assert not serves(Own(HDRNetConfig()))


def test_a_branch_is_joined_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[tuple[str, str]] = []

    class Stream:
        def __init__(self, name: str = "side", priority: int = 0) -> None:
            self.name = name

        def wait_stream(self, other: Stream) -> None:
            waits.append((self.name, other.name))

    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: Stream("main"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: torch.no_grad())
    with (
        pytest.raises(torch.OutOfMemoryError),
        branch(torch.device("cuda")) as part,
        part.beside(),
    ):
        raise torch.OutOfMemoryError
    assert waits == [("side", "main"), ("main", "side")]
    waits.clear()
    with branch(torch.device("cuda")) as part:
        pass  # nothing was beside: to wait for it would be for what no graph has
    assert waits == []
    with branch(torch.device("cuda")) as part:
        with part.beside():
            part.join()
    assert waits == [("side", "main"), ("main", "side")]
