"""The package's imports run one way: from the commands down to the arithmetic.

The graph is read from the source: every import counts, also those inside functions and for type
checkers alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = "hdrnet_bench"
Graph = Mapping[str, set[str]]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / PACKAGE).rglob("*.py"))}


def imported(module: str) -> Iterator[str]:
    """The package's own modules that a module names in its imports."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                # A name is a module of that package, or something inside the module.
                inside = f"{base}.{alias.name}"
                yield from (name for name in (inside, base) if name in MODULES and name != module)


def room(module: str) -> str:
    """The package or flat module that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def graph() -> Graph:
    """Module to the modules it imports. A package that only hands on what its modules have is no
    module of its own there: `from ..prepare import build` is an import of prepare/build.py."""
    arrows: dict[str, set[str]] = {}
    for module in MODULES:
        targets = set(imported(module))
        arrows[module] = {
            target for target in targets if not any(t.startswith(f"{target}.") for t in targets)
        } - {module}
    return arrows


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
    rooms: dict[str, set[str]] = {}
    for module, targets in graph().items():
        rooms.setdefault(room(module), set()).update(room(target) for target in targets)
    assert not circle({name: targets - {name} for name, targets in rooms.items()})


def test_a_circle_and_an_import_inside_a_function_are_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    # cli/train.py imports the loop where it is needed, report/page.py its neighbours relatively.
    assert f"{PACKAGE}.doctor" not in MODULES
    assert f"{PACKAGE}.metric_specs" in set(imported(f"{PACKAGE}.cli.console"))
    assert f"{PACKAGE}.report.groups" in set(imported(f"{PACKAGE}.cli.console"))
