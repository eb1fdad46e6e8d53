import colour
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

from hdrnet_bench import color
from hdrnet_bench.images import icc
from tests.dng import linear_to_romm


def srgb_light_of_romm(rgb_romm: np.ndarray) -> np.ndarray:
    """ROMM RGB as encoded to linear light with sRGB's primaries, both (3, H, W)."""
    return color.apply_matrix(color.romm_to_linear(rgb_romm), color.LINEAR_FROM_ROMM)


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
        color.romm_to_linear,
        srgb_light_of_romm,
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


UNIT = st.floats(0, 1)


def test_romm_agrees_with_colour_science() -> None:
    rgb = np.random.default_rng(2).random((50, 40, 3))
    rgb[0, :6] = [[0.0], [1e-4], [1 / 32 - 1e-9], [1 / 32], [1 / 32 + 1e-9], [1.0]]
    planar = rgb.transpose(2, 0, 1)
    light = colour.models.cctf_decoding_ROMMRGB(rgb)
    assert np.abs(color.romm_to_linear(planar).transpose(1, 2, 0) - light).max() < 1e-9
    assert np.abs(linear_to_romm(light.transpose(2, 0, 1)) - planar).max() < 1e-9
    # From the primaries, as here; the standards' printed matrices have four digits, and differ
    # from that by 4e-4.
    romm, srgb = (colour.RGB_COLOURSPACES[name].copy() for name in ("ROMM RGB", "sRGB"))
    for space in (romm, srgb):
        space.use_derived_transformation_matrices(True)
    theirs = colour.RGB_to_RGB(rgb, romm, srgb, "Bradford", apply_cctf_decoding=True)
    ours = srgb_light_of_romm(planar).transpose(1, 2, 0)
    assert theirs.min() < -0.1, "nothing lies outside sRGB"
    assert np.abs(ours - theirs).max() < 1e-6
    encoded = colour.models.eotf_inverse_sRGB(theirs.clip(0, 1))
    assert np.abs(color.linear_to_srgb(ours.clip(0, 1)) - encoded).max() < 1e-4


def test_romm_agrees_with_little_cms() -> None:
    """As editors convert it; above the toe, which their profiles lack."""
    rgb = 0.4 + 0.1 * np.random.default_rng(3).random((20, 30, 3)).astype(np.float32)
    theirs = icc.convert(rgb, icc.ROMM, icc.LINEAR, np.float32)
    ours = srgb_light_of_romm(rgb.transpose(2, 0, 1)).transpose(1, 2, 0)
    assert 0 < theirs.min() < theirs.max() < 1
    assert np.abs(ours - theirs).max() < 1e-4


@given(UNIT)
def test_romm_curves_undo_each_other(value: float) -> None:
    x = np.full((3, 1, 1), value)
    assert np.allclose(linear_to_romm(color.romm_to_linear(x)), x, rtol=1e-12, atol=1e-15)
    assert np.allclose(color.romm_to_linear(linear_to_romm(x)), x, rtol=1e-12, atol=1e-15)


@given(UNIT)
def test_neutral_stays_neutral(value: float) -> None:
    grey = np.full((3, 1, 1), value)
    light = srgb_light_of_romm(grey)
    assert np.allclose(light, color.romm_to_linear(grey), rtol=1e-12, atol=1e-15)


def test_romm_toe_meets_the_curve() -> None:
    below, above = np.nextafter(1 / 32, 0), np.nextafter(1 / 32, 1)
    x = np.array([below, 1 / 32, above]).reshape(1, 1, 3).repeat(3, 0)
    assert np.allclose(color.romm_to_linear(x), 1 / 512, rtol=1e-14)
    # In the toe it is 16 times as steep as light; an encoder without one would be infinitely so.
    assert color.romm_to_linear(np.full((3, 1, 1), 0.016))[0, 0, 0] == pytest.approx(0.001)
    assert (color.romm_to_linear(np.full((3, 1, 1), -1.0)) == 0).all()
    assert (linear_to_romm(np.full((3, 1, 1), -1.0)) == 0).all()
