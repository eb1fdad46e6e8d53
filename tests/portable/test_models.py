"""The graphs compute what `model.enhance` does, of pictures of any size, in few plain operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.files import json_value
from hdrnet_bench.model.file import ModelHeader
from hdrnet_bench.model.lowres import make_lowres
from hdrnet_bench.portable.models import network_model, slicing_model, whole_model
from tests.portable.models import VARIANTS, needs_onnx, random_model

pytestmark = needs_onnx

# (batch, height, width): smaller than the low-res copy, larger, multiples of it and none, flat.
SIZES = [(1, 64, 48), (3, 33, 50), (1, 4, 5), (1, 8, 700), (1, 211, 340), (2, 700, 1001)]
ODD: list[dict[str, Any]] = [
    {"luma_bins": 1},
    {"luma_bins": 2, "spatial_bin": 1, "net_input_size": 4},
    {"batch_norm": True, "local_layers": 1},
    {"batch_norm": True, "local_layers": 3, "channel_multiplier": 2, "spatial_bin": 16},
    {"variant": "pointwise", "guide_complexity": 5, "luma_bins": 11},
    {"lowres_resize": "nearest"},
    {"variant": "pyramid", "lowres_resize": "nearest", "batch_norm": True, "luma_bins": 1},
    {"input_encoding": "linear", "input_transfer": "srgb"},
    {"input_encoding": "camera", "input_white": 32767, "variant": "pyramid"},
]


def run(proto: Any, **feeds: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (output,) = session.run(None, feeds)
    return output


def assert_is_enhance(model: HDRNet, image: torch.Tensor, output: np.ndarray) -> None:
    """To float32's roundings: a fifth of what is promised."""
    expected = model.enhance(image, backend="reference").numpy()
    assert np.abs(output - expected).max() <= 2e-5


def picture(batch: int, height: int, width: int) -> torch.Tensor:
    """Noise, some of it outside [0, 1]."""
    torch.manual_seed(height)
    return torch.rand(batch, 3, height, width) * 1.2 - 0.1


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_enhance_at_every_size(variant: str) -> None:
    model = random_model(variant=variant, batch_norm=True)
    proto = whole_model(model, "float32")
    for size in SIZES:
        image = picture(*size)
        output = run(proto, picture=image.numpy())
        assert_is_enhance(model, image, output)


@pytest.mark.parametrize("fields", ODD, ids=lambda fields: "-".join(map(str, fields.values())))
def test_it_is_enhance_in_every_configuration(fields: dict[str, Any]) -> None:
    model = random_model(**fields)
    image = picture(2, 71, 90)
    output = run(whole_model(model, "float32"), picture=image.numpy())
    assert_is_enhance(model, image, output)


def test_a_pixel_is_a_picture() -> None:
    model = random_model()
    image = picture(1, 1, 1)
    output = run(whole_model(model, "float32"), picture=image.numpy())
    assert_is_enhance(model, image, output)


