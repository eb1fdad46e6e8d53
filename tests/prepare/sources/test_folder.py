import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdrnet_bench.data.manifest import SPLITS, Dataset
from hdrnet_bench.file_names import is_portable, same_file
from hdrnet_bench.images.files import read_picture, write_png
from hdrnet_bench.prepare.operators import OPERATORS
from hdrnet_bench.prepare.sources import folder, folder_pairs
from tests.conftest import Workspace, smooth_picture

pytestmark = pytest.mark.usefixtures("prepares_in_a_thread")


def fill(folder: Path, names: list[str], first: int = 0, size: tuple[int, int] = (24, 30)) -> None:
    for seed, name in enumerate(names, first):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, smooth_picture(seed, *size))


def prepare(workspace: Workspace, *arguments: str) -> tuple[Dataset, dict[str, tuple[str, str]]]:
    """The dataset folder-mine, and what was rejected: id to stage and reason."""
    report = workspace.json("prepare", "folder", "--protocol", "mine", "--workers", "1", *arguments)
    directory = workspace.path / report["directory"]
    lines = (directory / "rejected.jsonl").read_text().splitlines()
    rejected = {r["id"]: (r["stage"], r["reason"]) for r in map(json.loads, lines)}
    return Dataset(directory), rejected


def two_folders(workspace: Workspace) -> list[str]:
    return ["--input-dir", str(workspace.path / "in"), "--target-dir", str(workspace.path / "out")]


@pytest.mark.usefixtures("prepares_in_processes")
def test_pairs_by_name_whatever_the_suffix(workspace: Workspace) -> None:
    names = [f"photo {i} (copy).png" for i in range(20)]
    fill(workspace.path / "in", names)
    for i, name in enumerate(names):
        (workspace.path / "out").mkdir(exist_ok=True)
        picture = Image.fromarray(smooth_picture(100 + i, 24, 30))
        picture.save(workspace.path / "out" / name.replace(".png", ".JPG"), format="JPEG")
    dataset, rejected = prepare(workspace, *two_folders(workspace))
    assert rejected == {}
    assert {split: len(dataset.split(split)) for split in SPLITS} == {
        "train": 17, "validation": 1, "test": 2,
    }  # fmt: skip
    row = next(r for r in dataset.rows if r.id == "photo 3 (copy)")
    assert row.source_names == ["input/photo 3 (copy).png", "target/photo 3 (copy).JPG"]
    assert np.array_equal(read_picture(dataset.input_path(row)).pixels, smooth_picture(3, 24, 30))
    expected = read_picture(workspace.path / "out/photo 3 (copy).JPG").pixels
    assert np.array_equal(read_picture(dataset.target_path(row)).pixels, expected)
    assert workspace.run("verify", "folder-mine").returncode == 0
    assert str(workspace.path) not in (dataset.directory / "dataset.json").read_text()


def test_what_is_left_out_is_said_with_the_reason(workspace: Workspace) -> None:
    names = [f"{letter}.png" for letter in "abcdefgh"]
    fill(workspace.path / "in", names)
    fill(workspace.path / "out", names, first=50)
    (workspace.path / "out/a.png").unlink()
    (workspace.path / "in/b.png").unlink()
    fill(workspace.path / "in", ["c.tif.png", "c.jpg"], first=70)
    (workspace.path / "in/c.jpg").rename(workspace.path / "in/c.webp")
    (workspace.path / "in/d.png").write_bytes(b"no picture")
    fill(workspace.path / "out", ["e.png"], first=80, size=(24, 31))
    (workspace.path / "in/f.png").rename(workspace.path / "in/f.gif")
    (workspace.path / "in/.hidden.png").write_bytes(b"")
    dataset, rejected = prepare(workspace, *two_folders(workspace))
    assert {row.id for row in dataset.rows} == {"g", "h"} or len(dataset.rows) == 2
    assert rejected["a"] == ("pairing", "there is no target of that name")
    assert rejected["b"] == ("pairing", "there is no input of that name")
    assert rejected["c"] == ("pairing", "several inputs: c.png, c.webp")
    assert rejected["c.tif"] == ("pairing", "there is no target of that name")
    assert rejected["d"][0] == "decode"
    assert rejected["d"][1].startswith("d.png cannot be decoded")
    assert rejected["e"] == ("size", "input 30x24, target 31x24")
    assert rejected["f"] == ("kind", "f.gif: .gif is not read")
    assert len(rejected) == 7


