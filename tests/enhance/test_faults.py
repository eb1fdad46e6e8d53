"""What breaks while pictures are enhanced: stops, full disks, and folders with anything in them."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from hdrnet_bench import HDRNet
from hdrnet_bench.enhance import run as enhance
from hdrnet_bench.enhance.plan import plan
from hdrnet_bench.images import photo_writer
from hdrnet_bench.images.files import write_png
from hdrnet_bench.images.photo import Photo, read_photo
from hdrnet_bench.model.file import ModelHeader, save_model
from hdrnet_bench.stopping import Stopped
from tests.conftest import Workspace, clean_environment, smooth_picture, wait_for_files
from tests.enhance.test_run import network
from tests.pictures.kinds import chunk
from tests.pictures.kinds import png as png_of

Record = Callable[[str, object], None]
EIGHT = smooth_picture(1, 30, 44)


@pytest.fixture
def model(workspace: Workspace) -> HDRNet:
    made = network()
    save_model(Path("model.safetensors"), made, ModelHeader(config=made.config))
    return made


def hdrbench(*arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hdrnet_bench", *arguments],
        env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        **options,
    )  # fmt: skip


def temporary() -> list[Path]:
    return list(Path("out").glob(".tmp-*"))


@pytest.mark.fault("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_whole_pictures_and_says_how_many(
    workspace: Workspace,
    model: HDRNet,
    number: signal.Signals,
) -> None:
    Path("in").mkdir()
    large = smooth_picture(1, 700, 900)
    write_png(Path("in/00.png"), large)
    for name in range(1, 60):
        os.link("in/00.png", f"in/{name:02}.png")
    process = hdrbench("enhance", "model.safetensors", "in", "out", "--threads", "2")
    wait_for_files(process, workspace.path, "out/*.png", 3)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    written = sorted(Path("out").glob("*.png"))
    assert 3 <= len(written) < 60
    assert f"{len(written)} of 60 pictures are written, each whole" in " ".join(said.split())
    assert "; --skip-existing makes the rest" in " ".join(said.split())
    assert "Traceback" not in said
    assert not temporary()
    for path in written:
        assert read_photo(path).pixels.shape == large.shape

    before = {path: path.stat().st_mtime_ns for path in written}
    rest = [path for path in sorted(Path("in").iterdir()) if Path("out", path.name) not in before]
    for path in rest[3:]:  # they would be made as the first three are
        path.unlink()
    done = workspace.run("enhance", "model.safetensors", "in", "out", "--skip-existing")
    assert done.returncode == 0, done.stderr
    total = len(written) + min(len(rest), 3)
    assert f"{len(written)} of {total} are there already: skipped" in done.stderr
    assert len(list(Path("out").glob("*.png"))) == total
    assert {path: path.stat().st_mtime_ns for path in written} == before


@pytest.mark.parametrize(("others", "says"), [
    (False, "--skip-existing in place of --overwrite makes the rest"),
    (True, "the same again with --overwrite makes all"),
])  # fmt: skip
def test_a_stop_while_replacing_says_what_makes_the_rest(
    workspace: Workspace,
    model: HDRNet,
    monkeypatch: pytest.MonkeyPatch,
    others: bool,
    says: str,
) -> None:
    for name in "abc":
        write_png(Path(f"{name}.png"), EIGHT)
    Path("out").mkdir()
    for name in "ac" if others else "a":
        write_png(Path(f"out/{name}.png"), EIGHT)
    real, calls = enhance.enhance_photo, []

    def stopped(*arguments: object) -> dict[str, float]:
        calls.append(arguments)
        if len(calls) == 2:
            while len(list(Path("out").glob("[!.]*"))) < 1 or temporary():
                time.sleep(0.01)
            raise Stopped(signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(enhance, "enhance_photo", stopped)
    done = workspace.run(
        "enhance", "model.safetensors", "a.png", "b.png", "c.png", "out", "--overwrite"
    )
    assert done.returncode == 130
    assert f"1 of 3 pictures are written, each whole; {says}" in " ".join(done.stderr.split())


@pytest.mark.fault("kills")
def test_what_a_killed_run_left_is_swept(workspace: Workspace, model: HDRNet) -> None:
    """Only that of a process of this machine that has ended."""
    process = subprocess.Popen(
        [sys.executable, "-c",
         "import sys, time\nfrom pathlib import Path\nfrom hdrnet_bench.files import atomic_path\n"
         "with atomic_path(Path('out/a.png')) as path:\n    path.write_bytes(b'half')\n"
         "    print('written', flush=True)\n    time.sleep(60)\n"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    write_png(Path("in.png"), EIGHT)
    workspace.json("enhance", "model.safetensors", "in.png", "out/")
    assert len(temporary()) == 1  # its owner runs
    process.kill()
    process.wait()
    (Path("out") / ".tmp-something-else").write_text("a stranger's")
    workspace.json("enhance", "model.safetensors", "in.png", "out/", "--overwrite")
    assert [path.name for path in temporary()] == [".tmp-something-else"]


@pytest.mark.fault("full disks")
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_a_picture_that_does_not_fit_fails_alone(
    workspace: Workspace,
    model: HDRNet,
    kind: str,
) -> None:
    """A limit on a file's size is as near to a full disk as a test comes."""
    Path("in").mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    write_png(Path("in/a.png"), noise)
    write_png(Path("in/b.png"), EIGHT)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000,) * 2)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    process = hdrbench(
        "enhance", "model.safetensors", "in", "out", "--format", kind, preexec_fn=limit
    )
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert "cannot be written: " in said
    assert "Traceback" not in said
    assert "1 of 2 pictures were not enhanced: in/a.png" in " ".join(said.split())
    assert [path.stem for path in Path("out").iterdir()] == ["b"]
    assert not temporary()


