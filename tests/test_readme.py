"""What the documentation says is true: its Python runs, its commands, files and names exist."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from hdrnet_bench.cli import sources
from hdrnet_bench.cli.app import app
from hdrnet_bench.data.manifest import SPLITS, Split
from hdrnet_bench.errors import UsageError
from hdrnet_bench.files import read_json
from hdrnet_bench.metric_specs import METRICS
from hdrnet_bench.prepare import SOURCES, protocols
from hdrnet_bench.prepare.build import PreparedPair, build
from hdrnet_bench.prepare.protocol_models import ByGroup, ById, ByList, Rule, Unrunnable
from hdrnet_bench.prepare.source_models import Source
from hdrnet_bench.prepare.sources import demo, folder, synthetic_hdrplus
from hdrnet_bench.prepare.staging import Plan, Task
from hdrnet_bench.recipe import load_recipe, recipe_paths
from hdrnet_bench.training.overrides import override
from tests.conftest import (
    ROOT,
    Workspace,
    clean_environment,
    in_a_thread,
    make_tiny,
    smooth_picture,
)
from tests.documentation import (
    CHAPTERS,
    FRONT,
    PACKAGE,
    PAGES,
    Command,
    anchors,
    blocks,
    broken_links,
    commands,
    datasets_made,
    inline_code,
    is_placeholder,
    links,
    page_name,
    pictures,
    recipes_made,
    widest_table,
)
from tests.report.fixtures import made_up

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMANDS: Any = typer.main.get_command(app)  # of click's classes, which typer has of its own or not


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


# Python

PICTURES = [
    Task("astronaut", "train", (1, 60, 72)),
    Task("hubble", "validation", (2, 64, 56)),
    Task("coffee", "test", (3, 66, 50)),
]


def make_sixteen(payload: tuple[int, int, int]) -> PreparedPair:
    picture = smooth_picture(*payload)
    linear = picture.astype(np.uint16) * 100
    return PreparedPair(linear, picture, ["made"], ["0" * 64], "CC0-1.0", {})


@pytest.fixture(scope="session")
def documented_directory(trained_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make demo` leaves, by its names, of the tiny pictures and the tiny model."""
    path = tmp_path_factory.mktemp("documented")
    shutil.copytree(trained_directory / "runs/tiny/seed-0", path / "runs/demo-retouch/demo")
    plan = Plan("demo-retouch", "demo", "retouch", 1, "CC0-1.0", {"made": "by a test"})
    build(plan, PICTURES, make_tiny, path / "data", open_pool=in_a_thread)
    return path


def a_photograph(path: Path) -> None:
    for name in ("in.jpg", "photo.jpg"):
        Image.fromarray(smooth_picture(4, 66, 50)).save(path / name)


def sixteen_bits(path: Path) -> None:
    plan = Plan("synthetic-hdrplus-local-tone-map", "synthetic-hdrplus", "local-tone-map", 1,
                "CC0-1.0", {"made": "by a test"})  # fmt: skip
    build(plan, PICTURES, make_sixteen, path / "data", open_pool=in_a_thread)


def a_result(path: Path) -> None:
    made_up.evaluation(path / "results")


# What a page's blocks find in their folder beside data/demo-retouch and runs/demo-retouch/demo.
SETUPS: dict[str, Callable[[Path], None]] = {
    "README.md": a_photograph,
    "hdrnet_bench/README.md": a_photograph,
    "hdrnet_bench/images/README.md": a_photograph,
    "hdrnet_bench/report/README.md": a_result,
    "manifests/README.md": sixteen_bits,
}
EXAMPLES = [
    pytest.param(page, block.text, id=f"{page_name(page)}:{block.line}")
    for page in PAGES
    for block in blocks(text_of(page), "python")
]


