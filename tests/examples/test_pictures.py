"""The examples on single pictures: by PIL, by onnxruntime, in a network of one's own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hdrnet_bench import HDRNet, HDRNetConfig, load_model
from hdrnet_bench.errors import CapabilityError, DataError, UsageError
from hdrnet_bench.examples import (
    enhance_with_pil,
    onnx_inference,
    script,
    slice_in_your_network,
)
from hdrnet_bench.images import read_picture, write_png
from hdrnet_bench.model.file import ModelHeader, save_model
from hdrnet_bench.portable import write_onnx, write_parts
from hdrnet_bench.slicing import bilateral_slice_apply
from tests import pictures
from tests.conftest import Workspace, clean_environment, smooth_picture

MODEL = "runs/tiny/seed-0"


def by_the_model(pixels: np.ndarray, model: HDRNet | None = None) -> np.ndarray:
    planar = torch.from_numpy(pixels).permute(2, 0, 1)
    return (model or load_model(MODEL)).enhance(planar).permute(1, 2, 0).numpy()


def saved_model(path: Path, **config: object) -> HDRNet:
    """A network of random weights, as a file."""
    torch.manual_seed(1)
    settings = {"net_input_size": 32, "spatial_bin": 4, "luma_bins": 4} | config
    model = HDRNet(HDRNetConfig(**settings)).eval()
    save_model(path, model, ModelHeader(config=model.config))
    return model


def test_pil_in_and_out_is_what_the_model_makes(trained: Workspace) -> None:
    pixels = smooth_picture(7, 60, 90)
    Image.fromarray(pixels).save("in.png")
    enhance_with_pil.main([MODEL, "in.png", "out.png"])
    enhanced = np.array(Image.open("out.png"))
    np.testing.assert_array_equal(enhanced, by_the_model(pixels))
    assert np.abs(enhanced.astype(int) - pixels).mean() > 1, "the model changed nothing"


def test_pil_pictures_are_upright_and_srgb(tmp_path: Path) -> None:
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth_picture(7, 60, 90)).save(
        path, exif=exif, icc_profile=pictures.DISPLAY_P3
    )
    read = np.array(script.read_srgb(str(path)))
    assert read.shape == (90, 60, 3)
    difference = np.abs(read.astype(int) - read_picture(path).pixels)
    assert difference.max() <= 2, "another conversion than hdrbench's own"
    assert np.abs(read.astype(int) - np.rot90(smooth_picture(7, 60, 90), -1)).max() > 5


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_pil_modes_of_8_bits_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "picture.png"
    image = Image.fromarray(smooth_picture(7, 20, 30)).convert(mode)
    image.save(path)
    read = script.read_srgb(str(path))
    assert read.mode == "RGB"
    np.testing.assert_array_equal(np.array(read), np.array(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P"])
def test_pil_greys_have_profiles_of_grey(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "grey.png"
    grey = Image.fromarray(smooth_picture(7, 20, 30)).convert("L")
    image = grey.convert(mode, dither=Image.Dither.NONE)
    image.save(path, icc_profile=pictures.GREY_LINEAR)
    with Image.open(path) as saved:
        assert saved.mode == mode
    read = np.array(script.read_srgb(str(path))).astype(int)
    # The profile's greys are proportional to light: sRGB's own curve leads from there.
    light = np.array(image.convert("RGB")) / 255
    expected = 255 * np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(read - expected).max() <= 3


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_pil_greys_under_a_profile_of_rgb_are_three_equal_channels(
    tmp_path: Path, mode: str
) -> None:
    path = tmp_path / "grey.png"
    image = Image.fromarray(smooth_picture(7, 20, 30)).convert("L").convert(mode)
    image.save(path, icc_profile=pictures.SRGB_OF_PILLOW)
    read = np.array(script.read_srgb(str(path))).astype(int)
    assert np.abs(read - np.array(image.convert("RGB"))).max() <= 1


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("profile", [pictures.GREY_LINEAR, b"no profile"], ids=["grey", "broken"])
def test_pil_and_a_profile_that_does_not_fit(tmp_path: Path, mode: str, profile: bytes) -> None:
    path = tmp_path / "picture.tif"
    image = Image.fromarray(smooth_picture(7, 20, 30)).convert(mode)
    image.save(path, icc_profile=profile)
    with pytest.raises(DataError) as raised:
        script.read_srgb(str(path))
    assert f"picture.tif has a colour profile that is broken or not for PIL's mode {mode} (" in str(
        raised.value
    )
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_pil_and_a_picture_that_it_takes_for_a_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(smooth_picture(7, 20, 30)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)  # refused above twice that
    assert script.read_srgb(str(path)).size == (30, 20)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299)
    with pytest.raises(DataError, match=r"large\.png is too large for PIL: .*598 pixels"):
        script.read_srgb(str(path))


def test_pil_refuses_what_it_would_spoil(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.full((20, 30), 40000, np.uint16)).save(path)
    with pytest.raises(DataError, match=r"grey\.png is of PIL's mode I;16: .*hdrbench enhance"):
        script.read_srgb(str(path))


def test_pil_and_a_model_for_linear_light(workspace: Workspace) -> None:
    saved_model(workspace.path / "linear.safetensors", input_encoding="linear")
    with pytest.raises(UsageError, match=r"linear\.safetensors takes linear"):
        enhance_with_pil.main(["linear.safetensors", "in.png", "out.png"])


def test_errors_are_one_line(workspace: Workspace) -> None:
    saved_model(workspace.path / "model.safetensors")
    Path("text.png").write_text("no picture")
    arguments = ["model.safetensors", "text.png", "out.png"]
    done = subprocess.run(
        [sys.executable, "-m", "hdrnet_bench.examples.enhance_with_pil", *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "text.png" in line


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (FileNotFoundError(2, "No such file", "in.png"), "No such file: in.png\n"),
        (OSError("of PIL's own"), "of PIL's own\n"),
    ],
)
def test_what_the_system_says_is_one_line(error: OSError, says: str, capsys) -> None:
    def main(argv: object) -> None:
        raise error

    with pytest.raises(SystemExit) as exit_:
        script.run(main)
    assert exit_.value.code == 3
    assert capsys.readouterr().err == says


def test_errors_move_no_cursor(capsys) -> None:
    def main(argv: object) -> None:
        raise DataError("a name\x1b[2J\nof two lines")

    with pytest.raises(SystemExit) as exit_:
        script.run(main)
    assert exit_.value.code == 3
    assert capsys.readouterr().err == "a name\\x1b[2J of two lines\n"


@pytest.mark.parametrize("suffix", sorted({*Image.registered_extensions(), ".PNG", ".xyz", ""}))
def test_a_suffix_is_good_where_pil_writes_colours(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    try:
        Image.new("RGB", (8, 8)).save(path, quality=95)
    except (KeyError, OSError, ValueError):
        with pytest.raises(UsageError, match=rf"out{suffix}: PIL writes no .*: use .png"):
            script.check_suffix(str(path))
    else:
        script.check_suffix(str(path))


@pytest.mark.parametrize("example", [enhance_with_pil, onnx_inference])
def test_the_suffix_is_looked_at_before_anything_is_loaded(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys, example: ModuleType
) -> None:
    monkeypatch.setattr(sys, "argv", ["example", "none.onnx", "none.png", "out.xyz"])
    with pytest.raises(SystemExit) as exit_:
        script.run(example.main)
    assert exit_.value.code == 2
    says = "out.xyz: PIL writes no .xyz files: use .png, .jpg or .tif\n"
    assert capsys.readouterr().err == says


def test_cuda_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert script.usable("cpu") == torch.device("cpu")
    with pytest.raises(CapabilityError, match="--device"):
        script.usable("cuda")


@pytest.fixture
def exported(workspace: Workspace) -> HDRNet:
    """`saved_model`'s network in model.safetensors, and exported to model.onnx."""
    model = saved_model(Path("model.safetensors"))
    write_onnx(model, Path("model.onnx"))
    return model


