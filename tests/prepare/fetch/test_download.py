import errno
import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hdrnet_bench import connections
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.prepare.fetch import download
from hdrnet_bench.prepare.fetch.cached import cached_content
from hdrnet_bench.prepare.fetch.download import (
    Downloads,
    NotFound,
    Stopped,
    Unreachable,
    file_url,
)
from tests.conftest import ROOT
from tests.file_server import FileServer, serve

SIZE = 700_000
CONTENT = np.random.default_rng(0).bytes(SIZE)
OTHER = np.random.default_rng(1).bytes(SIZE)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CUT = 300_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    """A server that has one file, f."""
    root = tmp_path / "served"
    root.mkdir()
    (root / "f").write_bytes(CONTENT)
    with serve(root) as files:
        yield files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "here" / "f"


def quick(retries: int = 3) -> Downloads:
    return Downloads(retries=retries, pause_s=0.01)


def interrupted(server: FileServer, path: Path) -> None:
    """The first 300,000 bytes of f have come; then the connection was cut."""
    server.faults["f"].cuts = [CUT]
    with quick(retries=0) as downloads, pytest.raises(Unreachable):
        downloads.fetch(f"{server.url}/f", path)
    assert (path.parent / "f.part").read_bytes() == CONTENT[:CUT]
    assert not path.exists()
    server.requests.clear()


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir())


@pytest.mark.parametrize("name", ["a/plain.dng", "a0002-dgw_005 (1) copy.dng", "100% #1?&+;ü.tif"])
def test_a_file_comes_whole_and_alone(server: FileServer, path: Path, name: str) -> None:
    (server.root / name).parent.mkdir(exist_ok=True)
    (server.root / name).write_bytes(CONTENT)
    steps: list[int] = []
    with quick() as downloads:
        assert downloads.size(file_url(server.url, name)) == SIZE
        downloads.fetch(
            file_url(server.url, name), path, size=SIZE, sha256=SHA256, step=steps.append
        )
    assert path.read_bytes() == CONTENT
    assert names(path) == ["f"]
    assert sum(steps) == server.sent(name) == SIZE
    assert [r.path for r in server.requests] == [name, name]
    assert {r.headers["Accept-Encoding"] for r in server.requests} == {"identity"}
    assert all(r.headers["User-Agent"].startswith("hdrnet-bench/") for r in server.requests)


def test_an_empty_file(server: FileServer, path: Path) -> None:
    (server.root / "f").write_bytes(b"")
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path)
    assert path.read_bytes() == b""
    assert names(path) == ["f"]


def test_addresses_are_percent_encoded() -> None:
    assert file_url("http://h/b/", "x y/(1)#?%.dng") == "http://h/b/x%20y/%281%29%23%3F%25.dng"
    assert file_url("http://h/b", "/x/ü") == "http://h/b/x/%C3%BC"


def test_what_is_there_is_kept_unless_it_is_another_file(server: FileServer, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    url = f"{server.url}/f"
    with quick() as downloads:
        downloads.fetch(url, path)
        md5 = hashlib.md5(CONTENT).hexdigest()
        downloads.fetch(url, path, sha256=SHA256, md5=md5, size=SIZE)
        assert server.requests == []
        for wrong, known in (
            (CONTENT[:-1], {"size": SIZE}),
            (OTHER, {"sha256": SHA256}),
            (OTHER, {"md5": md5}),
        ):
            path.write_bytes(wrong)
            downloads.fetch(url, path, **known)
            assert path.read_bytes() == CONTENT
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (410, NotFound), (401, Unreachable), (403, Unreachable)]
)
def test_what_no_retry_mends_is_asked_once(
    server: FileServer, path: Path, status: int, kind: type[DataError]
) -> None:
    server.faults["f"].statuses = [status, status]
    with quick() as downloads:
        with pytest.raises(DataError, match=f"{server.url}/f .*{status}") as caught:
            downloads.fetch(f"{server.url}/f", path)
        assert type(caught.value) is kind
        assert len(server.requests) == 1
        with pytest.raises(kind):
            downloads.size(f"{server.url}/f")
    assert names(path) == []


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_server_that_is_busy_is_asked_again(server: FileServer, path: Path, status: int) -> None:
    server.faults["f"].statuses = [status, status]
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path)
        server.faults["f"].statuses = [status]
        assert downloads.size(f"{server.url}/f") == SIZE
    assert path.read_bytes() == CONTENT
    assert [r.status for r in server.requests] == [status, status, 200, status, 200]


