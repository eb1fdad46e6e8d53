import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import ExifTags, Image

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.color import srgb_to_linear
from hdrnet_bench.enhance import run as enhance
from hdrnet_bench.images import icc
from hdrnet_bench.images.camera import develop_camera
from hdrnet_bench.images.photo import Photo, read_photo
from hdrnet_bench.install import install_advice
from hdrnet_bench.model import pyramid
from hdrnet_bench.model.file import ModelHeader, save_model
from hdrnet_bench.model.lowres import lowres_from_stored
from hdrnet_bench.slicing import cpu
from tests import pictures
from tests.conftest import Workspace, clean_environment, smooth_picture
from tests.dng import gain_map, opcode_list, write_dng

native = pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")


def network(**settings) -> HDRNet:
    """An untrained network that visibly changes a picture, and keeps it in range."""
    torch.manual_seed(3)
    config = HDRNetConfig(**({"net_input_size": 32, "spatial_bin": 8, "luma_bins": 4} | settings))
    model = HDRNet(config).eval()
    with torch.no_grad():
        last = model.coefficient_network.prediction.conv
        last.weight.mul_(0.15)
        bias = torch.zeros(4, config.outputs, config.luma_bins)
        for row in range(3):  # the coarsest level of a pyramid
            bias[row, row] = 0.7
        bias[3, :3] = torch.tensor([0.1, 0.05, 0.02])[:, None]
        last.bias.copy_(bias.flatten())
    return model


@pytest.fixture
def model(workspace: Workspace) -> HDRNet:
    made = network()
    save_model(Path("model.safetensors"), made, ModelHeader(config=made.config))
    return made


EIGHT = smooth_picture(1, 30, 44)
SIXTEEN = (EIGHT.astype(np.uint16) * 257) ^ np.arange(44, dtype=np.uint16)[:, None]


def expected(model: HDRNet, pixels: np.ndarray) -> np.ndarray:
    """The picture through the model in one floating-point piece, as it would be saved."""
    white = np.iinfo(pixels.dtype).max
    planar = torch.from_numpy(pixels.astype(np.float32) / np.float32(white)).permute(2, 0, 1)
    output = model.enhance(planar).clamp(0, 1).permute(1, 2, 0).numpy()
    return np.rint(output * np.float32(white)).astype(np.int64)


def assert_close(pixels: np.ndarray, wanted: np.ndarray, levels: int = 1) -> None:
    assert pixels.shape == wanted.shape
    assert np.abs(pixels.astype(np.int64) - wanted).max() <= levels


def exif_of(photo: Photo) -> Image.Exif:
    tags = Image.Exif()
    tags.load(b"Exif\0\0" + (photo.exif or b""))
    return tags


GAIN, OFFSET = 0.5, 0.2 / 255


def affine(gain: float = GAIN, offset: float = OFFSET, **settings) -> HDRNet:
    """A network whose output is known exactly, gain * picture + offset: every cell of its grid is
    the same matrix. Of a pyramid the two coarser levels make nothing."""
    model = network(**settings)
    config = model.config
    with torch.no_grad():
        last = model.coefficient_network.prediction.conv
        last.weight.zero_()
        bias = torch.zeros(4, config.outputs, config.luma_bins)
        for row in range(3):
            bias[row, config.outputs - 3 + row] = gain
        bias[3, -3:] = offset
        last.bias.copy_(bias.flatten())
    return model


class BetweenLevels(NamedTuple):
    """A picture, and the levels nearest to what the affine network makes of it."""

    pixels: np.ndarray
    nearest: np.ndarray


def between_levels(dtype: str, bits: int, white: int | None = None) -> BetweenLevels:
    """Results of which half lie nearer to the level above, and none within 0.04 of the middle:
    more than float32 can be off."""
    stored = np.arange(np.iinfo(dtype).max + 1)
    exact = (stored / (white or stored[-1]) * GAIN + OFFSET).clip(0, 1) * (2**bits - 1)
    clear = stored[np.abs(exact % 1 - 0.5) > 0.04]
    pixels = np.random.default_rng(0).choice(clear, (30, 44, 3))
    assert 0.4 < (exact[pixels] % 1 > 0.5).mean() < 0.6
    return BetweenLevels(pixels.astype(dtype), np.floor(exact + 0.5).astype(int)[pixels])


WAYS = [
    pytest.param("fused", marks=native),
    pytest.param("pyramid", marks=native),
    "floating",
]
DEPTHS = [("uint8", 8), ("uint16", 16), ("uint8", 16), ("uint16", 8)]


def enhanced_by(
    way: str, photo: Photo, bits: int, monkeypatch: pytest.MonkeyPatch, strip: int = 700
) -> np.ndarray:
    """The pixels that the affine network gives by one of the three ways, in strips."""
    model = affine(variant="pyramid" if way == "pyramid" else "curves")
    if way == "floating":
        monkeypatch.setattr(HDRNet, "serves_fused", lambda *_: False)
    assert model.serves_fused(torch.zeros(1, 3, 4, 4)) == (way == "fused")
    assert model.serves_pyramid(4, 4) == (way == "pyramid")
    monkeypatch.setattr(enhance, "_STRIP_PIXELS", strip)
    with torch.no_grad():
        enhance.enhance_photo(model, photo, bits, enhance.Settings())
    return photo.pixels


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("dtype", "bits"), DEPTHS)
def test_results_between_levels_are_rounded_to_the_nearer(
    way: str, dtype: str, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = between_levels(dtype, bits)
    output = enhanced_by(way, Photo(picture.pixels.copy()), bits, monkeypatch)
    assert output.dtype == f"uint{bits}"
    assert (output == picture.nearest).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("dtype", "bits"), DEPTHS)