def test_identical_pixels_stay_once_and_never_on_both_sides(workspace: Workspace) -> None:
    for split, names in (("train", "abc"), ("validation", "d"), ("test", "ef")):
        fill(workspace.path / "in" / split, [f"{n}.png" for n in names], first=ord(names[0]))
        fill(workspace.path / "out" / split, [f"{n}.png" for n in names], first=ord(names[0]) + 50)
    # Other files, the same pixels: of the test picture e in training, and b twice within it.
    pixels = smooth_picture(ord("e"), 24, 30)
    Image.fromarray(pixels).save(workspace.path / "in/train/a.png", compress_level=1)
    again = smooth_picture(ord("b"), 24, 30)
    Image.fromarray(again).save(workspace.path / "in/train/c.png", compress_level=1)
    dataset, rejected = prepare(workspace, *two_folders(workspace))
    assert rejected == {
        "a": ("duplicate", "its input has the pixels of test/e"),
        "c": ("duplicate", "its input has the pixels of train/b"),
    }
    assert {(row.split, row.id) for row in dataset.rows} == {
        ("train", "b"), ("validation", "d"), ("test", "e"), ("test", "f"),
    }  # fmt: skip
    files = {p.stem for p in (dataset.directory / "train").glob("*/*.png")}
    assert files == {"b"}
    assert dataset.header.counts["rejected"] == 2


@pytest.mark.usefixtures("prepares_in_processes")
@pytest.mark.parametrize("layout", ["flat", "splits"])
def test_filelist_beside_input_and_output(workspace: Workspace, layout: str) -> None:
    roots = [workspace.path / "s"] if layout == "flat" else [
        workspace.path / "s/train", workspace.path / "s/test"
    ]  # fmt: skip
    for number, root in enumerate(roots):
        names = [f"{number}x{i}.png" for i in range(6)]
        fill(root / "input", names, first=10 * number)
        fill(root / "output", names, first=10 * number + 100)
        listed = [*names[:4], names[0], "gone.png", "../out.png", ""]
        (root / "filelist.txt").write_text("\n".join(listed))
    dataset, rejected = prepare(workspace, "--source-dir", str(workspace.path / "s"))
    assert rejected["0x0"] == ("pairing", "listed 2 times in filelist.txt")
    assert rejected["gone"] == ("pairing", "there is no input of that name")
    assert any("leads out of the folder" in reason for _, reason in rejected.values())
    ids = {row.id for row in dataset.rows}
    assert ids == {f"{n}x{i}" for n in range(len(roots)) for i in (1, 2, 3)}
    if layout == "splits":
        splits = {split: {row.id[0] for row in dataset.split(split)} for split in SPLITS}
        assert splits == {"train": {"0"}, "validation": {"0"}, "test": {"1"}}


@pytest.mark.usefixtures("prepares_in_processes")
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("protocol", ["identity", "local-laplacian-mild"])
def test_targets_computed_in_the_depth_of_the_input(
    workspace: Workspace, protocol: str, bits: int
) -> None:
    for seed in range(4):
        picture = smooth_picture(seed, 40, 44)
        if bits == 16:
            picture = (picture.astype(np.uint16) * 257) ^ seed
        (workspace.path / "in").mkdir(exist_ok=True)
        write_png(workspace.path / f"in/{seed}.png", picture)
    done = workspace.run("prepare", "folder", "--protocol", protocol, "--input-dir", "in")
    assert done.returncode == 0, done.stderr
    dataset = Dataset(workspace.path / f"data/folder-{protocol}")
    row = dataset.rows[0]
    assert row.target_bit_depth == bits
    pixels, target = (
        read_picture(path).pixels for path in (dataset.input_path(row), dataset.target_path(row))
    )
    if protocol == "identity":
        assert np.array_equal(target, pixels)
        return
    white = 2**bits - 1
    exact = OPERATORS[protocol].apply(pixels.transpose(2, 0, 1) / white).transpose(1, 2, 0)
    assert np.abs(target / white - exact).max() <= 0.5 / white + 1e-12


SOURCES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "rgba.png": lambda image: image.convert("RGBA"),
    "grey.png": lambda image: image.convert("L"),
    "cmyk.jpg": lambda image: image.convert("CMYK"),
    "turned.jpg": lambda image: image,
}


