"""Help, usage and suggestions: what the program says of itself and of wrong words."""

import inspect
import json
import re
from itertools import pairwise
from typing import get_type_hints

import pytest
import typer

from hdrnet_bench.cli.app import JOURNEY, app
from hdrnet_bench.prepare import SOURCES
from hdrnet_bench.recipe import load_recipe
from tests.conftest import Workspace
from tests.documentation import commands

COMMANDS = typer.main.get_command(app).commands
NARROW = {"COLUMNS": "80"}


def help_of(workspace: Workspace, *command: str) -> str:
    done = workspace.run(*command, "-h", env=NARROW)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_at_80_columns(workspace: Workspace, command: str) -> None:
    text = help_of(workspace, command)
    assert text == workspace.run(command, "--help", env=NARROW).stdout
    assert max(map(len, text.splitlines())) <= 80
    # A type is a choice or a name, as N or DIR: never <list[Path]>, or --json <bool>.
    for kind in re.findall(r"<([^>\n]+)>", text):
        assert "|" in kind or kind in {"device", "seed"} or kind[0] == "!", kind
    assert not re.search(r"^Usage: .*[{}]", text, re.MULTILINE)


@pytest.mark.parametrize("command", app.registered_commands, ids=lambda c: c.callback.__name__)
def test_an_option_s_name_is_its_own(command: typer.models.CommandInfo) -> None:
    """Some versions of typer call an option by its metavar where that is its name but for case."""
    hints = get_type_hints(command.callback, include_extras=True)
    for name, hint in hints.items():
        for option in getattr(hint, "__metadata__", ()):
            metavar = getattr(option, "metavar", None) or ""
            if isinstance(option, typer.models.OptionInfo) and metavar.lower() == name:
                assert option.default == f"--{name}"


@pytest.mark.parametrize("command", COMMANDS)
def test_paragraphs_of_help_are_filled(workspace: Workspace, command: str) -> None:
    """A line of a paragraph ends where the next word does not fit: not where the source has it."""
    _, paragraphs = help_of(workspace, command).split("\n\n", 1)
    for paragraph in paragraphs.split("\n\n"):
        lines = paragraph.split("\n")
        if not lines[0].startswith("  ") or lines[0].startswith("   "):
            continue  # a heading's options, or lines that are to stand as they are
        for line, following in pairwise(lines):
            assert len(line) + 1 + len(following.split()[0]) > 78, line


@pytest.mark.parametrize("command", COMMANDS)
def test_lines_that_are_to_be_copied_stay_lines(workspace: Workspace, command: str) -> None:
    source = inspect.getdoc(COMMANDS[command].callback) or ""
    lines = [line.strip() for line in source.splitlines() if line.startswith("    ")]
    shown = [line.strip() for line in help_of(workspace, command).splitlines()]
    assert [line for line in lines if line not in shown] == []
    assert bool(lines) == (command in {"train", "recipes"})


def test_commands_stand_in_the_order_of_work(workspace: Workspace) -> None:
    text = help_of(workspace)
    order = [
        "Data:", "prepare", "verify", "protocols", "Train and measure:", "recipes", "train", "eval",
        "compare", "time", "report", "Use a model:", "enhance", "export", "This machine:", "doctor",
    ]  # fmt: skip
    places = [re.search(rf"^ *{word}(?= |$)", text, re.MULTILINE) for word in order]
    assert all(places), dict(zip(order, places, strict=True))
    starts = [place.start() for place in places if place]
    assert starts == sorted(starts)
    for command in COMMANDS:
        assert f"  {command} " in text