@pytest.mark.parametrize(
    ("profile", "output_profile"),
    [(pictures.DISPLAY_P3, pictures.DISPLAY_P3), (icc.LINEAR, icc.SRGB)],
    ids=["back to its profile", "written in sRGB"],
)
def test_converted_colours_are_rounded_to_the_nearer(
    way: str,
    dtype: str,
    bits: int,
    profile: bytes,
    output_profile: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Converting has 16 bits between: of 8 bits the result is within a hair of half a level, and
    of 16 without a bias, where truncating has half a level of it."""
    white = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(white // 3, white * 2 // 3, (30, 44, 3), dtype)
    model_output = (in_srgb(pixels, profile) * GAIN + OFFSET).astype(np.float32)
    exact = to_profile(model_output, output_profile).astype(float) * (2**bits - 1)
    output = enhanced_by(way, Photo(pixels, profile, output_profile), bits, monkeypatch)
    assert output.dtype == f"uint{bits}"
    assert abs((output - exact).mean()) < 0.25
    if bits == 8:
        assert np.abs(output - exact).max() < 0.52


@pytest.mark.parametrize("way", WAYS)
def test_alpha_is_rounded_to_the_nearer(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that 16 bits can hold, to 8 bits; and bytes to 16 bits without a loss."""
    alpha = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    photo = Photo(alpha.repeat(4, axis=2))
    output = enhanced_by(way, photo, 8, monkeypatch, strip=1 << 14)
    nearest = (2 * alpha.astype(np.int64) + 257) // 514  # of alpha / 257, which is never a half
    assert (output[:, :, 3:] == nearest).all()
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    output = enhanced_by(way, Photo(alpha.repeat(4, axis=2)), 16, monkeypatch)
    assert (output[:, :, 3:] == alpha.astype(int) * 257).all()


@pytest.mark.parametrize("variant", ["curves", "pyramid"])
@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize(
    ("dtype", "bits", "white"),
    [("uint8", 8, None), ("uint16", 16, None), ("uint16", 16, 32767)],
)
def test_the_network_rounds_integers_to_the_nearer(
    variant, backend, dtype: str, bits: int, white: int | None
) -> None:
    picture = between_levels(dtype, bits, white)
    settings = {"input_encoding": "linear", "input_white": white} if white else {}
    model = affine(variant=variant, **settings)
    planar = torch.from_numpy(picture.pixels).permute(2, 0, 1)
    output = model.enhance(planar, backend=backend).permute(1, 2, 0).numpy()
    assert output.dtype == dtype
    assert (output == picture.nearest).all()


@native
@pytest.mark.parametrize("variant", ["curves", "pointwise"])
@pytest.mark.parametrize("resize", ["area", "nearest"])
def test_16_bits_are_served_as_float_is(variant, resize) -> None:
    model = network(variant=variant, lowres_resize=resize)
    levels = torch.from_numpy(SIXTEEN).permute(2, 0, 1)
    assert model.serves_fused(levels[None])
    ours = model.enhance(levels)
    assert ours.dtype == torch.uint16
    exact = model.enhance(levels.float() / 65535).clamp(0, 1) * 65535
    assert (ours.float() - exact).abs().max() <= 0.6
    plain = model.enhance(levels, backend="reference")
    assert (ours.int() - plain.int()).abs().max() <= 2
    contiguous = model.enhance(levels.contiguous())
    assert torch.equal(ours.int(), contiguous.int())


@native
def test_16_bits_clamp_at_both_ends() -> None:
    model = network()
    with torch.no_grad():
        bias = model.coefficient_network.prediction.conv.bias
        bias[-12:].add_(torch.tensor([-4.0, 4.0, 0.0]).repeat_interleave(4))  # the offsets
    output = model.enhance(torch.from_numpy(SIXTEEN).permute(2, 0, 1)).int()
    assert output[0].max() == 0
    assert output[1].min() == 65535


@native
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_strips_in_place_are_the_whole(dtype: torch.dtype) -> None:
    model = network()
    picture = torch.from_numpy(SIXTEEN).permute(2, 0, 1)[None]
    picture = picture.float() / 65535 if dtype == torch.float32 else picture.to(dtype)
    whole = model.enhance(picture)
    grid = model.coefficients(lowres_from_stored(picture, 32, "area"))
    strips = picture.clone()
    for first, last in ((0, 1), (1, 17), (17, 30)):
        strip = strips[:, :, first:last]
        model.enhance_rows(grid, strip, first, 30, out=strip)
    assert torch.equal(strips.float(), whole.float())


def write(name: str, pixels: np.ndarray, profile: bytes | None = None) -> Path:
    """A picture of the kind its name says, by other means than the ones under test."""
    path = Path(name)
    if path.suffix in (".tif", ".tiff"):
        alpha = {"extrasamples": ["unassalpha"]} if pixels.shape[2] == 4 else {}
        tifffile.imwrite(path, pixels, photometric="rgb", iccprofile=profile, **alpha)
    elif pixels.dtype == np.uint16:
        path.write_bytes(imagecodecs.png_encode(pixels))
    else:
        options = {"icc_profile": profile} if profile else {}
        image = Image.fromarray(pixels)
        image.save(path, quality=95, lossless=True, **options)
    return path


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("a.png", EIGHT),
        ("a.PNG", EIGHT),
        ("a.png", SIXTEEN),
        ("a.tif", EIGHT),
        ("a.tiff", SIXTEEN),
        ("a.jpg", EIGHT),
        ("a.webp", EIGHT),
    ],
)
def test_the_same_kind_comes_out(
    workspace: Workspace, model: HDRNet, name: str, pixels: np.ndarray
) -> None:
    write(name, pixels)
    (report,) = workspace.json("enhance", "model.safetensors", name, "out/", "--quality", "100")
    assert report["output"] == f"out/{name}"
    assert report["bits"] == pixels.dtype.itemsize * 8
    assert (report["width"], report["height"]) == (44, 30)
    assert set(report["seconds"]) == {"decode", "network", "slice", "encode"}
    assert report["notes"] == []
    back = read_photo(Path("out") / name).pixels
    assert back.dtype == pixels.dtype
    lossy = name.endswith(("jpg", "webp"))
    assert_close(back, expected(model, read_photo(Path(name)).pixels), 25 if lossy else 1)
    kinds = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF", "tiff": "TIFF", "webp": "WEBP"}
    with Image.open(Path("out") / name) as image:
        assert image.format == kinds[name.lower().split(".")[1]]
    assert [p.name for p in Path("out").iterdir()] == [name]  # nothing temporary is left


@pytest.mark.parametrize(
    ("pixels", "bits"), [(EIGHT, "16"), (SIXTEEN, "8"), (EIGHT, "8"), (SIXTEEN, "16")]
)
def test_bits_are_computed_not_padded(
    workspace: Workspace, model: HDRNet, pixels: np.ndarray, bits: str
) -> None:
    write("a.png", pixels)
    workspace.json("enhance", "model.safetensors", "a.png", "out.tif", "--bits", bits)
    back = read_photo(Path("out.tif")).pixels
    assert back.dtype == f"uint{bits}"
    white = np.iinfo(pixels.dtype).max
    planar = torch.from_numpy(pixels.astype(np.float32) / white).permute(2, 0, 1)
    wanted = model.enhance(planar).clamp(0, 1).permute(1, 2, 0).numpy() * np.iinfo(back.dtype).max
    assert np.abs(back - wanted).max() <= 1
    if bits == "16":
        assert len(np.unique(back)) > 256


