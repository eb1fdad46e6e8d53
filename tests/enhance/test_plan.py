"""Which pictures are enhanced, which are passed over, and that it is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.enhance.plan import passed_over, plan
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.images.kinds import KINDS, OTHER_PICTURES
from hdrnet_bench.model.file import ModelHeader, save_model
from tests.conftest import Workspace, smooth_picture


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


SKIPPED = [
    {"input": f"in/{name}", "output": None, "error": None, "skipped": "of a kind that is not read"}
    for name in ("b.CR2", "d.cr2", "e.gif", "sub/c.cr2")
]
ENHANCE = ("enhance", "model.safetensors", "in", "out")


def test_pictures_that_are_not_read_are_named(photos: Workspace) -> None:
    dry = photos.run(*ENHANCE, "--dry-run", "--json")
    assert json.loads(dry.stdout) == [{"input": "in/a.png", "output": "out/a.png"}, *SKIPPED]
    done = photos.run(*ENHANCE, "--json")
    assert done.returncode == 0, done.stderr
    for said in (dry, done):
        assert "passed over: 3 .cr2, 1 .gif (kinds that are not read)" in said.stderr.splitlines()
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
    names = ["b.CR2", "d.cr2", "e.gif", "sub/c.cr2"]
    assert passed_over(["in", "in"], "in/out") == [Path("in") / name for name in names]
    assert passed_over(["in/a.png"], "out") == []


def test_a_folder_without_a_picture_that_is_read_says_what_is_there(photos: Workspace) -> None:
    Path("in/a.png").unlink()
    message = photos.fails(3, *ENHANCE)
    assert "in holds no picture (.jpg" in message
    assert message.endswith("; there are 3 .cr2, 1 .gif")
    with pytest.raises(DataError, match=r"sub holds no picture .*; there are 1 \.cr2"):
        plan(["in/sub"], "out")


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