def test_other_kinds_of_pictures_are_read_and_noted(workspace: Workspace) -> None:
    (workspace.path / "in").mkdir()
    for name, convert in SOURCES.items():
        image = convert(Image.fromarray(smooth_picture(len(name), 24, 30)))
        exif = image.getexif()
        if name == "turned.jpg":
            exif[0x0112] = 6
        image.save(workspace.path / "in" / name, exif=exif)
    done = workspace.run("prepare", "folder", "--protocol", "identity", "--input-dir", "in")
    assert done.returncode == 0, done.stderr
    rows = {row.id: row for row in Dataset(workspace.path / "data/folder-identity").rows}
    notes = {id_: json.loads(row.measured)["notes"]["input"][0] for id_, row in rows.items()}
    assert notes == {
        "rgba": "alpha channel left out",
        "grey": "grey repeated into three channels",
        "cmyk": "CMYK converted without its profile",
        "turned": "orientation 6 applied",
    }
    assert (rows["turned"].width, rows["turned"].height) == (24, 30)


def test_ids_are_the_names_where_files_may_have_them_anywhere(workspace: Workspace) -> None:
    kept = ["a b", "a-b", "IMG 0012 (2)", "_DSC1459", "a, b+c & d", "it's #1 [x]", "ä", "写真"]
    made = {"sub/ä": "sub-ä", "50%": "50", "=1": "1", "CON": "_CON", "e\u0301": "é"}
    others = ["…/……", "x" * 150]
    names = [f"{name}.png" for name in (*kept, *made, *others)]
    fill(workspace.path / "in", names)
    done = workspace.run("prepare", "folder", "--protocol", "identity", "--input-dir", "in")
    assert done.returncode == 0, done.stderr
    dataset = Dataset(workspace.path / "data/folder-identity")
    ids = {row.source_names[0].removeprefix("input/")[:-4]: row.id for row in dataset.rows}
    assert ids.keys() == {*kept, *made, *others}
    assert {name: ids[name] for name in kept} == {name: name for name in kept}
    assert {name: ids[name] for name in made} == made
    assert len(set(ids.values())) == len(names)
    assert all(is_portable(id_) for id_ in ids.values())
    assert workspace.run("verify", "folder-identity").returncode == 0


def test_names_that_are_one_file_on_another_system_have_two_ids(workspace: Workspace) -> None:
    names = ["A.png", "a.png", "a/b.png", "a-b.png", "Straße.png", "STRASSE.png", "c.png"]
    fill(workspace.path / "in", names)
    done = workspace.run("prepare", "folder", "--protocol", "identity", "--input-dir", "in")
    assert done.returncode == 0, done.stderr
    rows = Dataset(workspace.path / "data/folder-identity").rows
    assert len({same_file(row.id) for row in rows}) == len(names)
    assert "c" in {row.id for row in rows}


def test_what_is_no_pair_takes_no_id_away(workspace: Workspace) -> None:
    fill(workspace.path / "in", ["a-b.png", "c.png", "d.png"])
    fill(workspace.path / "out", ["a-b.png", "c.png", "d.png", "a/b.png"], first=50)
    dataset, rejected = prepare(workspace, *two_folders(workspace))
    assert {row.id for row in dataset.rows} == {"a-b", "c", "d"}
    (id_,) = rejected
    assert id_.startswith("a-b-")
    assert rejected[id_] == ("pairing", "there is no input of that name")


@pytest.mark.parametrize(
    ("code", "arguments", "says"),
    [
        (2, [], "source folder: give --input-dir"),
        (2, ["--protocol", "mine", "--input-dir", "in"], "protocol mine needs targets"),
        (2, ["--input-dir", "in", "--target-dir", "out"], "needs --protocol NAME"),
        (
            2,
            ["--protocol", "Mine!", "--input-dir", "in", "--target-dir", "out"],
            "--protocol 'Mine!': such a name has small letters",
        ),
        (2, ["--protocol", "x" * 101, "--input-dir", "in", "--target-dir", "out"], "at most 100"),
        (2, ["--protocol", "identity", "--input-dir", "in", "--target-dir", "out"], "computes its"),
        (2, ["--protocol", "x", "--source-dir", ".", "--input-dir", "in"], "source folder: give"),
        (3, ["--protocol", "x", "--input-dir", "gone", "--target-dir", "out"], "no folder gone"),
        (3, ["--protocol", "x", "--source-dir", "."], "there is no folder input"),
        (3, ["--protocol", "x", "--input-dir", "in", "--target-dir", "out"], "at least 3 are"),
    ],
)
def test_what_cannot_be_is_one_line(
    workspace: Workspace, code: int, arguments: list[str], says: str
) -> None:
    for side in ("in", "out"):
        fill(workspace.path / side, ["a.png", "b.png"])
    assert says in workspace.fails(code, "prepare", "folder", *arguments)
    assert not (workspace.path / "data").exists()