def test_formats_that_cannot_hold_it_are_refused(workspace: Workspace, model: HDRNet) -> None:
    write("a.png", SIXTEEN)
    for arguments, reason in (
        (("a.png", "out/", "--format", "jpeg", "--bits", "16"), "it holds 8 bits"),
        (("a.png", "out.jpg", "--format", "png"), r"--format says png"),
        (("a.png", "out.dng"), "DNG cannot be written"),
        (("model.safetensors", "out/"), "no known kind"),
        (("a.png", "model.safetensors"), "is a file"),
        (("a.png",), "at least one INPUT"),
    ):
        assert reason in workspace.fails(2, "enhance", "model.safetensors", *arguments)
    workspace.json("enhance", "model.safetensors", "a.png", "out/", "--format", "jpeg")
    assert read_photo(Path("out/a.jpg")).pixels.dtype == np.uint8


def in_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """Float64 sRGB of a picture under a profile made here, by the definitions alone."""
    white = np.iinfo(pixels.dtype).max
    flat = (pixels / white).astype(np.float32)
    converted = imagecodecs.cms_transform(
        flat, profile, icc.SRGB, colorspace="rgb", outcolorspace="rgb", outdtype="float32"
    )
    return converted.clip(0, 1)


def to_profile(srgb: np.ndarray, profile: bytes) -> np.ndarray:
    """Float32 sRGB in [0, 1] as the profile has it, not rounded."""
    converted = imagecodecs.cms_transform(
        srgb, icc.SRGB, profile, colorspace="rgb", outcolorspace="rgb", outdtype="float32"
    )
    return converted.clip(0, 1)


def through_profile(model: HDRNet, pixels: np.ndarray, profile: bytes) -> np.ndarray:
    planar = torch.from_numpy(in_srgb(pixels, profile)).permute(2, 0, 1)
    output = model.enhance(planar).clamp(0, 1).permute(1, 2, 0).contiguous().numpy()
    return to_profile(output, profile) * np.iinfo(pixels.dtype).max


