"""Where data, runs, results and caches are: below the current directory, unless the environment
says otherwise; and the files that come with the package."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import UsageError

# Of datasets and recipes, which become those of directories: file systems take some 255 bytes.
NAME = r"[a-z0-9][a-z0-9-]*"
LONGEST_NAME = 100


def data_dir() -> Path:
    """Prepared datasets: $HDRBENCH_DATA, or data/."""
    return Path(os.environ.get("HDRBENCH_DATA") or "data")


def runs_dir() -> Path:
    """Training runs: $HDRBENCH_RUNS, or runs/."""
    return Path(os.environ.get("HDRBENCH_RUNS") or "runs")


def results_dir() -> Path:
    """What eval and time measure: $HDRBENCH_RESULTS, or results/."""
    return Path(os.environ.get("HDRBENCH_RESULTS") or "results")


def cache_dir() -> Path:
    """Small downloaded files, by SHA-256: $HDRBENCH_CACHE, or hdrbench/ in the user's caches."""
    own = os.environ.get("HDRBENCH_CACHE")
    if own:
        return Path(own)
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "hdrbench"
    try:
        return Path.home() / ".cache" / "hdrbench"
    except RuntimeError:  # a user without a name, as in some containers
        raise UsageError("there is no home folder: HDRBENCH_CACHE says where caches go") from None


def shipped(kind: str) -> Path:
    """The project's own recipes, manifests, pretrained models or results/published: beside the
    package, or inside it in a wheel."""
    package = Path(__file__).parent
    inside = package / "shipped" / kind
    return inside if inside.is_dir() else package.parent / kind


def search(kind: str) -> list[Path]:
    """Folders to look in for recipes, manifests or pretrained models: the current directory's,
    then the project's."""
    local, project = Path(kind), shipped(kind)
    return [local] if local.resolve() == project.resolve() else [local, project]
