"""What load_model takes and what it refuses, always in one line."""

import errno
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hdrnet_bench import HDRNet, HDRNetConfig, load_model
from hdrnet_bench.errors import CapabilityError, DataError, StorageError, UsageError
from hdrnet_bench.files import sweep
from hdrnet_bench.memory import available
from hdrnet_bench.model.file import ModelHeader, read_model_header, save_model
from hdrnet_bench.model.tensors import read_tensors
from hdrnet_bench.recipe import Recipe
from tests.conftest import ROOT, TINY_RECIPE, Workspace

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


def _endless(model: HDRNet) -> None:
    PATH.unlink()
    PATH.symlink_to("/dev/zero")


def _pipe(model: HDRNet) -> None:
    PATH.unlink()
    os.mkfifo(PATH)


def _sparse(model: HDRNet) -> None:
    """A terabyte on a disk that has none of it."""
    with PATH.open("r+b") as file:
        file.truncate(1 << 40)


def _raw_header(content: bytes, data: int = 0) -> Callable[[HDRNet], object]:
    text = struct.pack("<Q", len(content)) + content + bytes(data)
    return lambda model: PATH.write_bytes(text)


def _tensor(**entry: object) -> bytes:
    return json.dumps(
        {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | entry}
    ).encode()


def _nan(model: HDRNet) -> None:
    state = model.state_dict()
    state["coefficient_network.prediction.conv.bias"][5] = float("nan")
    write(state, header())


SPOIL: dict[str, tuple[Callable[[HDRNet], object], str]] = {
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
    "a pipe": (_pipe, "is not a regular file"),
    "a device": (_endless, "is not a regular file"),
    "a sparse terabyte": (_sparse, "its tensors have"),
    "a long header": (_raw_header(b" " * (1 << 24) + b"{}"), "claims a header of"),
    "a deep header": (_raw_header(b"[" * 100_000), "nested too deep"),
    "a header that is a list": (_raw_header(b"[1, 2]"), "is not a mapping"),
    "metadata of numbers": (_raw_header(b'{"__metadata__": {"a": 1}}'), "metadata is not text"),
    "no offsets": (_raw_header(b'{"x": {}}'), "of what type and size"),
    "huge shapes": (_raw_header(_tensor(shape=[1 << 62, 4]), 4), "of what type and size"),
    "a negative shape": (_raw_header(_tensor(shape=[-1]), 4), "of what type and size"),
    "true for a number": (_raw_header(_tensor(shape=[True]), 4), "of what type and size"),
    "an unknown type": (_raw_header(_tensor(dtype="F7"), 4), "of what type and size"),
    "offsets beyond": (_raw_header(_tensor(data_offsets=[4, 8]), 4), "holds no HDRNet"),
    "a network of any size": (
        lambda m: write(m.state_dict(), header(net_input_size=10**9)),
        "configuration is not known: config.net_input_size",
    ),
    "a format of thousands of digits": (
        lambda m: write(m.state_dict(), '{"format": 1' + "0" * 5000 + "}"),
        "is not JSON",
    ),
    "escapes in its names": (
        lambda m: write(m.state_dict() | {"\x1b[31m<script>": torch.zeros(1)}, header()),
        "is not of this network",
    ),
}


@pytest.mark.fault("hostile recipes and models")
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


def test_a_missing_file_is_a_wrong_name(saved: HDRNet) -> None:
    PATH.unlink()
    with pytest.raises(UsageError, match=r"'m\.safetensors' is neither a model file, a folder"):
        load_model(PATH)


def test_a_folder_without_a_model_is_refused(workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"has neither last\.safetensors nor model\.saf"):
        load_model(workspace.path)


def test_an_imported_model_says_its_source(workspace: Workspace) -> None:
    model = HDRNet(CONFIG)
    save_model(PATH, model, ModelHeader(config=CONFIG, source="imported from x"))
    assert read_model_header(PATH).source == "imported from x"


@pytest.mark.fault("I/O errors")
def test_what_the_system_says_is_not_said_of_the_file(
    saved: HDRNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that cannot be read now may be whole."""

    def fails(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("hdrnet_bench.safetensors_header.open_regular", fails)
    with pytest.raises(StorageError, match=r"m\.safetensors cannot be read: Input/output error"):
        load_model(PATH)


@pytest.mark.fault("streams and limits")
def test_a_model_beyond_the_memory_is_refused(
    saved: HDRNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdrnet_bench.model.tensors.available", lambda: PATH.stat().st_size)
    load_model(PATH)  # so small a one is not asked about
    monkeypatch.setattr("hdrnet_bench.model.tensors._ASKED_ABOUT", 0)
    with pytest.raises(CapabilityError, match="more than there is memory for"):
        load_model(PATH)


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
import torch
from hdrnet_bench.model.tensors import write_tensors
tensors = {str(n): torch.zeros(1 << 20) for n in range(8)}
write_tensors(Path("killed.safetensors"), tensors, {})
threading.Timer(float(sys.argv[1]), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
while True:
    write_tensors(Path("killed.safetensors"), tensors, {})
"""


@pytest.mark.fault("kills")
def test_a_killed_writer_leaves_a_whole_file_and_what_is_swept(workspace: Workspace) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "0.31"], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(read_tensors(Path("killed.safetensors"))) == 8
    sweep(workspace.path)
    assert [path.name for path in workspace.path.iterdir()] == ["killed.safetensors"]


def test_of_a_machine_in_a_group_what_the_group_has_left_counts(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:  8000 kB\n")
    assert available(tmp_path) == 8000 * 1024
    (tmp_path / "proc/self/cgroup").write_text("0::/jobs/one\n")
    group = tmp_path / "sys/fs/cgroup/jobs"
    (group / "one").mkdir(parents=True)
    (group / "one/memory.max").write_text("max\n")
    (group / "one/memory.current").write_text("1000\n")
    assert available(tmp_path) == 8000 * 1024
    (group / "memory.max").write_text("5000000\n")
    (group / "memory.current").write_text("4000000\n")
    (group / "memory.stat").write_text(
        "anon 1\ninactive_file 200000\nactive_file 250000\nslab_reclaimable 50000\n"
    )
    assert available(tmp_path) == 1_500_000
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/a\n3:cpu:/a\n")
    first = tmp_path / "sys/fs/cgroup/memory/a"
    first.mkdir(parents=True)
    (first / "memory.limit_in_bytes").write_text("3000\n")
    (first / "memory.usage_in_bytes").write_text("4000\n")
    assert available(tmp_path) == 0
