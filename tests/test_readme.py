"""What the documentation says is true: its Python runs, its commands, files and names exist."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from hdrnet_bench.images.files import read_picture
from tests.conftest import ROOT, Workspace

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "hdrnet_bench"
CHAPTERS = sorted(PACKAGE.glob("*/README.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *CHAPTERS]


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_python_example_runs(trained: Workspace) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    shutil.copytree("runs/tiny/seed-0", "runs/demo-retouch/demo")
    picture = Path("data/demo-retouch/test/input/coffee.png")
    picture.parent.mkdir(parents=True)
    shutil.copy("data/demo-tiny/test/input/d.png", picture)
    exec(compile(code, "README.md", "exec"), {})
    assert read_picture("coffee.png").pixels.shape == read_picture(picture).pixels.shape


def test_every_command_has_its_section(workspace: Workspace) -> None:
    listed = set(re.findall(r"\*\*`hdrbench ([\w-]+)", TEXT))
    helped = set(re.findall(r"^│ (\w[\w-]*) ", workspace.process("--help").stdout, re.MULTILINE))
    assert listed == helped


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_files_it_points_to_are_there(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose)
    assert links
    for link in links:
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", *CHAPTERS], ids=page_name)
def test_functions_it_names_exist(page: Path) -> None:
    """`training/train.Trainer.run`, in a chapter also `train.Trainer.run`."""
    pattern = r"`((?:[a-z_0-9]+/)*[a-z_0-9]+)\.([A-Za-z_]\w*)((?:\.\w+)?)[`(]"
    checked = 0
    for module, name, member in re.findall(pattern, page.read_text(encoding="utf-8")):
        folders = [PACKAGE] if page.parent == ROOT else [page.parent, PACKAGE]
        paths = [folder / f"{module}.py" for folder in folders]
        path = next((path for path in paths if path.exists()), None)
        if path is None or name in ("py", "md"):  # a file, or nothing of this package
            continue
        names = defined(ast.parse(path.read_text(encoding="utf-8")))
        assert f"{name}{member}" in names, f"{module}.{name}{member}"
        checked += 1
    assert checked


def defined(tree: ast.Module) -> set[str]:
    """What a module's source gives a name to: also what it imports, and members of its classes."""
    names: set[str] = set()
    for node in tree.body:
        for inner in [node, *(node.body if isinstance(node, ast.ClassDef) else [])]:
            prefix = "" if inner is node else f"{node.name}."  # type: ignore[union-attr]
            if isinstance(inner, ast.FunctionDef | ast.ClassDef):
                names.add(prefix + inner.name)
            elif isinstance(inner, ast.ImportFrom):
                names |= {alias.asname or alias.name for alias in inner.names}
            else:
                targets = getattr(inner, "targets", [getattr(inner, "target", None)])
                names |= {prefix + t.id for t in targets if isinstance(t, ast.Name)}
    return names


def test_make_targets_it_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make (\w+)`", TEXT)) | {"demo", "test"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
