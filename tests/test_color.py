import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

from hdrnet_bench import color


@given(st.floats(0, 1))
def test_transfer_functions_undo_each_other(value: float) -> None:
    x = np.full((3, 1, 1), value)
    # The standard's rounded constants leave a step of 2e-8 where the two pieces meet.
    assert np.allclose(color.linear_to_srgb(color.srgb_to_linear(x)), x, atol=1e-7)
    assert np.allclose(color.srgb_to_linear(color.linear_to_srgb(x)), x, atol=1e-7)


@given(st.floats(0, 0.999), st.floats(1e-3, 1))
def test_transfer_function_rises(value: float, more: float) -> None:
    low, high = (np.full((3, 1, 1), v) for v in (value, value + more))
    assert (color.srgb_to_linear(high) > color.srgb_to_linear(low)).all()


def test_known_values() -> None:
    # IEC 61966-2-1: 0.04045 is where the pieces meet; 0.5 decodes to 0.2140.
    x = np.array([0.0, 0.04045, 0.5, 1.0]).reshape(1, 1, 4).repeat(3, 0)
    expected = [0.0, 0.04045 / 12.92, 0.21404114, 1.0]
    assert np.allclose(color.srgb_to_linear(x)[0, 0], expected, atol=1e-8)


@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 3, 4, 4)])
def test_numpy_and_torch_agree(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape)
    tensor = torch.from_numpy(array)
    for function in (
        color.srgb_to_linear,
        color.linear_to_srgb,
        color.luminance,
        color.srgb_to_lab,
    ):
        ours = function(tensor)
        assert isinstance(ours, torch.Tensor)
        assert np.allclose(function(array), ours.numpy(), atol=1e-12), function.__name__


def test_lab_agrees_with_scikit_image() -> None:
    rgb = np.random.default_rng(1).random((3, 40, 30))
    rgb[:, 0, :5] = [[0, 1, 1, 0, 0.001]] * 3
    ours = color.srgb_to_lab(rgb).transpose(1, 2, 0)
    assert np.abs(ours - rgb2lab(rgb.transpose(1, 2, 0))).max() < 1e-4


def test_out_of_range_values_stay_finite() -> None:
    x = np.array([-0.5, 1.5]).reshape(1, 1, 2).repeat(3, 0)
    assert np.isfinite(color.srgb_to_lab(x)).all()
    assert (color.srgb_to_linear(x)[:, 0, 0] == 0).all()


def test_gradients_are_finite_at_black() -> None:
    x = torch.zeros(3, 1, 1, requires_grad=True)
    color.linear_to_srgb(color.srgb_to_linear(x)).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
