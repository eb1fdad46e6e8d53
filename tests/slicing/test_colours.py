"""The native conversions of colours: against float64 and the profiles' definitions."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hdrnet_bench.color import linear_to_srgb, srgb_to_linear
from hdrnet_bench.images import conversion
from hdrnet_bench.model.lowres import make_lowres
from hdrnet_bench.slicing import cpu
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")

XYZ_FROM_SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
D65, D50 = (0.3127, 0.3290), (0.3457, 0.3585)


class Space(NamedTuple):
    """Primaries and white as (x, y); the exponent of its curve, None for sRGB's own curve."""

    primaries: tuple[tuple[float, float], ...]
    white: tuple[float, float]
    gamma: float | None

    def light(self, numbers: NDArray) -> NDArray:
        return srgb_to_linear(numbers) if self.gamma is None else numbers**self.gamma

    def numbers(self, light: NDArray) -> NDArray:
        return linear_to_srgb(light) if self.gamma is None else light ** (1 / self.gamma)

    def matrix(self) -> NDArray:
        """Its own light to light with sRGB's primaries, whites adapted by Bradford's method."""
        return np.linalg.inv(to_xyz(XYZ_FROM_SRGB, D65)) @ (
            adapted(self.white, D65) @ to_xyz(self.primaries, self.white)
        )


def xyz(x: float, y: float) -> NDArray:
    return np.array([x / y, 1, (1 - x - y) / y])


def to_xyz(primaries: tuple[tuple[float, float], ...], white: tuple[float, float]) -> NDArray:
    columns = np.stack([xyz(*primary) for primary in primaries], 1)
    return columns * np.linalg.solve(columns, xyz(*white))


def adapted(source: tuple[float, float], target: tuple[float, float]) -> NDArray:
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    gains = (bradford @ xyz(*target)) / (bradford @ xyz(*source))
    return np.linalg.inv(bradford) @ np.diag(gains) @ bradford


P3_PRIMARIES = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
SPACES = {
    "Display P3": Space(P3_PRIMARIES, D65, None),
    "P3 with a power": Space(P3_PRIMARIES, D65, 2.2),
    "Adobe RGB": Space(((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), D65, 563 / 256),
    "ProPhoto": Space(((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), D50, 1.8),
    "linear": Space(((0.708, 0.292), (0.17, 0.797), (0.131, 0.046)), D65, 1.0),
}
each_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
each_dtype = pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])


def to_model(space: Space, dtype: torch.dtype, encode: bool = True) -> cpu.ToModel:
    numbers = np.linspace(0, 1, torch.iinfo(dtype).max + 1)
    curves = torch.from_numpy(space.light(numbers)[None]).float()
    return cpu.ToModel(curves, torch.from_numpy(space.matrix()).float(), encode)


def from_model(space: Space, dtype: torch.dtype) -> cpu.FromModel:
    light = np.linspace(0, 1, cpu.CURVE_STEPS[dtype] + 1)[None] ** 2
    levels = torch.from_numpy(space.numbers(light) * torch.iinfo(dtype).max)
    inverse = torch.from_numpy(np.linalg.inv(space.matrix())).float()
    return cpu.FromModel(levels.round().to(dtype), inverse)


def exact_to_model(space: Space, picture: torch.Tensor, encode: bool = True) -> NDArray:
    own = space.light(picture.numpy() / torch.iinfo(picture.dtype).max)
    light = np.einsum("oi,ihw->ohw", space.matrix(), own).clip(0, 1)
    return linear_to_srgb(light) if encode else light


def exact_from_model(space: Space, srgb: NDArray) -> NDArray:
    light = srgb_to_linear(srgb.astype(np.float64).clip(0, 1))
    own = np.einsum("oi,ihw->ohw", np.linalg.inv(space.matrix()), light)
    return space.numbers(own.clip(0, 1))


def colours(dtype: torch.dtype, width: int = 517) -> torch.Tensor:
    """(3, 40, width): random, of which many are outside sRGB; grey; each channel alone."""
    white = torch.iinfo(dtype).max
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, white + 1, (40, width, 3), generator=generator, dtype=torch.int32)
    steps = torch.linspace(0, white, width).round().int()
    picture[0] = steps[:, None]
    for channel in range(3):
        picture[1 + channel] = 0
        picture[1 + channel, :, channel] = steps
    return picture.to(dtype).permute(2, 0, 1)


def converted(picture: torch.Tensor, given: cpu.ToModel) -> NDArray:
    out = torch.full((3, *picture.shape[1:]), torch.nan)
    return cpu.convert(picture, out, cpu.Colours(to_model=given)).numpy()


def written(srgb: torch.Tensor, given: cpu.FromModel, dtype: torch.dtype) -> NDArray:
    out = torch.empty(srgb.shape, dtype=dtype)
    return cpu.convert(srgb, out, cpu.Colours(from_model=given)).numpy().astype(np.int64)


