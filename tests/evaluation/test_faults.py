"""Evaluations that are killed, stopped, started twice, without room, or given what a stranger made:
what was measured stays, and what is refused is named."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hdrnet_bench import files
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.errors import StorageError, UsageError
from hdrnet_bench.evaluation import measure
from hdrnet_bench.evaluation.job import baseline_job, dataset_spec, predictions_job
from hdrnet_bench.evaluation.partial_rows import PartialRows
from hdrnet_bench.images.files import read_picture, write_png
from hdrnet_bench.locks import locked
from tests.conftest import Workspace, clean_environment
from tests.evaluation.test_measure import MANY, PICTURES, begin
from tests.running import start

Record = Callable[[str, object], None]
IDENTITY = ("eval", "./tiny.yaml", "--baseline", "identity")
FOLDER = Path("results/tiny/identity/baseline")


def contents_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.fault("signals")
def test_a_stopped_evaluation_says_what_it_keeps_and_one_that_waits_goes_on(
    tiny: Workspace, record_property: Record
) -> None:
    record_property("faults", 2)
    command, (process, folder) = MANY, begin(tiny)
    partial = folder / ".eval-test-full.partial.jsonl"
    os.killpg(process.pid, signal.SIGSTOP)  # until another one waits
    second = start(tiny.path, *command, "--json")
    assert second.stderr is not None
    assert "another process is evaluating tiny-on-demo-many: oracle" in second.stderr.readline()
    os.killpg(second.pid, signal.SIGSTOP)
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in said
    rows = partial.read_text().splitlines()[1:]
    assert 2 <= len(rows) < PICTURES
    assert f"{len(rows)} of {PICTURES} pictures of tiny-on-demo-many: oracle" in " ".join(
        said.split()
    )
    assert "the same command goes on" in " ".join(said.split())
    assert {path.name for path in folder.iterdir()} == {partial.name}
    # What is there is taken over: a row says so.
    marked = [json.dumps(json.loads(rows[0]) | {"psnr": 12.5}), *rows[1:]]
    partial.write_text("".join(f"{line}\n" for line in [partial.read_text().split()[0], *marked]))
    os.killpg(second.pid, signal.SIGCONT)
    result, said = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert [row["psnr"] for row in json.loads(result)[0]["rows"]][: len(rows)] == [
        json.loads(row)["psnr"] for row in marked
    ]
    assert {path.name for path in folder.iterdir()} == {
        "eval-test-full.json", "eval-test-full.csv", "pictures"}  # fmt: skip


@pytest.mark.fault("several at once")
def test_two_runs_evaluated_at_once_share_the_identity(
    trained: Workspace, record_property: Record
) -> None:
    record_property("faults", 2)
    done = trained.run("train", "./tiny.yaml", "--seed", "1")
    assert done.returncode == 0, done.stderr
    with locked(trained.path / FOLDER / ".eval-test-full.lock", "a test"):
        processes = [start(trained.path, "eval", f"tiny/seed-{n}", "--json") for n in (0, 1)]
        for process in processes:
            assert process.stderr is not None
            said = process.stderr.readline()
            assert "another process is evaluating tiny: identity, baseline, full" in said
            assert "waiting for its end" in said
    for process in processes:
        content, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        assert [r["method"]["name"] for r in json.loads(content)] == ["identity", "hdrnet-curves"]
    assert {path.name for path in (trained.path / FOLDER).iterdir()} == {
        "eval-test-full.json", "eval-test-full.csv"}  # fmt: skip


@pytest.mark.fault("several at once")
def test_what_another_one_has_just_measured_is_taken(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = dataset_spec(Dataset(tiny.path / "data/demo-tiny"), "test")
    job = baseline_job(spec, "identity")
    with monkeypatch.context() as patched:
        patched.chdir(tiny.path)
        first = measure.evaluate_job(job)
        scored: list[str] = []
        score_pair = measure.score_pair
        patched.setattr(
            measure,
            "score_pair",
            lambda *args: (scored.append(args[1].row.id), score_pair(*args))[1],
        )
        assert measure.evaluate_job(job) == first
        assert scored == []
        measure.evaluate_job(job, overwrite=True)
        assert scored == ["d", "e"]


@pytest.mark.fault("several at once")
def test_other_pictures_of_one_name_are_not_replaced_by_one_that_waited(tiny: Workspace) -> None:
    """Both jobs were made before either had a result."""
    dataset = Dataset(tiny.path / "data/demo-tiny")
    spec = dataset_spec(dataset, "test")
    jobs = []
    for kind in ("input", "target"):
        folder = tiny.path / "data/demo-tiny/test" / kind
        jobs.append(predictions_job(spec, folder, "other", "full", False))
    with contextlib.chdir(tiny.path):
        first = measure.evaluate_job(jobs[0])
        with pytest.raises(UsageError, match="the result of other pictures named other"):
            measure.evaluate_job(jobs[1])
        assert measure.evaluate_job(jobs[0]) == first
        assert measure.evaluate_job(jobs[1], overwrite=True).method == jobs[1].method


@pytest.mark.fault("I/O errors")
def test_a_prediction_that_was_changed_since_it_was_paired(tiny: Workspace) -> None:
    folder = tiny.path / "theirs"
    shutil.copytree(tiny.path / "data/demo-tiny/test/input", folder)
    spec = dataset_spec(Dataset(tiny.path / "data/demo-tiny"), "test")
    with contextlib.chdir(tiny.path):
        job = predictions_job(spec, folder, "other", "full", False)
        write_png(folder / "e.png", 255 - read_picture(folder / "e.png").pixels)  # the same size
        with pytest.raises(StorageError, match=r"theirs/e\.png was changed since"):
            measure.evaluate_job(job)
        assert not job.path.exists()
        job = predictions_job(spec, folder, "other", "full", False)
        assert len(measure.evaluate_job(job).rows) == 2


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize("name", ["eval-test-full.csv", "eval-test-full.json", "d-target.webp"])
def test_a_name_that_cannot_be_given_leaves_the_old_result(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tiny.json(*IDENTITY)
    result = tiny.path / FOLDER / "eval-test-full.json"
    old, names = result.read_bytes(), set(contents_of(tiny.path / "results"))
    rename = Path.replace

    def broken(path: Path, target: Path) -> Path:
        # Its own, not the one that was moved aside on its way back.
        if Path(target).name == name and ".tmp-" in path.name:
            raise OSError(5, "Input/output error")
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", broken)
        said = tiny.fails(3, *IDENTITY, "--overwrite")
    assert "cannot be written to: Input/output error; what was measured is kept" in said
    assert result.read_bytes() == old
    assert not list(result.parent.glob(".*before"))
    tiny.json(*IDENTITY, "--overwrite")
    assert set(contents_of(tiny.path / "results")) == names


@pytest.mark.fault("kills")
def test_an_evaluation_killed_while_it_replaces_a_result(
    tiny: Workspace, record_property: Record
) -> None:
    tiny.json(*IDENTITY)
    results = tiny.path / "results"
    before = contents_of(results)
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from hdrnet_bench.cli.app import main\n"
        "rename, at = Path.replace, int(sys.argv.pop(1))\n"
        "def replace(path, target):\n"
        "    global at\n"
        "    if '.tmp-' not in Path(target).name:\n"
        "        at -= 1\n"
        "        if at < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return rename(path, target)\n"
        "Path.replace = replace\n"
        "main()\n"
    )
    # As the old result was moved aside, in the middle of the pictures, and the result's own.
    moments = (2, 5, 8)
    record_property("faults", len(moments))
    for at in moments:
        killed = subprocess.run(
            [sys.executable, "-c", code, str(at), *IDENTITY, "--overwrite"], cwd=tiny.path,
            env=clean_environment(), capture_output=True, check=False,
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not (tiny.path / FOLDER / "eval-test-full.json").exists()
        (result,) = tiny.json(*IDENTITY)
        after = contents_of(results)
        assert set(after) == set(before), "nothing half-written stays"
        old = before["tiny/identity/baseline/eval-test-full.json"]
        assert result["rows"] == json.loads(old)["rows"]


@pytest.mark.fault("full disks")
@pytest.mark.parametrize("size", [10, 200, 1500])
def test_a_full_disk_keeps_the_old_result(tiny: Workspace, size: int) -> None:
    """Of the rows, and of the pictures: nothing of the old result has gone until all is written."""
    tiny.json(*IDENTITY)
    before = contents_of(tiny.path / "results")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        said = tiny.fails(3, *IDENTITY, "--overwrite")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "kept, and the same command goes on" in said
    assert str(FOLDER) in said
    after = contents_of(tiny.path / "results")
    after.pop("tiny/identity/baseline/.eval-test-full.partial.jsonl", None)
    assert after == before
    tiny.json(*IDENTITY, "--overwrite")
    assert set(contents_of(tiny.path / "results")) == set(before)


@pytest.mark.fault("full disks")
def test_pictures_that_no_disk_takes_cost_no_result(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.json(*IDENTITY)
    pictures = list((tiny.path / "results/pictures").rglob("*.webp"))
    before = contents_of(tiny.path / FOLDER)
    for path in pictures:
        path.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(measure, "write_gallery", _no_space)
        said = tiny.fails(3, *IDENTITY)
    assert "cannot be written to: No space left on device" in said
    assert contents_of(tiny.path / "results") == {
        f"tiny/identity/baseline/{name}": content for name, content in before.items()
    }
    tiny.json(*IDENTITY)
    assert all(path.exists() for path in pictures)


def _no_space(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize("name", ["eval-test-full.json", ".eval-test-full.partial.jsonl"])
def test_what_cannot_be_read_is_not_given_up(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tiny.json(*IDENTITY)
    path = tiny.path / FOLDER / name
    # So that one that was made anew would differ.
    path.write_text(path.read_text() + "\n" if path.exists() else "rows")
    before = contents_of(tiny.path / FOLDER)
    read = files.open_regular

    def broken(opened: Path) -> Any:
        if Path(opened).name == name:
            raise OSError(5, "Input/output error")
        return read(opened)

    monkeypatch.setattr(files, "open_regular", broken)
    again = () if name.endswith("full.json") else ("--overwrite",)
    said = tiny.fails(3, *IDENTITY, *again)
    assert f"{name} cannot be read: Input/output error" in said
    assert contents_of(tiny.path / FOLDER) == before


@pytest.mark.fault("hostile results")
@pytest.mark.parametrize("kind", ["deep", "pipe", "binary", "huge", "a line end in a text"])
def test_rows_on_their_way_are_ours_or_made_again(tmp_path: Path, kind: str) -> None:
    result = tmp_path / "eval-test-full.json"
    licence = "CC0-1.0 \u2028 and more \x85 and \x0b more"
    row = {"id": "a", "width": 2, "height": 3, "licence": licence, "psnr": 1.0}
    rows = PartialRows(result, "one", ["psnr"])
    rows.add(row)
    if kind == "deep":
        with rows.path.open("a") as stream:
            stream.write("[" * 100_000)
    elif kind == "pipe":
        rows.path.unlink()
        os.mkfifo(rows.path)
    elif kind == "binary":
        rows.path.write_bytes(b"\xff\x00")
    elif kind == "huge":
        with rows.path.open("r+b") as stream:
            stream.truncate(10**12)
    kept = {"a": row} if kind in ("deep", "a line end in a text") else {}
    assert PartialRows(result, "one", ["psnr"]).rows == kept
    assert PartialRows(result, "one", ["psnr"]).rows == kept, "they were written again"


@pytest.mark.fault("hostile datasets")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "../../../escaped"),
        ("id", "e"),
        ("id", "a" * 300),
        ("id", "two | words"),
        ("id", ""),
        ("licence", "\ud800"),
    ],
    ids=["elsewhere", "twice", "long", "words", "empty", "half a character"],
)
def test_rows_that_no_result_could_hold_are_named_first(
    tiny: Workspace, key: str, value: str
) -> None:
    rows = tiny.path / "data/demo-tiny/test/metadata.jsonl"
    first, *rest = rows.read_text().splitlines()
    rows.write_text("\n".join([json.dumps(json.loads(first) | {key: value}), *rest]) + "\n")
    for how in (IDENTITY, ("eval", "--baseline", "identity", "--dataset", "demo-tiny")):
        said = tiny.fails(3, *how)
        assert "demo-tiny" in said
    assert not (tiny.path / "results").exists()


@pytest.mark.fault("hostile datasets")
@pytest.mark.parametrize("name", ["../../elsewhere", "two words", ""])
def test_a_dataset_whose_name_no_result_could_have(tiny: Workspace, name: str) -> None:
    header = tiny.path / "data/demo-tiny/dataset.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"name": name}))
    tiny.fails(3, "eval", "--baseline", "identity", "--dataset", "demo-tiny")
    assert not (tiny.path / "results").exists()


@pytest.mark.fault("names and texts")
def test_a_licence_is_no_formula(tiny: Workspace) -> None:
    rows = tiny.path / "data/demo-tiny/test/metadata.jsonl"
    licence = "=cmd|'/C calc'!A0\u202e"
    lines = [json.loads(line) | {"licence": licence} for line in rows.read_text().splitlines()]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (result,) = tiny.json(*IDENTITY)
    assert {row["licence"] for row in result["rows"]} == {licence}
    text = (tiny.path / FOLDER / "eval-test-full.csv").read_text()
    assert text.count(",'=cmd") == 2
    assert "\u202e" not in text


@pytest.mark.fault("hostile results")
def test_a_log_that_is_none_is_named(trained: Workspace, record_property: Record) -> None:
    log = trained.path / "runs/tiny/seed-0/log.jsonl"
    lines = log.read_text().splitlines()
    row = json.loads(lines[0])
    broken = [
        b"\xff\xfe\x00", b"", b"[" * 100_000, b"[1]", b"1\n2", b"{}", b'{"step": 1}',
        json.dumps(row | {"loss": "=cmd|x"}).encode(), json.dumps(row | {"psnr": []}).encode(),
        json.dumps(row | {"step": 10**400}).encode(),
    ]  # fmt: skip
    record_property("faults", len(broken) + 3)
    for content in broken:
        log.write_bytes(content)
        assert "log.jsonl is not a whole training log" in trained.fails(3, "eval", "tiny/seed-0")
    with log.open("wb") as stream:
        stream.truncate(10**12)
    assert "log.jsonl has over" in trained.fails(3, "eval", "tiny/seed-0")
    log.unlink()
    assert "log.jsonl is missing" in trained.fails(3, "eval", "tiny/seed-0")
    os.mkfifo(log)
    assert "log.jsonl is not a regular file" in trained.fails(3, "eval", "tiny/seed-0")


@pytest.mark.fault("names and texts")
def test_a_run_whose_name_no_result_could_have(trained: Workspace) -> None:
    run = trained.path / "runs/tiny/seed-0"
    run.rename(run.with_name("two words"))
    assert "a result is named by its run" in trained.fails(2, "eval", "runs/tiny/two words")