@pytest.mark.parametrize("profile", ["DISPLAY_P3", "ADOBE_RGB", "PROPHOTO"])
@pytest.mark.parametrize("pixels", [EIGHT, SIXTEEN], ids=["8 bit", "16 bit"])
@pytest.mark.parametrize("resize", ["area", "nearest"])
def test_another_profile_is_converted_and_converted_back(
    workspace: Workspace, profile: str, pixels: np.ndarray, resize
) -> None:
    model = network(lowres_resize=resize)
    save_model(Path("model.safetensors"), model, ModelHeader(config=model.config))
    embedded = getattr(pictures, profile)
    muted = (pixels // 4 + np.iinfo(pixels.dtype).max // 3).astype(pixels.dtype)  # inside sRGB
    write("a.tif", muted, embedded)
    workspace.json("enhance", "model.safetensors", "a.tif", "out.tif")
    photo = read_photo(Path("out.tif"))
    assert photo.profile == embedded
    wanted = through_profile(model, muted, embedded)
    # 8 bits: what the shortcut of reading costs, and one rounding.
    assert np.abs(photo.pixels - wanted).max() <= (1.5 if pixels is EIGHT else 8)
    assert np.abs(expected(model, muted) - wanted).max() > 20 * np.iinfo(pixels.dtype).max / 2550


def test_colours_outside_the_model_space_are_clipped(workspace: Workspace, model: HDRNet) -> None:
    green = np.zeros((8, 8, 3), np.uint8)
    green[:, :, 1] = 255
    write("a.png", green, pictures.PROPHOTO)
    workspace.json("enhance", "model.safetensors", "a.png", "out.png")
    assert_close(
        read_photo(Path("out.png")).pixels,
        np.rint(through_profile(model, green, pictures.PROPHOTO)).astype(np.int64),
        2,
    )


def test_a_profile_without_a_way_back_gives_srgb(workspace: Workspace, model: HDRNet) -> None:
    write("a.tif", EIGHT, pictures.ONE_WAY)
    (report,) = workspace.json("enhance", "model.safetensors", "a.tif", "out.tif")
    said = "written in sRGB: its profile has no way back to its own colours"
    assert said in report["notes"]
    photo = read_photo(Path("out.tif"))
    assert icc.same(photo.profile, icc.SRGB)
    srgb = imagecodecs.cms_transform(
        (EIGHT / 255).astype(np.float32), pictures.ONE_WAY, icc.SRGB,
        colorspace="rgb", outcolorspace="rgb", outdtype="float32",
        intent=1, flags=int(imagecodecs.CMS.FLAGS.NOOPTIMIZE),
    )  # fmt: skip
    planar = torch.from_numpy(srgb.clip(0, 1)).permute(2, 0, 1)
    wanted = model.enhance(planar).clamp(0, 1).permute(1, 2, 0).numpy() * 255
    assert np.abs(photo.pixels - wanted).max() <= 1.5


@pytest.mark.parametrize("bits", [8, 16])
def test_modern_formats_in_and_out(workspace: Workspace, model: HDRNet, bits: int) -> None:
    """A JPEG XL stays lossless; AVIF holds 10 bits, and says so."""
    pixels = EIGHT if bits == 8 else SIXTEEN
    write("a.png", pixels, pictures.DISPLAY_P3 if bits == 8 else None)
    command = ("enhance", "model.safetensors")
    (report,) = workspace.json(*command, "a.png", "a.avif")
    said = "written with 10 bits, which are all that avif is given"
    assert (said in report["notes"]) == (bits == 16)
    (report,) = workspace.json(*command, "a.png", "a.jpg")
    said = "written with 8 bits, which are all that jpeg holds"
    assert (said in report["notes"]) == (bits == 16)
    workspace.json(*command, "a.png", "plain.png")
    plain = read_photo(Path("plain.png")).pixels / np.iinfo(pixels.dtype).max
    avif = read_photo(Path("a.avif")).pixels
    assert np.abs(avif / np.iinfo(avif.dtype).max - plain).mean() < 0.03
    Path("a.jxl").write_bytes(imagecodecs.jpegxl_encode(pixels, lossless=True))
    original = read_photo(Path("a.jxl"))
    (report,) = workspace.json(*command, "a.jxl", "out.jxl")
    out = read_photo(Path("out.jxl"))
    assert out.lossless
    assert out.pixels.dtype == original.pixels.dtype
    (report,) = workspace.json(*command, "a.jxl", "out.png")
    assert_close(out.pixels, read_photo(Path("out.png")).pixels.astype(np.int64), 0)


def test_a_format_without_its_library_is_refused_at_once(
    workspace: Workspace, model: HDRNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    write("a.png", EIGHT)
    line = workspace.fails(4, "enhance", "model.safetensors", "a.png", "a.heic")
    assert install_advice("heif") in line
    # Among others it is one picture's failure.
    Path("in").mkdir()
    write("in/a.png", EIGHT)
    Path("in/b.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    done = workspace.run("enhance", "model.safetensors", "in", "out")
    assert done.returncode == 3
    assert "in/b.heic" in done.stderr
    assert Path("out/a.png").exists()


def test_srgb_by_any_name_is_left_alone(workspace: Workspace, model: HDRNet) -> None:
    write("plain.png", EIGHT)
    write("named.png", EIGHT, pictures.SRGB_OF_PILLOW)
    workspace.json("enhance", "model.safetensors", "plain.png", "named.png", "out")
    plain, named = (read_photo(Path(f"out/{n}.png")) for n in ("plain", "named"))
    assert (plain.pixels == named.pixels).all()
    assert plain.profile is None
    assert named.profile == pictures.SRGB_OF_PILLOW


def test_grey_pictures_and_their_profiles(workspace: Workspace, model: HDRNet) -> None:
    grey = EIGHT[:, :, 0]
    Image.fromarray(grey).save("plain.png")
    Image.fromarray(grey).save("linear.png", icc_profile=pictures.GREY_LINEAR)
    tifffile.imwrite("deep.tif", SIXTEEN[:, :, 0], photometric="minisblack")
    reports = workspace.json(
        "enhance", "model.safetensors", "plain.png", "linear.png", "deep.tif", "out"
    )
    notes = [report["notes"] for report in reports]
    assert notes[0] == notes[2] == ["grey repeated into three channels"]
    assert notes[1] == ["grey converted from its profile to sRGB"]
    assert_close(
        read_photo(Path("out/plain.png")).pixels, expected(model, grey[:, :, None].repeat(3, 2))
    )
    assert read_photo(Path("out/deep.tif")).pixels.dtype == np.uint16
    light = grey / 255
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    brighter = np.rint(encoded * 255).astype(np.uint8)[:, :, None].repeat(3, 2)
    assert_close(read_photo(Path("out/linear.png")).pixels, expected(model, brighter), 2)


def test_a_broken_profile_is_left_out_and_said(workspace: Workspace, model: HDRNet) -> None:
    write("a.tif", EIGHT, b"no profile at all, but long enough to be taken for one" * 4)
    (report,) = workspace.json("enhance", "model.safetensors", "a.tif", "out.tif")
    assert "unreadable" in report["notes"][0]
    assert read_photo(Path("out.tif")).profile is None
    assert_close(read_photo(Path("out.tif")).pixels, expected(model, EIGHT))


def test_cmyk_is_converted_and_said(workspace: Workspace, model: HDRNet) -> None:
    Image.fromarray(EIGHT).convert("CMYK").save("a.jpg", quality=100)
    (report,) = workspace.json("enhance", "model.safetensors", "a.jpg", "out.png")
    assert report["notes"] == ["CMYK converted without its profile"]
    assert_close(read_photo(Path("out.png")).pixels, expected(model, EIGHT), 12)


@pytest.fixture
def linear_model(workspace: Workspace) -> HDRNet:
    made = network(input_encoding="linear")
    save_model(Path("linear.safetensors"), made, ModelHeader(config=made.config))
    return made


def test_a_model_for_linear_light_refuses_display_pictures(
    workspace: Workspace, linear_model: HDRNet
) -> None:
    write("a.png", SIXTEEN)
    line = workspace.fails(3, "enhance", "linear.safetensors", "a.png", "out.png")
    assert "a.png" in line
    done = workspace.run("enhance", "linear.safetensors", "a.png", "out.png")
    assert "the model is for linear light" in done.stderr
    assert not Path("out.png").exists()

    workspace.json("enhance", "linear.safetensors", "a.png", "out.png", "--linearise")
    light = srgb_to_linear(torch.from_numpy(SIXTEEN / 65535).float().permute(2, 0, 1))
    wanted = linear_model.enhance(light).clamp(0, 1).permute(1, 2, 0).numpy() * 65535
    assert np.abs(read_photo(Path("out.png")).pixels - wanted).max() <= 4


def test_a_model_for_linear_light_takes_linear_pictures(
    workspace: Workspace, linear_model: HDRNet
) -> None:
    write("untagged.png", SIXTEEN)
    command = ("enhance", "linear.safetensors")
    workspace.json(*command, "untagged.png", "out.png", "--untagged", "linear")
    # Its output is sRGB, which is what a picture without a profile is.
    assert_close(read_photo(Path("out.png")).pixels, expected(linear_model, SIXTEEN))

    write("tagged.tif", SIXTEEN, icc.LINEAR)
    workspace.json(*command, "tagged.tif", "out.tif")
    photo = read_photo(Path("out.tif"))
    assert photo.profile == icc.LINEAR
    light = srgb_to_linear(expected(linear_model, SIXTEEN) / 65535)
    assert np.abs(photo.pixels - light * 65535).max() <= 4

    write("wide.tif", SIXTEEN, pictures.LINEAR_WIDE)
    (report,) = workspace.json(*command, "wide.tif", "wide-out.tif")
    assert report["error"] is None


@pytest.mark.parametrize("encoding", ["linear", "camera"])
def test_16_bits_without_a_profile_have_the_models_white(workspace: Workspace, encoding) -> None:
    """As in the data it was trained on; 8 bits, and all with a profile, their own full scale."""
    model = affine(1, 0, input_encoding=encoding, input_white=32767)
    save_model(Path("model.safetensors"), model, ModelHeader(config=model.config))
    command = ("enhance", "model.safetensors")
    untagged = (*command, "--untagged", encoding)
    ramp = np.linspace(0, 65535, 16 * 24 * 3).round().astype(np.uint16).reshape(16, 24, 3)
    ramp[8, :3, 0] = 32766, 32767, 32768

    write("deep.png", ramp)
    workspace.json(*untagged, "deep.png", "out/")
    above_white = ramp >= 32767
    output = read_photo(Path("out/deep.png")).pixels
    assert (output[above_white] == 65535).all()
    assert_close(output[~above_white], np.rint(ramp[~above_white] / 32767 * 65535).astype(int))

    write("eight.png", EIGHT)
    workspace.json(*untagged, "eight.png", "out/")
    assert (read_photo(Path("out/eight.png")).pixels == EIGHT).all()
    if encoding == "camera":  # which no profile can say
        return

    light = srgb_to_linear(ramp / 65535) * 65535
    write("tagged.tif", ramp, icc.LINEAR)  # the model's output is sRGB, and converted to it
    workspace.json(*command, "tagged.tif", "out/")
    assert np.abs(read_photo(Path("out/tagged.tif")).pixels - light).max() <= 4
    workspace.json(*command, "deep.png", "linearised.png", "--linearise")
    assert np.abs(read_photo(Path("linearised.png")).pixels - light).max() <= 4


def test_a_linear_picture_is_encoded_for_an_srgb_model(workspace: Workspace, model: HDRNet) -> None:
    write("a.tif", SIXTEEN, icc.LINEAR)
    workspace.json("enhance", "model.safetensors", "a.tif", "out.tif")
    wanted = through_profile(model, SIXTEEN, icc.LINEAR)
    assert np.abs(read_photo(Path("out.tif")).pixels - wanted).max() <= 8


@pytest.mark.parametrize(
    ("suffix", "bits"),
    [("jpg", 8), ("webp", 8), ("png", 8), ("png", 16), ("tif", 8), ("tif", 16)],
)
def test_exif_profile_and_resolution_survive(
    workspace: Workspace, model: HDRNet, suffix: str, bits: int
) -> None:
    tags = pictures.exif(orientation=6)
    Image.fromarray(EIGHT).save(
        "a.jpg", exif=tags, icc_profile=pictures.DISPLAY_P3, dpi=(300, 240), quality=95
    )
    out = Path(f"out.{suffix}")
    workspace.json("enhance", "model.safetensors", "a.jpg", str(out), "--bits", str(bits))
    again = Path(f"again.{suffix}")  # and from that kind, once more
    workspace.json("enhance", "model.safetensors", str(out), str(again))
    for path in (out, again):
        photo = read_photo(path)
        assert photo.pixels.shape == (44, 30, 3), path
        assert photo.pixels.dtype == f"uint{bits}"
        assert photo.profile == pictures.DISPLAY_P3
        with Image.open(path) as image:
            kept = image.getexif()
            assert kept.get(0x0112, 1) == 1
            assert {tag: kept[tag] for tag in (0x010F, 0x0110, 0x8298)} == {
                tag: tags[tag] for tag in (0x010F, 0x0110, 0x8298)
            }
            shot = kept.get_ifd(0x8769)
            assert shot[0x9003] == "2020:02:03 04:05:06"
            assert float(shot[0x829A]) == pytest.approx(1 / 250)
            assert shot[0x8827] == 400
            assert shot[0x927C] == b"maker's own bytes"
            assert (shot[0xA002], shot[0xA003]) == (30, 44)
            place = kept.get_ifd(0x8825)
            assert place[1] == "N"
            assert [float(v) for v in place[2]] == [48.0, 8.0, 12.5]
            if suffix != "webp":
                # Across and down change places with the picture.
                assert [round(float(v)) for v in image.info["dpi"]] == [240, 300]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(
    workspace: Workspace, model: HDRNet, orientation: int
) -> None:
    from PIL import ImageOps

    Image.fromarray(EIGHT).save("a.png", exif=pictures.exif(orientation))
    with Image.open("a.png") as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    workspace.json("enhance", "model.safetensors", "a.png", "out.png")
    assert_close(read_photo(Path("out.png")).pixels, expected(model, upright))


def test_the_old_thumbnail_does_not_survive(workspace: Workspace, model: HDRNet) -> None:
    encoded = imagecodecs.jpeg8_encode(EIGHT)
    Path("a.jpg").write_bytes(pictures.with_thumbnail(encoded))
    with Image.open("a.jpg") as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)  # the fixture is one
    workspace.json("enhance", "model.safetensors", "a.jpg", "out.jpg")
    with Image.open("out.jpg") as image:
        assert not image.getexif().get_ifd(ExifTags.IFD.IFD1)
        assert image.getexif()[0x010F] == "Maker"


def test_exif_behind_the_pixels_of_a_png_is_found(workspace: Workspace, model: HDRNet) -> None:
    write("a.png", EIGHT)
    plain = Path("a.png").read_bytes()
    end = plain.rindex(b"IEND") - 4
    Image.fromarray(EIGHT).save("b.png", exif=pictures.exif(3))
    content = Path("b.png").read_bytes()
    at = content.index(b"eXIf") - 4
    chunk = content[at : at + 12 + int.from_bytes(content[at : at + 4], "big")]
    Path("a.png").write_bytes(plain[:end] + chunk + plain[end:])
    (report,) = workspace.json("enhance", "model.safetensors", "a.png", "out.png")
    assert report["notes"] == ["orientation 3 applied"]
    assert_close(read_photo(Path("out.png")).pixels, expected(model, EIGHT[::-1, ::-1]))


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        *((name, None) for name in ("a.png", "a.tif", "a.webp", "deep.png", "deep.tif")),
        *((name, pictures.ADOBE_RGB) for name in ("a.png", "a.tif", "a.webp", "deep.tif")),
    ],
    ids=lambda value: "profile" if isinstance(value, bytes) else value,
)
def test_alpha_is_carried_through(
    workspace: Workspace, model: HDRNet, name: str, profile: bytes | None
) -> None:
    colours = SIXTEEN if name.startswith("deep") else EIGHT
    alpha = np.random.default_rng(0).integers(1, np.iinfo(colours.dtype).max, (30, 44, 1))
    write(name, np.dstack([colours, alpha.astype(colours.dtype)]), profile)
    workspace.json("enhance", "model.safetensors", name, "out/")
    back = read_photo(Path("out") / name)
    assert (back.pixels[:, :, 3:] == alpha).all()
    if not profile:
        lossy = name.endswith("webp")
        assert_close(back.pixels[:, :, :3], expected(model, colours), 40 if lossy else 1)


