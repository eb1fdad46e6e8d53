"""Another method as an ONNX file: what of it is evaluated, and its pictures."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..config import HDRNetConfig
from ..data.encoding import check_encoding
from ..data.manifest import Dataset, Row
from ..data.pairs import Pair
from ..data.sizes import size_of
from ..errors import DataError, UsageError
from ..metrics.grid_artefact import CELLS
from ..model.complexity import complexity
from ..model.encoding import to_display
from ..model.onnx_model import OnnxModel, wrong_values
from ..result_ids import MethodId
from ..results import Size
from .job import EvaluationJob, JobSpec, check_method_name

ONNX = "onnx"  # in the place of a run's name


def onnx_job(spec: JobSpec, model: OnnxModel, name: str) -> EvaluationJob:
    """Of a file that is open, on the device that it is open on.

    Raises UsageError for a name that is no other method's, and where the file takes inputs in
    another encoding than the dataset's.
    """
    check_method_name(name)
    _check_encoding(model, spec.dataset)
    run = _Run(model)
    cells = CELLS if model.config is None else model.config.spatial_bin
    rows = spec.dataset.split(spec.split)
    return EvaluationJob(
        spec, onnx_method(model, name), lambda device: run.method, rows, cells=cells
    )


def onnx_method(model: OnnxModel, name: str) -> MethodId:
    """As results name it, with what it costs as far as that is known."""
    costs = None if model.config is None else complexity(model.config)
    return MethodId(
        name=name,
        run=ONNX,
        parameters=costs.parameters if costs else model.file.parameters,
        network_macs=costs and costs.network_macs,
        pixel_macs=costs and costs.pixel_macs,
        model_sha256=model.file.sha256,
        seed=None,
        onnx=model.settings,
    )


def check_sizes(model: OnnxModel, rows: Iterable[Row], size: Size) -> None:
    """Raises DataError where the file takes pictures of one size, and these are of others."""
    reasons = {row.id: reason for row in rows if (reason := model.refuses(*size_of(row, size)))}
    if reasons:
        id_, reason = next(iter(reasons.items()))
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise DataError(
            f"{id_}{more} at size {size}: {reason}, or prepare data of that size; to cut or resize "
            "pictures would be another method"
        )


def _check_encoding(model: OnnxModel, dataset: Dataset) -> None:
    if model.config is not None:
        check_encoding(model.config, dataset.header, str(model.file.path))
        return
    encoding = dataset.header.input_encoding
    if encoding != HDRNetConfig().input_encoding:
        raise UsageError(
            f"{model.file.path} is taken for a method for sRGB pictures, and the inputs of dataset "
            f"{dataset.header.name} are {encoding}: score it on data with sRGB inputs, or make its "
            "pictures yourself and score them with --predictions"
        )


class _Run:
    """The method; of its first picture it also looks at whether the values can be what was said."""

    def __init__(self, model: OnnxModel) -> None:
        self._model, self._seen = model, False

    def method(self, pair: Pair) -> Tensor:
        """(3, H, W) float32, not clamped. Raises DataError, which names the picture."""
        model, id_ = self._model, pair.row.id
        try:
            output = model.enhance(pair.input[None])[0]
        except DataError as error:
            raise DataError(f"{id_}: {error}") from None
        if not torch.isfinite(output).all():
            raise DataError(f"{id_}: {model.file.path.name} gives values that are not finite")
        if not self._seen:
            self._seen = True
            shown = to_display(pair.input, "srgb")
            values = model.settings.values
            if (likely := wrong_values(output, shown, values)) is not None:
                raise UsageError(
                    f"{id_}: what {model.file.path.name} gives out is not in {values}; it looks "
                    f"like {likely}: say --onnx-range={likely}"
                )
        return output
