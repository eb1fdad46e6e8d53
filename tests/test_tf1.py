"""import-tf1 on checkpoints that TensorFlow itself writes, and what tf1.py refuses."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hdrnet_bench import HDRNet, HDRNetConfig, load_model
from hdrnet_bench.install import install_advice
from hdrnet_bench.model.file import read_model_header
from hdrnet_bench.tf1 import config_from_tf1, state_dict_from_tf1
from tests.conftest import Workspace
from tests.model.test_hdrnet import golden

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="TensorFlow (the tf1 extra) is not installed; it is no part of the dev extra: 1.3 GB",
)
NAMES = ["curves", "curves_bn", "pointwise_bn", "pyramid_bn"]


def weights(name: str) -> dict[str, np.ndarray]:
    arrays, _ = golden(name)
    return {k.removeprefix("w/"): v for k, v in arrays.items() if k.startswith("w/")}


def paper_weights() -> dict[str, np.ndarray]:
    """The reference's variables at its default configuration, by the facts sheet."""
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, shape: tuple[int, ...], bias: bool = True) -> None:
        shapes[f"coefficients/{name}/weights"] = shape
        if bias:
            shapes[f"coefficients/{name}/biases"] = shape[-1:]

    for i, (before, after) in enumerate(((3, 8), (8, 16), (16, 32), (32, 64)), start=1):
        layer(f"splat/conv{i}", (3, 3, before, after))
    layer("global/conv1", (3, 3, 64, 64))
    layer("global/conv2", (3, 3, 64, 64))
    layer("global/fc1", (1024, 256))
    layer("global/fc2", (256, 128))
    layer("global/fc3", (128, 64))
    layer("local/conv1", (3, 3, 64, 64))
    layer("local/conv2", (3, 3, 64, 64), bias=False)
    layer("prediction/conv1", (1, 1, 64, 96))
    shapes |= {
        "guide/ccm": (3, 3),
        "guide/ccm_bias": (3,),
        "guide/shifts": (1, 1, 3, 16),
        "guide/slopes": (1, 1, 1, 3, 16),
        "guide/channel_mixing/weights": (1, 1, 3, 1),
        "guide/channel_mixing/biases": (1,),
    }
    return {f"inference/{n}": random.normal(0, 0.1, s).astype("f4") for n, s in shapes.items()}


WRITE = """
import sys
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
source, folder, version = sys.argv[1:]
with tf.Graph().as_default(), tf.Session() as session:
    arrays = dict(np.load(source))
    trained = [tf.get_variable(n, initializer=tf.constant(v)) for n, v in arrays.items()]
    step = tf.train.get_or_create_global_step()
    loss = tf.add_n([tf.reduce_sum(v * v) for v in trained])
    adam = tf.train.AdamOptimizer(1e-9).minimize(loss, global_step=step)
    momentum = tf.train.MomentumOptimizer(1e-9, 0.9).minimize(loss)
    averages = tf.train.ExponentialMovingAverage(0.99).apply(trained)
    session.run(tf.global_variables_initializer())
    saver = tf.train.Saver(write_version=getattr(tf.train.SaverDef, version), max_to_keep=9)
    saver.save(session, folder + "/model.ckpt", global_step=7)
    for name, value in arrays.items():  # what stands there is what went in
        assert np.array_equal(session.run(name + ":0"), value)
    session.run(step.assign(1234))
    saver.save(session, folder + "/model.ckpt", global_step=1234)
    print(len(tf.global_variables()), len(trained))
"""


