import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.install import install_advice
from hdrnet_bench.model.file import ModelHeader, save_model
from tests.conftest import Workspace

VARIANTS = ["curves", "pointwise", "pyramid"]
SIZES = [(1, 64, 48), (3, 33, 50), (1, 8, 9), (1, 211, 340), (1, 700, 1001)]
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(n) is None for n in ("onnx", "onnxscript", "onnxruntime")),
    reason="the onnx extra (onnx, onnxscript, onnxruntime) is not installed",
)


def saved(variant) -> HDRNet:
    """Random in every parameter, batch norm's included."""
    torch.manual_seed(1)
    config = HDRNetConfig(
        variant=variant, net_input_size=32, spatial_bin=8, luma_bins=4, batch_norm=True
    )
    model = HDRNet(config).train()
    for _ in range(3):
        model(torch.rand(4, 3, 32, 32), torch.rand(4, 3, 40, 40))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    save_model(Path("m.safetensors"), model.eval(), ModelHeader(config=config, recipe="tiny"))
    return model


def pictures(batch: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(batch, 3, 32, 32), torch.rand(batch, 3, height, width)


def reference(model: HDRNet, *inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(*inputs, backend="reference")


@needs_onnx
@pytest.mark.parametrize("variant", VARIANTS)
def test_onnx_agrees_at_every_size(workspace: Workspace, variant) -> None:
    import onnx
    import onnxruntime

    model = saved(variant)
    report = workspace.json("export", "m.safetensors")
    assert report["wrote"] == "m.onnx"
    proto = onnx.load("m.onnx")
    assert [(o.domain, o.version) for o in proto.opset_import if o.domain == ""] == [("", 20)]
    properties = {p.key: p.value for p in proto.metadata_props}
    assert properties["recipe"] == "tiny"
    assert properties["inputs"].startswith("lowres (B, 3, 32, 32), fullres (B, 3, H, W)")
    assert properties["inputs"].endswith("about [0, 1]; sRGB")
    config = HDRNetConfig.model_validate(json.loads(properties["config"]))
    assert config == model.config
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["lowres", "fullres"]
    assert [o.name for o in session.get_outputs()] == ["output"]
    for size in SIZES:
        lowres, fullres = pictures(*size)
        (output,) = session.run(None, {"lowres": lowres.numpy(), "fullres": fullres.numpy()})
        assert np.abs(output - reference(model, lowres, fullres).numpy()).max() <= 1e-4, size


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


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        ("torch", [], "next: in Python, `torch.export.load('out file.pt2').module()` takes"),
        ("onnx", [], "next: `python -m hdrnet_bench.examples.onnx_inference 'out file.onnx' INPUT"),
        ("onnx", ["--quiet"], ""),
        ("onnx", ["--json"], ""),
    ],
)
def test_what_comes_next_is_named(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    arguments: list[str],
    says: str,
) -> None:
    saved("curves")
    monkeypatch.setattr("hdrnet_bench.model.export.export", lambda *_: {"inputs": "lowres"})
    suffix = {"torch": "pt2", "onnx": "onnx"}[kind]
    output = f"out file.{suffix}"
    done = workspace.run("export", "m.safetensors", output, "--format", kind, *arguments)
    assert done.returncode == 0, done.stderr
    assert "lowres" in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("next: ")]
    assert len(lines) == bool(says)
    assert all(line.startswith(says) for line in lines)


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