@pytest.mark.fault("full disks")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_what_the_system_says_of_an_output(
    workspace: Workspace,
    model: HDRNet,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_png(Path("in.png"), EIGHT)

    def encoded(*_: object) -> list[bytes]:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(photo_writer, "_encoded", encoded)
    done = workspace.run("enhance", "model.safetensors", "in.png", "out/")
    assert done.returncode == 3
    assert f"out/in.png cannot be written: {os.strerror(number)}" in done.stderr
    assert not list(Path("out").iterdir())


@pytest.mark.fault("streams and limits")
def test_few_open_files_are_said_in_one_line(workspace: Workspace, model: HDRNet) -> None:
    Path("in").mkdir()
    for name in range(6):
        write_png(Path(f"in/{name}.png"), EIGHT)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))

    process = hdrbench(
        "enhance", "model.safetensors", "in", "out", "--threads", "8", preexec_fn=limit
    )
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    # Before it begins, where it is known that they are too few; else each picture that failed.
    assert (process.returncode, "Too many open files" in said, "files open at once" in said) in (
        (0, False, False),
        (3, True, False),
        (4, False, True),
    ), said


@pytest.mark.fault("names and texts")
def test_names_that_are_no_text_are_enhanced_and_reported(
    workspace: Workspace,
    model: HDRNet,
) -> None:
    Path("in").mkdir()
    names = [b"caf\xe9.png", b"line\nend.png", b"\xff\xfe.png", "\u2028\u202e.png".encode()]
    for name in names:
        write_png(Path("in") / os.fsdecode(name), EIGHT)
    reports = workspace.json("enhance", "model.safetensors", "in", "out")
    assert {report["input"] for report in reports} == {
        f"in/{name.decode('utf-8', 'replace')}" for name in names
    }
    assert sorted(os.fsencode(path.name) for path in Path("out").iterdir()) == sorted(names)
    process = hdrbench("enhance", "model.safetensors", "in", "again", "--json")
    out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert len(json.loads(out)) == len(names)


