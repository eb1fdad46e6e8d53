"""The package's imports run one way: from the commands down to the arithmetic.

The graph is read from the source: every import counts, also those inside functions and for type
checkers alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = "hdrnet_bench"
Graph = Mapping[str, set[str]]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / PACKAGE).rglob("*.py"))}


def imported(module: str, source: str) -> Iterator[str]:
    """The package's own modules that a module names in its imports.

    `from ..prepare import build` is an import of prepare/build.py; `from ..prepare import SOURCES`,
    a name that the package hands on, one of prepare/__init__.py, and so of all that this imports.
    """
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                names = (f"{base}.{alias.name}", base)
                yield from [name for name in names if name in MODULES][:1]


def room(module: str) -> str:
    """The package or flat module that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def graph(changes: Mapping[str, str] | None = None) -> Graph:
    """Module to the modules it imports; `changes` has other sources for some modules."""
    sources = {name: path.read_text(encoding="utf-8") for name, path in MODULES.items()}
    sources |= changes or {}
    return {name: set(imported(name, source)) - {name} for name, source in sources.items()}


def circle(arrows: Graph) -> list[str]:
    """Names that import each other in a ring; nothing where there is none."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    arrows = graph()
    assert sum(map(len, arrows.values())) > len(MODULES)  # the graph was read
    assert not circle(arrows)


def test_packages_lie_above_each_other_in_one_order() -> None:
    """No package imports, by whatever module, one that imports it."""
    assert not circle(rooms(graph()))


def rooms(arrows: Graph) -> Graph:
    above: dict[str, set[str]] = {}
    for module, targets in arrows.items():
        above.setdefault(room(module), set()).update(room(target) for target in targets)
    return {name: targets - {name} for name, targets in above.items()}


@pytest.mark.parametrize(
    "line",
    [
        "from ..model.hdrnet import HDRNet",
        "from ..model import hdrnet",
        "from ..model import HDRNet",
        "from .. import HDRNet",
        "from .. import load_model",
        "from hdrnet_bench import HDRNet",
        "import hdrnet_bench.model.hdrnet as network",
        "def late():\n    from ..model.load import load_model",
        "if TYPE_CHECKING:\n    from ..model.hdrnet import HDRNet",
    ],
)
def test_an_arrow_back_up_is_seen_however_it_is_written(line: str) -> None:
    module = f"{PACKAGE}.slicing.operators"
    source = MODULES[module].read_text(encoding="utf-8")
    arrows = graph({module: f"{source}\n{line}\n"})
    assert circle(arrows)
    assert circle(rooms(arrows))


def test_nothing_is_imported_by_a_name_that_is_made_up_as_it_runs() -> None:
    """But for the package's own public names, which spare `hdrbench --help` torch."""
    dynamic = [
        name
        for name, path in MODULES.items()
        if re.search(r"\bimport_module\b|\b__import__\b", path.read_text(encoding="utf-8"))
    ]
    assert dynamic == [PACKAGE]
