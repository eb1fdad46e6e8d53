"""An ONNX graph as it is put together: operators, constants, names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..version import __version__

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

OPSET = 16  # the first with GridSample
FLOAT, UINT8, INT64 = 1, 2, 7  # TensorProto's names for types, which Cast takes
_IR_VERSION = 8  # the format's of that opset: runtimes of its age refuse later ones
Value = str | float | int | Sequence[int] | NDArray[Any]


class Graph:
    """Nodes in the order in which they compute.

    A value of the graph is its name; numbers that are handed where a value is expected become
    constants, float32 or int64.
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self._known: dict[tuple[Any, ...], str] = {}
        self._path: list[str] = []
        self._counts: dict[str, int] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is added inside is called name/…."""
        self._path.append(name)
        yield
        self._path.pop()

    def add(
        self, operator: str, *inputs: Value, output: str | None = None, **attributes: Any
    ) -> str:
        """A node; the name of its output."""
        from onnx import helper

        named = [self._named(value) for value in inputs]
        name = output or self._name(operator)
        self.nodes.append(helper.make_node(operator, named, [name], name, **attributes))
        return name

    def constant(self, value: Any) -> str:
        """A constant's name; the same numbers are kept once."""
        from onnx import numpy_helper

        array = np.asarray(value)
        narrow = np.float32 if np.issubdtype(array.dtype, np.floating) else np.int64
        array = np.ascontiguousarray(array.astype(narrow))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._name("weight" if array.size > 16 else "constant")
            name = self._known[key]
            self.constants[name] = numpy_helper.from_array(array, name)
        return self._known[key]

    def model(
        self,
        inputs: Mapping[str, tuple[Any, Sequence[int | str]]],
        outputs: Mapping[str, tuple[Any, Sequence[int | str]]],
        metadata: dict[str, str],
    ) -> ModelProto:
        """The whole, checked.

        Args:
            inputs, outputs: NumPy type and shape by name; an axis of any length has a name.
        """
        import onnx
        from onnx import helper

        def infos(values: Mapping[str, tuple[Any, Sequence[int | str]]]) -> list[Any]:
            return [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
                )
                for name, (dtype, shape) in values.items()
            ]

        graph = helper.make_graph(
            self.nodes, "hdrnet", infos(inputs), infos(outputs), list(self.constants.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="hdrnet-bench",
            producer_version=__version__,
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _named(self, value: Value) -> str:
        return value if isinstance(value, str) else self.constant(value)

    def _name(self, kind: str) -> str:
        base = "/".join([*self._path, kind])
        self._counts[base] = self._counts.get(base, 0) + 1
        return f"{base}_{self._counts[base]}"