@each_space
@each_dtype
@pytest.mark.parametrize("encode", [True, False], ids=["sRGB", "linear"])
def test_to_the_model_is_the_definition(space: Space, dtype: torch.dtype, encode: bool) -> None:
    """Within a sixth of a level of 16 bits."""
    picture = colours(dtype)
    ours = converted(picture, to_model(space, dtype, encode))
    exact = exact_to_model(space, picture, encode)
    assert exact.min() == 0
    assert exact.max() > 1 - 1e-9
    assert np.abs(ours - exact).max() < 2.5e-6


def test_srgbs_curve_is_within_a_tenth_of_a_level_of_16_bits() -> None:
    numbers = torch.arange(65536, dtype=torch.int32).reshape(1, 256, 256).expand(3, -1, -1)
    light = torch.linspace(0, 1, 65536)[None]
    ours = converted(numbers.to(torch.uint16), cpu.ToModel(light, torch.eye(3), True))
    exact = linear_to_srgb(light.double().numpy()).reshape(256, 256)
    assert np.abs(ours - exact).max() < 0.1 / 65535
    assert (ours[:, 0, 0] == 0).all()
    assert ours.max() <= 1
    assert (np.diff(ours[0].flatten()) > -2e-7).all()


@each_space
@each_dtype
def test_from_the_model_is_the_definition(space: Space, dtype: torch.dtype) -> None:
    white = torch.iinfo(dtype).max
    srgb = colours(torch.uint16).float() / 65535
    ours = written(srgb, from_model(space, dtype), dtype)
    exact = exact_from_model(space, srgb.numpy()) * white
    off = np.abs(ours - exact)
    # Rounding, and the nearest of the table's steps; a power curve is endlessly steep at 0.
    dark = exact < 0.01 * white if space.gamma else np.zeros(exact.shape, bool)
    assert off[~dark].max() < 0.5 + (0.02 if dtype == torch.uint8 else 0.8)
    assert off.max() < (0.6 if dtype == torch.uint8 else 30)
    assert abs((ours - exact).mean()) < 0.01