@pytest.mark.parametrize(("page", "code"), EXAMPLES)
def test_python_example_runs(
    page: Path, code: str, documented_directory: Path, workspace: Workspace
) -> None:
    """Each by itself; those that start processes, which import the file, as a file."""
    shutil.copytree(documented_directory, workspace.path, dirs_exist_ok=True)
    SETUPS.get(page_name(page), lambda path: None)(workspace.path)
    if "__main__" not in code:
        exec(compile(code, f"the example of {page_name(page)}", "exec"), {})
        return
    Path("example.py").write_text(code)
    done = subprocess.run([sys.executable, "example.py"], env=clean_environment(), timeout=300,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr


# Commands


def documented_commands(program: str) -> list[Any]:
    """The pages that have command lines of a program, each with its own."""
    found = {page: commands(text_of(page), program) for page in PAGES}
    return [pytest.param(page, of, id=page_name(page)) for page, of in found.items() if of]


def check_command(command: Command, made: Set[str] = frozenset()) -> None:
    """Raises AssertionError where hdrbench would refuse the command, by what is known of it
    without running it. made: recipes and datasets that are there by then."""
    name, *rest = command.given or ["ANY"]
    if is_placeholder(name) or name.startswith("--"):
        name, rest = "", command.given
    assert not name or name in COMMANDS.commands, f"{command}: there is no command {name}"
    if "--help" in rest or not name:
        own = {option for parameter in COMMANDS.params for option in parameter.opts}
        assert set(rest) <= {"--help", "COMMAND", "ANY", *own}, command
        return
    # A placeholder passes for text and paths; numbers are what N stands for.
    words = ["1" if word == "N" else word for word in rest]
    try:
        values = COMMANDS.commands[name].make_context(name, words).params
    except Exception as error:  # click's, or those of typer's own copy of it
        # In running text a command is spoken of: what it is given may be left out.
        if type(error).__name__ == "MissingParameter" and not command.whole:
            return
        raise AssertionError(f"{command}: {error}") from None
    try:
        check_names(name, values, made)
    except UsageError as error:
        raise AssertionError(f"{command}: {error}") from None


def check_names(command: str, values: dict[str, Any], made: Set[str]) -> None:
    """What a command names is there: recipes, datasets, protocols, metrics, keys."""
    named = {k: v for k, v in values.items() if isinstance(v, str) and not is_placeholder(v)}
    if command == "prepare":
        check_preparation(values, named)
    elif command == "protocols":
        names = [p.name for s in protocols.SOURCES for p in protocols.all_protocols(s)]
        assert named.get("name") in (None, *names), f"there is no protocol {named['name']}"
    elif command in ("train", "recipes"):
        words = values.get("words") or []
        new = words[:1] == ["new"]
        assert new == bool(values.get("source")) or not values.get("source")
        shown = named.get("recipe") or next((w for w in words if not is_placeholder(w)), None)
        if shown and not new and not shown.endswith(".yaml") and shown not in made:
            override(load_recipe(shown), values.get("settings") or [])
    elif command in ("verify", "compare-datasets"):
        datasets = {load_recipe(recipe).dataset.name for recipe in recipe_paths()}
        for key in named.keys() & {"dataset", "first", "second"}:
            assert named[key] in datasets, f"{named[key]} is no recipe's dataset"
    if command in ("train", "eval", "recipes") and "dataset" in named:
        check_dataset(named["dataset"], made)
    of_runs = {"target", "model"} | ({"first", "second"} if command == "compare" else set())
    for key in named.keys() & of_runs:
        check_run(named[key], made)
    for metric in values.get("metric") or []:
        assert metric in METRICS, f"there is no metric {metric}"


def check_run(name: str, made: Set[str]) -> None:
    """A run's name begins with its recipe; other names are of methods, or of files."""
    recipe, _, run = name.removeprefix("runs/").partition("/")
    if not is_placeholder(recipe) and not name.endswith((".safetensors", ".json")):
        known = recipe in {*recipe_paths(), *made} or (not run and recipe == "identity")
        assert known, f"{name}: there is no recipe {recipe}"


def check_dataset(name: str, made: Set[str]) -> None:
    """A dataset's name begins with its source and protocol."""
    known = {f"{s}-{p.name}" for s in protocols.SOURCES for p in protocols.all_protocols(s)}
    known |= {load_recipe(recipe).dataset.name for recipe in recipe_paths()}
    there = name in made or any(name == one or name.startswith(f"{one}-") for one in known)
    assert there, f"there is no dataset {name}"


DEFAULT_PROTOCOL = {"fivek": "libraw", "hdrplus": "hdrnet", "ppr10k": "360p"}


def check_preparation(values: dict[str, Any], named: dict[str, str]) -> None:
    source, protocol = named.get("source"), named.get("protocol")
    if source is None:
        return
    assert source in SOURCES, f"there is no source {source}"
    for option in sources.SourceOptions._fields:
        if values.get(option):
            assert option in sources._TAKES[source], f"--{option} is not for {source}"
    if source in protocols.SOURCES:
        loaded = protocols.load_protocol(source, protocol or DEFAULT_PROTOCOL[source])
        for key, choices in (("size", loaded.sizes), ("expert", getattr(loaded, "experts", []))):
            assert named.get(key) in (None, *choices), f"{loaded.name} has no {key} {named[key]}"
    elif protocol and source == "folder":
        computed = values["input_dir"] and not values["target_dir"]
        assert not computed or protocol in folder.COMPUTED_PROTOCOLS, f"no operator {protocol}"
    elif protocol and not values["source_dir"]:
        own = {"demo": demo, "synthetic-hdrplus": synthetic_hdrplus}[source].protocols()
        assert protocol in own, f"{source} has no protocol {protocol}"


@pytest.mark.parametrize(("page", "found"), documented_commands("hdrbench"))
def test_commands_are_what_hdrbench_takes(page: Path, found: list[Command]) -> None:
    for command in found:
        text = text_of(page)
        check_command(command, recipes_made(text) | datasets_made(text))


@pytest.mark.parametrize(
    ("line", "fits"),
    [
        ("hdrbench eval demo-retouch/demo --size 480p", True),
        ("hdrbench eval demo-retouch/demo --size 481p", False),
        ("hdrbench eval demo-retouch/demo --sice 480p", False),
        ("hdrbench eval demo-retuch/demo", False),
        ("hdrbench eval a b", False),
        ("hdrbench evaluate", False),
        ("hdrbench train RECIPE", True),
        ("hdrbench train", False),
        ("hdrbench train demo-retouch --set training.steps=5", True),
        ("hdrbench train demo-retouch --set training.step=5", False),
        ("hdrbench train demo-retouch --seed N", True),
        ("hdrbench train demo-retouch --seed many", False),
        ("hdrbench prepare fivek --protocol dpe --input-dir A --target-dir B", True),
        ("hdrbench prepare fivek --protocol dpf --input-dir A --target-dir B", False),
        ("hdrbench prepare fivek --protocol csrnet", False),
        ("hdrbench prepare fivek --expert f", False),
        ("hdrbench prepare hdrplus --size 1024", True),
        ("hdrbench prepare hdrplus --size 1023", False),
        ("hdrbench prepare hdrplus --accept-licence", False),
        ("hdrbench prepare demo --protocol retouch", True),
        ("hdrbench prepare demo --protocol mine", False),
        ("hdrbench prepare folder --protocol mine --input-dir A --target-dir B", True),
        ("hdrbench prepare folder --protocol mine --input-dir A", False),
        ("hdrbench train demo-retouch --dataset fivek-libraw-c", True),
        ("hdrbench train demo-retouch --dataset folder-mine", False),
        ("hdrbench recipes new mine --dataset demo-retouch", True),
        ("hdrbench recipes new mine --dataset demo-retuch", False),
        ("hdrbench recipes demo-retuch", False),
        ("hdrbench protocols zeng-srgb", True),
        ("hdrbench protocols zeng", False),
        ("hdrbench compare demo-retouch/seed-0 identity --metric psnr", True),
        ("hdrbench compare demo-retouch/seed-0 identity --metric psnrs", False),
        ("hdrbench verify demo-retouch", True),
        ("hdrbench verify demo", False),
        ("torchrun --nproc-per-node N -m hdrnet_bench train RECIPE --run-name NAME", True),
        ("torchrun --nproc-per-node N -m hdrnet_bench train RECIPE --runs-name NAME", False),
    ],
)
def test_a_command_that_hdrbench_would_refuse_is_seen(line: str, fits: bool) -> None:
    (command,) = commands(f"```\n{line}\n```\n", "hdrbench")
    if fits:
        check_command(command)
    else:
        with pytest.raises(AssertionError):
            check_command(command)


@pytest.mark.parametrize(("page", "found"), documented_commands("make"))
def test_make_targets_exist(page: Path, found: list[Command]) -> None:
    for command in found:
        check_make(command)


def check_make(command: Command) -> None:
    for word in command.given:
        variable, is_set, _ = word.partition("=")
        pattern = (
            rf"\b{variable} \?=|ifdef {variable}\b|\$\({variable}\)" if is_set else rf"^{word}:"
        )
        assert re.search(pattern, MAKEFILE, re.MULTILINE), f"{command}: the Makefile has no {word}"


def test_a_target_that_does_not_exist_is_seen() -> None:
    for line in ("make demos", "make test TESTS=1"):
        with pytest.raises(AssertionError):
            check_make(commands(f"```\n{line}\n```", "make")[0])
    check_make(commands("```\nmake gpu-check OFFLINE=1\n```", "make")[0])


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_options_it_speaks_of_exist(page: Path) -> None:
    known = {o for c in COMMANDS.commands.values() for p in c.params for o in p.opts}
    known |= {"--help", "--version"}
    for code in inline_code(text_of(page)):
        if code.startswith("--"):
            assert set(re.findall(r"--[a-z][\w-]*", code)) <= known, code


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_modules_it_runs_exist(page: Path) -> None:
    for module in re.findall(r"python -m ((?:tests|hdrnet_bench)\.[\w.]*\w)", text_of(page)):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_every_command_has_its_section() -> None:
    headings = anchors(text_of(PACKAGE / "README.md"))
    assert {f"hdrbench-{name}" for name in COMMANDS.commands} == {
        heading for heading in headings if heading.startswith("hdrbench-")
    }


# Names


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    assert not broken_links(page)


@pytest.mark.parametrize("page", [FRONT, ROOT / "CONTRIBUTING.md", *CHAPTERS], ids=page_name)
def test_it_points_to_files(page: Path) -> None:
    """The links were found: a chapter without any has lost them."""
    assert links(text_of(page)) or page.name == "NOTES.md"


def test_a_link_that_leads_nowhere_is_seen(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Other `code`: a, b\n\n## Twice\n\n## Twice\n")
    good = ["other.md", "other.md#other-code-a-b", "#here", "other.md#twice-1", "https://x.org/#a"]
    bad = ["none.md", "other.md#twice-2", "#there"]
    page = tmp_path / "page.md"
    page.write_text("# Here\n" + "".join(f"[x]({link})\n" for link in good + bad))
    assert broken_links(page) == bad


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page == ROOT / "CONTRIBUTING.md" or page in CHAPTERS],
    ids=page_name,
)
def test_functions_it_names_exist(page: Path) -> None:
    """`training/train.Trainer.run`, in a chapter also `train.Trainer.run`."""
    pattern = r"`((?:[a-z_0-9]+/)*[a-z_0-9]+)\.([A-Za-z_]\w*)((?:\.\w+)?)[`(]"
    checked = 0
    for module, name, member in re.findall(pattern, text_of(page)):
        folders = [PACKAGE] if page.parent == ROOT else [page.parent, PACKAGE]
        paths = [folder / f"{module}.py" for folder in folders]
        path = next((path for path in paths if path.exists()), None)
        if path is None or name in ("py", "md", "js"):  # a file, or nothing of this package
            continue
        names = defined(ast.parse(text_of(path)))
        assert f"{name}{member}" in names, f"{module}.{name}{member}"
        checked += 1
    of_package = page.parent == ROOT or (page.parent.parent == PACKAGE and page.name == "README.md")
    assert checked or not of_package or page.parent.name == "examples"


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


