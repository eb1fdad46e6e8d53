"""What the shell completes, asked as bash, zsh and fish ask."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from hdrnet_bench.cli import completion
from hdrnet_bench.recipe import SECTIONS, recipe_paths
from tests.conftest import ROOT, Workspace, clean_environment


def asked(workspace: Workspace, shell: str, *words: str) -> list[str]:
    """The program's answers to a shell, of which the last word is to be completed."""
    line = " ".join(["hdrbench", *words])
    environment = clean_environment() | {"_HDRBENCH_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        environment |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    else:
        environment |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    code = "import sys; sys.argv = ['hdrbench']; from hdrnet_bench.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment, cwd=workspace.path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_given_names_of_recipes(workspace: Workspace, shell: str) -> None:
    answer = " ".join(asked(workspace, shell, "train", "demo-ret"))
    for name in ("demo-retouch", "demo-retouch-pointwise", "demo-retouch-pyramid"):
        assert name in answer
    assert "fivek" not in answer
    assert "hdrplus" not in answer


def test_bash_is_given_runs_datasets_protocols_and_options(trained: Workspace) -> None:
    assert asked(trained, "bash", "eval", "ti") == ["tiny", "tiny/seed-0"]
    assert asked(trained, "bash", "enhance", "tiny/") == ["tiny/seed-0"]
    assert asked(trained, "bash", "push", "demo-l") == ["demo-local-laplacian"]
    assert asked(trained, "bash", "verify", "") == ["demo-tiny"]
    assert asked(trained, "bash", "train", "x", "--dataset", "") == ["demo-tiny"]
    assert asked(trained, "bash", "protocols", "zeng-s") == ["zeng-srgb"]
    assert asked(trained, "bash", "prepare", "fi") == ["fivek"]
    assert asked(trained, "bash", "pre") == ["prepare"]
    assert "--resume" in asked(trained, "bash", "train", "--r")


def test_what_is_completed_is_what_there_is(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert completion.recipes() == sorted(recipe_paths())
    assert completion.recipes_or_new() == [*completion.recipes(), "new"]
    assert "training.steps" in completion.recipe_keys()
    assert len(completion.recipe_keys()) == sum(len(m.model_fields) for m in SECTIONS.values())
    assert completion.runs() == ["tiny/seed-0"]
    shipped = set(yaml.safe_load((ROOT / "pretrained/models.yaml").read_text())["models"])
    assert completion.models() == sorted({"tiny", "tiny/seed-0", *shipped})
    shutil.copytree(trained.path / "runs/tiny/seed-0", trained.path / "runs/tiny/.seed-1.begun")
    assert completion.runs() == ["tiny/seed-0"]
    assert completion.results() == []
    trained.run("eval", "--size", "full")
    assert completion.results() == [
        "hdrnet-curves", "identity", "tiny/baseline", "tiny/hdrnet-curves", "tiny/identity",
        "tiny/seed-0",
    ]  # fmt: skip
    monkeypatch.setenv("HDRBENCH_RUNS", "elsewhere")
    assert completion.runs() == []


def test_nothing_is_completed_where_something_is_broken(workspace: Workspace) -> None:
    """An error would be printed into the line that is being typed."""
    folder = workspace.path / "recipes/protocols/fivek"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("[broken")
    assert completion.protocols() == []
    (workspace.path / "pretrained").mkdir()
    (workspace.path / "pretrained/models.yaml").write_text("[broken")
    assert completion.models() == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_real_bash_completes(trained: Workspace) -> None:
    folder = trained.path / "bin"
    folder.mkdir()
    program = folder / "hdrbench"
    program.write_text(f"#!{sys.executable}\nfrom hdrnet_bench.cli import main\nmain()\n")
    program.chmod(0o755)
    script = (
        "source <(_HDRBENCH_COMPLETE=source_bash hdrbench)\n"
        "complete -p hdrbench\n"
        "COMP_WORDS=(hdrbench eval tiny/); COMP_CWORD=2\n"
        '_hdrbench_completion hdrbench; echo "${COMPREPLY[@]}"\n'
    )
    environment = clean_environment() | {"PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=trained.path, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "tiny/seed-0", done
    assert done.stderr == ""