def test_the_program_alone_shows_the_way(workspace: Workspace) -> None:
    done = workspace.run()
    assert (done.returncode, done.stdout) == (0, JOURNEY)
    lines = [line.strip() for line in JOURNEY.splitlines() if line.startswith("  hdrbench ")]
    given = [c.given for c in commands("```\n" + "\n".join(lines) + "\n```\n", "hdrbench")]
    assert [words[0] for words in given[:4]] == ["prepare", "train", "eval", "report"]
    assert {words[0] for words in given} <= COMMANDS.keys()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["prepare", "demo", "--protocl", "x"], "prepare: no such option --protocl: did you mean "
         "--protocol? (`hdrbench prepare --help`)"),
        (["train", "tiny.yaml", "--sed", "1"], "--sed: did you mean --seed?"),
        (["train", "tiny.yaml", "--steps", "5"], "--steps: a recipe's keys are changed by --set "
         "training.steps=VALUE"),
        (["train", "tiny.yaml", "--learning-rate=1"], "--set training.learning_rate=VALUE"),
        (["train", "tiny.yaml", "--variant", "x"], "--set model.variant=VALUE"),
        (["verify", "demo-tiny", "--keep-raw"], "--keep-raw: `hdrbench prepare` has one"),
        (["time", "--size", "4x4"], "time: no such option --size: it is --resolution now"),
        (["enhance", "m", "a", "b", "--workers", "2"], "--workers: it is --threads now"),
        (["train", "tiny.yaml", "--xyzzy"], "train: no such option --xyzzy (`hdrbench train"),
        (["train", "tiny.yaml", "-x"], "no such option -x: a name that begins with '-' is written "
         "./-x…"),
        (["--nonsense"], "no such option --nonsense (`hdrbench --help`)"),
        (["trian"], "did you mean 'train'?"),
        (["nonsense"], "no such command 'nonsense' (`hdrbench --help`)"),
        (["prepare"], "prepare: missing argument 'SOURCE' (`hdrbench prepare --help`)"),
        (["eval", "--split", "holdout"], "holdout"),
        (["prepare", "demo", "--limit", "0"], "--limit"),
        (["prepare", "demo", "--workers", "many"], "--workers"),
    ],
)  # fmt: skip
def test_wrong_words_get_the_right_ones(tiny: Workspace, arguments: list[str], says: str) -> None:
    assert says.lower() in tiny.fails(2, *arguments).lower()


def test_names_in_the_wrong_place_are_shown_the_right_one(tiny: Workspace) -> None:
    assert "`hdrbench protocols zeng-srgb`" in tiny.fails(2, "recipes", "zeng-srgb")
    assert "`hdrbench protocols zeng-srgb`" in tiny.fails(2, "train", "zeng-srgb")
    assert "`hdrbench recipes demo-retouch`" in tiny.fails(2, "protocols", "demo-retouch")
    assert tiny.json("protocols", "retouch")["summary"].startswith("targets computed from")
    assert "did you mean zeng-srgb" in tiny.fails(2, "protocols", "zeng-srg")
    line = tiny.fails(2, "train", "demo-tiny")
    assert "it is a dataset: `hdrbench train RECIPE --dataset demo-tiny`" in line


def test_protocols_are_listed_by_source(workspace: Workspace) -> None:
    listed = workspace.json("protocols")
    assert listed == workspace.json("recipes", "--protocols")
    shown = workspace.run("protocols").stdout
    for row in listed:
        assert re.search(rf"^ *{re.escape(row['protocol'])}\b", shown, re.MULTILINE), row
    headings = re.findall(r"^prepare (\S+)$", shown, re.MULTILINE)
    assert headings == list(dict.fromkeys(row["source"] for row in listed))
    assert workspace.json("protocols", "zeng-srgb")["protocol"] == "zeng-srgb"
    assert workspace.run("protocols", "zeng-srgb").stdout.startswith("source: fivek\n")


def test_a_sources_name_lists_its_protocols(workspace: Workspace) -> None:
    for source in SOURCES:
        listed = workspace.json("protocols", source)
        assert listed == [row for row in workspace.json("protocols") if row["source"] == source]
    shown = workspace.run("protocols", "ppr10k").stdout
    assert re.findall(r"^prepare (\S+)$", shown, re.MULTILINE) == ["ppr10k"]
    assert re.search(r"^ *360p-plain\b", shown, re.MULTILINE)
    assert "ppr10k is a source" in workspace.fails(2, "protocols", "ppr10k", "--wide")


def test_an_unknown_protocol_is_shown_each_name_once(workspace: Workspace) -> None:
    names = workspace.fails(2, "protocols", "qqq").split("known: ")[1].split(" and ")[0].split(", ")
    assert len(names) > 5
    assert len(set(names)) == len(names)
    assert "did you mean" not in workspace.fails(2, "protocols", "NAMES")
    assert "did you mean ppr10k?" in workspace.fails(2, "protocols", "ppr10")