def test_jpeg_holds_no_alpha(workspace: Workspace, model: HDRNet) -> None:
    write("a.png", np.dstack([EIGHT, EIGHT[:, :, :1]]))
    done = workspace.run("enhance", "model.safetensors", "a.png", "out.jpg")
    assert done.returncode == 3
    assert "alpha channel, which JPEG cannot hold" in done.stderr
    assert not Path("out.jpg").exists()


def test_a_model_for_camera_colours_takes_a_dng(workspace: Workspace) -> None:
    made = network(input_encoding="camera", input_white=32767, input_transfer="srgb")
    save_model(Path("camera.safetensors"), made, ModelHeader(config=made.config))
    flat = np.empty((48, 64, 3))
    flat[:] = (0.4, 0.2, 0.1)
    write_dng(Path("raw.dng"), flat)
    (report,) = workspace.json("enhance", "camera.safetensors", "raw.dng", "out/")
    uncorrected = "lens shading not corrected: the file does not say it (no GainMap)"
    assert report["notes"] == ["developed to linear camera colours, 16 bits", uncorrected]
    developed = develop_camera(Path("raw.dng"), None).pixels
    assert developed.max() < 65535
    out = read_photo(Path("out/raw.tif"))
    wanted = made.enhance(torch.from_numpy(developed).permute(2, 0, 1))
    assert_close(out.pixels, wanted.permute(1, 2, 0).numpy())
    assert icc.same(out.profile, icc.SRGB)
    shading = opcode_list((9, 0, gain_map(np.ones((1, 1, 1)), (0, 0, 0, 0), pitch=(1, 1))))
    write_dng(Path("said.dng"), flat, extra=[shading])
    (report,) = workspace.json("enhance", "camera.safetensors", "said.dng", "out/")
    assert uncorrected not in report["notes"]