@each_space
@each_dtype
def test_there_and_back_is_the_same_within_srgb(space: Space, dtype: torch.dtype) -> None:
    """All greys of 8 bits, and colours that sRGB can show."""
    white = torch.iinfo(dtype).max
    greys = torch.arange(256, dtype=torch.int32) * (white // 255)
    muted = (colours(dtype).int() // 8 + white // 2)[:, 4:, :512].reshape(3, -1, 256)
    picture = torch.cat([greys.expand(3, 1, 256), muted], 1).to(dtype)
    out = torch.zeros_like(picture)
    both = cpu.Colours(to_model(space, dtype), from_model(space, dtype))
    cpu.convert(picture, out, both)
    assert (out.int() - picture.int()).abs().max() <= (0 if dtype == torch.uint8 else 4)


@each_dtype
def test_any_width_and_strides(dtype: torch.dtype) -> None:
    """Look-ups run 64 pixels ahead and eight at a time: every rest of either, alpha between the
    pixels, rows and channels apart; nothing beyond a row is written."""
    space = SPACES["Display P3"]
    there, back = to_model(space, dtype), from_model(space, dtype)
    whole = colours(dtype, 200)
    floats = converted(whole, there)
    integers = written(torch.from_numpy(floats), back, dtype)
    for width in (*range(1, 18), 63, 64, 65, 71, 72, 73, 130):
        part = whole[:, :, :width]
        assert (converted(part, there) == floats[:, :, :width]).all()
        assert (converted(part.contiguous(), there) == floats[:, :, :width]).all()
        memory = torch.full((40, width + 3, 4), 7, dtype=dtype)
        memory[:, :width, :3] = part.permute(1, 2, 0)
        picture = memory[:, :width, :3].permute(2, 0, 1)
        assert (converted(picture, there) == floats[:, :, :width]).all()
        cpu.convert(picture, picture, cpu.Colours(there, back))  # in place
        assert (picture.int().numpy() == integers[:, :, :width]).all()
        assert (memory[:, :, 3] == 7).all()
        assert (memory[:, width:] == 7).all()


@each_dtype
def test_what_is_no_colour_is_clipped(dtype: torch.dtype) -> None:
    bad = torch.tensor([torch.nan, torch.inf, -torch.inf, -0.5, 1.5, 3e38, -0.0, 1.0])
    picture = bad.expand(3, 5, 8).contiguous()
    white = torch.iinfo(dtype).max
    ours = written(picture, from_model(SPACES["Adobe RGB"], dtype), dtype)
    assert (ours == np.array([0, white, 0, 0, white, white, 0, white])).all()


@each_dtype
@pytest.mark.parametrize("size", [(300, 257), (32, 32), (11, 90), (1, 1), (90, 33)])
def test_lowres_is_that_of_the_converted_picture(size: tuple[int, int], dtype: torch.dtype) -> None:
    white = torch.iinfo(dtype).max
    picture = torch.randint(0, white + 1, (*size, 4), dtype=torch.int32).to(dtype)
    image = picture[:, :, :3].permute(2, 0, 1)
    given = to_model(SPACES["ProPhoto"], dtype)
    expected = make_lowres(torch.from_numpy(converted(image, given))[None], 32, "area")
    assert torch.allclose(cpu.area_lowres(image[None], 32, given), expected, atol=1e-6)


def test_the_number_of_threads_shows_in_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = colours(torch.uint8)
    space = SPACES["Display P3"]
    both = cpu.Colours(to_model(space, torch.uint8), from_model(space, torch.uint8))
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            out = cpu.convert(picture, torch.empty_like(picture), both)
            results.append((out, cpu.area_lowres(picture[None], 16, both.to_model)))
    finally:
        torch.set_num_threads(before)
    for out, lowres in results[1:]:
        assert torch.equal(out, results[0][0])
        assert torch.equal(lowres, results[0][1])


def test_channels_have_curves_of_their_own() -> None:
    """Three curves are told apart, there and back."""
    powers = torch.tensor([1.0, 1.5, 2.5])[:, None]
    light = torch.linspace(0, 1, 256)[None] ** powers
    picture = torch.arange(256, dtype=torch.uint8).expand(3, 2, 256)
    ours = converted(picture, cpu.ToModel(light, torch.eye(3), False))
    assert np.allclose(ours, light[:, None], atol=1e-6)
    steps = torch.linspace(0, 1, cpu.CURVE_STEPS[torch.uint8] + 1)[None] ** 2
    levels = (steps ** (1 / powers) * 255).round().byte()
    srgb = torch.from_numpy(linear_to_srgb(ours.astype(np.float64))).float()
    back = written(srgb, cpu.FromModel(levels, torch.eye(3)), torch.uint8)
    assert (back == picture.numpy()).all()


def test_curves_of_another_depth_are_refused() -> None:
    space = SPACES["Display P3"]
    picture, floats = colours(torch.uint16), torch.empty(3, 40, 517)
    with pytest.raises(ValueError, match="curves are"):
        cpu.convert(picture, floats, cpu.Colours(to_model(space, torch.uint8)))
    with pytest.raises(ValueError, match="curves are"):
        cpu.convert(floats, picture, cpu.Colours(None, from_model(space, torch.uint8)))


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_the_generic_build_agrees(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an Arm machine compiles; with every access to memory and undefined arithmetic that the
    sanitiser sees in a library."""
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    library = tmp_path / "generic.so"
    flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-pthread", "-DHDRBENCH_GENERIC"]
    trapping = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-Wno-psabi"]
    source = ROOT / "hdrnet_bench" / "slicing" / "kernels" / "colours_cpu.cpp"
    subprocess.run([compiler, *flags, *trapping, str(source), "-o", str(library)], check=True)
    space = SPACES["Display P3"]

    def results() -> list[NDArray]:
        return [
            part
            for dtype in (torch.uint8, torch.uint16)
            for part in (
                converted(colours(dtype, 77), to_model(space, dtype)),
                written(colours(dtype, 77).float() / 65535, from_model(space, dtype), dtype),
            )
        ]

    expected = results()
    monkeypatch.setattr(cpu, "LIBRARY", ctypes.CDLL(str(library)))
    for ours, theirs in zip(results(), expected, strict=True):
        integers = theirs.dtype.kind == "i"
        assert np.abs(ours - theirs).max() <= (1 if integers else 1e-6)


@each_space
@each_dtype
def test_curves_are_found_in_a_profile(space: Space, dtype: torch.dtype) -> None:
    """What Little CMS is asked for, against the definition: a curve of 16 bits by 4370 colours. One
    that is a table, as sRGB's is here, it inverts in steps of 16 bits of light."""
    primaries = [value for x, y in space.primaries for value in (x, y, 1.0)]
    table = np.rint(space.light(np.linspace(0, 1, 4096)) * 65535).astype(np.uint16)
    profile = imagecodecs.cms_profile(
        "rgb",
        whitepoint=[*space.white, 1.0],
        primaries=primaries,
        **({"gamma": space.gamma} if space.gamma else {"transferfunction": table}),
    )
    curves = conversion.curves_of(profile, np.dtype(str(dtype).removeprefix("torch.")))
    assert curves is not None
    assert len(curves.decode) == len(curves.encode) == 1
    exact = space.light(np.linspace(0, 1, torch.iinfo(dtype).max + 1))
    assert np.abs(curves.decode[0] - exact).max() < 2e-5
    assert np.abs(curves.matrix - space.matrix()).max() < 5e-4
    assert np.allclose(curves.matrix.sum(axis=1), 1, atol=1e-6)
    light = np.linspace(0, 1, curves.encode.shape[1]) ** 2
    off = np.abs(curves.encode[0] - space.numbers(light))
    assert off.max() < (1e-4 if space.gamma else 13 / 65535)
    assert off[light > 1e-4].max() < (2e-5 if space.gamma else 13 / 65535)