def test_the_table_of_protocols_is_what_their_files_say() -> None:
    page = text_of(ROOT / "recipes/protocols/README.md")
    for name in protocols.SOURCES:
        source = protocols.load_source(name)
        for protocol in protocols.all_protocols(name):
            (row,) = re.findall(rf"^.*\]\({name}/{protocol.name}\.yaml\).*$", page, re.MULTILINE)
            assert f"| {', '.join(protocol.used_by) or 'no paper'} |" in row
            if isinstance(protocol, Unrunnable):
                assert "cannot be prepared" in row
                continue
            assert f"| {', '.join(protocol.sizes)} |" in row
            parts = [part for part in protocol.parts if part != "subset"]
            counts = [count_of(protocol.rules(part), source) for part in parts]
            assert counts[0] in row or f"{name} linear-srgb" in row


def test_the_table_of_an_h100_is_what_was_measured() -> None:
    (path,) = (ROOT / "results").glob("network-cuda-nvidia-h100*.json")
    measured = {
        (row["width"], row["height"], row["part"], row["backend"]): row
        for size in read_json(path)["sizes"]
        for row in size["rows"]
        if row["dtype"] == "float32"
    }
    columns = [("whole", "native"), ("guide + slice + apply", "native")]
    columns += [("whole", "reference"), ("whole", "compiled")]
    lines = re.findall(
        r"^\| (\d+) x (\d+) \| (.*) \|$", text_of(PACKAGE / "timing/README.md"), re.M
    )
    assert len(lines) == 5
    for width, height, cells in lines:
        for column, cell in zip(columns, cells.split(" | "), strict=True):
            row = measured[int(width), int(height), *column]
            number, _, noisy = cell.partition(", ")
            decimals = len(number.partition(".")[2])
            assert number == f"{row['median_ms']:.{decimals}f}"
            assert decimals >= 1
            assert bool(noisy) == row["noisy"]


