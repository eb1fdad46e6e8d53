"""A report replaces and removes what it wrote and nothing else; whole, or not at all."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hdrnet_bench import stopping
from hdrnet_bench.errors import DataError, StorageError, UsageError
from hdrnet_bench.files import json_text, read_json, sha256_file
from hdrnet_bench.locks import locked
from hdrnet_bench.report import LOCK, build_report, outdated, written
from tests.conftest import ROOT, Workspace, clean_environment
from tests.report.fixtures import made_up

Record = Callable[[str, object], None]
# Tables alone, which are made in no time.
OWN = {"README.md", "report.html", "report.json", "tables/kernels-cpu-made-up.csv",
       "tables/kernels-cpu-made-up.tex", "tables/where.csv", "tables/where.tex"}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "results"
    made_up.kernels(path)
    return path


def another(root: Path, number: int = 1) -> Path:
    """A result that changes every page and the table of what ran where; its path."""
    path = made_up.kernels(root, slug=f"cpu-number-{number}")
    content = read_json(path)
    content["environment"]["load"] = number
    path.write_text(json_text(content))
    return path


def files_of(root: Path) -> dict[str, bytes]:
    """Every file below a folder, of hidden ones too."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() or path.is_symlink()
    }


def test_the_manifest_lists_what_was_written(root: Path) -> None:
    assert {str(path.relative_to(root)) for path in build_report(root).files} == OWN
    listed = read_json(root / "report.json")["files"]
    assert listed == {name: sha256_file(root / name) for name in OWN - {"report.json"}}


def test_everything_in_the_committed_report_is_listed() -> None:
    listed = read_json(ROOT / "results/report.json")["files"]
    there = {
        str(path.relative_to(ROOT / "results"))
        for folder in ("figures", "tables")
        for path in (ROOT / "results" / folder).iterdir()
    }
    assert {name for name in listed if name.startswith(("figures/", "tables/"))} == there
    assert listed == {name: sha256_file(ROOT / "results" / name) for name in listed}