def test_a_licence_is_accepted_apart_from_downloads(workspace: Workspace) -> None:
    shown = workspace.run("prepare", "--help").stdout
    own, downloads = shown.index("Licences (fivek, ppr10k)"), shown.index("Downloads (fivek, hdr")
    assert own < shown.index("--accept-licence", own) < downloads
    assert "--accept-licence" not in shown[downloads:]


def test_a_protocol_is_shown_a_line_for_each_thing_to_copy(workspace: Workspace) -> None:
    for row in workspace.json("protocols"):
        name = row["protocol"]
        lines = workspace.run("protocols", name).stdout.splitlines()
        assert not any(line.endswith(("..", ": none", ": nothing")) for line in lines), name
        for number, pack in enumerate(row.get("packs", ()), start=1):
            assert f"pack {number}: {pack['name']}" in lines
            for where, address in pack["downloads"].items():
                assert f"  {where}: {address}" in lines
            for size, at in pack["folders"].items():
                assert f"  {size}: inputs in {at['input']}, targets in {at['target']}" in lines
            assert f"  amount: {pack['amount']}" in lines
    lines = workspace.run("protocols", "zeng-srgb").stdout.splitlines()
    jpeg = "JPEG, quality 100, sRGB, 8 bits"
    collections = "InputZeroed with ExpertC WhiteBalance", "Experts/C"
    sides = [
        f"{s} from collection {c}: {jpeg}"
        for s, c in zip(("input", "target"), collections, strict=True)
    ]
    assert f"lightroom: {'; '.join(sides)}" in lines
    assert "measured as: zeng.psnr, zeng.ssim, zeng.delta_e" in lines
    assert ".." not in workspace.run("protocols").stdout


def test_options_of_protocols_that_would_do_nothing_are_refused(workspace: Workspace) -> None:
    assert "--wide is for" in workspace.fails(2, "protocols", "--wide")
    assert "--wide is for" in workspace.fails(2, "protocols", "--wide", "--lightroom", "a")
    assert not (workspace.path / "a").exists()
    assert workspace.run("protocols", "zeng-srgb", "--wide").returncode == 0


def test_the_plug_in_is_named_by_a_plain_path_and_json_alone_is_said(workspace: Workspace) -> None:
    (workspace.path / "b").mkdir()
    done = workspace.run("protocols", "--lightroom", "b/../a", "--json")
    assert json.loads(done.stdout)["plug-in"] == str(workspace.path / "a/hdrbench.lrplugin")
    assert done.stderr == ""
    assert "next: in Lightroom" in workspace.run("protocols", "--lightroom", "a").stderr


def test_recipes_are_listed_in_groups(workspace: Workspace) -> None:
    shown = workspace.run("recipes").stdout
    for row in workspace.json("recipes"):
        assert re.search(rf"^ *{row['recipe']}\b", shown, re.MULTILINE)
    places = [shown.index(f"\n{group}\n") for group in ("FiveK", "HDR+", "Sanity check")]
    assert places == sorted(places)
    assert shown.startswith("Demo\n")


def test_options_of_one_name_have_one_meaning() -> None:
    """The same words where two commands have an option: what they act on apart."""
    kinds: dict[str, dict[str, str]] = {}
    for name, command in COMMANDS.items():
        for parameter in command.params:
            if parameter.param_type_name != "option":
                continue
            for option in parameter.opts:
                kind = parameter.metavar or ("flag" if parameter.is_flag else "choice")
                kinds.setdefault(option, {})[name] = kind
    differing = {o: of for o, of in kinds.items() if len(set(of.values())) > 1}
    # Both of them say in which form a thing is written.
    differing.pop("--format", None)
    assert not differing
    assert kinds["--workers"].keys() == {"prepare", "train"}  # processes, both
    # Of pictures, by name.
    assert kinds["--size"].keys() == {"prepare", "eval", "compare", "verify-export"}


def test_a_terminal_too_narrow_for_help_is_no_error(workspace: Workspace) -> None:
    for columns in ("1", "20", "400"):
        done = workspace.run("prepare", "--help", env={"COLUMNS": columns})
        assert done.returncode == 0
        assert "--protocol" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_the_recipe_of_the_way_exists() -> None:
    assert load_recipe("demo-retouch").dataset.source == "demo"
