"""`enhance` takes and gives what it is handed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hdrnet_bench.images import icc
from hdrnet_bench.model.handed import as_tensor
from tests import pictures
from tests.conftest import smooth_picture
from tests.portable.models import VARIANTS, random_model

EIGHT = smooth_picture(1, 30, 44)
NUMBERS = [np.uint8, np.uint16, np.float32, np.float64, np.float16]


def stored(dtype: type) -> np.ndarray:
    """EIGHT in that type."""
    if np.issubdtype(dtype, np.floating):
        return (EIGHT / 255).astype(dtype)
    return EIGHT.astype(dtype) * (257 if dtype == np.uint16 else 1)


def planar(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", NUMBERS)
def test_an_array_is_the_tensor(variant: str, dtype: type) -> None:
    model, pixels = random_model(variant=variant), stored(dtype)
    before = pixels.copy()
    expected = model.enhance(planar(pixels)).permute(1, 2, 0).numpy()
    output = model.enhance(pixels)
    assert isinstance(output, np.ndarray)
    assert (output.dtype, output.shape) == (pixels.dtype, pixels.shape)
    assert output.flags.c_contiguous
    assert np.array_equal(output, expected)
    assert np.abs(output.astype(float) - pixels).max() > 0.01
    assert np.array_equal(pixels, before)
    batch = model.enhance(np.stack([pixels, pixels]))
    rounding = 1 if pixels.dtype.kind == "u" else 1e-3 if dtype == np.float16 else 1e-5
    assert np.abs(batch[1].astype(float) - output).max() <= rounding  # torch's, of several
    first = model.enhance(np.ascontiguousarray(pixels.transpose(2, 0, 1)), layout="chw")
    assert np.array_equal(first, model.enhance(planar(pixels)).numpy())


def test_a_tensor_has_the_layout_that_is_named() -> None:
    model, pixels = random_model(), torch.from_numpy(EIGHT.copy())
    expected = model.enhance(pixels.permute(2, 0, 1)).permute(1, 2, 0)
    output = model.enhance(pixels, layout="hwc")
    assert output.is_contiguous()
    assert torch.equal(output, expected)
    assert torch.equal(model.enhance(pixels[None], layout="hwc")[0], expected)
    with pytest.raises(ValueError, match=r"not \(3, H, W\).*; layout='hwc' takes it"):
        model.enhance(pixels)
    with pytest.raises(ValueError, match=r"not \(H, W, 3\).*; layout='chw' takes it"):
        model.enhance(pixels.permute(2, 0, 1), layout="hwc")
    # What is ambiguous goes by the layout alone.
    square = torch.rand(3, 8, 3)
    assert not torch.equal(model.enhance(square), model.enhance(square, layout="hwc"))


@pytest.mark.parametrize("turn", ["reversed", "readonly", "strided", "swapped"])
def test_arrays_lie_in_memory_as_they_like(turn: str) -> None:
    model, pixels = random_model(), stored(np.float32)
    expected = model.enhance(pixels)
    odd = {
        "reversed": lambda: np.ascontiguousarray(pixels[::-1])[::-1],
        "readonly": lambda: np.frombuffer(pixels.tobytes(), np.float32).reshape(pixels.shape),
        "strided": lambda: np.repeat(pixels, 2, axis=1)[:, ::2],
        "swapped": lambda: pixels.astype(">f4"),
    }[turn]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = model.enhance(odd)
    assert np.abs(output - expected).max() <= 1e-6


def test_a_picture_of_pil_comes_back_as_one() -> None:
    model = random_model()
    image = Image.fromarray(EIGHT)
    image.info["icc_profile"] = icc.SRGB
    output = model.enhance(image)
    assert isinstance(output, Image.Image)
    assert output.mode == "RGB"
    assert np.array_equal(np.asarray(output), model.enhance(EIGHT))
    assert output.info["icc_profile"] == icc.SRGB
    assert np.array_equal(np.asarray(image), EIGHT)


def test_alpha_stays_as_it_is() -> None:
    model = random_model()
    alpha = np.arange(30 * 44, dtype=np.uint8).reshape(30, 44, 1)
    output = model.enhance(Image.fromarray(np.concatenate([EIGHT, alpha], axis=2)))
    assert output.mode == "RGBA"
    assert np.array_equal(np.asarray(output)[..., :3], model.enhance(EIGHT))
    assert np.array_equal(np.asarray(output)[..., 3:], alpha)


@pytest.mark.parametrize(
    ("image", "layout", "error", "says"),
    [
        (Image.new("L", (4, 4)), None, ValueError, r"PIL's mode L: .*convert\('RGB'\)"),
        (Image.new("CMYK", (4, 4)), None, ValueError, "PIL's mode CMYK"),
        (Image.new("RGB", (4, 4)), "hwc", ValueError, "layout='hwc' is of tensors and arrays"),
        (EIGHT, "HWC", ValueError, "layout is 'HWC', not 'chw' or 'hwc'"),
        (EIGHT[..., 0], None, ValueError, r"image is \(30, 44\), not \(H, W, 3\)"),
        (EIGHT[..., :2], None, ValueError, r"image is \(30, 44, 2\), not \(H, W, 3\)"),
        (EIGHT[:0], None, ValueError, "image is empty"),
        (EIGHT.astype(np.int32), None, ValueError, "int32, not uint8, uint16 or floating"),
        (EIGHT.astype(complex), None, ValueError, "complex128, not uint8, uint16 or floating"),
        (EIGHT.astype(object), None, ValueError, "object, not uint8, uint16 or floating"),
        (EIGHT.tolist(), None, TypeError, r"image is builtins\.list, not a tensor"),
        ("a.png", None, TypeError, r"image is builtins\.str, not a tensor"),
    ],
)
def test_what_is_no_picture_is_refused(
    image: Any, layout: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        random_model().enhance(image, layout=layout)


def test_pil_s_numbers_are_srgb_s_or_refused() -> None:
    image = Image.fromarray(EIGHT)
    image.info["icc_profile"] = pictures.DISPLAY_P3
    with pytest.raises(ValueError, match=r"not sRGB: convert it .*enhance_file"):
        random_model().enhance(image)
    del image.info["icc_profile"]
    with pytest.raises(ValueError, match="the model is for linear light"):
        random_model(input_encoding="linear").enhance(image)


@pytest.mark.parametrize("gamma", [1.0, 1 / 1.8])
def test_a_gamma_of_another_kind_is_refused(gamma: float) -> None:
    image = Image.fromarray(EIGHT)
    image.info["gamma"] = 0.45455
    random_model().enhance(image)
    image.info["gamma"] = gamma
    with pytest.raises(ValueError, match="says that it is not sRGB"):
        random_model().enhance(image)


def test_a_broken_profile_is_refused() -> None:
    image = Image.fromarray(EIGHT)
    image.info["icc_profile"] = b"no profile"
    with pytest.raises(ValueError, match="profile is broken, or not sRGB"):
        random_model().enhance(image)


@pytest.mark.parametrize("mode", ["LA", "RGB", "P"])
def test_transparency_is_not_lost(mode: str) -> None:
    image = Image.fromarray(EIGHT).convert(mode)
    if mode != "LA":
        image.info["transparency"] = (1, 2, 3) if mode == "RGB" else 0
    with pytest.raises(ValueError, match=r"transparent: hand image\.convert\('RGBA'\)"):
        random_model().enhance(image)
    assert random_model().enhance(image.convert("RGBA")).mode == "RGBA"


def test_a_mask_is_not_lost() -> None:
    masked = np.ma.masked_less(EIGHT, 100)
    with pytest.raises(ValueError, match=r"masked array.*image\.data"):
        random_model().enhance(masked)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_inference_neither_goes_by_the_picture_nor_learns_from_it(
    variant: str, batch_norm: bool
) -> None:
    model = random_model(variant=variant, batch_norm=batch_norm).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    if variant == "curves" and not batch_norm:  # nothing in it knows of training
        model.enhance(EIGHT)
    else:
        for use in (model.enhance, model.enhancer(30, 44)):
            with pytest.raises(ValueError, match=r"training mode.*model\.eval\(\)"):
                use(EIGHT)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model.eval().enhance(EIGHT)


@pytest.mark.parametrize("form", ["tensor", "array"])
def test_floats_far_over_one_are_refused(form: str) -> None:
    def handed(largest: float) -> Any:
        pixels = np.full((300, 200, 3), 0.5, np.float32)
        pixels[150:, 100:] = largest
        return planar(pixels) if form == "tensor" else pixels

    model = random_model()
    for largest in (10.0, -10.0, np.inf, np.nan):
        model.enhance(handed(largest))
    with pytest.raises(ValueError, match=r"from 0\.5 to 10\.5, .*divide by 255 \(or 65535\)"):
        model.enhance(handed(10.5))
    with pytest.raises(ValueError, match=r"from -10\.5 to 0\.5"):
        model.enhance(handed(-10.5))
    with_nan = handed(255.0)
    with_nan[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="to 255"):
        model.enhance(with_nan)
    random_model(input_encoding="linear").enhance(handed(255.0))  # highlights are


def test_an_array_is_looked_at_before_it_goes_to_a_device() -> None:
    config, elsewhere = random_model().config, torch.device("meta")
    far = np.full((4, 4, 3), 255.0)
    with pytest.raises(ValueError, match="to 255"):
        as_tensor(far, None, config, elsewhere)
    tensor, _ = as_tensor(far / 255, None, config, elsewhere)
    assert tensor.device == elsewhere
