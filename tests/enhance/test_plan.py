"""Which pictures are enhanced, which are passed over, and that it is said."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.enhance import run as enhance
from hdrnet_bench.enhance.plan import by_suffix, passed_over, passed_over_lines, plan
from hdrnet_bench.errors import CapabilityError, DataError, UsageError
from hdrnet_bench.images.kinds import KINDS, OTHER_PICTURES
from hdrnet_bench.install import install_advice
from hdrnet_bench.model.file import ModelHeader, save_model
from tests.conftest import Workspace, clean_environment, smooth_picture


@pytest.fixture
def photos(workspace: Workspace) -> Workspace:
    """A model, and a folder as cameras and file managers leave it: one picture that is read."""
    model = HDRNet(HDRNetConfig(net_input_size=32, spatial_bin=8, luma_bins=4)).eval()
    save_model(Path("model.safetensors"), model, ModelHeader(config=model.config))
    Path("in/sub").mkdir(parents=True)
    Image.fromarray(smooth_picture(1, 30, 44)).save("in/a.png")
    for name in ("b.CR2", "sub/c.cr2", "d.cr2", "e.gif", ".f.gif", "notes.txt", "a.xmp",
                 "a.json", ".DS_Store", "sub/film.mov"):  # fmt: skip
        (Path("in") / name).write_bytes(b"whatever")
    return workspace


NOT_READ, NO_PICTURE = "of a kind that is not read", "not named like a picture"
REASONS = {
    "b.CR2": NOT_READ, "d.cr2": NOT_READ, "e.gif": NOT_READ, "notes.txt": NO_PICTURE,
    "sub/c.cr2": NOT_READ, "sub/film.mov": NO_PICTURE,
}  # fmt: skip
SKIPPED = [
    {"input": f"in/{name}", "output": None, "error": None, "skipped": reason}
    for name, reason in REASONS.items()
]
ENHANCE = ("enhance", "model.safetensors", "in", "out")


def test_pictures_that_are_not_read_are_named(photos: Workspace) -> None:
    dry = photos.run(*ENHANCE, "--dry-run", "--json")
    assert json.loads(dry.stdout) == [{"input": "in/a.png", "output": "out/a.png"}, *SKIPPED]
    done = photos.run(*ENHANCE, "--json")
    assert done.returncode == 0, done.stderr
    for said in (dry, done):
        lines = [line for line in said.stderr.splitlines() if line.startswith("passed over: ")]
        assert lines == [
            "passed over: 3 .cr2, 1 .gif (of a kind that is not read)",
            "passed over: 1 .mov, 1 .txt (not named like a picture)",
        ]
    first, *others = json.loads(done.stdout)
    assert (first["output"], first["error"]) == ("out/a.png", None)
    assert others == SKIPPED
    assert [path.name for path in Path("out").iterdir()] == ["a.png"]


def test_where_all_are_read_nothing_is_said(photos: Workspace) -> None:
    for entry in SKIPPED:
        Path(str(entry["input"])).unlink()
    done = photos.run(*ENHANCE, "--json")
    assert "passed over" not in done.stderr
    assert len(json.loads(done.stdout)) == 1


def test_each_is_named_once_and_what_was_written_before_not_at_all(photos: Workspace) -> None:
    Path("in/out").mkdir()
    Path("in/out/old.gif").write_bytes(b"GIF89a")
    assert list(passed_over(["in", "in"], "in/out")) == [Path("in") / name for name in REASONS]
    assert passed_over(["in/a.png"], "out") == {}


def test_a_folder_without_a_picture_that_is_read_says_what_is_there(photos: Workspace) -> None:
    Path("in/a.png").unlink()
    message = photos.fails(3, *ENHANCE)
    assert "in holds no picture (.jpg" in message
    assert message.endswith("; there are 3 .cr2, 1 .gif, 1 .mov, 1 .txt")
    with pytest.raises(DataError, match=r"sub holds no picture .*; there are 1 \.cr2, 1 \.mov"):
        plan(["in/sub"], "out")


def test_what_stands_beside_a_picture_is_not_counted(photos: Workspace) -> None:
    for entry in SKIPPED:
        Path(str(entry["input"])).unlink()
    for name in ("a.AAE", "a.png.pp3", "a.dop", "Thumbs.db", "desktop.ini", ".hidden/b.cr2"):
        Path("in", name).parent.mkdir(exist_ok=True)
        Path("in", name).write_bytes(b"")
    assert passed_over(["in"], "out") == {}
    Path("in/no suffix").write_bytes(b"")
    Path("in/my.db").write_bytes(b"")
    assert passed_over_lines(passed_over(["in"], "out")) == [
        "passed over: 1 .db, 1 without suffix (not named like a picture)"
    ]


def test_folders_that_are_not_looked_into_are_named(
    photos: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("elsewhere").mkdir()
    Path("in/link").symlink_to("../elsewhere")
    Path("in/results").symlink_to("../out")
    Path("out").mkdir()
    scandir = os.scandir

    def closed(path: str) -> object:
        if str(path) == "in/sub":
            raise PermissionError(errno.EACCES, "no", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    lines = passed_over_lines(passed_over(["in"], "out"))
    assert "passed over: in/sub (a folder that cannot be read)" in lines
    assert "passed over: in/link (a link to a folder, which is not followed)" in lines
    with pytest.raises(PermissionError):
        plan(["in/sub"], "out")


def test_a_line_of_suffixes_is_short() -> None:
    kinds = [Path(f"x.{letter}") for letter in "abcdefgh"]
    assert by_suffix(kinds).endswith("1 .g, 1 .h")
    assert by_suffix([*kinds, Path("x.i"), Path("x.j"), Path("y.j")]).endswith(
        "2 .j, 1 .a, 1 .b, 1 .c, 1 .d, 1 .e, 1 .f, 1 .g, 2 of other suffixes"
    )


UNWRITABLE = [".gif", ".CR2", ".bmp", ".psd", ".dng"]


@pytest.mark.parametrize("suffix", UNWRITABLE)
@pytest.mark.parametrize("inputs", [["in/a.png"], ["in"]])
def test_an_output_that_cannot_be_written_makes_no_folder(
    photos: Workspace, inputs: list[str], suffix: str
) -> None:
    message = photos.fails(2, "enhance", "model.safetensors", *inputs, f"x{suffix}")
    assert f"x{suffix}: {suffix[1:].upper()} cannot be written, only .jpg, .jpeg" in message
    assert ".dng" not in message.partition("only")[2]
    assert not Path(f"x{suffix}").exists()
    with pytest.raises(UsageError, match="cannot be written"):
        plan(inputs, f"x{suffix}", kind="png")


def test_a_folder_may_have_any_name(photos: Workspace) -> None:
    assert [job.target for job in plan(["in"], "photos.raw/")] == [Path("photos.raw/a.png")]
    Path("old.gif").mkdir()
    assert [job.target for job in plan(["in"], "old.gif")] == [Path("old.gif/a.png")]
    assert [job.target for job in plan(["in"], "2024.05")] == [Path("2024.05/a.png")]


def test_what_is_read_is_no_other_picture(photos: Workspace) -> None:
    """Once a kind is read, it is no longer passed over, whatever the other table says."""
    for suffix in KINDS:
        path = Path("in") / f"read{suffix}"
        path.write_bytes(np.zeros(3, np.uint8).tobytes())
        assert path not in passed_over(["in"], "out")
    assert all(s == s.lower() and s.startswith(".") for s in OTHER_PICTURES)


@pytest.mark.parametrize("limit", ["abc", "0", "-1", "nan", "inf", "1e9"])
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_limit_that_is_none_is_no_pictures_fault(
    photos: Workspace, limit: str, more: tuple[str, ...]
) -> None:
    message = photos.fails(2, *ENHANCE, *more, env={"HDRBENCH_MAX_MEGAPIXELS": limit})
    assert f"HDRBENCH_MAX_MEGAPIXELS={limit}: a number of megapixels is wanted" in message
    assert not Path("out").exists()


def test_a_good_limit_counts(photos: Workspace) -> None:
    photos.fails(3, *ENHANCE, env={"HDRBENCH_MAX_MEGAPIXELS": "0.001"})
    assert photos.run(*ENHANCE, env={"HDRBENCH_MAX_MEGAPIXELS": "1"}).returncode == 0


def heics(*names: str, bits: int = 8) -> None:
    library = pytest.importorskip("pillow_heif")
    for name in names:
        pixels = smooth_picture(1, 32, 48).astype(np.uint16) << (bits - 8)
        stored = pixels if bits > 8 else pixels.astype(np.uint8)
        mode = f"RGB;{bits}" if bits > 8 else "RGB"
        library.from_bytes(mode, (48, 32), stored.tobytes()).save(name, quality=90)


def test_where_only_a_library_is_missing_the_code_is_4(
    photos: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    heics("in/x.heic", "in/y.heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    done = photos.run(*ENHANCE, "--json")
    assert done.returncode == 4, done.stderr
    written, *lacking = [r for r in json.loads(done.stdout) if "skipped" not in r]
    assert "missing_capability" not in written
    assert Path("out/a.png").exists()
    for report in lacking:
        assert report["missing_capability"] is True
        assert install_advice("heif") in report["error"]
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("hdrbench: ")]
    assert "2 of 3 pictures were not enhanced: in/x.heic, in/y.heic; " in line
    assert line.endswith(install_advice("heif"))

    Path("in/z.png").write_bytes(b"no picture")
    done = photos.run(*ENHANCE, "--json", "--overwrite")
    assert done.returncode == 3, done.stderr
    reports = {r["input"]: r for r in json.loads(done.stdout)}
    assert "missing_capability" not in reports["in/z.png"]
    assert reports["in/x.heic"]["missing_capability"] is True


def test_a_library_that_only_writing_misses(
    photos: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_photo(*_: object) -> None:
        raise CapabilityError("it is not here")

    monkeypatch.setattr(enhance, "write_photo", write_photo)
    assert "it is not here" in photos.fails(4, *ENHANCE)


@pytest.mark.parametrize(
    ("error", "says"),
    [(OSError(errno.ENOSPC, "no space"), "cannot be written: no space"),
     (DataError("it has come"), "it has come"), (MemoryError(), "not enough memory")],
)  # fmt: skip
def test_a_report_of_a_failed_writing_is_as_the_others(
    photos: Workspace, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    Image.fromarray(smooth_picture(2, 30, 44)[:, :, 0]).save("in/a.png")
    good = json.loads(photos.run(*ENHANCE, "--json").stdout)[0]
    assert good["notes"]

    def write_photo(*_: object) -> None:
        raise error

    monkeypatch.setattr(enhance, "write_photo", write_photo)
    done = photos.run(*ENHANCE, "--json", "--overwrite")
    assert done.returncode == 3
    failed = json.loads(done.stdout)[0]
    assert says in failed["error"]
    assert failed.keys() == good.keys()
    assert failed["seconds"].keys() == good["seconds"].keys()
    assert all(value == round(value, 4) for value in failed["seconds"].values())
    assert failed["notes"] == good["notes"]


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_ten_bits_are_called_ten(photos: Workspace, kind: str) -> None:
    heics("ten.heic", bits=10)
    heics("eight.heic")
    for name, bits in (("ten.heic", 10), ("eight.heic", 8)):
        command = ("enhance", "model.safetensors", name)
        (report,) = photos.json(*command, f"out-{bits}.{kind}")
        assert report["bits"] == bits
        (report,) = photos.json(*command, f"out-{bits}.png")
        assert report["bits"] == (16 if bits == 10 else 8)
    (report,) = photos.json("enhance", "model.safetensors", "ten.heic", f"b.{kind}", "--bits", "8")
    assert report["bits"] == 8


def test_where_no_input_is_there_nothing_is_begun(workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"^there is no file a\.png$"):
        plan(["a.png"], "b.png")
    Path("link.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match=r"there is no file a\.png \(and 1 more\)$"):
        plan(["a.png", "link.png"], "out")
    Path("c.png").write_bytes(b"of which only opening it tells more")
    assert len(plan(["a.png", "c.png"], "out")) == 2


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["huggingface_hub"] = None  # importing either fails
sys.argv = ["hdrbench", *sys.argv[1:]]
from hdrnet_bench.cli import main
main()
"""


@pytest.mark.parametrize(
    "model",
    ["tiny", "tiny/seed-0", "runs/tiny/seed-0/best.safetensors", "demo-retouch", "owner/name"],
)
def test_paths_are_checked_before_torch_is_imported(trained: Workspace, model: str) -> None:
    Path("there.png").write_bytes(b"a picture")

    def asked(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, "enhance", model, *arguments],
            env=clean_environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    for code, says, *arguments in (
        (3, "there is no file a.png", "a.png", "b.png"),
        (2, "there.png", "there.png", "there.png"),
        (2, "of no known kind", "tiny.yaml", "b.png"),
    ):
        done = asked(*arguments)
        assert done.returncode == code, done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr
    assert "torch" in asked("there.png", "b.png").stderr  # what passes goes on to it