def test_folders_are_the_source_folders_alone(workspace: Workspace) -> None:
    assert "is not for source demo" in workspace.fails(2, "prepare", "demo", "--input-dir", ".")


def test_other_pictures_of_the_same_name_are_not_taken_for_done(workspace: Workspace) -> None:
    fill(workspace.path / "in", ["a.png", "b.png", "c.png"])
    fill(workspace.path / "out", ["a.png", "b.png", "c.png"], first=9)
    arguments = ["prepare", "folder", "--protocol", "mine", *two_folders(workspace)]
    plan = workspace.json(*arguments, "--dry-run")
    assert plan["pairs"] == {"train": 1, "validation": 1, "test": 1}
    assert not (workspace.path / "data").exists()
    assert workspace.run(*arguments, "--workers", "1").returncode == 0
    assert "nothing to do" in workspace.run(*arguments).stdout
    fill(workspace.path / "in", ["a.png"], first=30, size=(30, 24))
    assert "was prepared with other settings" in workspace.fails(2, *arguments)


def filelist(workspace: Workspace, names: list[str], content: bytes) -> None:
    fill(workspace.path / "s/input", names)
    fill(workspace.path / "s/output", names, first=50)
    (workspace.path / "s/filelist.txt").write_bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfa.png\nb.png\nsub/c.png\n",
        b"a.png\r\nb.png\r\nsub\\c.png\r\n",
        b"./a.png\rb.png\r.\\sub\\c.png",
    ],
    ids=["byte order mark", "Windows", "old Mac"],
)
def test_filelists_as_other_systems_write_them(workspace: Workspace, content: bytes) -> None:
    filelist(workspace, ["a.png", "b.png", "sub/c.png"], content)
    dataset, rejected = prepare(workspace, "--source-dir", "s")
    assert rejected == {}
    assert {row.source_names[0] for row in dataset.rows} == {
        "input/a.png", "input/b.png", "input/sub/c.png",
    }  # fmt: skip


@pytest.mark.skipif(os.sep == "\\", reason="no file's name holds a backslash on Windows")
def test_a_backslash_may_belong_to_a_name(workspace: Workspace) -> None:
    names = ["a.png", "b.png", "sub\\c.png"]
    filelist(workspace, names, "\n".join(names).encode())
    dataset, rejected = prepare(workspace, "--source-dir", "s")
    assert rejected == {}
    assert {row.id for row in dataset.rows} == {"a", "b", "sub-c"}


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        ("utf-16", "filelist.txt cannot be read: it is UTF-16; save it as UTF-8"),
        ("utf-16-le", "filelist.txt cannot be read: it holds zero bytes, as UTF-16 does"),
        ("latin-1", "filelist.txt cannot be read: 'utf-8' codec"),
    ],
)
def test_a_filelist_that_is_no_utf_8_is_refused(
    workspace: Workspace, encoding: str, says: str
) -> None:
    text = "é.png\nb.png\nc.png" if encoding == "latin-1" else "a.png\nb.png\nc.png"
    filelist(workspace, ["a.png", "b.png", "c.png"], text.encode(encoding))
    command = ("prepare", "folder", "--protocol", "mine", "--source-dir", "s")
    assert says in workspace.fails(3, *command)
    assert not (workspace.path / "data").exists()


def test_paths_of_a_filelist_that_mean_one_file_are_one(workspace: Workspace) -> None:
    names = ["a.png", "b.png", "sub/c.png", "sub/d.png", "sub/e.png"]
    lines = [*names, "./a.png", "sub//c.png", "..\\up.png", "x" * 5000]
    filelist(workspace, names, "\n".join(lines).encode())
    dataset, rejected = prepare(workspace, "--source-dir", "s")
    assert {row.id for row in dataset.rows} == {"b", "sub-d", "sub-e"}
    assert rejected["a"] == ("pairing", "listed 2 times in filelist.txt")
    assert rejected["sub-c"] == ("pairing", "listed 2 times in filelist.txt")
    assert ("pairing", "../up.png leads out of the folder") in rejected.values()
    assert ("pairing", "there is no input of that name") in rejected.values()


