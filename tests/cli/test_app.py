import json
import shutil
import subprocess
import sys

import pytest
import torch

from hdrnet_bench import __version__
from hdrnet_bench.images.files import write_png
from tests.conftest import Workspace, smooth_picture, write_recipe

COMMANDS = ("prepare", "verify", "train", "eval", "time", "report", "recipes", "doctor")


def test_help_of_every_command(workspace: Workspace) -> None:
    done = workspace.process("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert command in done.stdout


def test_help_and_version_are_quick_of_foot(workspace: Workspace) -> None:
    """Neither imports torch."""
    code = (
        "import sys; sys.argv = ['hdrbench', '--version']\n"
        "from hdrnet_bench.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == __version__


@pytest.mark.parametrize(
    ("code", "arguments", "says"),
    [
        (2, ["prepare", "fivekk"], "unknown source"),
        (2, ["prepare", "demo", "--protocol", "retuch"], "did you mean retouch"),
        (2, ["train", "demo-retuch"], "did you mean demo-retouch"),
        (2, ["train", "missing.yaml"], "there is no recipe file"),
        (3, ["train", "demo-retouch"], "run `hdrbench prepare demo --protocol retouch` first"),
        (3, ["eval"], "there is no finished run to evaluate"),
        (3, ["eval", "demo-retouch"], "has no run yet"),
        (2, ["eval", "demo-retuch"], "neither a run nor a recipe"),
        (2, ["eval", "--baseline", "identity"], "needs a recipe"),
        (3, ["time", "fivek-zeng-srgb"], "has no run yet"),
        (3, ["report"], "holds no result"),
        (2, ["recipes", "nothing"], "unknown recipe"),
        (3, ["verify", "nothing"], "is not prepared"),
    ],
)
def test_bad_input_gets_one_line_and_its_code(
    workspace: Workspace, code: int, arguments: list[str], says: str
) -> None:
    assert says in workspace.fails(code, *arguments)
    assert list(workspace.path.iterdir()) == []


def test_unknown_options_and_commands_are_usage(workspace: Workspace) -> None:
    for arguments in (["--nonsense"], ["nonsense"], ["train"], ["eval", "--split", "holdout"]):
        done = workspace.process(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_bad_recipes_are_refused_before_anything_is_written(tiny: Workspace) -> None:
    write_recipe(tiny.path / "bad.yaml", lambda r: r["training"].update(stepps=3))
    line = tiny.fails(2, "train", "bad.yaml")
    assert "bad.yaml: training.stepps: unknown key; did you mean steps" in line
    assert not (tiny.path / "runs").exists()


def test_a_picture_that_cannot_be_decoded_is_named(tiny: Workspace) -> None:
    broken = tiny.path / "data/demo-tiny/train/input/a.png"
    broken.write_bytes(broken.read_bytes()[:300])
    line = tiny.fails(3, "train", "tiny.yaml")
    assert "data/demo-tiny/train/input/a.png cannot be decoded" in line
    assert not (tiny.path / "runs/tiny/seed-0").exists()


def test_a_picture_of_another_size_is_named(tiny: Workspace) -> None:
    write_png(tiny.path / "data/demo-tiny/train/target/b.png", smooth_picture(0, 40, 40))
    line = tiny.fails(3, "train", "tiny.yaml")
    assert "b.png is 40x40, its row says 56x64" in line


def test_a_checkpoint_that_is_none_is_refused(trained: Workspace) -> None:
    (trained.path / "runs/tiny/seed-0/last.safetensors").write_bytes(b"not a checkpoint")
    for command in ("eval", "time"):
        assert "is not a model file" in trained.fails(3, command, "tiny")


def test_a_broken_run_directory_is_refused(trained: Workspace) -> None:
    assert "is not a run directory" in trained.fails(3, "eval", "data/demo-tiny")
    (trained.path / "runs/tiny/seed-0/last.safetensors").unlink()
    assert "did not get that far" in trained.fails(3, "eval", "tiny/seed-0")


def test_run_names_stay_in_their_place(tiny: Workspace) -> None:
    for name in ("../x", "a/b", ".hidden", ""):
        assert "use letters" in tiny.fails(2, "train", "tiny.yaml", f"--run={name}", "--dry-run")
    assert tiny.run("train", "tiny.yaml", "--run=v1.2_b", "--dry-run").returncode == 0


def test_only_a_run_is_overwritten(tiny: Workspace) -> None:
    photos = tiny.path / "runs/tiny/photos"
    photos.mkdir(parents=True)
    (photos / "holiday.jpg").write_bytes(b"x")
    message = tiny.fails(2, "train", "tiny.yaml", "--run", "photos", "--overwrite")
    assert "exists and is not a run directory" in message
    assert (photos / "holiday.jpg").exists()


def test_strange_arguments(tiny: Workspace) -> None:
    assert "neither a run nor a recipe" in tiny.fails(2, "eval", "a**b")
    assert "neither a run nor a recipe" in tiny.fails(2, "eval", "**")
    assert "megapixels" in tiny.fails(2, "time", "--resolution", "99999999x99999999")
    assert "name too long" in tiny.fails(3, "train", f"./{'x' * 300}.yaml").lower()
    assert "no protocol ''" in tiny.fails(2, "prepare", "demo", "--protocol", "")
    assert tiny.run("train", "tiny.yaml", "--seed", str(2**31)).returncode == 2


@pytest.mark.parametrize(
    ("blocked", "arguments"),
    [
        ("results", ["eval"]),
        ("results", ["time", "tiny", "--budget", "0"]),
        ("results/tiny", ["eval"]),
        ("elsewhere", ["prepare", "demo"]),
        ("elsewhere", ["train", "tiny.yaml", "--run", "x"]),
    ],
)
def test_a_file_where_a_folder_must_be_is_one_line(
    trained: Workspace, blocked: str, arguments: list[str]
) -> None:
    path = trained.path / blocked
    path.parent.mkdir(exist_ok=True)
    path.write_text("in the way")
    moved = "HDRBENCH_DATA" if arguments[0] == "prepare" else "HDRBENCH_RUNS"
    environment = {moved: "elsewhere"} if blocked == "elsewhere" else {}
    trained.fails(3, *arguments, env=environment)
    assert path.read_text() == "in the way"


def test_unfinished_runs_do_not_stop_the_others(trained: Workspace) -> None:
    runs = trained.path / "runs/tiny"
    shutil.copytree(runs / "seed-0", runs / "stopped")
    (runs / "stopped/last.safetensors").unlink()
    shutil.copytree(runs / "seed-0", runs / "broken")
    (runs / "broken/recipe.yaml").write_text("- no recipe")
    done = trained.run("eval", "--json")
    assert done.returncode == 0, done.stderr
    assert [r["method"]["run"] for r in json.loads(done.stdout)] == ["baseline", "seed-0"]
    skipped = [line for line in done.stderr.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) == 2
    assert "run's recipe is broken" in trained.fails(3, "eval", "tiny/broken")


def test_unfinished_runs_of_a_recipe_do_not_stop_its_others(trained: Workspace) -> None:
    runs = trained.path / "runs/tiny"
    shutil.copytree(runs / "seed-0", runs / "stopped")
    (runs / "stopped/last.safetensors").unlink()
    done = trained.run("eval", "tiny", "--json")
    assert [r["method"]["run"] for r in json.loads(done.stdout)] == ["baseline", "seed-0"]
    assert "skipped: runs/tiny/stopped has no last.safetensors" in done.stderr
    shutil.rmtree(runs / "seed-0")
    assert "did not get that far" in trained.fails(3, "eval", "tiny")


def test_a_changed_runs_results_go_by_its_name(trained: Workspace) -> None:
    """What --set changed has results of another name; RECIPE/RUN names the run all the same."""
    changed = ("--set", "training.steps=2", "--run", "short")
    assert trained.run("train", "tiny.yaml", *changed).returncode == 0
    trained.run("eval", "tiny/short")
    shown = trained.run("compare", "tiny/short", "identity")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("A: tiny-set-")


def test_a_model_of_an_unfinished_training_is_said_to_be_one(tiny: Workspace) -> None:
    from hdrnet_bench.model.file import save_model
    from hdrnet_bench.model.load import read_model

    tiny.run("train", "tiny.yaml")
    for steps, said in ((6, False), (9, True)):
        model, header = read_model(tiny.path / "runs/tiny/seed-0/last.safetensors")
        header = header.model_copy(update={"steps": steps})
        save_model(tiny.path / "m.safetensors", model, header)
        picture = "data/demo-tiny/test/input/d.png"
        done = tiny.run("enhance", "m.safetensors", picture, f"{steps}.png")
        assert done.returncode == 0, done.stderr
        assert ("of a training that stands at step 6 of 9" in done.stderr) == said


def test_an_edited_recipe_is_not_the_one_that_was_trained(trained: Workspace) -> None:
    path = trained.path / "runs/tiny/seed-0/recipe.yaml"
    path.write_text(path.read_text().replace("learning_rate: 0.003", "learning_rate: 0.3"))
    assert "is not the recipe that" in trained.fails(3, "eval", "tiny/seed-0")


def test_recipes_by_path_find_their_runs(trained: Workspace) -> None:
    for target in ("tiny.yaml", "./tiny.yaml", "tiny", "tiny/seed-0", "runs/tiny/seed-0"):
        results = trained.json("eval", target)
        assert [r["method"]["run"] for r in results] == ["baseline", "seed-0"]


def test_a_model_that_yields_no_numbers_is_refused(trained: Workspace) -> None:
    from hdrnet_bench.model.file import save_model
    from hdrnet_bench.model.load import read_model

    path = trained.path / "runs/tiny/seed-0/last.safetensors"
    model, header = read_model(path)
    with torch.no_grad():
        next(model.parameters()).fill_(1e38)
    save_model(path, model, header)
    assert "output for d is not finite" in trained.fails(3, "eval", "tiny/seed-0")


def test_a_broken_log_stops_before_measuring(trained: Workspace) -> None:
    log = trained.path / "runs/tiny/seed-0/log.jsonl"
    for content in (b"", b"\xff\xfe", b'{"step": 1}\n', b"[1]\n"):
        log.write_bytes(content)
        assert "not a whole training log" in trained.fails(3, "eval", "tiny/seed-0")
    assert not (trained.path / "results/tiny/hdrnet-curves").exists()


def test_prepare_reports_and_dry_runs(workspace: Workspace) -> None:
    plan = workspace.json("prepare", "demo", "--dry-run")
    assert plan["pairs"] == {"train": 6, "validation": 1, "test": 6}
    assert plan["would prepare"] is True
    assert list(workspace.path.iterdir()) == []


def test_recipes_and_protocols_as_json(workspace: Workspace) -> None:
    listed = {row["recipe"]: row for row in workspace.json("recipes")}
    assert {"demo-retouch", "demo-local-laplacian"} <= listed.keys()
    one = workspace.json("recipes", "demo-retouch")
    assert one["dataset"] == {"source": "demo", "protocol": "retouch"}
    protocols = {
        (row["source"], row["protocol"]) for row in workspace.json("recipes", "--protocols")
    }
    assert {("demo", "retouch"), ("demo", "local-laplacian")} <= protocols
    shown = workspace.run("recipes", "demo-retouch").stdout
    assert "# data: hdrbench prepare demo --protocol retouch" in shown


def test_environment_moves_data_runs_and_results(tiny: Workspace) -> None:
    (tiny.path / "data").rename(tiny.path / "elsewhere")
    places = {"HDRBENCH_DATA": "elsewhere", "HDRBENCH_RUNS": "r", "HDRBENCH_RESULTS": "s"}
    for arguments in (["train", "tiny.yaml"], ["eval"], ["report"]):
        done = tiny.run(*arguments, env=places)
        assert done.returncode == 0, done.stderr
    assert (tiny.path / "r/tiny/seed-0/last.safetensors").exists()
    assert (tiny.path / "s/report.html").exists()
    assert not (tiny.path / "results").exists()


def test_data_goes_to_stdout_and_progress_to_stderr(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdrnet_bench.cli.progress.INTERVAL_S", 0.0)
    done = trained.run("eval", "--json")
    json.loads(done.stdout)
    assert "eval tiny" in done.stderr
    quiet = trained.run("eval", "--json", "--quiet", "--overwrite")
    assert json.loads(quiet.stdout)
    assert "eval tiny" not in quiet.stderr


def test_a_closed_pipe_is_no_error(workspace: Workspace) -> None:
    command = f"{sys.executable} -m hdrnet_bench recipes demo-retouch | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("name: demo-retouch")
    assert "Traceback" not in done.stderr