@pytest.mark.parametrize("numbers", ["float32", "uint8"])
def test_onnx_gives_what_the_model_gives(exported: HDRNet, numbers: Any, capsys) -> None:
    write_onnx(exported, "model.onnx", numbers, overwrite=True)
    pixels = smooth_picture(7, 97, 61)
    write_png("in.png", pixels)
    onnx_inference.main(["model.onnx", "in.png", "out.png", "--compare", "model.safetensors"])
    enhanced, expected = np.array(Image.open("out.png")), by_the_model(pixels, exported)
    difference = np.abs(enhanced.astype(int) - expected).max()
    assert difference <= 1
    assert len(np.unique(expected)) > 20, "all clipped"
    out = capsys.readouterr().out
    printed = re.search(r"largest difference from the model itself: (\d+) of 255", out)
    assert printed
    assert int(printed[1]) == difference


def test_onnx_says_how_far_it_is_off(exported: HDRNet, capsys) -> None:
    torch.manual_seed(2)
    other = HDRNet(exported.config)
    save_model(Path("other.safetensors"), other, ModelHeader(config=other.config))
    write_png("in.png", smooth_picture(7, 97, 61))
    onnx_inference.main(["model.onnx", "in.png", "out.png", "--compare", "other.safetensors"])
    printed = re.search(r"itself: (\d+) of 255", capsys.readouterr().out)
    assert printed
    assert int(printed[1]) > 10


def test_onnx_needs_no_torch(exported: HDRNet) -> None:
    write_png("in.png", smooth_picture(7, 40, 50))
    code = (
        "import sys; from hdrnet_bench.examples import onnx_inference; "
        "onnx_inference.main(['model.onnx', 'in.png', 'out.png']); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True
    )
    assert done.stdout == "out.png: 50 x 40\nFalse\n", done.stderr