def test_two_pairs_of_one_name_have_two_ids(workspace: Workspace) -> None:
    """Else the pictures of one would stand in the place of the other's."""
    names = ["a.png", "a.jpg", "b.png", "c.png"]
    filelist(workspace, names, "\n".join(names).encode())
    dataset, rejected = prepare(workspace, "--source-dir", "s")
    assert rejected == {}
    by_source = {row.source_names[0]: row for row in dataset.rows}
    assert set(by_source) == {f"input/{name}" for name in names}
    assert len({row.id for row in dataset.rows}) == 4
    for seed, name in enumerate(names[:2]):
        row = by_source[f"input/{name}"]
        assert row.id.startswith("a-")
        pixels = read_picture(dataset.input_path(row)).pixels
        assert np.array_equal(pixels, smooth_picture(seed, 24, 30))
    assert workspace.run("verify", "folder-mine").returncode == 0


def test_in_folders_two_files_of_one_name_are_no_pair(workspace: Workspace) -> None:
    names = ["a.png", "b.png", "c.png", "d.png"]
    fill(workspace.path / "in", [*names, "a.jpg"])
    fill(workspace.path / "out", names, first=50)
    _, rejected = prepare(workspace, *two_folders(workspace))
    assert rejected == {"a": ("pairing", "several inputs: a.jpg, a.png")}


@pytest.mark.parametrize(
    ("inputs", "targets"), [("in", "in"), ("in", "in/sub"), ("in/sub", "in"), ("in", "link")]
)
def test_inputs_and_targets_lie_apart(workspace: Workspace, inputs: str, targets: str) -> None:
    fill(workspace.path / "in", ["a.png", "b.png", "c.png", "sub/a.png"])
    (workspace.path / "link").symlink_to("in")
    command = ("prepare", "folder", "--protocol", "mine")
    message = workspace.fails(2, *command, "--input-dir", inputs, "--target-dir", targets)
    assert "overlap" in message
    assert inputs in message
    assert targets in message
    (workspace.path / "s").mkdir()
    for name in ("input", "output"):
        (workspace.path / "s" / name).symlink_to("../in")
    assert "overlap" in workspace.fails(2, *command, "--source-dir", "s")
    assert not (workspace.path / "data").exists()


def test_notes_are_counted_when_made_now_and_before(workspace: Workspace) -> None:
    fill(workspace.path / "in", [f"{letter}.png" for letter in "abcd"])
    fill(workspace.path / "out", [f"{letter}.png" for letter in "abcd"], first=50)
    for name, mode in (("in/a", "RGBA"), ("in/b", "RGBA"), ("out/b", "RGBA"), ("out/c", "L")):
        path = workspace.path / f"{name}.png"
        Image.open(path).convert(mode).save(path)
    command = ("prepare", "folder", "--protocol", "mine", *two_folders(workspace))
    for _ in range(2):
        done = workspace.run(*command, "--json")
        report = json.loads(done.stdout)
        assert report["notes"] == {
            "alpha channel left out": 3,
            "grey repeated into three channels": 1,
        }
        said = (
            "notes: 3 x alpha channel left out, 1 x grey repeated into three channels; "
            "each pair's are in its row"
        )
        assert said in done.stderr.splitlines()
    assert "notes" not in workspace.run(*command).stdout


def test_hashing_counts_every_file(workspace: Workspace) -> None:
    """It may take as long as the preparation itself."""
    names = ["a.png", "b.png", "c.png"]
    fill(workspace.path / "in", names)
    fill(workspace.path / "out", names, first=50)
    steps: list[int] = []

    @contextmanager
    def counted(count: int) -> Iterator[Callable[[], None]]:
        yield lambda: steps.append(count)

    places = folder_pairs.folders(None, workspace.path / "in", workspace.path / "out")
    folder.plan_and_tasks("mine", places, counted=counted)
    assert steps == [6] * 6


def test_where_nothing_was_noted_nothing_is_said(workspace: Workspace) -> None:
    fill(workspace.path / "in", ["a.png", "b.png", "c.png"])
    done = workspace.run(
        "prepare", "folder", "--protocol", "identity", "--input-dir", "in", "--json"
    )
    assert json.loads(done.stdout)["notes"] == {}
    assert "notes" not in done.stderr