@pytest.mark.fault("full disks")
def test_nothing_is_written_where_nothing_changed(root: Path) -> None:
    build_report(root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    with limit_on_files(1):
        build_report(root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize("name", ["README.md", "report.html", "tables/where.csv"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_what_no_report_wrote_is_not_replaced(root: Path, name: str, dry_run: bool) -> None:
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    before = files_of(root)
    said = (
        rf"changed since: {path}; nothing was written.*--overwrite` \(needed once where a version"
    )
    with pytest.raises(UsageError, match=said):
        build_report(root, dry_run=dry_run)
    assert files_of(root) == before
    report = build_report(root, dry_run=dry_run, overwrite=True)
    assert report.replaced == [path]
    assert (path.read_text() == "mine") is dry_run


def test_what_was_changed_since_is_not_replaced(root: Path) -> None:
    build_report(root)
    path = root / "README.md"
    path.write_text(path.read_text() + "\nMy own remarks.\n")
    made_up.kernels(root, slug="cpu-another")
    with pytest.raises(UsageError, match=r"changed since.*--overwrite`$"):
        build_report(root)
    assert path.read_text().endswith("My own remarks.\n")


def test_what_is_as_it_would_be_written_is_adopted(root: Path) -> None:
    build_report(root)
    (root / "report.json").unlink()
    assert outdated(root) == ["report.json"]
    assert build_report(root).replaced == []
    assert outdated(root) == []


def test_other_files_stay_and_say_nothing(root: Path) -> None:
    build_report(root)
    for name in ("figures/holiday.jpg", "tables/theirs.csv", "figures/mine.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"mine")
    assert outdated(root) == []
    build_report(root)
    assert {name for name, content in files_of(root).items() if content == b"mine"} == {
        "figures/holiday.jpg", "tables/theirs.csv", "figures/mine.png"}  # fmt: skip


def test_a_file_of_a_result_that_is_gone_goes_unless_it_was_changed(
    root: Path, workspace: Workspace
) -> None:
    another = made_up.kernels(root, slug="cpu-another")
    build_report(root)
    another.unlink()
    kept = root / "tables/kernels-cpu-another.csv"
    kept.write_text("mine")
    planned = workspace.run("report", "--dry-run")
    assert "would remove results/tables/kernels-cpu-another.tex" in planned.stdout
    assert kept.exists()
    assert (root / "tables/kernels-cpu-another.tex").exists()
    done = workspace.run("report")
    assert done.returncode == 0
    assert (
        "results/tables/kernels-cpu-another.csv is of the last report, not of this one"
        in done.stderr
    )
    assert kept.read_text() == "mine"
    assert not (root / "tables/kernels-cpu-another.tex").exists()
    assert outdated(root) == []
    assert workspace.json("report")["left"] == []


def test_a_private_page_stays_until_it_is_asked_for_again(root: Path) -> None:
    build_report(root, private=True)
    before = (root / "report-private.html").read_bytes()
    another(root)
    assert build_report(root).removed == []
    assert (root / "report-private.html").read_bytes() == before
    assert outdated(root) == []
    build_report(root, private=True)
    assert (root / "report-private.html").read_bytes() != before
    (root / "report-private.html").unlink()
    build_report(root)
    assert not (root / "report-private.json").exists()


def test_what_is_listed_does_not_tell_of_a_private_page(root: Path) -> None:
    """report.json goes where the results go, the private page nowhere."""
    made_up.evaluation(root, licence="LicenseAdobe")
    build_report(root)
    before = files_of(root)
    report = build_report(root, private=True)
    private = {"report-private.html", "report-private.json"}
    assert {path.name for path in report.files} >= private
    assert {name: content for name, content in files_of(root).items() if name not in private} == (
        before
    )
    listed = read_json(root / "report-private.json")["files"]
    assert listed == {"report-private.html": sha256_file(root / "report-private.html")}
    assert outdated(root) == []
    # As on a clean clone, which has neither.
    for name in private:
        (root / name).unlink()
    assert outdated(root) == []


def test_a_private_page_that_no_report_wrote_is_not_replaced(root: Path) -> None:
    page = root / "report-private.html"
    page.write_text("mine")
    build_report(root)
    with pytest.raises(UsageError, match=r"report-private\.html; nothing was written"):
        build_report(root, private=True)
    assert page.read_text() == "mine"
    build_report(root, private=True, overwrite=True)
    another(root)
    assert build_report(root, private=True).replaced == []
    page.write_text(page.read_text() + "mine")
    with pytest.raises(UsageError, match=r"report-private\.html; nothing was written"):
        build_report(root, private=True)
    (root / "report-private.json").write_text('{"files": {"README.md": "mine"}}')
    with pytest.raises(DataError, match=r"report-private\.json is no list of a report's files"):
        build_report(root)


@pytest.mark.parametrize("private", [False, True])
def test_what_an_older_version_made_and_listed_is_known(root: Path, private: bool) -> None:
    """One list for all, figures also as PNG, sheets as JPEG."""
    build_report(root, private=True)
    (root / "report-private.json").unlink()
    listed = read_json(root / "report.json")
    (root / "figures").mkdir()
    for name in ("figures/comparison-a.jpg", "figures/time-a.png", "figures/time-b.png"):
        (root / name).write_bytes(b"of the last report")
        listed["files"][name] = sha256_file(root / name)
    listed["files"]["report-private.html"] = sha256_file(root / "report-private.html")
    (root / "report.json").write_text(json_text(listed))
    (root / "figures/time-b.png").write_bytes(b"changed since")
    another(root)
    report = build_report(root, private=private)
    assert {path.name for path in report.removed} == {"comparison-a.jpg", "time-a.png"}
    assert [path.name for path in report.left] == ["time-b.png"]
    assert list(read_json(root / "report-private.json")["files"]) == ["report-private.html"]
    assert "report-private.html" not in read_json(root / "report.json")["files"]
    assert build_report(root, private=True).replaced == []


def test_folders_that_lie_elsewhere_are_refused(root: Path, workspace: Workspace) -> None:
    photographs = workspace.path / "photographs"
    photographs.mkdir()
    (photographs / "where.csv").write_text("mine")
    for name in ("figures", "tables"):
        (root / name).symlink_to(photographs)
        for more in ((), ("--dry-run",), ("--overwrite",)):
            said = workspace.fails(2, "report", *more)
            assert f"results/{name} is a link to another folder" in said
        (root / name).unlink()
    assert files_of(photographs) == {"where.csv": b"mine"}
    (root / "figures").write_text("a file")
    assert "is a file, where a report has a folder" in workspace.fails(2, "report")


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_not_replaced(root: Path, tmp_path: Path, kind: str) -> None:
    build_report(root)
    path, elsewhere = root / "README.md", tmp_path / "elsewhere.md"
    path.rename(elsewhere)
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(UsageError, match=r"README\.md"):
        build_report(root)
    assert ("README.md" in outdated(root)) is (kind != "link")


def test_a_page_with_tables_keeps_its_link_and_its_line_ends(root: Path, tmp_path: Path) -> None:
    page, link = tmp_path / "page.md", tmp_path / "link.md"
    page.write_bytes(b"# Mine\r\n<!-- results -->old<!-- /results -->\r\nafter\r\n")
    link.symlink_to(page)
    build_report(root, link)
    assert link.is_symlink()
    content = page.read_bytes()
    assert content.startswith(b"# Mine\r\n<!-- results -->")
    assert content.endswith(b"<!-- /results -->\r\nafter\r\n")
    (root / "README.md").write_bytes(content)
    with pytest.raises(UsageError, match="--insert needs another"):
        build_report(root, root / "README.md")


@contextlib.contextmanager
def limit_on_files(size: int) -> Iterator[None]:
    """No file may grow above so many bytes: what a full disk does, to this process alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.fault("full disks")
@pytest.mark.parametrize("size", [1, 1000, 10_000])
def test_a_full_disk_leaves_the_last_report(root: Path, size: int) -> None:
    build_report(root)
    another(root)
    before = files_of(root)
    with limit_on_files(size), pytest.raises(StorageError, match="the report was not changed"):
        build_report(root)
    assert files_of(root) == before
    build_report(root)
    assert outdated(root) == []


@pytest.mark.fault("I/O errors")
def test_a_file_that_cannot_be_read_is_not_taken_for_another(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_report(root)
    before = files_of(root)

    def broken(path: Path) -> object:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(written, "open_regular", broken)
    with pytest.raises(StorageError, match="cannot be read: Input/output error"):
        build_report(root, overwrite=True)
    assert files_of(root) == before


@pytest.mark.fault("kills")
def test_a_report_that_is_killed_in_the_middle_is_known_to_the_next(
    root: Path, record_property: Record
) -> None:
    """Each rename is one at which it is killed, twice in a row; each time the results are other
    ones again."""
    build_report(root, private=True)
    kills = 0
    while True:
        path = another(root, 3 * kills)
        if not _killed_at(root, kills):
            break
        path.unlink()
        path = another(root, 3 * kills + 1)
        assert _killed_at(root, kills)
        kills += 1
        path.unlink()
        path = another(root, 3 * kills + 2)
        build_report(root)
        build_report(root, private=True)
        assert outdated(root) == []
        assert not [name for name in files_of(root) if ".tmp-" in name]
        path.unlink()
    assert kills >= 8
    record_property("faults", 2 * kills)
    build_report(root)
    assert outdated(root) == []


def _killed_at(root: Path, renames: int) -> bool:
    """Build a report in a process that is killed at one of its renames; whether it got there."""
    child = os.fork()
    if child == 0:
        rename, count = Path.replace, 0

        def replace(path: Path, target: Path) -> Path:
            nonlocal count
            if count == renames:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return rename(path, target)

        try:
            Path.replace = replace  # type: ignore[method-assign,assignment]
            build_report(root, private=True)
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


@pytest.mark.fault("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_report_that_is_stopped_leaves_the_last_one(root: Path, number: int) -> None:
    build_report(root)
    made_up.timing(root)
    before = files_of(root)
    process = subprocess.Popen(
        [sys.executable, "-m", "hdrnet_bench", "report"], cwd=root.parent,
        env=clean_environment(), stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (root / LOCK).exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    assert "the report was not changed" in said
    assert files_of(root) == before


@pytest.mark.fault("signals")
def test_a_report_that_is_stopped_while_it_is_moved_is_whole(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_report(root)
    another(root)
    write_manifest, handlers = written._write_manifest, {}

    def stopped_here(*arguments: object) -> None:
        write_manifest(*arguments)  # type: ignore[arg-type]
        if not handlers["sent"]:
            handlers["sent"] = os.getpid()
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(written, "_write_manifest", stopped_here)
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    handlers["sent"] = 0
    stopping.raise_when_asked_to_stop()
    try:
        with pytest.raises(stopping.Stopped) as stop:
            build_report(root)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert stop.value.__notes__ == ["the report is written"]
    assert outdated(root) == []


@pytest.mark.fault("signals")
def test_a_report_that_is_stopped_just_after_it_was_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = written.write

    def stopped_behind(*arguments: Any) -> None:
        write(*arguments)
        raise stopping.Stopped(signal.SIGTERM)

    monkeypatch.setattr(written, "write", stopped_behind)
    with pytest.raises(stopping.Stopped) as stop:
        build_report(root)
    assert stop.value.__notes__ == ["the report is written"]
    assert outdated(root) == []
    with pytest.raises(stopping.Stopped) as stop:
        build_report(root)
    assert stop.value.__notes__ == ["the report was not changed"], "there was nothing to do"


@pytest.mark.fault("several at once")
def test_three_reports_in_one_folder(root: Path, record_property: Record) -> None:
    record_property("faults", 3)
    with locked(root / LOCK, "a test"):
        command = [sys.executable, "-m", "hdrnet_bench", "report"]
        processes = [
            subprocess.Popen(command, cwd=root.parent, env=clean_environment(),
                             stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
            for _ in range(3)
        ]  # fmt: skip
        for process in processes:
            assert process.stderr is not None
            assert "another process is writing the report" in process.stderr.readline()
        assert set(files_of(root)) == {"kernels-cpu-made-up.json", LOCK}
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert set(files_of(root)) == {*OWN, "kernels-cpu-made-up.json"}
    assert outdated(root) == []


def test_a_nonsense_backend_disturbs_no_figure(root: Path) -> None:
    made_up.timing(root)
    done = subprocess.run(
        [sys.executable, "-m", "hdrnet_bench", "report", "--json"], cwd=root.parent,
        env=clean_environment() | {"MPLBACKEND": "nonsense"}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert any(path.endswith(".svg") for path in json.loads(done.stdout)["files"])


@pytest.mark.parametrize("name", ["README.md", "tables/where.csv", "published/README.md"])
def test_temporary_files_of_a_process_that_ended_are_swept(root: Path, name: str) -> None:
    made_up.published_speed(root)
    build_report(root)
    before = set(files_of(root))
    shutil.rmtree(root / "tables")
    ended = subprocess.run(
        [sys.executable, "-c", "from hdrnet_bench import files; from pathlib import Path\n"
         f"with files.atomic_path(Path({str(root / name)!r})) as path:\n"
         "    path.write_text('half'); import os; os._exit(9)"], cwd=ROOT, check=False,
    )  # fmt: skip
    assert ended.returncode == 9
    assert any(".tmp-" in name for name in files_of(root))
    build_report(root)
    assert set(files_of(root)) == before