def write_checkpoint(arrays: dict[str, np.ndarray], folder: Path, version: str = "V2") -> None:
    """A checkpoint with the slots of two optimisers and averages, by TensorFlow."""
    folder.mkdir()
    np.savez(folder.parent / "arrays.npz", **arrays)
    done = subprocess.run(
        [sys.executable, "-c", WRITE, "arrays.npz", str(folder), version],
        cwd=folder.parent,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    everything, trained = map(int, done.stdout.split())
    assert everything > 4 * trained  # slots are there


@needs_tensorflow
def test_a_checkpoint_becomes_a_model_file(workspace: Workspace) -> None:
    arrays = paper_weights()
    write_checkpoint(arrays, Path("ckpt"))
    assert Path("ckpt/model.ckpt-1234.index").exists()
    report = workspace.json("import-tf1", "ckpt/model.ckpt-1234", "m.safetensors")
    assert report["parameters"] == 482_080
    assert report["config"] == HDRNetConfig(lowres_resize="nearest").model_dump()
    header = read_model_header(Path("m.safetensors"))
    assert (header.recipe, header.dataset, header.seed, header.steps) == (None, None, None, None)
    assert header.step == 1234
    assert header.source == "imported from the TensorFlow checkpoint model.ckpt-1234"
    expected = HDRNet(HDRNetConfig())
    expected.load_state_dict(state_dict_from_tf1(arrays, HDRNetConfig()))
    state = load_model("m.safetensors").state_dict()
    assert all(torch.equal(state[k], v) for k, v in expected.state_dict().items())

    # By its folder: the latest. Never over what is there.
    assert "--overwrite" in workspace.fails(2, "import-tf1", "ckpt", "m.safetensors")
    latest = workspace.json("import-tf1", "ckpt", "n.safetensors", "--dry-run")
    assert latest["checkpoint"] == "model.ckpt-1234"
    assert not Path("n.safetensors").exists()
    (Path("ckpt") / "checkpoint").unlink()
    assert "2 checkpoints" in workspace.fails(3, "import-tf1", "ckpt", "n.safetensors")

    # Broken, and not there.
    data = Path("ckpt/model.ckpt-1234.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    data.write_bytes(content)
    line = workspace.fails(3, "import-tf1", str(data), "o.safetensors")
    assert "not a whole TensorFlow checkpoint" in line
    assert "there is no" in workspace.fails(3, "import-tf1", "ckpt/model", "o.safetensors")
    assert not Path("o.safetensors").exists()
    workspace.fails(2, "import-tf1", "ckpt", "o.pth")


@needs_tensorflow
def test_golden_weights_by_way_of_a_checkpoint_of_the_oldest_format(workspace: Workspace) -> None:
    arrays, _ = golden("pyramid_bn")
    write_checkpoint(weights("pyramid_bn"), Path("ckpt"), "V1")
    assert not list(Path("ckpt").glob("*.index"))
    workspace.json("import-tf1", "ckpt/model.ckpt-7", "m.safetensors")
    model = load_model("m.safetensors")

    def picture(key: str) -> torch.Tensor:
        return torch.tensor(arrays[f"io/{key}"]).permute(0, 3, 1, 2)

    with torch.no_grad():
        output = model(picture("lowres"), picture("fullres"))
    assert (output - picture("output")).abs().max() <= 5e-4


def test_what_comes_next_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hdrnet_bench.tf1_checkpoint.read_checkpoint", lambda path: ("model", paper_weights())
    )
    done = workspace.run("import-tf1", "model", "a b.safetensors")
    assert done.returncode == 0, done.stderr
    assert "next: `hdrbench enhance 'a b.safetensors' INPUT OUTPUT`; " in done.stderr
    assert "`hdrbench eval RECIPE --predictions OUTPUT --name NAME`" in done.stderr
    for silent in ("--quiet", "--json", "--dry-run"):
        done = workspace.run("import-tf1", "model", "a b.safetensors", "--overwrite", silent)
        assert (done.returncode, done.stderr) == (0, "")


def test_without_tensorflow_it_says_which_extra(
    workspace: Workspace,
) -> None:
    Path("empty").mkdir()
    Path("empty/tensorflow.py").write_text("raise ImportError('there is none')")
    Path("model.ckpt.index").write_bytes(b"")
    without = {"PYTHONPATH": str(Path("empty").resolve())}
    line = workspace.fails(4, "import-tf1", "model.ckpt", "m.safetensors", env=without)
    assert install_advice("tf1") in line


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_is_read_off_the_shapes(name: str) -> None:
    _, config = golden(name)
    found = config_from_tf1({f"{k}:0": v for k, v in weights(name).items()})
    wanted = {"lowres_resize": "nearest"}
    if config.variant == "curves":
        wanted["guide_complexity"] = 16  # which curves do not have
    assert found == config.model_copy(update=wanted)


def test_the_paper_network_is_recognised() -> None:
    assert config_from_tf1(paper_weights()) == HDRNetConfig(lowres_resize="nearest")
    linear = config_from_tf1(paper_weights(), input_encoding="linear", lowres_resize="area")
    assert linear == HDRNetConfig(input_encoding="linear")
    # The dense layer's size fits grids of 13 to 16 cells; asked for another, it does not fit.
    assert config_from_tf1(paper_weights(), net_input_size=208).spatial_bin == 13
    for other in (192, 512):
        config = config_from_tf1(paper_weights(), net_input_size=other)
        with pytest.raises(ValueError, match="global/fc1/weights has shape"):
            state_dict_from_tf1(paper_weights(), config)
    state = state_dict_from_tf1(paper_weights(), HDRNetConfig())
    assert sum(tensor.numel() for tensor in state.values()) == 482_080


def test_what_is_no_hdrnet_is_refused() -> None:
    arrays = paper_weights()
    with pytest.raises(ValueError, match="these are not an HDRNet's weights"):
        config_from_tf1({"conv/weights": np.zeros((3, 3, 3, 8))})
    without = {k: v for k, v in arrays.items() if "fc1/weights" not in k}
    with pytest.raises(ValueError, match="global/fc1/weights is missing"):
        config_from_tf1(without)
    flat = arrays | {"inference/coefficients/splat/conv1/weights": np.zeros(8, "f4")}
    with pytest.raises(ValueError, match=r"splat/conv1/weights has shape \(8,\)"):
        config_from_tf1(flat)
    with pytest.raises(ValueError, match="net_input_size"):
        config_from_tf1(arrays, net_input_size=9999)


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4"])
def test_other_floating_types_are_taken(dtype: str) -> None:
    arrays = {name: value.astype(dtype) for name, value in weights("curves").items()}
    _, config = golden("curves")
    state = state_dict_from_tf1(arrays, config)
    plain = state_dict_from_tf1(weights("curves"), config)
    for name, tensor in state.items():
        assert tensor.dtype == plain[name].dtype
        assert torch.allclose(tensor.float(), plain[name].float(), atol=2e-3)


SPLAT = "inference/coefficients/splat/conv2/weights"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({SPLAT: np.zeros((3, 3, 4, 9), "f4")}, r"splat/conv2/weights has shape \(3, 3, 4, 9\)"),
        ({SPLAT: np.zeros((36, 8), "f4")}, "splat/conv2/weights has shape"),
        ({SPLAT: np.zeros((3, 3, 4, 8), "i4")}, "splat/conv2/weights holds int32"),
        ({SPLAT: np.full((3, 3, 4, 8), np.nan, "f4")}, "splat/conv2/weights holds NaN"),
        ({"inference/guide/shifts": np.zeros((1, 1, 16, 3), "f4")}, "guide/shifts has shape"),
        ({"inference/guide/shifts": np.zeros((2, 1, 3, 8), "f4")}, "guide/shifts has shape"),
        ({"inference/guide/channel_mixing/biases": np.zeros(2, "f4")}, "biases has shape"),
        (
            {"inference/coefficients/splat/conv2/BatchNorm/gamma": np.ones(8, "f4")},
            "another architecture: .*BatchNorm/gamma",
        ),
    ],
)
def test_a_variable_that_does_not_fit_is_named(change, reason: str) -> None:
    _, config = golden("curves")
    with pytest.raises(ValueError, match=reason):
        state_dict_from_tf1(weights("curves") | change, config)


