"""Which results may stand beside each other: of one version of a dataset, one split, one size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..metric_specs import METRICS
from ..results import Evaluation, Timing


class Group(NamedTuple):
    """Evaluations that may stand in one table, with the folders they lie in: what does nothing
    first, then the methods, then the oracles."""

    slug: str
    title: str
    results: list[tuple[Path, Evaluation]]

    @property
    def metrics(self) -> list[str]:
        named = {name for _, result in self.results for name in result.metrics}
        return [name for name in METRICS if name in named]

    @property
    def first(self) -> Evaluation:
        return self.results[0][1]


def is_identity(result: Evaluation) -> bool:
    return result.method.name == "identity"


def group(evaluations: Sequence[tuple[Path, Evaluation]]) -> list[Group]:
    """By dataset, split, size and digest; identity first, then by recipe, method and run."""
    found: dict[tuple[str, str, str, str], list[tuple[Path, Evaluation]]] = {}
    for path, result in evaluations:
        data = result.dataset
        key: tuple[str, str, str, str] = (data.name, data.split, result.size, data.digest)
        found.setdefault(key, []).append((path.parent, result))
    versions: dict[tuple[str, ...], int] = {}
    groups = []
    for key, results in sorted(found.items(), key=_full_first):
        name, split, size, digest = key
        number = versions[key[:3]] = versions.get(key[:3], 0) + 1
        slug = f"{name}-{split}" + (f"-{size}" if size != "full" else "")
        slug += f"-{number}" if number > 1 else ""
        title = f"{name}, {split} split, {size} size (data {digest[:12]})"
        # By parts: as text, "look-2/…" would come before "look/…".
        results.sort(key=lambda item: (_rank(item[1]), item[0].parts))
        groups.append(Group(slug, title, _once(results)))
    return groups


def _once(results: list[tuple[Path, Evaluation]]) -> list[tuple[Path, Evaluation]]:
    """What does nothing is the same under every recipe: once, where the same was measured."""
    kept: list[tuple[Path, Evaluation]] = []
    for item in results:
        of = item[1]
        same = (other for _, other in kept if is_identity(of) and is_identity(other))
        if not any((of.rows, of.metrics) == (other.rows, other.metrics) for other in same):
            kept.append(item)
    return kept


def _full_first(item: tuple[tuple[str, str, str, str], object]) -> tuple[object, ...]:
    name, split, size, digest = item[0]
    return name, split, size != "full", size, digest


def _rank(result: Evaluation) -> int:
    return 0 if is_identity(result) else 2 if result.method.oracle else 1


def marks(result: Evaluation) -> str:
    """What a reader must know of a result, after its method's name."""
    found = ["stale"] if result.stale() else []
    found += [f"trained with {result.leaked} of these"] if result.leaked else []
    return "".join(f" ({mark})" for mark in found)


def label(of: Group, result: Evaluation) -> str:
    """A result's name in a figure: as long as needed to tell it from the others."""
    recipes = {r.recipe.name for _, r in of.results}
    parts = [result.recipe.name] if len(recipes) > 1 else []
    parts += [result.method.name]
    parts += [result.method.run] if result.method.run != "baseline" else []
    return ", ".join(parts) + marks(result)


def trained(of: Group) -> list[tuple[Path, Evaluation]]:
    """The methods: neither what does nothing nor the oracles."""
    return [item for item in of.results if not is_identity(item[1]) and not item[1].method.oracle]


def best_trained(of: Group) -> tuple[Path, Evaluation] | None:
    """The method with the highest mean PSNR, or None: one that has seen these pictures only where
    all have."""
    return max(
        trained(of),
        key=lambda item: (not item[1].leaked, item[1].metrics["psnr"].mean or 0.0),
        default=None,
    )


def by_method(of: Group) -> list[list[Evaluation]]:
    """The results that are up to date, the seeds of one recipe and method together, each once."""
    found: dict[tuple[str | None, ...], dict[int | None, Evaluation]] = {}
    for _, result in of.results:
        recipe, method = result.recipe, result.method
        if not result.stale():
            alone = method.run if method.seed is None else None
            key = (recipe.name, recipe.digest, method.name, alone)
            found.setdefault(key, {}).setdefault(method.seed, result)
    return [list(seeds.values()) for seeds in found.values()]


def by_seed(of: Group) -> list[list[Evaluation]]:
    """Those with several seeds."""
    return [seeds for seeds in by_method(of) if len(seeds) > 1]


class TimingResult(NamedTuple):
    """A timing with its folder, its device's slug, its figure's name, and whether another model
    file has been evaluated since."""

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
        stale = "; stale: the model file is another by now, run `hdrbench time`"
        return (
            f"{timing.recipe.name}, {timing.method.name}, {timing.method.run}: {self.device}"
            f"{stale if self.stale else ''}"
        )


def timing_results(
    timings: Sequence[tuple[Path, Timing]], evaluations: Sequence[tuple[Path, Evaluation]]
) -> list[TimingResult]:
    """Timings with what can be told of them from the results beside them."""
    judged = {path.parent: result.method.model_sha256 for path, result in evaluations}
    found = []
    for path, timing in timings:
        device = path.stem.removeprefix("timing-")
        parts = (timing.recipe.name, timing.method.name, timing.method.run, device)
        sha256 = timing.method.model_sha256
        stale = judged.get(path.parent, sha256) != sha256
        found.append(TimingResult(timing, path.parent, device, "time-" + "-".join(parts), stale))
    return found