@pytest.mark.fault("hostile pictures")
def test_a_folder_with_anything_in_it(
    workspace: Workspace,
    model: HDRNet,
    record_property: Record,
) -> None:
    """Pipes, devices, links in circles and to the same picture: what can be is enhanced, and the
    rest is said."""
    folder = Path("in")
    folder.mkdir()
    write_png(folder / "a.png", EIGHT)
    (folder / "b.png").symlink_to("a.png")
    os.link(folder / "a.png", folder / "c.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "self.png").symlink_to("self.png")
    (folder / "gone.tif").symlink_to("nothing")
    (folder / "up").symlink_to("..")
    (folder / "folder.png").mkdir()
    (folder / "eps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n")
    done = workspace.run("enhance", "model.safetensors", "in", "out", "--json")
    assert done.returncode == 3, done.stderr
    reports = {report["input"]: report for report in json.loads(done.stdout)}
    skipped = {name for name, report in reports.items() if report.get("skipped")}
    assert skipped == {"in/pipe.png", "in/zero.jpg", "in/self.png", "in/gone.tif", "in/up"}
    assert {name for name, report in reports.items() if report["error"]} == {"in/eps.png"}
    assert "a PostScript file" in reports["in/eps.png"]["error"]
    assert {path.name for path in Path("out").iterdir()} == {"a.png", "b.png", "c.png"}
    assert "passed over: 2 .png, 1 .jpg, 1 .tif (named like a picture" in " ".join(
        done.stderr.split()
    )
    assert not Path("out/b.png").is_symlink()
    record_property("faults", 8)


@pytest.mark.fault("names and texts")
def test_a_nul_in_a_name(workspace: Workspace, model: HDRNet) -> None:
    for names in (["a\0.png", "out"], ["a.png", "ou\0t"]):
        assert "is not the name of a file" in workspace.fails(
            2, "enhance", "model.safetensors", *names
        )


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("variant", ["curves", "pointwise", "pyramid"])
@pytest.mark.parametrize("size", [(1, 200_000), (200_000, 1), (5, 40_000), (40_000, 5)])
def test_strips_are_enhanced_or_refused_alone(
    workspace: Workspace, variant: str, size: tuple[int, int]
) -> None:
    Path("in").mkdir()
    write_png(Path("in/a.png"), np.zeros((*size, 3), np.uint8))
    write_png(Path("in/b.png"), EIGHT)
    jobs = plan(["in"], "out")
    first, second = enhance.run(network(variant=variant), jobs, enhance.Settings())
    assert second["error"] is None
    if variant == "pyramid" and min(size) < 4:
        assert "needs 4 x 4 pixels" in first["error"]
    else:
        assert first["error"] is None, first
        assert read_photo(Path("out/a.png")).pixels.shape == (*size, 3)


@pytest.mark.fault("hostile pictures")
def test_too_long_a_picture_fails_alone(workspace: Workspace, model: HDRNet) -> None:
    Path("in").mkdir()
    content = bytearray(imagecodecs.jpegxl_encode(EIGHT, lossless=True))
    Path("in/a.jxl").write_bytes(content[: len(content) // 2])
    whole = png_of(EIGHT)
    header = chunk(
        b"IHDR", (170_000_000).to_bytes(4, "big") + (1).to_bytes(4, "big") + whole[24:29]
    )
    Path("in/b.png").write_bytes(whole[:8] + header + whole[33:])
    write_png(Path("in/c.png"), EIGHT)
    reports = list(enhance.run(model, plan(["in"], "out"), enhance.Settings()))
    assert "a side of 1,000,000 is the longest" in reports[1]["error"]
    assert [bool(report["error"]) for report in reports] == [True, True, False]


@pytest.mark.fault("streams and limits")
@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("bad\nalloc " + "x" * 9999), OSError(24, "Too many open files")],
)
def test_no_memory_for_one_picture_stops_no_other(
    workspace: Workspace,
    model: HDRNet,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    for name in "ab":
        write_png(Path(f"{name}.png"), EIGHT)
    original, calls = enhance.enhance_photo, []

    def sometimes(network: HDRNet, photo: Photo, *more: object) -> dict[str, float]:
        calls.append(photo)
        if len(calls) == 1:
            raise error
        return original(network, photo, *more)

    monkeypatch.setattr(enhance, "enhance_photo", sometimes)
    first, second = enhance.run(model, plan(["a.png", "b.png"], "out"), enhance.Settings())
    assert first["error"]
    assert "\n" not in first["error"]
    assert len(first["error"]) <= 500
    assert second["error"] is None
