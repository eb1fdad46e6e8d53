"""Other methods' ONNX files: what they take and give is found out, or said to be no picture."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hdrnet_bench.errors import CapabilityError, DataError, UsageError
from hdrnet_bench.model import onnx_file
from hdrnet_bench.model.onnx_file import fault, open_session, read_onnx
from hdrnet_bench.model.onnx_model import OnnxModel, open_onnx, wrong_values
from hdrnet_bench.portable import write_onnx
from hdrnet_bench.result_ids import OnnxSettings
from tests import onnx_methods as made
from tests.portable.models import random_model

onnx = pytest.importorskip("onnx", reason="the onnx extra is not installed")
pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
PLAIN = OnnxSettings()
Maker = Callable[[Path], Path]


def picture(height: int = 21, width: int = 30) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(3))


def opened(path: Path, **settings: Any) -> OnnxModel:
    return open_onnx(path, OnnxSettings(**settings))


def identity(path: Path, shape: list[Any], kind: int | None = None) -> Path:
    types = {} if kind is None else {"x": kind, "y": kind}
    return made.save(path, [("Identity", ["x"], "y", {})], {"x": shape}, {"y": shape}, types=types)


def test_a_picture_goes_through(tmp_path: Path) -> None:
    model = opened(made.gain(tmp_path / "m.onnx", 1.5))
    for batch in (1, 3):
        given = picture().repeat(batch, 1, 1, 1)
        torch.testing.assert_close(model.enhance(given), given * 1.5)
    levels = picture().mul(255).byte()
    expected = (levels.float() / 255 * 1.5).clamp(0, 1).mul(255).round().byte()
    assert torch.equal(model.enhance(levels), expected)
    assert model.enhance(picture().half()).dtype == torch.float16
    assert (model.file.parameters, model.lowres, model.size, model.notes) == (1, None, None, [])


@pytest.mark.parametrize("values", ["0..255", "-1..1"])
def test_values_are_what_was_said(tmp_path: Path, values: Any) -> None:
    low, high = {"0..255": (0, 255), "-1..1": (-1, 1)}[values]
    # Adds a tenth of the whole range: wrong by a factor, or an offset, where the range is.
    node = ("Add", ["x", "more"], "y", {})
    more = [made.constant("more", [(high - low) / 10])]
    shape = made.DYNAMIC
    path = made.save(tmp_path / "m.onnx", [node], {"x": shape}, {"y": shape}, more)
    output = opened(path, values=values).enhance(picture())
    torch.testing.assert_close(output, picture() + 0.1, atol=1e-5, rtol=0)


def test_bytes_and_channels_last(tmp_path: Path) -> None:
    given = picture()
    for kind, off in ((onnx.TensorProto.UINT8, 0.5 / 255), (onnx.TensorProto.FLOAT16, 1e-3)):
        model = opened(identity(tmp_path / "m.onnx", ["n", "h", "w", 3], kind))
        assert (model.enhance(given) - given).abs().max() <= off + 1e-6
        levels = given.mul(255).byte()
        assert torch.equal(model.enhance(levels), levels)


def test_a_square_input_is_the_small_copy(tmp_path: Path) -> None:
    nodes = [
        ("ReduceMean", ["small"], "mean", {"axes": [2, 3], "keepdims": 1}),
        ("Sub", ["whole", "mean"], "y", {}),
    ]
    inputs = {"small": [1, 3, 8, 8], "whole": made.DYNAMIC}
    path = made.save(tmp_path / "m.onnx", nodes, inputs, {"y": made.DYNAMIC})
    model = opened(path)
    (note,) = model.notes
    assert "small is taken for a small copy of the picture, 8 x 8, averaged; whole for" in note
    mean = F.interpolate(picture(), size=(8, 8), mode="area").mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(model.enhance(picture()), picture() - mean, atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match="padding to multiples of 4 would move"):
        opened(path, multiple=4)
    # Of two fixed squares the smaller.
    fixed = inputs | {"whole": [1, 3, 24, 24]}
    model = opened(made.save(tmp_path / "f.onnx", nodes, fixed, {"y": fixed["whole"]}))
    assert model.lowres is not None
    assert (model.lowres.name, model.size) == ("small", (24, 24))
    both = made.save(tmp_path / "b.onnx", nodes, inputs | {"whole": [1, 3, 8, 8]}, {"y": []})
    with pytest.raises(DataError, match="a picture and a square copy of it whose size is fixed"):
        opened(both)


def test_the_output_that_is_the_picture_is_taken(tmp_path: Path) -> None:
    nodes = [
        ("ReduceMean", ["x"], "grey", {"axes": [1], "keepdims": 1}),
        ("Neg", ["x"], "negative", {}),
    ]
    outputs = {"grey": ["n", 1, "h", "w"], "negative": made.DYNAMIC}
    model = opened(made.save(tmp_path / "m.onnx", nodes, {"x": made.DYNAMIC}, outputs))
    for height in (21, 40):
        torch.testing.assert_close(model.enhance(picture(height)), -picture(height))
    none = made.save(tmp_path / "n.onnx", nodes[:1], {"x": made.DYNAMIC}, {"grey": [1, 1, 1, 1]})
    with pytest.raises(DataError, match=r"gives no picture as large .* \(1, 3, 21, 30\): it gives"):
        opened(none).enhance(picture())


def test_a_fixed_size_is_that_size_alone(tmp_path: Path) -> None:
    model = opened(made.gain(tmp_path / "m.onnx", 1.5, [1, 3, 24, 32]))
    assert model.size == (32, 24)
    torch.testing.assert_close(model.enhance(picture(24, 32)), picture(24, 32) * 1.5)
    for height, width in ((32, 24), (24, 31), (12, 16)):
        reason = model.refuses(width, height)
        assert reason is not None
        assert f"of 32 x 24 pixels alone, this one has {width} x {height}" in reason
        with pytest.raises(DataError, match="export it with dynamic"):
            model.enhance(picture(height, width))
    with pytest.raises(DataError, match="takes 1 pictures at a time, not 2"):
        model.enhance(picture(24, 32).repeat(2, 1, 1, 1))
    # Padded, it has that size.
    padded = opened(tmp_path / "m.onnx", multiple=8)
    assert padded.refuses(30, 21) is None
    torch.testing.assert_close(padded.enhance(picture()), picture() * 1.5)


def test_pictures_are_mirrored_to_a_multiple(tmp_path: Path) -> None:
    path = made.quarter(tmp_path / "m.onnx")
    with pytest.raises(DataError, match=r"fails for 30 x 21 pixels \(.*--onnx-multiple N\): "):
        opened(path).enhance(picture())
    padded = F.pad(picture(), (0, 2, 0, 3), mode="reflect")
    small = F.avg_pool2d(padded, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    expected = ((padded + small) / 2)[:, :, :21, :30]
    output = opened(path, multiple=4).enhance(picture())
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=0)
    assert torch.equal(opened(path, multiple=1).enhance(padded)[:, :, :21, :30], output)
    with pytest.raises(DataError, match="8 x 9 pixels are too few to be mirrored"):
        opened(path, multiple=16).enhance(picture(9, 8))


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        (["n", 1, "h", "w"], r"input x is \(n, 1, h, w\), neither \(N, 3, H, W\) nor"),
        (["n", "c", "h", "w"], "export it with its three channels fixed"),
        (["n", 3, "h", 3], "neither"),
        ([3, "h", "w"], "neither"),
        ([], "neither"),
    ],
)
def test_inputs_that_are_no_pictures(tmp_path: Path, shape: list[Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        opened(identity(tmp_path / "m.onnx", shape))


def test_types_that_are_no_pictures(tmp_path: Path) -> None:
    path = identity(tmp_path / "m.onnx", made.DYNAMIC, onnx.TensorProto.INT64)
    with pytest.raises(DataError, match=r"input x is tensor\(int64\), pictures are float"):
        opened(path)


@pytest.mark.fault("hostile recipes and models")
def test_files_that_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(DataError, match="is missing"):
        read_onnx(path)
    whole = made.gain(path, 1.5).read_bytes()
    for content in (b"", b"no model" * 99, whole[:-9], whole[len(whole) // 2 :]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"m\.onnx (is not|cannot be)") as caught:
            open_session(read_onnx(path), "cpu", 1)
        assert "\n" not in str(caught.value)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="not a regular file"):
        read_onnx(path)


@pytest.mark.fault("hostile recipes and models")
@pytest.mark.parametrize("place", ["../../etc/passwd", "/etc/passwd", "beside.bin"])
def test_weights_in_other_files_are_not_read(tmp_path: Path, place: str) -> None:
    np.ones(1, np.float32).tofile(tmp_path / "beside.bin")
    weight = made.constant("factor", [1.5])
    weight.ClearField("float_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=place)
    node, shape = ("Mul", ["x", "factor"], "y", {}), made.DYNAMIC
    path = made.save(tmp_path / "m.onnx", [node], {"x": shape}, {"y": shape}, [weight])
    with pytest.raises(DataError, match="has its weights in another file"):
        read_onnx(path)
    # Wherever in the model.
    constant = ("Constant", [], "factor", {"value": weight})
    path = made.save(tmp_path / "m.onnx", [constant, node], {"x": shape}, {"y": shape})
    with pytest.raises(DataError, match="has its weights in another file"):
        read_onnx(path)


@pytest.mark.fault("hostile recipes and models")
def test_operators_of_others_are_not_loaded(tmp_path: Path) -> None:
    node = ("Evil", ["x"], "y", {"domain": "evil.ops"})
    path = made.save(tmp_path / "m.onnx", [node], {"x": made.DYNAMIC}, {"y": made.DYNAMIC})
    with pytest.raises(DataError, match=r"cannot be run by onnxruntime: .*Evil") as caught:
        opened(path)
    assert "\n" not in str(caught.value)


def test_broken_metadata_of_this_project(tmp_path: Path) -> None:
    metadata = {"producer": "hdrnet-bench", "config": "{"}
    node = ("Identity", ["x"], "y", {})
    shape = {"x": made.DYNAMIC}, {"y": made.DYNAMIC}
    path = made.save(tmp_path / "m.onnx", [node], *shape, metadata=metadata)
    with pytest.raises(DataError, match="has no configuration that this version reads"):
        opened(path)


def test_no_device_is_taken_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    file = read_onnx(made.gain(tmp_path / "m.onnx", 1.5))
    cpu, cuda = ["CPUExecutionProvider"], ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: cpu)
    with pytest.raises(CapabilityError, match=r"the onnxruntime that is installed has none\)"):
        open_session(file, "cuda", 1)
    # It may name CUDA and fall back where CUDA's libraries are not there.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: cuda)
    session = onnxruntime.InferenceSession(file.content, providers=cpu)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **options: session)
    with pytest.raises(CapabilityError, match="its libraries are not those"):
        open_session(file, "cuda:0", 1)
    assert open_session(file, "cpu", 1) is session


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(CapabilityError, match=r"needs onnxruntime: `.*install"):
        read_onnx(tmp_path / "m.onnx")


def test_want_of_memory_is_no_fault_of_the_file() -> None:
    said = "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested"
    assert isinstance(fault(RuntimeError(said), "m.onnx fails"), MemoryError)
    other = fault(RuntimeError("[ONNXRuntimeError] : 1 : FAIL : no\nsuch\x1b[1m thing"), "m.onnx")
    assert isinstance(other, DataError)
    assert str(other) == "m.onnx: no such\\x1b[1m thing"
    assert len(str(fault(RuntimeError("x" * 9999), "m"))) <= onnx_file._LONGEST + 9


def test_values_of_another_range_are_seen() -> None:
    bright = picture()[0]
    dark = torch.full_like(bright, 1e-3)
    either_side = torch.where(bright > bright.median(), 1.0, -1.0)
    for said, output, likely in (
        ("0..1", bright * 255, "0..255"),
        ("0..1", bright * 2 - 1, "-1..1"),
        ("0..1", bright * 1.9, None),
        ("0..1", bright - 0.1, None),
        ("0..255", bright / 255, "0..1"),
        ("0..255", (bright * 2 - 1) / 255, "-1..1"),
        ("0..255", bright, None),
        ("-1..1", (bright * 255 + 1) / 2, "0..255"),
        ("-1..1", (either_side * 200 + 1) / 2, "0..255"),
        ("-1..1", bright, None),
    ):
        assert wrong_values(output, bright, said) == likely, (said, likely)  # type: ignore[arg-type]
    assert wrong_values(dark / 255, dark, "0..255") is None  # a black picture is black


def test_weights_are_counted_wherever_they_are(tmp_path: Path) -> None:
    """As initialisers, and as constants of nodes; none that is told is not none that there is."""
    weights = made.constant("factor", [1.0, 2.0, 3.0], [3, 1, 1])
    nodes: list[tuple[Any, ...]] = [
        ("Constant", [], "factor", {"value": weights}),
        ("Mul", ["x", "factor"], "y", {}),
    ]
    shapes = {"x": made.DYNAMIC}, {"y": made.DYNAMIC}
    assert read_onnx(made.save(tmp_path / "a.onnx", nodes, *shapes)).parameters == 3
    assert read_onnx(made.save(tmp_path / "b.onnx", nodes[1:], *shapes, [weights])).parameters == 3
    assert read_onnx(identity(tmp_path / "c.onnx", made.DYNAMIC)).parameters is None


@pytest.mark.parametrize("kind", ["shape", "type", "small copy"])
def test_names_of_a_file_are_cut_and_clean(tmp_path: Path, kind: str) -> None:
    name = "\x1b[31m" + "n" * 100_000
    if kind == "small copy":
        nodes: list[tuple[Any, ...]] = [("Mul", ["x", "x"], "y", {}), ("Abs", [name], "z", {})]
        shapes = {"x": made.DYNAMIC, name: ["n", 3, 16, 16]}
        path = made.save(tmp_path / "m.onnx", nodes, shapes, {"y": made.DYNAMIC, "z": None})  # type: ignore[dict-item]
        (said,) = opened(path).notes
    else:
        wrong = {"shape": ["n", 1, "h", "w"], "type": made.DYNAMIC}[kind]
        types = {name: onnx.TensorProto.INT64, "y": onnx.TensorProto.INT64}
        path = made.save(
            tmp_path / "m.onnx",
            [("Identity", [name], "y", {})],
            {name: wrong},
            {"y": wrong},
            types=types if kind == "type" else None,
        )
        with pytest.raises(DataError) as error:
            opened(path)
        said = str(error.value).replace(str(tmp_path), "")
    assert "n" * 100 in said
    assert len(said) < 1000
    assert "\x1b" not in said


@pytest.mark.parametrize("transfer", ["none", "srgb"])
def test_our_export_is_given_the_picture_as_it_is(tmp_path: Path, transfer: str) -> None:
    """What it takes goes through the model's transfer inside, once."""
    model = random_model(input_encoding="linear", input_transfer=transfer)
    write_onnx(model, tmp_path / "m.onnx")
    opened = open_onnx(tmp_path / "m.onnx", OnnxSettings())
    picture = torch.rand(1, 3, 40, 52)
    assert (opened.enhance(picture) - model.enhance(picture)).abs().max() <= 2e-5
