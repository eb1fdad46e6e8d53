import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hdrnet_bench import HDRNet
from hdrnet_bench.errors import UsageError
from hdrnet_bench.install import install_advice
from hdrnet_bench.model.file import ModelHeader, save_model
from hdrnet_bench.portable import write_onnx, write_parts
from tests.conftest import Workspace
from tests.portable.models import VARIANTS, needs_onnx, random_model

SIZES = [(1, 64, 48), (3, 33, 50), (1, 8, 9), (1, 211, 340), (1, 700, 1001)]


def saved(variant: str) -> HDRNet:
    model = random_model(variant=variant, batch_norm=True)
    save_model(Path("m.safetensors"), model, ModelHeader(config=model.config, recipe="tiny"))
    return model


def pictures(batch: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(batch, 3, 32, 32), torch.rand(batch, 3, height, width)


def reference(model: HDRNet, *inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(*inputs, backend="reference")


@pytest.mark.parametrize("variant", VARIANTS)
def test_torch_export_agrees_at_every_size(workspace: Workspace, variant) -> None:
    model = saved(variant)
    report = workspace.json("export", "m.safetensors", "out/program.pt2", "--format", "torch")
    assert report["wrote"] == "out/program.pt2"
    files = {"hdrnet_bench.json": ""}
    program = torch.export.load("out/program.pt2", extra_files=files).module()
    assert json.loads(files["hdrnet_bench.json"])["outputs"].startswith("output (B, 3, H, W)")
    for size in SIZES:
        inputs = pictures(*size)
        with torch.no_grad():
            output = program(*inputs)
        assert (output - reference(model, *inputs)).abs().max() <= 1e-5, size
    assert [p.name for p in Path("out").iterdir()] == ["program.pt2"]


def test_export_asks_before_it_replaces(workspace: Workspace) -> None:
    saved("curves")
    Path("m.pt2").write_text("mine")
    command = ("export", "m.safetensors", "--format", "torch")
    assert "--overwrite" in workspace.fails(2, *command)
    assert Path("m.pt2").read_text() == "mine"
    would = workspace.json(*command, "n.pt2", "--dry-run")["would write"]
    assert would == "n.pt2"
    assert not Path("n.pt2").exists()
    assert "ends in .pt2" in workspace.fails(2, *command, "n.onnx")
    workspace.json(*command, "--overwrite")
    assert Path("m.pt2").read_bytes()[:2] == b"PK"


@needs_onnx
@pytest.mark.parametrize("numbers", ["float32", "uint8"])
def test_onnx_is_one_graph(workspace: Workspace, numbers: str) -> None:
    import onnx

    saved("curves")
    report = workspace.json("export", "m.safetensors", "--numbers", numbers)
    assert report["wrote"] == "m.onnx"
    proto = onnx.load("m.onnx")
    properties = {prop.key: prop.value for prop in proto.metadata_props}
    assert {key: report[key] for key in properties} == properties
    assert properties["recipe"] == "tiny"
    assert f"picture (B, 3, H, W): {numbers}, " in properties["inputs"]
    assert sorted(path.name for path in Path().iterdir()) == ["m.onnx", "m.safetensors"]


@needs_onnx
def test_parts_are_asked_about_before_any_is_replaced(workspace: Workspace) -> None:
    saved("curves")
    names = ["x-network.onnx", "x-slicing.onnx", "x-guide.hdrg"]
    command = ("export", "m.safetensors", "x.onnx", "--parts")
    assert workspace.json(*command, "--dry-run")["would write"] == names
    assert not any(Path(name).exists() for name in names)
    Path(names[1]).write_text("mine")
    assert f"{names[1]} is there already" in workspace.fails(2, *command)
    assert not Path(names[0]).exists()
    assert workspace.json(*command, "--overwrite")["wrote"] == names
    assert all(Path(name).stat().st_size > 100 for name in names)
    assert not Path("x.onnx").exists()


@needs_onnx
@pytest.mark.parametrize("numbers", ["float32", "uint8"])
def test_each_part_is_reported_and_of_the_numbers_that_are_named(
    workspace: Workspace, numbers: str
) -> None:
    import onnx

    saved("curves")
    report = workspace.json("export", "m.safetensors", "--parts", "--numbers", numbers)
    assert report["recipe"] == "tiny"
    assert "SHA-256" in report["found"]
    ends = {"m-network.onnx": ("picture", "grid"), "m-slicing.onnx": ("grid", "output")}
    for name, (first, last) in ends.items():
        assert report[name]["inputs"].startswith(f"{first} (B, ")
        assert report[name]["outputs"].startswith(f"{last} (B, ")
        assert numbers in report[name]["inputs"]
        picture = next(one for one in onnx.load(name).graph.input if one.name == "picture")
        kind = {"float32": onnx.TensorProto.FLOAT, "uint8": onnx.TensorProto.UINT8}[numbers]
        assert picture.type.tensor_type.elem_type == kind


@needs_onnx
def test_parts_are_replaced_together_or_not_at_all(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, names = saved("curves"), ["x-network.onnx", "x-slicing.onnx", "x-guide.hdrg"]
    for name in names:
        Path(name).write_text("before")
    monkeypatch.setattr("hdrnet_bench.portable.export.grid_file", lambda model: "no bytes")
    with pytest.raises(TypeError):
        write_parts(model, "x.onnx", overwrite=True)
    assert [Path(name).read_text() for name in names] == ["before"] * 3
    assert sorted(path.name for path in Path().iterdir()) == sorted([*names, "m.safetensors"])


@needs_onnx
@pytest.mark.parametrize("write", [write_onnx, write_parts])
def test_in_python_nothing_is_replaced_unasked(workspace: Workspace, write: Any) -> None:
    model = saved("curves")
    write(model, "x.onnx")
    there = {path: path.read_bytes() for path in Path().glob("x*")}
    with pytest.raises(UsageError, match="is there already: overwrite=True"):
        write(model, "x.onnx")
    write(model, Path("x.onnx"), overwrite=True)
    assert {path: path.read_bytes() for path in Path().glob("x*")} == there
    with pytest.raises(UsageError, match=r"ends in \.onnx"):
        write(model, "x.txt")
    with pytest.raises(UsageError, match="numbers is 'uint16', not one of float32, uint8"):
        write(model, "y.onnx", "uint16")


@needs_onnx
def test_what_comes_next_is_not_what_refuses_it(workspace: Workspace) -> None:
    model = random_model(input_encoding="linear")
    save_model(Path("m.safetensors"), model, ModelHeader(config=model.config))
    done = workspace.run("export", "m.safetensors", "m.onnx")
    assert "next: any runtime of ONNX runs it; its metadata say what linear pictures" in done.stderr


@pytest.mark.parametrize("option", [["--parts"], ["--numbers", "uint8"]])
@pytest.mark.parametrize("kind", ["torch", "web"])
def test_what_is_of_onnx_alone_is_refused(
    workspace: Workspace, kind: str, option: list[str]
) -> None:
    saved("curves")
    line = workspace.fails(2, "export", "m.safetensors", "--format", kind, *option)
    assert f"{option[0]} is of --format onnx, not of --format {kind}" in line
    assert [path.name for path in Path().iterdir()] == ["m.safetensors"]


@needs_onnx
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["out file.pt2", "--format", "torch"], "in Python, `torch.export.load('out file.pt2')"),
        (["out file.onnx"], "`python -m hdrnet_bench.examples.onnx_inference 'out file.onnx' INP"),
        (["out.onnx", "--parts"], "out-network.onnx makes a grid of a picture, out-slicing.onnx"),
        (["out.onnx", "--quiet"], ""),
        (["out.onnx", "--json"], ""),
    ],
)
def test_what_comes_next_is_named(workspace: Workspace, arguments: list[str], says: str) -> None:
    saved("curves")
    done = workspace.run("export", "m.safetensors", *arguments)
    assert done.returncode == 0, done.stderr
    assert "picture (B, 3, H, W)" in done.stdout or "lowres (B, 3, 32, 32)" in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("next: ")]
    assert len(lines) == bool(says)
    assert all(line.startswith(f"next: {says}") for line in lines)


def test_without_onnx_it_says_which_extra(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved("curves")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "onnx" else find(name, *a)
    )
    line = workspace.fails(4, "export", "m.safetensors")
    assert install_advice("onnx") in line
    assert [p.name for p in Path().iterdir()] == ["m.safetensors"]