@pytest.mark.parametrize("resize", ["area", "nearest"])
@pytest.mark.parametrize("length", [*range(1, 70), 255, 256, 257, 1080, 1920, 4000, 8688])
def test_the_low_res_copy_is_torch_s(resize: Any, length: int) -> None:
    from hdrnet_bench.portable.graph import Graph
    from hdrnet_bench.portable.lowres import add_lowres

    graph = Graph()
    sides = [
        graph.add("Squeeze", graph.add("Shape", "picture", start=axis, end=axis + 1), [0])
        for axis in (2, 3)
    ]
    lowres = add_lowres(graph, "picture", *sides, 32, resize)
    graph.add("Identity", lowres, output="lowres")
    proto = graph.model(
        {"picture": (np.float32, ("batch", 3, "height", "width"))},
        {"lowres": (np.float32, ("batch", 3, 32, 32))},
        {},
    )
    image = torch.rand(1, 3, length, 3, generator=torch.Generator().manual_seed(0))
    expected = make_lowres(image.double(), 32, "area") if resize == "area" else None
    if expected is None:  # which torch rounds in float32
        expected = make_lowres(image, 32, "nearest").double()
    difference = np.abs(run(proto, picture=image.numpy()) - expected.numpy()).max()
    assert difference <= (1e-6 if resize == "area" else 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_bytes_go_in_and_come_out(variant: str) -> None:
    model = random_model(variant=variant)
    image = (torch.rand(1, 3, 90, 120) * 255).byte()
    output = run(whole_model(model, "uint8"), picture=image.numpy())
    assert output.dtype == np.uint8
    expected = model.enhance(image, backend="reference").numpy()
    # Where a level is a half the two may round to either side.
    differs = output != expected
    assert differs.mean() < 1e-3
    assert np.abs(output.astype(int) - expected).max() <= 1
    assert len(np.unique(output)) > 100


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("numbers", ["float32", "uint8"])
def test_the_parts_are_the_whole(variant: str, numbers: Any) -> None:
    model = random_model(variant=variant)
    image = torch.rand(2, 3, 50, 70)
    image = (image * 255).byte() if numbers == "uint8" else image
    grid = run(network_model(model, numbers), picture=image.numpy())
    floats = image.float() / 255 if numbers == "uint8" else image
    predicted = model.coefficients(make_lowres(floats, 32, "area"))
    # (B, n_out * n_in, D, GH, GW) -> (B, n_in * n_out, D * GH, GW), as the chapter says.
    outputs = model.config.outputs
    plane = predicted.unflatten(1, (outputs, 4)).transpose(1, 2).flatten(1, 2).flatten(2, 3)
    assert np.abs(grid - plane.detach().numpy()).max() <= 1e-5
    parts = run(slicing_model(model, numbers), grid=grid, picture=image.numpy())
    whole = run(whole_model(model, numbers), picture=image.numpy())
    assert np.array_equal(parts, whole)


def test_a_low_res_copy_of_one_s_own_gives_the_same_grid() -> None:
    model = random_model()
    image = torch.rand(1, 3, 100, 150)
    small = make_lowres(image, 32, "area")
    proto = network_model(model, "float32")
    difference = run(proto, picture=image.numpy()) - run(proto, picture=small.numpy())
    assert np.abs(difference).max() <= 1e-5


@pytest.mark.parametrize("build", [whole_model, network_model, slicing_model])
@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_has_more_than_four_dimensions(variant: str, build: Any) -> None:
    import onnx

    model = random_model(variant=variant, input_encoding="linear", input_transfer="srgb")
    model.header = ModelHeader(config=model.config, recipe="tiny", seed=7)
    proto = build(model, "float32")
    assert [(one.domain, one.version) for one in proto.opset_import] == [("", 16)]
    assert proto.ir_version == 8
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True).graph
    infos = [*inferred.input, *inferred.output, *inferred.value_info]
    ranks = {info.name: len(info.type.tensor_type.shape.dim) for info in infos}
    produced = {name for node in inferred.node for name in node.output}
    assert produced <= set(ranks)  # of all of them a shape is known
    assert max(ranks.values()) == 4
    assert max(len(tensor.dims) for tensor in inferred.initializer) == 4
    axes = [
        [axis.dim_param or axis.dim_value for axis in one.type.tensor_type.shape.dim]
        for one in (*proto.graph.input, *proto.graph.output)
        if one.name != "grid"
    ]
    assert axes
    assert all(shape == ["batch", 3, "height", "width"] for shape in axes)
    operators = {node.op_type for node in proto.graph.node}
    assert operators <= {
        *("Shape", "Squeeze", "Unsqueeze", "Range", "Cast", "Expand", "Concat", "Slice", "Gather"),
        *("Add", "Sub", "Mul", "Div", "Max", "Min", "Floor", "Clip", "Pow", "LessOrEqual", "Where"),
        *("MatMul", "Transpose", "Conv", "Relu", "Sigmoid", "Reshape", "GridSample", "Identity"),
    }
    properties = {prop.key: prop.value for prop in proto.metadata_props}
    assert properties["recipe"] == "tiny"
    assert properties["seed"] == "7"
    assert HDRNetConfig.model_validate(json_value(properties["config"])) == model.config
    named = {value.name for value in proto.graph.input}
    assert named == ({"grid", "picture"} if build is slicing_model else {"picture"})
    assert all(f"{name} (B, " in properties["inputs"] for name in named)
    assert "linear light, sRGB primaries, then sRGB's curve" in properties["inputs"]


def test_the_same_model_gives_the_same_bytes() -> None:
    contents = {whole_model(random_model(), "float32").SerializeToString() for _ in range(2)}
    assert len(contents) == 1


def test_a_model_of_half_precision_is_written_as_well() -> None:
    model: HDRNet = random_model()
    halved = random_model().half()
    widened = random_model().half().float()
    image = torch.rand(1, 3, 40, 40)
    expected = widened.enhance(image, backend="reference").numpy()
    output = run(whole_model(halved, "float32"), picture=image.numpy())
    assert np.abs(output - expected).max() <= 1e-5
    assert np.abs(output - model.enhance(image).numpy()).max() > 1e-5