def test_a_server_that_stays_busy_is_given_up(server: FileServer, path: Path) -> None:
    server.faults["f"].statuses = [503] * 5
    with quick() as downloads, pytest.raises(Unreachable, match=rf"{server.url}/f .*503.*again"):
        downloads.fetch(f"{server.url}/f", path)
    assert len(server.requests) == 4


def test_the_server_says_how_long_to_wait(
    server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = server.faults["f"]

    def seconds(after: str) -> float:
        faults.statuses, faults.headers = [429], {"Retry-After": after}
        start = time.monotonic()
        path.unlink(missing_ok=True)
        with quick() as downloads:
            downloads.fetch(f"{server.url}/f", path)
        return time.monotonic() - start

    assert 1 <= seconds("1") < 2
    assert seconds("soon") < 0.9
    monkeypatch.setattr(download, "LONGEST_PAUSE_S", 0.3)
    assert 0.3 <= seconds("3600") < 1
    assert 0.3 <= seconds("Fri, 31 Dec 2999 23:59:59 GMT") < 1


def test_pauses_grow(server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[float] = []
    monkeypatch.setattr(download.random, "uniform", lambda low, high: bounds.append(high) or low)
    server.faults["f"].statuses = [500] * 4
    with Downloads(retries=4, pause_s=0.5) as downloads:
        downloads.fetch(f"{server.url}/f", path)
    assert bounds == [0.5, 1, 2, 4]


def test_only_the_rest_of_a_file_comes_again(server: FileServer, path: Path) -> None:
    server.faults["f"].cuts = [CUT]
    steps: list[int] = []
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path, step=steps.append)
    assert path.read_bytes() == CONTENT
    assert server.ranges("f") == [None, f"bytes={CUT}-"]
    assert server.sent("f") == sum(steps) == SIZE
    assert names(path) == ["f"]


def test_a_server_without_ranges_sends_everything_again(server: FileServer, path: Path) -> None:
    server.faults["f"].cuts = [CUT]
    server.faults["f"].ranges = False
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path)
    assert path.read_bytes() == CONTENT
    assert server.sent("f") == CUT + SIZE


def test_only_tries_that_bring_nothing_new_count(server: FileServer, path: Path) -> None:
    server.faults["f"].cuts = [100_000] * 6
    with quick(retries=1) as downloads:
        downloads.fetch(f"{server.url}/f", path)
        assert path.read_bytes() == CONTENT
        assert len(server.requests) == 7
        server.faults["f"].cuts = [100_000] * 3
        server.faults["f"].ranges = False
        with pytest.raises(Unreachable):
            downloads.fetch(f"{server.url}/f", path.with_name("g"))
    assert len(server.requests) == 9


def test_silence_is_a_broken_connection(
    server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "READ_TIMEOUT_S", 0.1)
    server.faults["f"].holds = [CUT]
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path)
    assert path.read_bytes() == CONTENT
    _, rest = server.ranges("f")
    assert rest is not None
    assert CUT - download.CHUNK <= int(rest.removeprefix("bytes=").removesuffix("-")) <= CUT


def test_another_process_goes_on(server: FileServer, path: Path) -> None:
    interrupted(server, path)
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path)
    assert path.read_bytes() == CONTENT
    assert server.sent("f") == SIZE - CUT


@pytest.mark.parametrize("if_range", [True, False])
@pytest.mark.parametrize("validators", [("ETag", "Last-Modified"), ("Last-Modified",)])
def test_a_file_that_changed_meanwhile_comes_afresh(
    server: FileServer, path: Path, validators: tuple[str, ...], if_range: bool
) -> None:
    server.faults["f"].validators = validators
    server.faults["f"].if_range = if_range  # False: the server sends a rest of the other file
    interrupted(server, path)
    (server.root / "f").write_bytes(OTHER)
    os.utime(server.root / "f", (1e9, 1e9))
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path)
    assert path.read_bytes() == OTHER
    assert server.requests[0].headers["If-Range"]


def test_a_weak_etag_says_nothing_of_bytes(server: FileServer, path: Path) -> None:
    server.faults["f"].validators = ()
    server.faults["f"].headers = {"ETag": 'W/"1"'}
    interrupted(server, path)
    (server.root / "f").write_bytes(OTHER)
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path)
    assert path.read_bytes() == OTHER
    assert server.ranges("f") == [None]


@pytest.mark.parametrize("known", [{}, {"sha256": SHA256}])
def test_without_a_validator_only_a_digest_allows_going_on(
    server: FileServer, path: Path, known: dict[str, str]
) -> None:
    server.faults["f"].validators = ()
    interrupted(server, path)
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path, **known)
    assert path.read_bytes() == CONTENT
    assert server.sent("f") == (SIZE - CUT if known else SIZE)