def test_dng_gives_16_bit_tiff(workspace: Workspace, model: HDRNet, linear_model: HDRNet) -> None:
    flat = np.empty((48, 64, 3))
    flat[:] = (0.4, 0.2, 0.1)
    write_dng(Path("raw.dng"), flat)
    (report,) = workspace.json("enhance", "model.safetensors", "raw.dng", "out/")
    assert report["output"] == "out/raw.tif"
    assert report["bits"] == 16
    assert report["notes"] == ["developed to sRGB, 16 bits"]
    developed = read_photo(Path("raw.dng")).pixels
    srgb = 1.055 * np.array([0.4, 0.2, 0.1]) ** (1 / 2.4) - 0.055
    assert np.abs(developed / 65535 - srgb).max() < 0.02
    out = read_photo(Path("out/raw.tif"))
    assert_close(out.pixels, expected(model, developed))
    assert icc.same(out.profile, icc.SRGB)
    assert exif_of(out)[0x0110] == "Model 1"

    workspace.json("enhance", "linear.safetensors", "raw.dng", "light.tif")
    light = np.broadcast_to(np.array([0.4, 0.2, 0.1]), developed.shape) * 65535
    wanted = expected(linear_model, np.rint(light).astype(np.uint16))
    assert np.abs(read_photo(Path("light.tif")).pixels - wanted).max() < 0.02 * 65535

    write_dng(Path("turned.dng"), flat.transpose(1, 0, 2), orientation=6)
    workspace.json("enhance", "model.safetensors", "turned.dng", "turned.png", "--bits", "8")
    turned = read_photo(Path("turned.png")).pixels
    assert (turned.shape, turned.dtype) == ((64, 48, 3), np.uint8)


@pytest.mark.parametrize("variant", ["curves", "pointwise", "pyramid"])
def test_without_the_fused_kernel_it_is_the_same(
    workspace: Workspace, variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(variant=variant)
    save_model(Path("model.safetensors"), model, ModelHeader(config=model.config))
    write("a.png", SIXTEEN)
    write("p3.png", EIGHT, pictures.DISPLAY_P3)
    workspace.json("enhance", "model.safetensors", "a.png", "p3.png", "first")
    monkeypatch.setattr(HDRNet, "serves_fused", lambda *_: False)
    monkeypatch.setattr("hdrnet_bench.model.hdrnet.HDRNet.serves_pyramid", lambda *_: False)
    workspace.json("enhance", "model.safetensors", "a.png", "p3.png", "second")
    for name, levels in (("a.png", 2), ("p3.png", 1)):
        first, second = (read_photo(Path(f"{run}/{name}")).pixels for run in ("first", "second"))
        assert_close(first, second.astype(np.int64), levels)
    assert_close(first, np.rint(through_profile(model, EIGHT, pictures.DISPLAY_P3)).astype(int), 2)


@native
@pytest.mark.parametrize("shape", [(4, 4), (5, 7), (37, 64), (101, 50), (256, 1), (63, 600)])
@pytest.mark.parametrize("strip", [1, 700, 1 << 19])
def test_a_pyramid_by_rows_is_the_pyramid(
    shape: tuple[int, int], strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise, which shows every place that is not torch's own; strips of a row and of many."""
    model = network(variant="pyramid")
    assert model.serves_pyramid(*shape) == (min(shape) >= 4)
    monkeypatch.setattr(enhance, "_STRIP_PIXELS", strip)
    pixels = np.random.default_rng(0).integers(0, 65535, (*shape, 3)).astype(np.uint16)
    photo = Photo(pixels.copy())
    if min(shape) < 4:
        with pytest.raises(ValueError, match="needs 4 x 4 pixels"):
            enhance.enhance_photo(model, photo, 16, enhance.Settings())
        return
    enhance.enhance_photo(model, photo, 16, enhance.Settings())
    image = torch.from_numpy(pixels.astype(np.float32) / 65535).permute(2, 0, 1)
    whole = model.double().enhance(image.double()).clamp(0, 1).permute(1, 2, 0).numpy() * 65535
    assert np.abs(photo.pixels - whole).max() < 4


@native
@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 3, 37, 64), (3, 101, 50)])
@pytest.mark.parametrize("strip", [1, 700, 1 << 17])
def test_a_pyramid_is_enhanced_by_the_fused_kernel(
    shape: tuple[int, ...], strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(variant="pyramid")
    monkeypatch.setattr(pyramid, "_STRIP_PIXELS", strip)
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    plain = model.enhance(image, backend="reference")
    turned = image.transpose(-1, -2).contiguous().transpose(-1, -2)
    monkeypatch.setattr(HDRNet, "render", None)  # plain torch would be seen
    for same in (image, turned):
        assert (model.enhance(same) - plain).abs().max() < 2e-5
    levels = (image * 255).round().byte()
    monkeypatch.undo()
    off = model.enhance(levels).int() - model.enhance(levels, backend="reference").int()
    assert off.abs().max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 2)])