@pytest.mark.parametrize("mode", ["I;16", "CMYK", "P3"])
def test_onnx_is_given_srgb_or_nothing(exported: HDRNet, mode: str) -> None:
    """PIL's own conversion makes white of 16 bits, and drops profiles."""
    pixels = smooth_picture(7, 40, 50)
    if mode == "I;16":
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save("in.png")
        with pytest.raises(DataError, match="PIL's mode I;16"):
            onnx_inference.main(["model.onnx", "in.png", "out.png"])
        assert not Path("out.png").exists()
        return
    profile = {"icc_profile": pictures.DISPLAY_P3} if mode == "P3" else {}
    image = Image.fromarray(pixels)
    (image.convert("CMYK") if mode == "CMYK" else image).save("in.tif", **profile)
    onnx_inference.main(["model.onnx", "in.tif", "out.png"])
    expected = by_the_model(np.array(script.read_srgb("in.tif")), exported)
    assert np.abs(np.array(Image.open("out.png")).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("example", [enhance_with_pil, onnx_inference])
def test_fewer_pixels_than_a_pyramid_needs(workspace: Workspace, example: ModuleType) -> None:
    write_onnx(saved_model(Path("m.safetensors"), variant="pyramid"), "m.onnx")
    write_png("in.png", smooth_picture(7, 3, 9))
    name = "m.onnx" if example is onnx_inference else "m.safetensors"
    with pytest.raises(DataError, match=r"in\.png: "):
        example.main([name, "in.png", "out.png"])


def test_onnx_says_what_it_does_not_take(exported: HDRNet, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("text.onnx").write_text("no model")
    for name in ("text.onnx", "none.onnx"):
        with pytest.raises(DataError, match=rf"{name} is no model that `hdrbench export` wrote"):
            onnx_inference.open_model(name)
    write_parts(exported, Path("model.onnx"))
    for part in ("model-slicing.onnx", "model-network.onnx"):
        with pytest.raises(DataError, match=rf"{part} is no whole model"):
            onnx_inference.open_model(part)
    linear = saved_model(Path("linear.safetensors"), input_encoding="linear")
    write_onnx(linear, Path("linear.onnx"))
    with pytest.raises(DataError, match=r"linear\.onnx takes linear light"):
        onnx_inference.open_model("linear.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CapabilityError, match="pip install onnxruntime"):
        onnx_inference.open_model("linear.onnx")


def test_a_network_of_your_own_learns(workspace: Workspace, capsys) -> None:
    pixels = smooth_picture(7, 80, 96)
    write_png("before.png", pixels)
    write_png("after.png", (255 * (pixels / 255.0) ** 0.6 * [1.0, 0.9, 0.7]).astype(np.uint8))
    slice_in_your_network.main(["before.png", "after.png", "--steps", "70"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["steps 1 to 50", "steps 51 to 70"]
    first, last = (float(line.rsplit(" ", 1)[1]) for line in lines)
    assert 0 < last < first / 3


def test_under_autocast_the_grid_alone_is_narrow() -> None:
    network, seen = slice_in_your_network.LocalColours(), []
    for part in (network.predictor, network.guide):
        part.register_forward_hook(lambda _, __, output: seen.append(output))
    image = torch.rand(2, 3, 70, 81)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(image)
    grid, guide = seen
    assert (grid.dtype, guide.dtype) == (torch.bfloat16, torch.float32)
    assert (output.dtype, output.shape) == (torch.float32, image.shape)
    output.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    # In float32, as the docstring says.
    cells = grid.float().unflatten(1, (12, -1))
    assert torch.equal(output, image + bilateral_slice_apply(cells, guide, image))


@pytest.mark.parametrize(("height", "fits"), [(63, False), (64, True)])
def test_a_pair_is_of_one_size_and_large_enough(
    workspace: Workspace, height: int, fits: bool
) -> None:
    write_png("a.png", smooth_picture(7, height, 90))
    write_png("b.png", smooth_picture(8, height, 91))
    with pytest.raises(DataError, match=r"a\.png and b\.png: not one size"):
        slice_in_your_network.main(["a.png", "b.png", "--steps", "1"])
    if fits:
        slice_in_your_network.main(["a.png", "a.png", "--steps", "1"])
    else:
        with pytest.raises(DataError, match="64 or more"):
            slice_in_your_network.main(["a.png", "a.png", "--steps", "1"])


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_network_of_your_own_takes_a_step_at_least(workspace: Workspace, steps: int) -> None:
    """The bound is met before the pictures, which are not there."""
    with pytest.raises(UsageError if steps < 1 else DataError) as error:
        slice_in_your_network.main(["none.png", "none.png", f"--steps={steps}"])
    assert str(error.value) == ("none.png is missing" if steps == 1 else "--steps is 1 or more")
