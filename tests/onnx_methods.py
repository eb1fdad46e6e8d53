"""Small methods as ONNX files, made up for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

DYNAMIC = ["n", 3, "h", "w"]


def constant(name: str, values: Sequence[float], shape: Sequence[int] | None = None) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor(name, TensorProto.FLOAT, shape or [len(values)], list(values))


def save(
    path: Path,
    nodes: Sequence[tuple[Any, ...]],
    inputs: dict[str, Sequence[Any]],
    outputs: dict[str, Sequence[Any]],
    constants: Sequence[Any] = (),
    metadata: dict[str, str] | None = None,
    types: dict[str, int] | None = None,
) -> Path:
    """nodes: (operator, inputs, output, attributes). types: of inputs and outputs, where they are
    no float32."""
    from onnx import TensorProto, helper

    def values(named: dict[str, Sequence[Any]]) -> list[Any]:
        kinds = types or {}
        return [
            helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape)
            for name, shape in named.items()
        ]

    made = [
        helper.make_node(operator, taken, [given], **attributes)
        for operator, taken, given, attributes in nodes
    ]
    graph = helper.make_graph(made, "g", values(inputs), values(outputs), list(constants))
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    helper.set_model_props(model, metadata or {})
    path.write_bytes(model.SerializeToString())
    return path


def gain(path: Path, factor: float, shape: Sequence[Any] = DYNAMIC) -> Path:
    """x -> factor x."""
    node = ("Mul", ["x", "factor"], "y", {})
    return save(path, [node], {"x": shape}, {"y": shape}, [constant("factor", [factor])])


def quarter(path: Path) -> Path:
    """Averages of 4 x 4 pixels, put back and mixed with the picture: sides must be multiples of
    four."""
    nodes = [
        ("AveragePool", ["x"], "small", {"kernel_shape": [4, 4], "strides": [4, 4]}),
        ("Resize", ["small", "", "scale"], "large", {"mode": "nearest"}),
        ("Add", ["x", "large"], "sum", {}),
        ("Mul", ["sum", "half"], "y", {}),
    ]
    constants = [constant("scale", [1, 1, 4, 4]), constant("half", [0.5])]
    return save(path, nodes, {"x": DYNAMIC}, {"y": DYNAMIC}, constants)
