"""`hdrbench time --onnx`: another method in the same turns as a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import CapabilityError, UsageError
from .console import choose_device, err, report_values
from .time_plan import make_plan

if TYPE_CHECKING:
    from ..recipe import Recipe
    from ..result_ids import MethodId, OnnxSettings
    from ..runs import Run


def time_onnx(
    file: Path,
    settings: OnnxSettings,
    name: str | None,
    target: str | None,
    size: list[str] | None,
    backend: list[str] | None,
    batch: int,
    dtype: str,
    budget: float,
    device: str | None,
    dry_run: bool,
    quiet: bool,
    wide: bool,
    as_json: bool,
) -> Path | None:
    """Of a recipe or a run its times are written beside the method's scores; a run is timed with
    it. Without either they are shown. Returns what it wrote."""
    if choose_device(device) != "cpu":
        raise CapabilityError("ONNX files are timed on the CPU alone: --device cpu")
    beside = _beside(target, name)
    if backend and beside.run is None:
        raise UsageError("--backend is of a network of this project: name a RUN beside --onnx")

    from ..environment import device_slug
    from ..evaluation.job import check_method_name
    from ..evaluation.onnx_job import onnx_method
    from ..evaluation.score import recipe_id
    from ..model.onnx_model import open_onnx
    from ..results import result_folder
    from ..timing.job import ONNX, TimedOnnx
    from ..timing.network import SIZES, choose_backends, picture_type
    from .time_method import Written, time_method

    if name is not None:
        check_method_name(name)
    pictures = picture_type(dtype)
    model = open_onnx(file, settings)
    for note in model.notes:
        err.print(f"{file}: {note}")
    usual = {*SIZES.values(), *(beside.recipe.evaluation.resolutions if beside.recipe else ())}
    if model.size is not None:
        usual = {model.size}
    plan = make_plan(size, usual, None, batch, budget, "cpu")
    own = [] if beside.run is None else choose_backends(backend or None, "cpu")
    if own and not backend:
        own = own[:1]  # plain torch takes minutes, and is no competitor
    plan = plan._replace(backends=[*own, ONNX])
    written = None
    if beside.recipe is not None and name is not None:
        method = onnx_method(model, name)
        folder = result_folder(beside.recipe.label, method.name, method.run)
        path = folder / f"timing-{device_slug('cpu')}.json"
        _check_replaceable(path, method)
        written = Written(path, recipe_id(beside.recipe), method)
    if dry_run:
        report_values(plan.values([dtype], written and written.path), as_json)
        return None
    timed = TimedOnnx(path=file.resolve(), sha256=model.file.sha256, settings=settings)
    del model  # its weights; each size opens it in a process of its own
    return time_method(
        None if beside.run is None else beside.run.model_path,
        plan,
        pictures,
        budget,
        written,
        quiet,
        wide,
        as_json,
        onnx=timed,
    )


def _check_replaceable(path: Path, method: MethodId) -> None:
    """Raises UsageError where the times of another file, or by other settings, lie there: only that
    file could bring them back."""
    from ..result_timing import Timing
    from ..results import read_result

    if not path.exists():
        return
    there = read_result(path)
    if not isinstance(there, Timing) or there.method != method:
        raise UsageError(
            f"{path} has the times of another file, or of other settings, named {method.name}: "
            "another --name keeps both, or move that one away"
        )


class _Beside(NamedTuple):
    """What an ONNX file is timed for: a recipe, and the run that is timed with it."""

    recipe: Recipe | None
    run: Run | None


def _beside(target: str | None, name: str | None) -> _Beside:
    """Raises UsageError where the target is neither a recipe nor a run, or without --name."""
    if target is None:
        if name is not None:
            raise UsageError("--name is for results, which are a recipe's: name a RECIPE or a RUN")
        return _Beside(None, None)
    if name is None:
        raise UsageError(f"{target} with --onnx needs --name: what the method is called in results")
    from ..recipe import load_recipe
    from ..runs import finished_run, means_recipe

    if means_recipe(target):
        return _Beside(load_recipe(target), None)
    run = finished_run(target)
    return _Beside(run.recipe, run)