def test_small_pictures(workspace: Workspace, model: HDRNet, shape: tuple[int, int]) -> None:
    pixels = smooth_picture(0, *shape)
    write("a.png", pixels)
    write("p3.png", pixels, pictures.DISPLAY_P3)
    workspace.json("enhance", "model.safetensors", "a.png", "p3.png", "out")
    assert_close(read_photo(Path("out/a.png")).pixels, expected(model, pixels))


def test_folders_globs_and_what_was_written_before(workspace: Workspace, model: HDRNet) -> None:
    for folder in ("in/deep", "in/out"):
        Path(folder).mkdir(parents=True)
    for name in ("in/a.png", "in/deep/b.jpg", "in/.hidden.png"):
        write(name, EIGHT)
    Path("in/notes.xmp").write_text("no picture")
    command = ("enhance", "model.safetensors")
    reports = workspace.json(*command, "in", "in/out")
    assert [r["output"] for r in reports] == ["in/out/a.png", "in/out/deep/b.jpg"]
    # Once more: its own output below the input folder is no input.
    assert "--overwrite replaces" in workspace.fails(2, *command, "in", "in/out")
    reports = workspace.json(*command, "in", "in/out", "--overwrite")
    assert [r["input"] for r in reports] == ["in/a.png", "in/deep/b.jpg"]
    reports = workspace.json(*command, "in/**/*.png", "in/out", "--overwrite")
    assert [r["input"] for r in reports] == ["in/a.png"]
    assert "is an input itself" in workspace.fails(2, *command, "in", "in", "--overwrite")
    assert "is an input itself" in workspace.fails(2, *command, "in/*.png", "in", "--overwrite")
    assert "matches" in workspace.fails(3, *command, "in/*.tif", "out")
    Path("empty").mkdir()
    assert "holds no picture" in workspace.fails(3, *command, "empty", "out")


def test_nothing_is_overwritten_or_written_before_all_is_clear(
    workspace: Workspace, model: HDRNet
) -> None:
    for folder in ("one", "two", "out"):
        Path(folder).mkdir()
    write("one/a.png", EIGHT)
    write("two/a.png", EIGHT)
    write("two/b.png", EIGHT)
    Path("out/b.png").write_text("mine")
    command = ("enhance", "model.safetensors")
    assert "would both become" in workspace.fails(2, *command, "one", "two", "out", "--overwrite")
    shared = ("one/a.png", "two/a.png", "out")
    assert "would both become" in workspace.fails(2, *command, *shared, "--overwrite")
    assert "out/b.png" in workspace.fails(2, *command, "two", "out")
    done = workspace.run(*command, "two", "out", "--overwrite", "--dry-run")
    assert done.stdout.splitlines() == ["two/a.png -> out/a.png", "two/b.png -> out/b.png"]
    assert [p.name for p in Path("out").iterdir()] == ["b.png"]
    assert Path("out/b.png").read_text() == "mine"
    workspace.json(*command, "two", "out", "--overwrite")
    assert read_photo(Path("out/b.png")).pixels.shape == EIGHT.shape


def test_what_is_there_is_skipped_and_the_rest_made(workspace: Workspace, model: HDRNet) -> None:
    Path("in").mkdir()
    for name in "abcdefgh":
        write(f"in/{name}.png", EIGHT)
    Path("in/x.gif").write_bytes(b"GIF89a")
    command = ("enhance", "model.safetensors", "in", "out")
    workspace.json("enhance", "model.safetensors", *(f"in/{n}.png" for n in "abcdefg"), "out")
    Path("out/b.png").write_text("mine")
    line = workspace.fails(2, *command)
    assert line == (
        "hdrbench: there already: out/a.png, out/b.png, out/c.png, out/d.png, out/e.png and 2 more;"
        " --skip-existing makes the others, --overwrite replaces them"
    )
    Path("out/f.png").unlink()
    Path("out/g.png").unlink()
    assert "d.png, out/e.png; --skip-existing" in workspace.fails(2, *command)
    both = workspace.fails(2, *command, "--skip-existing", "--overwrite")
    assert "use one" in both

    dry = workspace.run(*command, "--skip-existing", "--dry-run")
    assert "5 of 8 are there already: skipped" in dry.stderr.splitlines()
    assert dry.stdout.splitlines() == [f"in/{n}.png -> out/{n}.png" for n in "fgh"]
    done = workspace.run(*command, "--skip-existing", "--json")
    assert done.returncode == 0, done.stderr
    assert "5 of 8 are there already: skipped" in done.stderr.splitlines()
    reports = json.loads(done.stdout)
    assert [r["output"] for r in reports if "skipped" not in r] == [f"out/{n}.png" for n in "fgh"]
    assert [r for r in reports if "skipped" in r] == [
        *(
            {"input": f"in/{n}.png", "output": f"out/{n}.png", "error": None}
            | {"skipped": "output is there"}
            for n in "abcde"
        ),
        {"input": "in/x.gif", "output": None, "error": None}
        | {"skipped": "of a kind that is not read"},
    ]
    assert Path("out/b.png").read_text() == "mine"


def test_where_all_is_there_no_model_is_loaded(
    workspace: Workspace, model: HDRNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.png", EIGHT)
    command = ("enhance", "model.safetensors", "a.png", "b.png", "--skip-existing")
    first = workspace.run(*command)
    assert first.returncode == 0
    assert "there already" not in first.stderr
    monkeypatch.setattr("hdrnet_bench.model.load.load_model", None)
    done = workspace.run(*command)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "1 of 1 are there already: skipped\n"
    (report,) = workspace.json(*command)
    assert report["skipped"] == "output is there"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_bytes(b""), "out/a.png is there, and an empty file: remove it"),
        (lambda path: path.mkdir(), "out/a.png is there, and no file: remove it"),
    ],
)
def test_what_is_no_whole_file_is_not_skipped(
    workspace: Workspace, model: HDRNet, spoil: Callable[[Path], object], says: str
) -> None:
    write("a.png", EIGHT)
    Path("out").mkdir()
    spoil(Path("out/a.png"))
    command = ("enhance", "model.safetensors", "a.png", "out", "--skip-existing")
    assert says in workspace.fails(2, *command)


def test_a_folder_that_cannot_be_written_stops_it_before_it_begins(
    workspace: Workspace, model: HDRNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.png", EIGHT)
    Path("file").write_text("")
    command = ("enhance", "model.safetensors", "a.png")
    assert "file is a file, and outputs need" in workspace.fails(3, *command, "file/deep/b.png")
    Path("closed").mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, how: str(path) != "closed" and access(path, how))
    for output in ("closed/b.png", "closed/deep/"):
        assert "closed is a folder that cannot be written" in workspace.fails(3, *command, output)
    assert workspace.json(*command, "open/deep/")[0]["error"] is None


