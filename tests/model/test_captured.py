"""What decides on whether a graph may be replayed. That it is: tests/gpu/test_gpu_model.py."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.model.captured import CapturedNetwork, settings, weights_state

SMALL = {"net_input_size": 32, "spatial_bin": 8, "luma_bins": 4, "batch_norm": True}


@pytest.fixture(params=["curves", "pointwise"])
def model(request: pytest.FixtureRequest) -> HDRNet:
    torch.manual_seed(0)
    return HDRNet(HDRNetConfig(variant=request.param, **SMALL)).eval()


def test_weights_changed_in_place_are_the_same_weights(model: HDRNet) -> None:
    before = weights_state(model)
    assert before is not None
    assert weights_state(model) == before
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    model.load_state_dict(copy.deepcopy(model.state_dict()))
    model.train().eval()
    model.requires_grad_(False)
    assert weights_state(model) == before


def _new_parameter(model: HDRNet) -> None:
    layer = model.coefficient_network.global_dense[2].dense
    layer.bias = nn.Parameter(layer.bias.detach().clone())


def _new_data(model: HDRNet) -> None:
    parameter = next(model.guides.parameters())
    parameter.data = parameter.data.clone()


def _other_strides(model: HDRNet) -> None:
    layer = model.coefficient_network.global_dense[0].dense
    layer.weight.data = layer.weight.data.t()


def _new_buffer(model: HDRNet) -> None:
    norm = model.coefficient_network.splat[1].norm
    norm.running_mean = norm.running_mean.clone()


def _new_module(model: HDRNet) -> None:
    layer = model.coefficient_network.local[0]
    model.coefficient_network.local[0] = nn.Sequential(layer).eval()


def _assigned(model: HDRNet) -> None:
    model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)


@pytest.mark.parametrize(
    "change", [_new_parameter, _new_data, _other_strides, _new_buffer, _new_module, _assigned]
)
def test_weights_put_in_place_of_others_are_others(
    model: HDRNet, change: Callable[[HDRNet], None]
) -> None:
    before = weights_state(model)
    keep = copy.copy(dict(model.state_dict()))  # so that no new tensor comes to lie there
    change(model)
    assert keep
    after = weights_state(model)
    assert after is not None
    assert after != before


def test_hooks_and_layers_in_training_keep_from_replaying(model: HDRNet) -> None:
    layer = model.coefficient_network.local[0]
    handles = (layer.register_forward_hook, layer.register_forward_pre_hook)
    for register in handles:
        handle = register(lambda *_: None)
        assert weights_state(model) is None
        handle.remove()
        assert weights_state(model) is not None
    layer.norm.train()
    assert weights_state(model) is None


def test_settings_are_all_that_changes_bits() -> None:
    plain = settings()
    assert settings() == plain
    for changed in (
        {"allow_tf32": not torch.backends.cudnn.allow_tf32},
        {"deterministic": True},
        {"benchmark": True},
        {"enabled": False},
    ):
        same = {"enabled": True, "allow_tf32": torch.backends.cudnn.allow_tf32}
        with torch.backends.cudnn.flags(**{**same, **changed}):
            assert settings() != plain, changed
    assert settings() == plain
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        assert settings() != plain
    finally:
        torch.set_float32_matmul_precision(before)


def test_copies_and_pickles_begin_without_graphs(model: HDRNet) -> None:
    picture = torch.rand(3, 40, 50)
    expected = model.enhance(picture)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert isinstance(other._captured, CapturedNetwork)
        assert other._captured is not model._captured
        assert torch.equal(other.enhance(picture), expected)
    assert torch.equal(copy.copy(model).enhance(picture), expected)
    assert not any("captured" in name for name in model.state_dict())


def test_on_the_cpu_nothing_is_kept() -> None:
    captured = CapturedNetwork()
    given: list[torch.Tensor | None] = []

    def make(out: torch.Tensor | None) -> torch.Tensor:
        given.append(out)
        return torch.ones(1)

    for _ in range(3):
        result = captured.run(
            nn.Identity(), (1, 3, 2, 2), torch.device("cpu"), make,
            lambda lowres: (lowres + 1, lowres + 2), lambda grid, packed: grid * packed,
        )  # fmt: skip
        assert result.item() == 6
    assert given == [None] * 3
    assert not captured._graphs
