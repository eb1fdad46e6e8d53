"""What a MODEL may be called, in every command and in load_model, and what a wrong name is told."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hdrnet_bench import load_model
from hdrnet_bench.cli import time
from hdrnet_bench.errors import DataError, UsageError, near_matches, near_names
from hdrnet_bench.model_names import find_model
from hdrnet_bench.runs import finished_run
from tests.conftest import ROOT, Workspace

RUN = Path("runs/tiny/seed-0")
LAST = RUN / "last.safetensors"


def model_file(name: str) -> Path:
    path, _ = find_model(name).fetched()
    return path


def exported(workspace: Workspace, name: str) -> str:
    """The file that `export` takes for a name."""
    dry = workspace.json("export", name, "--format", "torch", "--dry-run")
    assert isinstance(dry["model"], str)
    return dry["model"]


def second_run(change: Callable[[Path], object] = lambda run: None, name: str = "seed-1") -> Path:
    run = RUN.with_name(name)
    shutil.copytree(RUN, run)
    change(run)
    return run


def without_model(run: Path) -> None:
    (run / "last.safetensors").unlink()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("runs/tiny/seed-0/best.safetensors", RUN / "best.safetensors"),
        ("runs/tiny/seed-0", LAST),
        ("runs/tiny/seed-0/", LAST),
        ("tiny/seed-0", LAST),
        ("tiny/seed-0/best.safetensors", RUN / "best.safetensors"),
        ("tiny", LAST),
        ("tiny.yaml", LAST),
        ("./tiny.yaml", LAST),
    ],
)
def test_every_name_of_a_model(trained: Workspace, name: str, file: Path) -> None:
    assert exported(trained, name) == str(file)
    assert load_model(name).header == load_model(file).header


def test_runs_are_where_the_environment_says(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("runs").rename("elsewhere")
    with pytest.raises(UsageError, match="neither a model file, a folder with one, a run"):
        load_model("tiny/seed-0")
    monkeypatch.setenv("HDRBENCH_RUNS", "elsewhere")
    assert load_model("tiny/seed-0").header.recipe == "tiny"
    for name in ("tiny/seed-0", "tiny", "tiny.yaml"):
        assert model_file(name) == Path("elsewhere/tiny/seed-0/last.safetensors")


def test_what_is_there_wins_over_a_name_and_a_folder_without_a_model_does_not(
    trained: Workspace,
) -> None:
    Path("tiny").mkdir()
    assert model_file("tiny") == LAST
    shutil.copy(LAST, "tiny")
    assert model_file("tiny") == Path("tiny/last.safetensors")
    shutil.rmtree("tiny")
    shutil.copy(LAST, "tiny")
    assert model_file("tiny") == Path("tiny")
    Path("tiny").unlink()
    Path("tiny/seed-0").mkdir(parents=True)
    shutil.copy(RUN / "best.safetensors", "tiny/seed-0/last.safetensors")
    assert model_file("tiny/seed-0") == Path("tiny/seed-0/last.safetensors")


def test_a_recipe_is_its_one_finished_run(trained: Workspace) -> None:
    unfinished = second_run(without_model)
    for name in ("tiny", "tiny.yaml"):
        assert model_file(name) == LAST
        assert finished_run(name).directory == RUN
    shutil.rmtree(unfinished)
    second_run()
    for command in (["export", "tiny"], ["enhance", "tiny", "a.png", "b.png"], ["time", "tiny"]):
        line = trained.fails(2, *command)
        assert line == (
            "hdrbench: tiny has several runs, name one: runs/tiny/seed-0, runs/tiny/seed-1"
        )
    for more in range(2, 6):
        second_run(name=f"seed-{more}")
    line = trained.fails(2, "export", "tiny.yaml")
    assert line.endswith("runs/tiny/seed-3, runs/tiny/seed-4 and 1 more")


@pytest.mark.parametrize("name", ["seed-7", "mine"])
def test_a_run_without_a_model_says_what_goes_on(trained: Workspace, name: str) -> None:
    def begun(run: Path) -> None:
        for file in (*run.glob("*.safetensors"), run / "state.json", *run.glob("events*")):
            file.unlink()
        (run / "log.jsonl").write_text("")

    run = second_run(begun, name)
    shutil.rmtree(RUN)
    commands = (["export", f"tiny/{name}"], ["export", "tiny"], ["time", f"tiny/{name}"])
    lines = {trained.fails(3, *command) for command in commands}
    (line,) = lines
    assert f"{run} has no last.safetensors: its training did not get that far; `hdrbench" in line
    goes_on = shlex.split(line.split("`")[1])
    assert ("--seed" in goes_on) == (name == "seed-7")
    assert goes_on[:2] == ["hdrbench", "train"]
    done = trained.run(*goes_on[1:])
    assert done.returncode == 0, done.stderr
    assert model_file(f"tiny/{name}") == run / "last.safetensors"
    assert load_model(run).header.seed == (7 if name == "seed-7" else 0)


def test_a_run_that_was_stopped_has_a_model_and_its_recipe_none(trained: Workspace) -> None:
    from hdrnet_bench.model.file import save_model
    from hdrnet_bench.model.load import read_model

    model, header = read_model(LAST)
    save_model(LAST, model, header.model_copy(update={"step": 3}))
    assert model_file("tiny/seed-0") == LAST
    assert "was stopped at step 3 of 6" in trained.fails(3, "export", "tiny")
    second_run()
    line = trained.fails(3, "export", "tiny")
    assert "seed-0 was stopped at step 3 of 6" in line
    assert line.endswith("(and 1 more)")


WRONG = [
    ("tiny/seed0", "did you mean tiny/seed-0"),
    ("seed-0", "did you mean tiny/seed-0?"),
    ("runs/tiny/seed-1", "did you mean tiny/seed-0"),
    ("lest.safetensors", "did you mean last.safetensors"),
    ("demo-retuch", "did you mean demo-retouch"),
    ("demo-hdrpls", "did you mean demo-hdrplus"),
    ("zzzzzzzz", "known: demo-hdrplus, "),
    ("zzzzzzzz", ", last.safetensors, tiny/seed-0; on the Hub it would be OWNER/NAME"),
    ("", ", last.safetensors, tiny/seed-0;"),
    ("zz\0", ", last.safetensors, tiny/seed-0;"),
]


@pytest.mark.parametrize(("name", "says"), WRONG)
def test_a_wrong_name_is_told_what_is_near(trained: Workspace, name: str, says: str) -> None:
    shutil.copy(LAST, "last.safetensors")
    shutil.copy(LAST, ".tmp-last.safetensors")
    for command in (["export", name], ["enhance", name, "a.png", "b.png", "--dry-run"]):
        line = trained.fails(2, *command)
        assert " is neither a model file, a folder with one, a run, a recipe nor a pre" in line
        assert says in line
        assert ".tmp" not in line
    with pytest.raises(UsageError, match="neither a model file, ") as caught:
        load_model(name)
    assert says in str(caught.value)


def test_where_there_is_no_model_at_all(workspace: Workspace) -> None:
    assert "has no run yet" in workspace.fails(3, "export", "fivek-zeng-srgb")
    assert "has no run yet" in workspace.fails(3, "export", str(ROOT / "recipes/demo-retouch.yaml"))
    assert "there is no recipe file" in workspace.fails(2, "export", "zz.yaml")


def test_a_folder_without_a_model_says_what_is_in_it(trained: Workspace) -> None:
    line = trained.fails(3, "export", "runs/tiny")
    assert line.endswith(
        "runs/tiny has neither last.safetensors nor model.safetensors; there is "
        "runs/tiny/seed-0/last.safetensors"
    )
    shutil.copytree(RUN, "saved", ignore=shutil.ignore_patterns("last*", "recipe*", "state*"))
    with pytest.raises(DataError, match=r"saved has neither .*; there is saved/best\.safetensors$"):
        load_model("saved")
    assert trained.fails(3, "export", "data").endswith(
        "data has neither last.safetensors nor model.safetensors"
    )


def test_near_names_are_like_it_or_have_it_in_them() -> None:
    names = ["demo-retouch/seed-0", "identity"]
    assert near_names("identty", names) == ["identity"]
    assert near_names("seed", names) == ["demo-retouch/seed-0"]
    assert near_names("see", names) == ["demo-retouch/seed-0"]
    assert near_names("se", names) == []


def test_names_are_listed_up_to_thirty() -> None:
    names = [f"{n:02}" for n in range(31)]
    assert near_matches("zz", names[:30]) == f"known: {', '.join(names[:30])}"
    assert near_matches("zz", names) == f"known: {', '.join(names[:30])} and 1 more"


def test_a_file_is_timed_and_its_times_are_only_shown(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = []

    def time_model(model: object, *_: object, **__: object) -> str:
        timed.append(model)
        return "measured"

    monkeypatch.setattr("hdrnet_bench.timing.network.time_model", time_model)
    monkeypatch.setattr(time, "print_network", lambda measured, *_: timed.append(measured))
    for name in (str(LAST), "tiny/seed-0/last.safetensors"):
        done = trained.run("time", name, "--resolution", "64x48")
        assert done.returncode == 0, done.stderr
        assert f"model: model file {LAST}, SHA-256 " in done.stderr
    assert timed == [LAST, ["measured"]] * 2
    # So are those of any model that is no run of a recipe.
    load_model(LAST).save_pretrained("folder")
    pretrained = ROOT / "pretrained/demo-retouch/model.safetensors"
    for name, file in (("folder", Path("folder/model.safetensors")), ("demo-retouch", pretrained)):
        done = trained.run("time", name, "--resolution", "64x48")
        assert done.returncode == 0, done.stderr
        assert timed[-2:] == [file, ["measured"]]
        assert "only shown" in trained.fails(2, "time", name, "--save")
        assert "give a run, or --save" in trained.fails(2, "time", name, "--contribute")
    assert not Path("results").exists()
    assert "only shown" in trained.fails(2, "time", str(LAST), "--save")
    Path("text.safetensors").write_text("no model")
    assert "not a model file" in trained.fails(3, "time", "text.safetensors")
    assert "neither a model file" in trained.fails(2, "time", "zz.safetensors")