def test_a_raw_and_a_tiff_of_one_name_collide(workspace: Workspace, model: HDRNet) -> None:
    Path("in").mkdir()
    write("in/a.tif", EIGHT)
    write_dng(Path("in/a.dng"), np.full((16, 16, 3), 0.5))
    line = workspace.fails(2, "enhance", "model.safetensors", "in", "out")
    assert "would both become" in line


def test_a_bad_file_is_named_and_the_others_finish(workspace: Workspace, model: HDRNet) -> None:
    Path("in").mkdir()
    for name in ("a.png", "b.jpg", "c.tif", "d.webp"):
        write(f"in/{name}", EIGHT)
    for name in ("cut.png", "cut.jpg", "cut.tif", "cut.webp"):
        whole = Path(f"in/{'abcd'[['png', 'jpg', 'tif', 'webp'].index(name[4:])]}{name[3:]}")
        content = whole.read_bytes()
        Path(f"in/{name}").write_bytes(content[: len(content) * 2 // 3])
    Path("in/text.png").write_text("no picture")
    Path("in/raw.dng").write_bytes(b"II*\0 no raw")
    done = workspace.run("enhance", "model.safetensors", "in", "missing.png", "out", "--json")
    assert done.returncode == 3
    reports = {report["input"]: report for report in json.loads(done.stdout)}
    failed = {name for name, report in reports.items() if report["error"]}
    names = ("cut.png", "cut.jpg", "cut.tif", "cut.webp", "text.png", "raw.dng")
    assert failed == {"missing.png", *(f"in/{name}" for name in names)}
    assert all(name in reports[name]["error"] for name in failed)
    assert "7 of 11 pictures were not enhanced" in done.stderr
    assert sorted(p.name for p in Path("out").iterdir()) == ["a.png", "b.jpg", "c.tif", "d.webp"]


def test_decoding_goes_on_while_encoding(
    workspace: Workspace, model: HDRNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first picture's encoding waits until the third is being decoded: in a plain loop, in
    vain."""
    for name in "abcd":
        write(f"{name}.png", EIGHT)
    third = threading.Event()
    held = {"now": 0, "most": 0}
    lock = threading.Lock()
    met = []

    def read(path: Path, *how: object):
        with lock:
            held["now"] += 1
            held["most"] = max(held.values())
        if path.stem == "c":
            third.set()
        return read_photo(path, *how)

    def write_one(path: Path, *arguments) -> None:
        if path.stem == "a":
            met.append(third.wait(20))
        with lock:
            held["now"] -= 1

    monkeypatch.setattr(enhance, "read_photo", read)
    monkeypatch.setattr(enhance, "write_photo", write_one)
    workspace.json("enhance", "model.safetensors", *["a.png", "b.png", "c.png", "d.png"], "out")
    assert met == [True]
    workspace.json(
        *("enhance", "model.safetensors", *["a.png", "b.png", "c.png", "d.png"], "out"),
        *("--threads", "1"),
    )
    assert met == [True, True]


def test_pictures_in_memory_are_bounded(
    workspace: Workspace, model: HDRNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        write(f"{number:02}.png", EIGHT)
    lock = threading.Lock()
    held, most = 0, 0

    def read(path: Path, *how: object):
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return read_photo(path, *how)

    def write_one(path: Path, *arguments) -> None:
        nonlocal held
        threading.Event().wait(0.02)  # encoding is the slow part
        with lock:
            held -= 1

    monkeypatch.setattr(enhance, "read_photo", read)
    monkeypatch.setattr(enhance, "write_photo", write_one)
    workspace.json("enhance", "model.safetensors", "*.png", "out", "--threads", "2")
    assert held == 0
    assert 2 < most <= 2 * 2 + 1


def test_an_output_that_appears_meanwhile_is_kept(
    workspace: Workspace, model: HDRNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.png", EIGHT)
    real = enhance.enhance_photo

    def slow(*arguments):
        Path("out.png").write_text("mine")
        return real(*arguments)

    monkeypatch.setattr(enhance, "enhance_photo", slow)
    done = workspace.run("enhance", "model.safetensors", "a.png", "out.png")
    assert done.returncode == 3
    assert "has come to be there meanwhile" in done.stderr
    assert Path("out.png").read_text() == "mine"
    assert sorted(p.name for p in Path().iterdir()) == ["a.png", "model.safetensors", "out.png"]


MEASURE = """
import re, sys
from pathlib import Path
from hdrnet_bench import load_model
from hdrnet_bench.enhance.run import Settings, run
from hdrnet_bench.enhance.plan import plan
model, settings = load_model("model.safetensors"), Settings(overwrite=True)
def kib(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
for suffix in sys.argv[1:]:
    large, small, out = f"large.{suffix}", f"small.{suffix}", f"out.{suffix}"
    list(run(model, plan([small], out, overwrite=True), settings))
    before = kib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    (report,) = run(model, plan([large], out, overwrite=True), settings)
    decoded = report["width"] * report["height"] * 3 * report["bits"] // 8 / 1024
    print(large, (kib("VmHWM") - before) / (2 * decoded))
"""


@native
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no /proc/self/clear_refs")
@pytest.mark.parametrize(
    ("variant", "tiles", "suffixes"),
    [("curves", (120, 100), ["jpg", "tif", "png"]), ("pyramid", (170, 140), ["jpg"])],
)
def test_memory_is_that_of_the_picture(
    workspace: Workspace, variant: str, tiles: tuple[int, int], suffixes: list[str]
) -> None:
    """Above the process, under 1.3 times decoded input plus output: measured at 16 megapixels; a
    pyramid, whose strips need some 20 MiB whatever the picture, at 31."""
    model = network(variant=variant)
    save_model(Path("model.safetensors"), model, ModelHeader(config=model.config))
    for name in suffixes:
        pixels = EIGHT if name == "jpg" else SIXTEEN
        write(f"small.{name}", pixels)
        write(f"large.{name}", np.tile(pixels, (*tiles, 1)))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *suffixes],
        env=clean_environment() | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    shares = dict(line.split() for line in done.stdout.splitlines())
    assert set(shares) == {f"large.{suffix}" for suffix in suffixes}
    assert all(float(share) < 1.3 for share in shares.values()), shares