def count_of(rules: Mapping[Split, Rule], source: Source) -> str:
    """How many pictures each split has, by its list or its numbers."""
    counts = {
        split: source.lists[rule.list].count if isinstance(rule, ByList) else count_of_numbers(rule)
        for split, rule in rules.items()
    }
    return ", ".join(str(counts.get(split, "–")) for split in SPLITS)


def count_of_numbers(rule: Rule) -> int:
    if isinstance(rule, ByGroup):
        return rule.pairs
    assert isinstance(rule, ById)
    return rule.last - rule.first + 1


# The front page

MOST_LINES, MOST_WORDS, MOST_COLUMNS = 180, 1400, 6
FIRST_PICTURE, HIGHEST_PICTURE = 15, 420


def faults_of_front_page(page: Path) -> list[str]:
    """Where a page is not one that is read in three minutes."""
    text = text_of(page)
    shown = pictures(page)
    found = []
    if (lines := len(text.splitlines())) > MOST_LINES:
        found.append(f"{lines} lines")
    if (words := len(text.split())) > MOST_WORDS:
        found.append(f"{words} words")
    if (columns := widest_table(text)) > MOST_COLUMNS:
        found.append(f"a table of {columns} columns")
    if not shown or shown[0].line >= FIRST_PICTURE:
        found.append(f"no picture before line {FIRST_PICTURE}")
    for one in shown:
        if one.height > HIGHEST_PICTURE:
            found.append(f"{one.path.name} is {one.height:.0f} px high, {one.width:.0f} wide")
    return found


