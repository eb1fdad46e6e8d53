"""What load_model takes and what it refuses, always in one line."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hdrnet_bench import HDRNet, HDRNetConfig, load_model
from hdrnet_bench.errors import DataError
from hdrnet_bench.model.file import ModelHeader, read_model_header, save_model
from hdrnet_bench.recipe import Recipe
from tests.conftest import TINY_RECIPE, Workspace

CONFIG = HDRNetConfig(net_input_size=16, spatial_bin=4, luma_bins=2)
PATH = Path("m.safetensors")


@pytest.fixture
def saved(workspace: Workspace) -> HDRNet:
    model = HDRNet(CONFIG).eval()
    save_model(PATH, model, ModelHeader(config=CONFIG, recipe="tiny", seed=3))
    return model


def test_weights_and_header_come_back(saved: HDRNet) -> None:
    loaded = load_model(PATH)
    assert not loaded.training
    assert loaded.header == ModelHeader(config=CONFIG, recipe="tiny", seed=3)
    state = loaded.state_dict()
    assert all(torch.equal(state[name], value) for name, value in saved.state_dict().items())
    link = Path("link.safetensors")
    link.symlink_to(PATH)
    assert load_model(link).config == CONFIG


def test_what_is_not_said_does_not_change_older_files(saved: HDRNet) -> None:
    """Fields that came later stand in a file only where they say something."""
    with safetensors.safe_open(PATH, framework="pt") as file:
        header = json.loads(file.metadata()["hdrnet_bench"])
    assert "source" not in header
    assert "input_encoding" not in header["config"]
    linear = HDRNetConfig(input_encoding="linear")
    assert HDRNetConfig.model_validate(linear.model_dump()) == linear
    assert HDRNetConfig.model_validate_json(linear.model_dump_json()) == linear
    plain = Recipe.model_validate(TINY_RECIPE)
    said = Recipe.model_validate(
        TINY_RECIPE | {"model": TINY_RECIPE["model"] | {"input_encoding": "srgb"}}
    )
    other = Recipe.model_validate(
        TINY_RECIPE | {"model": TINY_RECIPE["model"] | {"input_encoding": "linear"}}
    )
    assert plain.digest == said.digest != other.digest


def write(tensors: dict[str, torch.Tensor], header: object) -> None:
    text = header if isinstance(header, str) else json.dumps(header)
    safetensors.torch.save_file(tensors, PATH, metadata={"hdrnet_bench": text})


def header(**changes: object) -> dict[str, object]:
    config = CONFIG.model_dump() | {k: v for k, v in changes.items() if k != "format"}
    return {"format": changes.get("format", 1), "config": config}


class Trap:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (os.mkdir, ("unpickled",))


def _pickle(model: HDRNet) -> None:
    torch.save({"state": model.state_dict(), "trap": Trap()}, PATH)


def _huge_header(model: HDRNet) -> None:
    PATH.write_bytes(struct.pack("<Q", 2**62) + PATH.read_bytes()[8:])


def _long_header(model: HDRNet) -> None:
    content = PATH.read_bytes()
    PATH.write_bytes(struct.pack("<Q", len(content) * 2) + content[8:])


def _nan(model: HDRNet) -> None:
    state = model.state_dict()
    state["coefficient_network.prediction.conv.bias"][5] = float("nan")
    write(state, header())


SPOIL: dict[str, tuple[Callable[[HDRNet], object], str]] = {
    "missing": (lambda m: PATH.unlink(), "there is no model file"),
    "a link to nothing": (
        lambda m: (PATH.unlink(), PATH.symlink_to("nothing")),
        "there is no model file",
    ),
    "a link to itself": (
        lambda m: (PATH.unlink(), PATH.symlink_to(PATH)),
        "there is no model file",
    ),
    "empty": (lambda m: PATH.write_bytes(b""), "not a model file of this project"),
    "truncated": (lambda m: PATH.write_bytes(PATH.read_bytes()[:-100]), "not a model file"),
    "cut in the header": (lambda m: PATH.write_bytes(PATH.read_bytes()[:100]), "not a model file"),
    "huge header": (_huge_header, "not a model file"),
    "long header": (_long_header, "not a model file"),
    "pickle": (_pickle, "not a model file"),
    "plain pickle": (lambda m: PATH.write_bytes(pickle.dumps(Trap())), "not a model file"),
    "other safetensors": (
        lambda m: safetensors.torch.save_file(m.state_dict(), PATH),
        "holds no HDRNet configuration",
    ),
    "no JSON": (lambda m: write(m.state_dict(), "{"), "is not JSON"),
    "deep JSON": (lambda m: write(m.state_dict(), "[" * 100_000), "is not JSON"),
    "a list": (lambda m: write(m.state_dict(), []), "configuration is not known"),
    "newer": (lambda m: write(m.state_dict(), header(format=2)), "model format 2, known is 1"),
    "unknown field": (
        lambda m: write(m.state_dict(), header(depth=3)),
        "configuration is not known: config.depth",
    ),
    "impossible": (lambda m: write(m.state_dict(), header(spatial_bin=5)), "must be spatial_bin"),
    "another network": (
        lambda m: write(m.state_dict(), header(luma_bins=4)),
        "do not fit the configuration: coefficient_network",
    ),
    "a claim of terabytes": (
        lambda m: write(
            m.state_dict(),
            header(net_input_size=4096, spatial_bin=1, luma_bins=64, channel_multiplier=16),
        ),
        "do not fit the configuration",
    ),
    "missing weight": (
        lambda m: write({k: v for k, v in m.state_dict().items() if "mix_bias" not in k}, header()),
        "guides.0.mix_bias is missing",
    ),
    "extra weight": (
        lambda m: write(m.state_dict() | {"extra": torch.zeros(2)}, header()),
        "extra is not of this network",
    ),
    "integers": (
        lambda m: write({k: v.int() for k, v in m.state_dict().items()}, header()),
        "torch.int32",
    ),
    "NaN": (_nan, "prediction.conv.bias holds NaN"),
}


@pytest.mark.parametrize("spoil", SPOIL)
def test_anything_else_is_refused_in_one_line(
    saved: HDRNet, workspace: Workspace, spoil: str
) -> None:
    change, reason = SPOIL[spoil]
    change(saved)
    with pytest.raises(DataError) as caught:
        load_model(PATH)
    assert reason in str(caught.value)
    assert "m.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert not Path("unpickled").exists()
    assert reason in workspace.fails(3, "export", "m.safetensors")


def test_a_folder_without_a_model_is_refused(workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"there is no model file .*last\.safetensors"):
        load_model(workspace.path)


def test_an_imported_model_says_its_source(workspace: Workspace) -> None:
    model = HDRNet(CONFIG)
    save_model(PATH, model, ModelHeader(config=CONFIG, source="imported from x"))
    assert read_model_header(PATH).source == "imported from x"