def test_a_shorter_file_has_no_such_range(server: FileServer, path: Path) -> None:
    server.faults["f"].validators = ()
    interrupted(server, path)
    (server.root / "f").write_bytes(OTHER[:1000])
    with quick() as downloads:
        sha256 = hashlib.sha256(OTHER[:1000]).hexdigest()
        downloads.fetch(f"{server.url}/f", path, sha256=sha256)
    assert path.read_bytes() == OTHER[:1000]
    assert [r.status for r in server.requests] == [416, 200]


def test_parts_that_are_not_of_this_file_go(server: FileServer, path: Path) -> None:
    part, note = path.with_name("f.part"), path.with_name("f.part.json")
    of_another = {"url": f"{server.url}/g", "validator": '"1"', "size": SIZE}
    for text in ("", "{", "{}", json.dumps(of_another)):
        path.parent.mkdir(exist_ok=True)
        part.write_bytes(OTHER[:CUT])
        note.write_text(text)
        with quick() as downloads:
            downloads.fetch(f"{server.url}/f", path)
        assert path.read_bytes() == CONTENT
        assert names(path) == ["f"]
        path.unlink()
    part.write_bytes(OTHER[:CUT])
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path)
    assert path.read_bytes() == CONTENT
    assert set(server.ranges("f")) == {None}


def test_a_part_that_is_whole_needs_its_name_only(server: FileServer, path: Path) -> None:
    path.parent.mkdir()
    path.with_name("f.part").write_bytes(CONTENT)
    note = {"url": f"{server.url}/f", "validator": None, "size": SIZE}
    path.with_name("f.part.json").write_text(json.dumps(note))
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert names(path) == ["f"]
    assert server.requests == []


def test_a_part_that_was_damaged_comes_afresh_once(server: FileServer, path: Path) -> None:
    interrupted(server, path)
    path.with_name("f.part").write_bytes(OTHER[:CUT])
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges("f") == [f"bytes={CUT}-", None]


def test_the_wrong_file_does_not_stay(server: FileServer, path: Path) -> None:
    (server.root / "f").write_bytes(OTHER)
    with quick() as downloads:
        with pytest.raises(DataError) as caught:
            downloads.fetch(f"{server.url}/f", path, sha256=SHA256)
    found = hashlib.sha256(OTHER).hexdigest()
    assert str(path) not in str(caught.value)  # it may come to stand in a dataset
    for part in (f"{server.url}/f", SHA256, found):
        assert part in str(caught.value)
    assert len(server.requests) == 2
    assert names(path) == []


def test_a_body_of_another_length(server: FileServer, path: Path) -> None:
    with quick() as downloads:
        with pytest.raises(DataError, match=f"{SIZE} bytes, and {SIZE + 1} were expected"):
            downloads.fetch(f"{server.url}/f", path, size=SIZE + 1)
        assert len(server.requests) == 1
        # A server that states no length can cut a file short unnoticed, unless more is known.
        server.faults["f"].states_length = False
        server.faults["f"].cuts = [CUT, CUT]
        with pytest.raises(DataError, match=f"expected {SIZE} bytes, found {CUT}"):
            downloads.fetch(f"{server.url}/f", path, size=SIZE)
        assert names(path) == []
        assert downloads.size(f"{server.url}/f") is None
        downloads.fetch(f"{server.url}/f", path, size=SIZE)
    assert path.read_bytes() == CONTENT


def test_sizes_that_no_head_tells(server: FileServer) -> None:
    server.faults["f"].statuses = [405]
    with quick() as downloads:
        assert downloads.size(f"{server.url}/f") is None


def test_an_encoded_body_is_refused(server: FileServer, path: Path) -> None:
    server.faults["f"].headers = {"Content-Encoding": "gzip"}
    with quick() as downloads, pytest.raises(DataError, match="encoding"):
        downloads.fetch(f"{server.url}/f", path)


def test_redirects_are_followed(server: FileServer, path: Path) -> None:
    server.faults["old"].statuses = [302, 302]
    server.faults["old"].headers = {"Location": f"{server.url}/f"}
    server.faults["f"].cuts = [CUT]
    with quick() as downloads:
        downloads.fetch(f"{server.url}/old", path)
        assert path.read_bytes() == CONTENT
        assert server.sent("f") == SIZE
        server.faults["round"].statuses = [302] * 99
        server.faults["round"].headers = {"Location": f"{server.url}/round"}
        with pytest.raises(DataError, match="redirects"):
            downloads.fetch(f"{server.url}/round", path.with_name("g"))
        server.faults["local"].statuses = [302]
        server.faults["local"].headers = {"Location": "file:///etc/hostname"}
        with pytest.raises(Unreachable, match="redirects to file:///etc/hostname"):
            downloads.fetch(f"{server.url}/local", path.with_name("g"))


