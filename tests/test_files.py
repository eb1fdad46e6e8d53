"""Writing and reading files: whole or not at all, and never for ever."""

from __future__ import annotations

import ast
import errno
import fcntl
import multiprocessing
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from hdrnet_bench.errors import DataError, StorageError
from hdrnet_bench.files import (
    atomic_path,
    json_value,
    open_regular,
    read_bytes,
    read_json,
    read_text,
    sha256_file,
    sweep,
    write_bytes,
    write_text,
)
from hdrnet_bench.locks import locked
from tests.conftest import ROOT


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.txt"
    write_text(path, "old")

    def fail_midway() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_midway()
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_modes_are_those_of_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_bytes(tmp_path / "file", b"x", durable=True)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append(f"{path.name[:5]} {(tmp_path / 'file').exists()}")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write_text(tmp_path / "file", "x", durable=True)
    assert synced == [".tmp- False", f"{tmp_path.name[:5]} True"]


@pytest.mark.parametrize(("number", "passes"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_file_system_that_cannot_say_so_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, passes: bool
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    if passes:
        write_text(tmp_path / "file", "x", durable=True)
        return
    with pytest.raises(OSError, match=os.strerror(number)):
        write_text(tmp_path / "file", "x", durable=True)
    assert list(tmp_path.iterdir()) == []


def _leave_a_temporary_file(folder: Path) -> None:
    with atomic_path(folder / "file.png") as temporary:
        temporary.write_text("half")
        os._exit(9)


@pytest.mark.fault("kills")
def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(
        target=_leave_a_temporary_file, args=(tmp_path,)
    )
    child.start()
    child.join()
    (left,) = tmp_path.glob(".tmp-*.png")
    others = (
        ".tmp-a-user's",
        left.name.replace(left.name.split("-")[1], "01234567"),  # of another machine
        "photo.png",
    )
    for name in others:
        (tmp_path / name).write_text("x")
    with atomic_path(tmp_path / "mine") as mine:
        mine.write_text("of a process that runs")
        sweep(tmp_path)
        assert mine.exists()
    assert {path.name for path in tmp_path.iterdir()} == {*others, "mine"}


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fails)
    with pytest.raises(StorageError, match=r"\.x\.lock cannot be locked: ") as caught:
        with locked(tmp_path / ".x.lock", "another"):
            pass
    assert os.strerror(number) in str(caught.value)


@pytest.mark.fault("several at once")
def test_one_waits_for_the_other_and_says_so(tmp_path: Path) -> None:
    path, said = tmp_path / ".x.lock", []

    def hold() -> None:
        with locked(path, "another", waiting=said.append):
            said.append("second")

    with locked(path, "another"):
        with pytest.raises(DataError, match=r"^busy$"), locked(path, "busy"):
            pass
        second = threading.Thread(target=hold)
        second.start()
        while not said:
            time.sleep(0.01)
        said.append("first")
    second.join()
    assert said == ["another", "first", "second"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault("hostile datasets")
@pytest.mark.parametrize("reader", [read_bytes, read_text, read_json, sha256_file])
def test_a_pipe_is_not_waited_for_and_a_device_does_not_end(reader: object, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    start = time.monotonic()
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(DataError, match="is not a regular file"):
            reader(path)  # type: ignore[operator]
    assert time.monotonic() - start < 5


@pytest.mark.fault("hostile datasets")
def test_only_so_many_bytes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    assert read_bytes(path, 10) == b"x" * 10
    with pytest.raises(DataError, match="has over 9 bytes"):
        read_bytes(path, 9)
    with path.open("wb") as sparse:
        sparse.truncate(100 << 30)
    with pytest.raises(DataError, match="more than such a file may have"):
        read_text(path)


@pytest.mark.fault("hostile datasets")
@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "1" * 20_000, "{", "\x00", b"\xff\xfe", "[" * 900 + "x"],
)
def test_broken_json_is_one_line(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match="cannot be read as JSON") as caught:
        read_json(path)
    assert not isinstance(caught.value, StorageError)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"\w"):
        json_value(text)


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES])
def test_what_the_system_says_is_no_verdict_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "file.json"
    path.write_text("{}")

    def fails(*arguments: object) -> int:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(os, "open", fails)
    with pytest.raises(StorageError, match=os.strerror(number)):
        read_json(path)
    with pytest.raises(OSError, match=os.strerror(number)), open_regular(path):
        pass


# Which of the system's own files they read, or of the package's.
READERS = {
    "cgroups.py": "/proc, /sys/fs/cgroup",
    "cli/streams.py": "/dev/null",
    "environment.py": "/proc/cpuinfo",
    "files.py": "the readers that the others use",
    "slicing/cuda_launch.py": "the package's kernels",
    "timing/state.py": "/proc/cpuinfo, /sys",
    "portable/grid_file.py": "the package's shader",
    "web/page.py": "the package's scripts",
}


def test_nothing_else_opens_files_to_read_them() -> None:
    """A pipe would be waited for, and a device read without end: files.py has the ways to read."""
    package = ROOT / "hdrnet_bench"
    readers = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _reads(node):
                readers.add(path.relative_to(package).as_posix())
    assert readers == set(READERS)


def _reads(call: ast.Call) -> bool:
    """Path.read_text and read_bytes, not those of files.py; open, os.open and Path.open to read."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id == "open"
    if not isinstance(function, ast.Attribute):
        return False
    of = getattr(function.value, "id", "")
    if function.attr in ("read_text", "read_bytes"):
        return of != "files"
    if function.attr != "open" or of in ("Image", "webbrowser"):
        return function.attr == "fdopen"
    if of == "os" or not call.args:
        return True
    mode = getattr(call.args[0], "value", None)
    return isinstance(mode, str) and "r" in mode and "+" not in mode


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    """And not the temporary one beside it."""
    path = tmp_path / "folder" / "x.txt"
    path.parent.mkdir()

    def write() -> None:
        with atomic_path(path) as temporary:
            path.parent.rmdir()
            temporary.write_text("x")

    with pytest.raises(FileNotFoundError) as raised:
        write()
    assert raised.value.filename == str(path)