def test_the_front_page_is_read_in_three_minutes() -> None:
    assert not faults_of_front_page(FRONT)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("![a](a.png)\n" + "x\n" * 179, None),
        ("![a](a.png)\n" + "x\n" * 180, "181 lines"),
        ("![a](a.png) " + "x " * 1398, None),
        ("![a](a.png) " + "x " * 1400, "1401 words"),
        ("![a](a.png)\n\n| a | b | c | d | e | f |\n|---|---|---|---|---|---|\n", None),
        ("![a](a.png)\n\n|a|b|c|d|e|f|g|\n|---|---|---|---|---|---|---|\n", "7 columns"),
        ("\n" * 13 + "![a](a.png)", None),
        ("\n" * 14 + "![a](a.png)", "no picture"),
        ("words", "no picture"),
        ('<img src="a.png" width="420">', None),
        ('<img src="a.png" width="421">', "421 px high"),
        ('<img src="a.png" width="50%">', None),
        ("![b](b.svg)", None),
        ("![b](wide.png)", None),
        ("![b](high.png)", "421 px high"),
    ],
)
def test_a_front_page_that_is_too_much_is_seen(
    tmp_path: Path, content: str, fault: str | None
) -> None:
    Image.new("L", (400, 400)).save(tmp_path / "a.png")  # square: as high as it is wide
    Image.new("L", (1656, 840)).save(tmp_path / "wide.png")  # shown half as large
    Image.new("L", (828, 421)).save(tmp_path / "high.png")
    (tmp_path / "b.svg").write_text('<svg width="300pt" height="315pt" viewBox="0 0 1 9">')
    (tmp_path / "page.md").write_text(content)
    found = faults_of_front_page(tmp_path / "page.md")
    assert [fault in one for one in found] == [True] if fault else found == []
