"""What the README shows is true: its Python runs, its commands exist."""

import re
import shutil
from pathlib import Path

from hdrnet_bench.images.files import read_picture
from tests.conftest import ROOT, Workspace

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


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


def test_files_it_points_to_are_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / link).exists(), link


def test_make_targets_it_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make (\w+)`", TEXT)) | {"demo", "test"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
