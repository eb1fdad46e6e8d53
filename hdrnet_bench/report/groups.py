"""Which results may share a table: those of one version of a dataset, one split, one size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..metric_specs import METRICS
from ..result_ids import MethodId, OnnxSettings
from ..result_timing import Timing
from ..results import Evaluation, group_seeds


class Group(NamedTuple):
    """Evaluations that may share a table, with their folders: the identity first, then the methods,
    then the oracles."""

    slug: str
    title: str
    results: list[tuple[Path, Evaluation]]

    @property
    def metrics(self) -> list[str]:
        names = {name for _, result in self.results for name in result.metrics}
        return [name for name in METRICS if name in names]

    @property
    def first(self) -> Evaluation:
        return self.results[0][1]


def is_identity(result: Evaluation) -> bool:
    return result.method.name == "identity"


def is_baseline(result: Evaluation) -> bool:
    """Whether it is the identity or an oracle, which stand beside the methods and have no times."""
    return is_identity(result) or result.method.oracle


def group_results(evaluations: Sequence[tuple[Path, Evaluation]]) -> list[Group]:
    """By dataset, split, size and digest. In a group: the identity, the methods, the oracles, each
    in the order of their paths."""
    by_data: dict[tuple[str, str, str, str], list[tuple[Path, Evaluation]]] = {}
    for path, result in evaluations:
        data = result.dataset
        key: tuple[str, str, str, str] = (data.name, data.split, result.size, data.digest)
        by_data.setdefault(key, []).append((path.parent, result))
    versions: dict[tuple[str, ...], int] = {}
    groups = []
    for key, results in sorted(by_data.items(), key=_full_first):
        name, split, size, digest = key
        number = versions[key[:3]] = versions.get(key[:3], 0) + 1
        slug = f"{name}-{split}" + (f"-{size}" if size != "full" else "")
        slug += f"-{number}" if number > 1 else ""
        title = f"{name}, {split} split, {size} size (data {digest[:12]})"
        # By parts: as text, "look-2/…" would come before "look/…".
        results.sort(key=lambda item: (_rank(item[1]), item[0].parts))
        groups.append(Group(slug, title, _with_one_identity(results)))
    return groups


def _with_one_identity(results: list[tuple[Path, Evaluation]]) -> list[tuple[Path, Evaluation]]:
    """The identity is the same method under every recipe. It is listed once, unless it was measured
    with other figures or metrics."""
    items: list[tuple[Path, Evaluation]] = []
    for item in results:
        result = item[1]
        others = (other for _, other in items if is_identity(result) and is_identity(other))
        if not any((result.rows, result.metrics) == (o.rows, o.metrics) for o in others):
            items.append(item)
    return items


def _full_first(item: tuple[tuple[str, str, str, str], object]) -> tuple[object, ...]:
    name, split, size, digest = item[0]
    return name, split, size != "full", size, digest


def _rank(result: Evaluation) -> int:
    return 0 if is_identity(result) else 2 if result.method.oracle else 1


def marks(result: Evaluation) -> str:
    """Warnings about a result, to be put after its method's name."""
    warnings = ["stale"] if result.stale() else []
    warnings += [f"trained with {result.leaked} of these"] if result.leaked else []
    return "".join(f" ({warning})" for warning in warnings)


def label(group: Group, result: Evaluation) -> str:
    """A result's name in a figure: as long as needed to tell it from the group's others."""
    recipes = {r.recipe.name for _, r in group.results}
    parts = [result.recipe.name] if len(recipes) > 1 else []
    parts += [result.method.name]
    parts += [result.method.run] if result.method.run != "baseline" else []
    return ", ".join(parts) + marks(result)


def best_method(group: Group) -> tuple[Path, Evaluation] | None:
    """The method with the highest mean PSNR, neither the identity nor an oracle; None where there
    is none. One that was trained with these pictures only where all were."""
    return max(
        (item for item in group.results if not is_baseline(item[1])),
        key=lambda item: (not item[1].leaked, item[1].metrics["psnr"].mean or 0.0),
        default=None,
    )


def by_method(group: Group) -> list[list[Evaluation]]:
    """The results that are not stale, the seeds of one recipe and method together."""
    return group_seeds(result for _, result in group.results if not result.stale())


def by_seed(group: Group) -> list[list[Evaluation]]:
    """Those of `by_method` that have several seeds."""
    return [seeds for seeds in by_method(group) if len(seeds) > 1]


class TimingResult(NamedTuple):
    """A timing. device: its slug; stem: its figure's file name; stale: whether the model file that
    was evaluated in the same folder is another than the one that was timed."""

    timing: Timing
    folder: Path
    device: str
    stem: str
    stale: bool

    @property
    def on_gpu(self) -> bool:
        return self.timing.device.startswith("cuda")

    @property
    def title(self) -> str:
        timing = self.timing
        stale = "; stale: the model file has changed since, run `hdrbench time`"
        return (
            f"{timing.recipe.name}, {timing.method.name}, {timing.method.run}: {self.device}"
            f"{stale if self.stale else ''}"
        )


def _model(method: MethodId) -> tuple[str | None, OnnxSettings | None]:
    """Which file was run, and how."""
    return method.model_sha256, method.onnx


def timing_results(
    timings: Sequence[tuple[Path, Timing]], evaluations: Sequence[tuple[Path, Evaluation]]
) -> list[TimingResult]:
    """Timings, each compared with the evaluations in the same folder."""
    evaluated = {path.parent: _model(result.method) for path, result in evaluations}
    results = []
    for path, timing in timings:
        device = path.stem.removeprefix("timing-")
        parts = (timing.recipe.name, timing.method.name, timing.method.run, device)
        timed = _model(timing.method)
        stale = evaluated.get(path.parent, timed) != timed
        results.append(TimingResult(timing, path.parent, device, "time-" + "-".join(parts), stale))
    return results