@pytest.mark.parametrize("url", ["f", "ftp://127.0.0.1/f", "file:///etc/hostname", "http://"])
def test_what_is_no_address(path: Path, url: str) -> None:
    with quick() as downloads, pytest.raises(UsageError, match="cannot be fetched"):
        downloads.fetch(url, path)


def test_no_server(server: FileServer, path: Path, tmp_path: Path) -> None:
    with serve(tmp_path) as gone:
        pass
    with quick() as downloads:
        with pytest.raises(Unreachable, match=rf"{gone.url}/f .*refused .try 4.; look at"):
            downloads.fetch(f"{gone.url}/f", path)
        with pytest.raises(Unreachable):
            downloads.size(f"{gone.url}/f")


FETCH = """
import sys
from pathlib import Path
from hdrnet_bench.prepare.fetch.download import Downloads
with Downloads() as downloads:
    downloads.fetch(sys.argv[1], Path(sys.argv[2]))
"""


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_killed_process_leaves_what_another_goes_on_with(server: FileServer, path: Path) -> None:
    server.faults["f"].holds = [600_000]
    part = path.with_name("f.part")
    command = [sys.executable, "-c", FETCH, f"{server.url}/f", str(path)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_for(lambda: part.exists() and part.stat().st_size >= 2 * download.CHUNK)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    here = part.stat().st_size
    assert not path.exists()
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path)
    assert path.read_bytes() == CONTENT
    assert server.ranges("f") == [None, f"bytes={here}-"]
    assert names(path) == ["f"]


@pytest.mark.parametrize("states_length", [True, False])
@pytest.mark.parametrize("hold", [600_000, 2 * download.CHUNK])
def test_stopping_ends_every_fetch_soon(
    server: FileServer, path: Path, hold: int, states_length: bool
) -> None:
    server.faults["f"].holds = [hold] * 2
    server.faults["f"].states_length = states_length
    with ThreadPoolExecutor() as pool, Downloads(connections=2) as downloads:
        paths = [path.with_name(f"f{i}") for i in range(4)]
        fetches = [pool.submit(downloads.fetch, f"{server.url}/f", p) for p in paths]
        parts = [p.with_name(f"{p.name}.part") for p in paths]
        wait_for(
            lambda: sum(p.exists() and p.stat().st_size >= 2 * download.CHUNK for p in parts) == 2
        )
        start = time.monotonic()
        downloads.stop()
        for fetch in fetches:
            with pytest.raises(Stopped):
                fetch.result()
        assert time.monotonic() - start < 1
        with pytest.raises(Stopped):
            downloads.fetch(f"{server.url}/f", path)
    assert len(server.requests) == 2
    assert not any(p.exists() for p in paths)
    for part in parts:
        assert not part.exists() or CONTENT.startswith(part.read_bytes())