def test_missing_variables_are_named_together() -> None:
    _, config = golden("curves")
    arrays = {k: v for k, v in weights("curves").items() if "local" not in k and "ccm" not in k}
    with pytest.raises(KeyError, match=r"local/conv1/biases.*guide/ccm,.*guide/ccm_bias"):
        state_dict_from_tf1(arrays, config)


@pytest.mark.parametrize("slot", ["Adam", "Adam_1", "Momentum", "RMSProp_1", "Ftrl"])
def test_slots_of_every_optimiser_are_ignored(slot: str) -> None:
    arrays, (_, config) = weights("pointwise_bn"), golden("pointwise_bn")
    plain = state_dict_from_tf1(arrays, config)
    noisy = arrays | {f"{name}/{slot}": np.zeros_like(value) for name, value in arrays.items()}
    noisy |= {"beta1_power": np.zeros(()), "global_step": np.zeros((), np.int64)}
    state = state_dict_from_tf1({f"{name}:0": value for name, value in noisy.items()}, config)
    assert all(torch.equal(tensor, plain[name]) for name, tensor in state.items())


def test_nothing_is_left_of_the_file_arrays_come_from() -> None:
    """The state_dict owns its memory: a checkpoint's arrays may be views of a file."""
    arrays, (_, config) = weights("curves"), golden("curves")
    state = state_dict_from_tf1(arrays, config)
    before = {name: tensor.clone() for name, tensor in state.items()}
    for array in arrays.values():
        array[...] = 7
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.items())


@pytest.mark.fault("hostile recipes and models")
def test_a_folder_whose_list_is_a_pipe_is_not_waited_for(workspace: Workspace) -> None:
    Path("folder").mkdir()
    os.mkfifo("folder/checkpoint")
    line = workspace.fails(3, "import-tf1", "folder", "out.safetensors")
    assert "holds no TensorFlow checkpoint" in line