@pytest.mark.fault("servers")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_stopping_does_not_wait_for_a_silent_server(path: Path, scheme: str) -> None:
    """It accepts, and says nothing: no answer's head, and no hello of TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/f"
        with ThreadPoolExecutor() as pool, quick() as downloads:
            fetch = pool.submit(downloads.fetch, url, path)
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(1)  # it has asked
                start = time.monotonic()
                downloads.stop()
                with pytest.raises(Stopped):
                    fetch.result()
                assert time.monotonic() - start < 1


def test_stopping_as_the_last_byte_comes(server: FileServer, path: Path) -> None:
    """When the connection is on its way to the next fetch."""
    got: list[int] = []
    with quick() as downloads:

        def step(n: int) -> None:
            got.append(n)
            if sum(got) == SIZE:
                downloads.stop()

        with pytest.raises(Stopped):
            downloads.fetch(f"{server.url}/f", path, step=step)
    assert path.with_name("f.part").read_bytes() == CONTENT


def test_connections_that_are_closed_leave_nothing_open(server: FileServer, path: Path) -> None:
    server.faults["f"].cuts = [CUT] * 3

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    with quick() as downloads:
        downloads.fetch(f"{server.url}/f", path)
    wait_for(lambda: server.most_at_once == 1 and open_files() <= before)


def test_stopping_ends_pauses(server: FileServer, path: Path) -> None:
    server.faults["f"].statuses, server.faults["f"].headers = [429], {"Retry-After": "20"}
    with ThreadPoolExecutor() as pool, quick() as downloads:
        fetch = pool.submit(downloads.fetch, f"{server.url}/f", path)
        wait_for(lambda: len(server.requests) == 1)
        start = time.monotonic()
        downloads.stop()
        with pytest.raises(Stopped):
            fetch.result()
        assert time.monotonic() - start < 1


def test_six_connections_at_once(server: FileServer, path: Path) -> None:
    contents = {f"f{i}": OTHER[i : i + 50_000 + i] for i in range(24)}
    for name, content in contents.items():
        (server.root / name).write_bytes(content)
        server.faults[name].delay_s = 0.04
    got: list[int] = []
    lock = threading.Lock()

    def step(n: int) -> None:
        with lock:
            got.append(n)

    with ThreadPoolExecutor(16) as pool, Downloads() as downloads:
        for fetch in [
            pool.submit(downloads.fetch, f"{server.url}/{name}", path.with_name(name), step=step)
            for name in contents
        ]:
            fetch.result()
    assert {name: path.with_name(name).read_bytes() for name in contents} == contents
    assert 1 < server.most_at_once <= 6
    assert 1 < server.connections <= 6  # each serves several files
    assert sum(got) == sum(map(len, contents.values()))


def test_a_file_that_cannot_be_written_is_not_tried_again(server: FileServer, path: Path) -> None:
    """The kernel refuses to write further, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with quick() as downloads:
        resource.setrlimit(resource.RLIMIT_FSIZE, (CUT, hard))
        try:
            with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
                downloads.fetch(f"{server.url}/f", path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(server.requests) == 1
        assert path.with_name("f.part").read_bytes() == CONTENT[:CUT]
        downloads.fetch(f"{server.url}/f", path)
    assert path.read_bytes() == CONTENT
    assert server.ranges("f") == [None, f"bytes={CUT}-"]


FULL_DISK = """
import errno, subprocess, sys
from pathlib import Path
from hdrnet_bench.prepare.fetch.download import Downloads
url, folder = sys.argv[1:]
mount = ["mount", "-t", "tmpfs", "-o"]
if subprocess.run([*mount, "size=400k", "tmpfs", folder]).returncode:
    sys.exit(77)
path = Path(folder, "f")
with Downloads() as downloads:
    try:
        downloads.fetch(url, path)
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
    else:
        raise AssertionError("the disk is not full")
    print(path.with_name("f.part").stat().st_size)
    subprocess.run([*mount, "remount,size=2m", "tmpfs", folder], check=True)
    downloads.fetch(url, path)
sys.stdout.write(str(path.stat().st_size))
"""


def test_a_full_disk(server: FileServer, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    command = [sys.executable, "-c", FULL_DISK, f"{server.url}/f", str(folder)]
    try:
        done = subprocess.run(
            ["unshare", "--mount", "--user", "--map-root-user", *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("needs the program unshare")
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    first, whole = map(int, done.stdout.split())
    assert 0 < first < 400 * 1024
    assert whole == SIZE
    assert server.ranges("f") == [None, f"bytes={first}-"]
    assert server.requests[1].sent == SIZE - first


def test_a_small_file_is_kept_in_the_cache(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    kept = tmp_path / "caches" / "hdrbench" / SHA256
    for _ in range(2):
        assert cached_content(f"{server.url}/f", SHA256) == CONTENT
    assert kept.read_bytes() == CONTENT
    assert len(server.requests) == 1
    kept.write_bytes(CONTENT[:-1])
    assert cached_content(f"{server.url}/f", SHA256) == CONTENT
    assert kept.read_bytes() == CONTENT
    assert len(server.requests) == 2
    monkeypatch.setenv("HDRBENCH_CACHE", str(tmp_path / "own"))
    assert cached_content(f"{server.url}/f", SHA256) == CONTENT
    assert (tmp_path / "own" / SHA256).exists()
    (server.root / "f").write_bytes(OTHER)
    assert cached_content(f"{server.url}/f", SHA256) == CONTENT
    (tmp_path / "own" / SHA256).unlink()
    with pytest.raises(DataError, match="another file"):
        cached_content(f"{server.url}/f", SHA256)


def test_a_small_file_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDRBENCH_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(download, "LONGEST_PAUSE_S", 0.01)
    with serve(tmp_path) as gone:
        url = f"{gone.url}/f"
    by_hand = tmp_path / "own" / SHA256
    with pytest.raises(DataError, match=f"{url} .* put it at {by_hand}"):
        cached_content(url, SHA256)
    by_hand.write_bytes(CONTENT)
    assert cached_content(url, SHA256) == CONTENT
    monkeypatch.setenv("HDRBENCH_CACHE", str(by_hand / "below a file"))
    with pytest.raises(DataError, match="HDRBENCH_CACHE"):
        cached_content(url, SHA256)
