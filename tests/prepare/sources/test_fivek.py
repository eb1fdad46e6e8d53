"""`prepare fivek`, from a server in the layout of the real one, from a copy, and of renderings."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
import yaml
from PIL import Image

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.images.files import read_picture, write_png
from hdrnet_bench.prepare.schedule import processes
from tests.conftest import Workspace, clean_environment, wait_for_files, whole_files
from tests.file_server import FileServer, serve
from tests.fivek_server import NAMES, REJECTED, TEST, TRAIN, make_fivek, write_source

pytestmark = pytest.mark.usefixtures("prepares_in_a_thread")

PREPARE = ("prepare", "fivek", "--accept-licence", "--workers", "2")


class FiveK(NamedTuple):
    workspace: Workspace
    server: FileServer

    def dataset(self, name: str = "fivek-libraw-c") -> Dataset:
        return Dataset(self.workspace.path / "data" / name)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fivek")
    make_fivek(root)
    return root


@pytest.fixture
def fivek(files: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[FiveK]:
    """An empty workspace, and a server that its protocols know."""
    monkeypatch.setenv("HDRBENCH_CACHE", str(workspace.path / "cache"))
    with serve(files) as server:
        write_source(files, server.url, workspace.path)
        yield FiveK(workspace, server)


@pytest.fixture(scope="module")
def undisturbed(files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What preparing reports when nothing goes wrong, by processes as users have it."""
    path = tmp_path_factory.mktemp("undisturbed")
    in_processes = mock.patch("hdrnet_bench.prepare.build.processes", processes)
    with serve(files) as server, in_processes:
        write_source(files, server.url, path)
        environment = {"HDRBENCH_CACHE": str(path / "cache")}
        done = Workspace(path).run(*PREPARE, "--json", env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"path": str(path)}


def test_whole_protocol_from_the_server(undisturbed: dict[str, Any]) -> None:
    assert undisturbed["dataset"] == "fivek-libraw-c"
    assert undisturbed["pairs"] == {"train": 4, "validation": 1, "test": 2, "rejected": 3}
    cost = undisturbed["cost"]
    assert cost["pairs"] == 10
    assert cost["parallel efficiency"] > 0
    assert 30 < cost["most MiB of a worker"] < 2000
    folder = Path(undisturbed["path"]) / "data/fivek-libraw-c"
    lines = (folder / "rejected.jsonl").read_text().splitlines()
    rejected = {r["id"]: r for r in map(json.loads, lines)}
    assert {id_: r["stage"] for id_, r in rejected.items()} == REJECTED
    assert rejected["a0006"]["reason"] == "input 150x100, target 150x98"
    assert "truncated" in rejected["a0005"]["reason"]
    assert rejected["a0007"]["reason"] == f"the server has no img/tiff16_c/{NAMES['a0007']}.tif"
    assert str(folder) not in (folder / "rejected.jsonl").read_text()
    dataset = Dataset(folder)
    rows = {row.id: row for row in dataset.rows}
    assert {row.id for row in dataset.split("test")} == set(TEST)
    assert set(rows) == {*TRAIN, *TEST} - set(REJECTED)
    assert not list(folder.parent.glob(".*.building"))
    for row in rows.values():
        measured = json.loads(row.measured)
        assert measured["multipliers"][1] == 1
        assert (measured["white_balance"] == "camera") == (row.id != "a0003")
        assert row.source_names[1] == f"tiff16_c/{NAMES[row.id]}.tif"
        assert row.licence == ("LicenseAdobe" if row.id <= "a0006" else "LicenseAdobeMIT")
        assert min(row.width, row.height) == 48
        assert row.input_bit_depth == row.target_bit_depth == 8
        # One scene was written as both: developed and converted they agree.
        paths = dataset.input_path(row), dataset.target_path(row)
        pictures = [read_picture(path).pixels for path in paths]
        error = pictures[0].astype(float) - pictures[1]
        assert np.abs(error).mean() < 1
        assert pictures[0].std() > 10
    assert (rows["a0002"].width, rows["a0002"].height) == (48, 72), "a portrait stands upright"
    assert (rows["a0004"].width, rows["a0004"].height) == (72, 48)
    settings = dataset.header.settings
    assert settings["development"]["parameters"]["no_auto_bright"] is True
    assert settings["pictures"] == {"train": 7, "validation": 1, "test": 2}
    assert set(settings["lists_sha256"]) == {"adaint-train", "adaint-test"}
    assert dataset.header.tools["libraw"]


def test_faults_of_the_server_change_nothing(fivek: FiveK, undisturbed: dict[str, Any]) -> None:
    faults = fivek.server.faults
    plain, portrait, odd = (f"img/dng/{NAMES[i]}.dng" for i in ("a0001", "a0002", "a0004"))
    faults[plain].statuses = [503, 503]
    faults[portrait].cuts = [20_000]
    faults[odd].cuts = [20_000]
    faults[odd].ranges = False
    report = fivek.workspace.json(*PREPARE)
    assert report["digest"] == undisturbed["digest"]
    assert fivek.server.ranges(portrait)[1].startswith("bytes="), "the rest alone was fetched"
    size = (fivek.server.root / odd).stat().st_size
    assert fivek.server.sent(odd) == size + 20_000, "the whole file was fetched again"
    assert fivek.server.most_at_once <= 6
    again = fivek.workspace.json(*PREPARE)
    assert "nothing to do" in again["prepared"]
    assert again["cost"] is None


def test_a_copy_gives_the_same(fivek: FiveK, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    """As the archive has it: folders of photographs, lists of names, experts beside it."""
    copy = tmp_path / "fivek_dataset"
    photos = copy / "raw_photos/HQa1to700/photos"
    photos.mkdir(parents=True)
    for path in (fivek.server.root / "img/dng").iterdir():
        shutil.copy(path, photos)
    for path in (fivek.server.root / "legal").glob("files*.txt"):
        shutil.copy(path, copy)
    experts = tmp_path / "experts"
    shutil.copytree(fivek.server.root / "img/tiff16_c", experts / "tiff16_c")
    shutil.copytree(fivek.server.root / "img/tiff16_a", experts / "tiff16_a")
    sources = ("--source-dir", str(copy), "--source-dir", str(experts))
    report = fivek.workspace.json("prepare", "fivek", *sources)
    rejected = fivek.dataset().directory / "rejected.jsonl"
    stages = {r["id"]: r["stage"] for r in map(json.loads, rejected.read_text().splitlines())}
    assert stages == REJECTED | {"a0007": "pairing"}
    assert report["digest"] == undisturbed["digest"]
    assert [r for r in fivek.server.requests if r.path.startswith("img")] == []
    other = fivek.workspace.json("prepare", "fivek", *sources, "--expert", "a")
    assert other["dataset"] == "fivek-libraw-a"
    assert other["pairs"]["rejected"] == 2
    message = fivek.workspace.fails(3, "prepare", "fivek", "--source-dir", "recipes")
    assert "no pair of this protocol is in recipes" in message


def test_licences_are_shown_and_must_be_accepted_once(fivek: FiveK) -> None:
    plain = ("prepare", "fivek", "--limit", "3")
    done = fivek.workspace.run(*plain)
    assert done.returncode == 2
    assert "The terms of LicenseAdobe." in done.stderr
    assert "--accept-licence" in done.stderr
    assert not list((fivek.workspace.path / "data").glob(".*building"))
    fivek.workspace.json(*plain, "--accept-licence")
    done = fivek.workspace.run(*plain, "--expert", "a")
    assert done.returncode == 0, done.stderr
    assert "The terms" not in done.stderr


def test_parts_of_a_protocol_have_names_of_their_own(fivek: FiveK) -> None:
    report = fivek.workspace.json(*PREPARE, "--limit", "4", "--dry-run")
    assert report["dataset"] == "fivek-libraw-c-first4"
    assert sum(report["pairs"].values()) == 4
    assert min(report["pairs"].values()) >= 1
    assert not (fivek.workspace.path / "data").exists()
    assert "--limit 2" in fivek.workspace.fails(2, *PREPARE, "--limit", "2")
    ids = fivek.workspace.path / "ids.txt"
    ids.write_text("# mine\na0008\na0009-plain\n")
    report = fivek.workspace.json(*PREPARE, "--ids", "ids.txt", "--size", "original")
    assert report["dataset"].startswith("fivek-libraw-c-original-ids-")
    assert report["pairs"]["test"] == 1
    assert report["pairs"]["train"] + report["pairs"]["validation"] == 1
    assert fivek.dataset(report["dataset"]).rows[0].width == 150
    ids.write_text("a0011\n")
    assert "no id of this protocol" in fivek.workspace.fails(2, *PREPARE, "--ids", "ids.txt")


def test_dry_run_says_what_would_be_fetched(fivek: FiveK) -> None:
    report = fivek.workspace.json("prepare", "fivek", "--dry-run")
    root = fivek.server.root
    ids = [*TRAIN, *TEST]
    files = [root / f"img/dng/{NAMES[i]}.dng" for i in ids]
    files += [root / f"img/tiff16_c/{NAMES[i]}.tif" for i in ids if i != "a0007"]
    size = sum(path.stat().st_size for path in files)
    assert report["would fetch"] == {"files": 19, "bytes": size, "unsized": 0}
    (missing,) = report["not there"]
    assert "a0007-no%20target" in missing
    assert {r.method for r in fivek.server.requests if r.path.startswith("img")} == {"HEAD"}
    assert not (fivek.workspace.path / "data").exists()


def test_killed_at_any_moment_it_goes_on(fivek: FiveK, undisturbed: dict[str, Any]) -> None:
    for name in NAMES.values():
        fivek.server.faults[f"img/dng/{name}.dng"].delay_s = 0.15
    command = [sys.executable, "-m", "hdrnet_bench", *PREPARE, "--connections", "1"]
    environment = clean_environment() | {"HDRBENCH_CACHE": os.environ["HDRBENCH_CACHE"]}
    process = subprocess.Popen(
        command, cwd=fivek.workspace.path, env=environment, start_new_session=True,
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    staging = fivek.workspace.path / "data/.fivek-libraw-c.building"
    wait_for_files(process, staging, "rows/*/*.json*", 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {p.name.split(".")[0] for p in whole_files(staging, "rows/*/*.json*")}
    assert 3 <= len(done) < 10
    before = len(fivek.server.requests)
    report = fivek.workspace.json(*PREPARE)
    assert report["digest"] == undisturbed["digest"]
    assert report["cost"]["pairs"] == 10 - len(done)
    fetched = {Path(r.path).name[:5] for r in fivek.server.requests[before:] if "img" in r.path}
    assert not fetched & done, "fetched twice"


def test_a_server_that_is_gone_stops_clearly(
    fivek: FiveK, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdrnet_bench.prepare.fetch.download.LONGEST_PAUSE_S", 0.01)
    name = f"img/dng/{NAMES['a0001']}.dng"
    fivek.server.faults[name].statuses = [503] * 50
    message = fivek.workspace.fails(3, *PREPARE)
    assert "1 of 10 could not be fetched" in message
    assert "same command again" in message
    assert not (fivek.workspace.path / "data/fivek-libraw-c").exists()
    fivek.server.faults[name].statuses = []
    report = fivek.workspace.json(*PREPARE)
    # With it the truncated one and the one without a target: they might be mended as well.
    assert report["cost"]["pairs"] == 3, "the others were kept"
    assert report["digest"] == undisturbed["digest"]
    shutil.rmtree(fivek.workspace.path / "data")
    for faulty in NAMES.values():
        fivek.server.faults[f"img/dng/{faulty}.dng"].statuses = [500] * 50
    assert "500" in fivek.workspace.fails(3, *PREPARE)


def test_raw_files_are_kept_where_asked_and_serve_as_a_source(fivek: FiveK) -> None:
    fivek.workspace.json(*PREPARE, "--keep-raw")
    raw = fivek.workspace.path / "data/raw/fivek"
    assert len(list(raw.rglob("*.dng"))) == 10
    before = len(fivek.server.requests)
    report = fivek.workspace.json(
        "prepare", "fivek", "--source-dir", str(raw), "--size", "original"
    )
    assert report["pairs"]["test"] == 2
    assert [r for r in fivek.server.requests[before:] if "img" in r.path] == []


def test_killed_while_it_finishes_nothing_is_lost(
    fivek: FiveK, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("leave_out", "finish", "give_name", "remove_staging"):
        with monkeypatch.context() as patch:
            patch.setattr(f"hdrnet_bench.prepare.build.{step}", killed)
            with pytest.raises(Killed):
                fivek.workspace.run(*PREPARE)
    report = fivek.workspace.json(*PREPARE)
    assert "nothing to do" in report["prepared"], "it had its name when the last step was killed"
    assert report["digest"] == undisturbed["digest"]
    path = f"img/dng/{NAMES['a0001']}.dng"
    assert fivek.server.sent(path) == (fivek.server.root / path).stat().st_size, "fetched once"


class Killed(BaseException):
    """Stands for a kill at this point: nothing after it runs."""


def killed(*arguments: Any, **keywords: Any) -> None:
    raise Killed


def test_what_was_left_out_for_want_of_files_is_tried_again(
    fivek: FiveK, undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of the files first, killed before the end; then the rest from the server."""
    for folder, suffix in (("dng", "dng"), ("tiff16_c", "tif")):
        (tmp_path / "part" / folder).mkdir(parents=True)
        for id_ in ("a0001", "a0008"):
            name = f"{NAMES[id_]}.{suffix}"
            shutil.copy(fivek.server.root / "img" / folder / name, tmp_path / "part" / folder)
    with monkeypatch.context() as patch:
        patch.setattr("hdrnet_bench.prepare.build.finish", killed)
        with pytest.raises(Killed):
            fivek.workspace.run("prepare", "fivek", "--source-dir", "part")
    estimate = fivek.workspace.json(*PREPARE, "--dry-run")
    assert estimate["would fetch"]["files"] == 15
    report = fivek.workspace.json(*PREPARE)
    assert report["digest"] == undisturbed["digest"]
    assert report["cost"]["pairs"] == 8


@pytest.mark.fault("servers")
def test_pages_in_place_of_pictures_leave_none_out_for_good(
    fivek: FiveK, record_property: Callable[[str, object], None]
) -> None:
    """As of a server under repair, or a network that wants a login first."""
    pages = [b"<html>Back at noon.</html>", b"Back at noon.", b""]
    record_property("faults", len(pages))
    places = [f"img/tiff16_c/{NAMES[id_]}.tif" for id_ in ("a0001", "a0002", "a0003")]
    for place, page in zip(places, pages, strict=True):
        fivek.server.answers[place] = lambda query, page=page: page
    (fivek.workspace.path / "ids.txt").write_text("a0001\na0002\na0003\na0004\n")
    some = (*PREPARE, "--ids", "ids.txt")
    message = fivek.workspace.fails(3, *some)
    assert "3 of 4 could not be fetched: a page of text, or nothing, came in place of" in message
    assert not list((fivek.workspace.path / "data").glob("fivek*"))
    fivek.server.answers.clear()
    report = fivek.workspace.json(*some)
    assert report["pairs"]["rejected"] == 0
    assert report["cost"]["pairs"] == 3, "the one that came was kept"


def test_another_protocol_does_not_take_over_what_one_has_begun(
    fivek: FiveK, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("hdrnet_bench.prepare.build.finish", killed)
        with pytest.raises(Killed):
            fivek.workspace.run(*PREPARE)
    protocol = fivek.workspace.path / "recipes/protocols/fivek/libraw.yaml"
    protocol.write_text(protocol.read_text().replace("demosaic: ahd", "demosaic: linear"))
    assert "--overwrite drops it" in fivek.workspace.fails(2, *PREPARE)
    report = fivek.workspace.json(*PREPARE, "--overwrite")
    assert report["cost"]["pairs"] == 10


def test_a_disk_that_is_gone_is_no_reason_to_leave_pictures_out(fivek: FiveK) -> None:
    shutil.copytree(fivek.server.root / "img", fivek.workspace.path / "img")
    broken = fivek.workspace.path / f"img/dng/{NAMES['a0001']}.dng"
    broken.unlink()
    broken.symlink_to("/proc/self/mem")  # a file whose first bytes no one can read
    message = fivek.workspace.fails(3, "prepare", "fivek", "--source-dir", "img")
    assert f"preparing fivek-libraw-c stopped: {broken} cannot be read: Input/output er" in message
    assert not (fivek.workspace.path / "data/fivek-libraw-c").exists()


def test_copies_are_found_through_links_and_counted_once(
    fivek: FiveK, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "links").mkdir()
    for folder in ("dng", "tiff16_c"):
        (tmp_path / "links" / folder).symlink_to(fivek.server.root / "img" / folder)
    (tmp_path / "links/a0001-folder.dng").mkdir()
    os.mkfifo(tmp_path / "links/a0001-pipe.dng")
    sources = ("--source-dir", "links", "--source-dir", str(fivek.server.root / "img"))
    report = fivek.workspace.json("prepare", "fivek", *sources)
    assert report["digest"] == undisturbed["digest"]


def test_an_index_that_is_no_text_is_refused_and_not_kept(fivek: FiveK) -> None:
    listed = fivek.server.root / "legal/filesAdobe.txt"
    whole = listed.read_bytes()
    try:
        listed.write_bytes(b"\xff\xfe\x00")
        assert "is not the list" in fivek.workspace.fails(3, *PREPARE, "--dry-run")
    finally:
        listed.write_bytes(whole)
    fivek.workspace.json(*PREPARE, "--dry-run")


def test_a_dask_cluster_gives_the_same(fivek: FiveK, undisturbed: dict[str, Any]) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed (distributed)")
    shutil.copytree(fivek.server.root / "img", fivek.workspace.path / "img")
    with contextlib.chdir("/"):  # workers stand where they were started
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        )
    with cluster:
        way = ("prepare", "fivek", "--scheduler", cluster.scheduler_address, "--source-dir", "img")
        report = fivek.workspace.json(*way)
    assert report["digest"] == undisturbed["digest"]
    assert report["cost"]["workers"] == 2
    assert "Dask cluster" in fivek.workspace.fails(3, *way, "--expert", "a")


@pytest.fixture
def renderings(tmp_path: Path) -> tuple[Path, Path]:
    """An export of all pictures as zeng-srgb wants it."""
    folders = tmp_path / "export/input", tmp_path / "export/target"
    for folder in folders:
        folder.mkdir(parents=True)
        for seed, id_ in enumerate([*TRAIN, *TEST]):
            pixels = np.random.default_rng(seed).integers(0, 255, (48, 60, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{NAMES[id_]}.jpg", quality=95)
    return folders


@pytest.mark.usefixtures("prepares_in_processes")
def test_renderings_are_checked_and_taken_over_as_they_are(
    fivek: FiveK, renderings: tuple[Path, Path]
) -> None:
    inputs, targets = renderings
    from tests.pictures import DISPLAY_P3, SRGB_OF_PILLOW

    picture = Image.open(inputs / f"{NAMES['a0001']}.jpg")
    picture.save(inputs / f"{NAMES['a0001']}.jpg", icc_profile=DISPLAY_P3)
    picture.save(inputs / f"{NAMES['a0002']}.jpg", icc_profile=SRGB_OF_PILLOW)
    picture.resize((61, 49)).save(inputs / f"{NAMES['a0003']}.jpg")
    write_png(inputs / f"{NAMES['a0004']}.png", np.zeros((48, 60, 3), np.uint16))
    (inputs / f"{NAMES['a0004']}.jpg").unlink()
    (targets / f"{NAMES['a0005']}.jpg").unlink()
    Image.open(targets / f"{NAMES['a0006']}.jpg").save(targets / f"{NAMES['a0006']}-copy.jpg")
    (targets / f"{NAMES['a0007']}.jpg").write_bytes(b"\xff\xd8 no picture")
    Image.open(targets / f"{NAMES['a0008']}.jpg").save(targets / f"{NAMES['a0008']}.png")
    (targets / f"{NAMES['a0008']}.jpg").unlink()
    folders = ("--input-dir", str(inputs), "--target-dir", str(targets))
    report = fivek.workspace.json("prepare", "fivek", "--protocol", "zeng-srgb", *folders)
    dataset = fivek.dataset("fivek-zeng-srgb-c")
    lines = (dataset.directory / "rejected.jsonl").read_text().splitlines()
    stages = {r["id"]: r["stage"] for r in map(json.loads, lines)}
    assert stages == {
        "a0001": "profile",
        "a0003": "size",
        "a0004": "depth",
        "a0005": "pairing",
        "a0006": "pairing",
        "a0007": "decode",
        "a0008": "kind",
    }
    assert report["pairs"]["test"] == 2
    row = next(row for row in dataset.rows if row.id == "a0002")
    assert dataset.input_path(row).read_bytes() == (inputs / f"{NAMES['a0002']}.jpg").read_bytes()
    assert fivek.workspace.json("verify", "fivek-zeng-srgb-c")["status"] == "identical"
    # Other files are another dataset.
    picture.save(inputs / f"{NAMES['a0001']}.jpg")
    again = ("prepare", "fivek", "--protocol", "zeng-srgb", *folders)
    assert "other settings" in fivek.workspace.fails(2, *again)


def test_renderings_of_kinds_that_are_not_read_are_named(
    fivek: FiveK, renderings: tuple[Path, Path]
) -> None:
    inputs, targets = renderings
    first, second = (f"{NAMES[id_]}" for id_ in ("a0001", "a0002"))
    (inputs / f"{first}.jpg").rename(inputs / f"{first}.bmp")
    (targets / f"{second}.jpg").unlink()
    (targets / f"{second}.bmp").mkdir()
    folders = ("--input-dir", str(inputs), "--target-dir", str(targets))
    fivek.workspace.json("prepare", "fivek", "--protocol", "zeng-srgb", *folders)
    lines = (fivek.dataset("fivek-zeng-srgb-c").directory / "rejected.jsonl").read_text()
    reasons = {r["id"]: r["reason"] for r in map(json.loads, lines.splitlines())}
    said = f"input of a0001: not there, but {first}.bmp: only .jpg"
    assert reasons["a0001"].startswith(said), reasons["a0001"]
    assert reasons["a0002"] == "target of a0002: not there"


def test_several_files_of_a_picture_are_told_apart(
    fivek: FiveK, renderings: tuple[Path, Path]
) -> None:
    inputs, targets = renderings
    name = f"{NAMES['a0001']}.jpg"
    (inputs / "more").mkdir()
    shutil.copy(inputs / name, inputs / "more" / name)
    folders = ("--input-dir", str(inputs), "--target-dir", str(targets))
    fivek.workspace.json("prepare", "fivek", "--protocol", "zeng-srgb", *folders)
    rejected = (fivek.dataset("fivek-zeng-srgb-c").directory / "rejected.jsonl").read_text()
    assert json.loads(rejected)["reason"] == f"input of a0001: several: {name}, more/{name}"


def test_copies_of_a_picture_in_two_copies_are_told_apart(fivek: FiveK, tmp_path: Path) -> None:
    name = NAMES["a0001"]
    for copy in ("one", "two"):
        shutil.copytree(fivek.server.root / "img/dng", tmp_path / copy / "dng")
    shutil.copytree(fivek.server.root / "img/tiff16_c", tmp_path / "two/tiff16_c")
    for path in (tmp_path / "one/dng").iterdir():
        if path.stem != name:
            path.unlink()
    sources = ("--source-dir", str(tmp_path / "one"), "--source-dir", str(tmp_path / "two"))
    dry = fivek.workspace.json("prepare", "fivek", *sources, "--dry-run")
    report = fivek.workspace.json("prepare", "fivek", *sources)
    assert dry["left out"] == {"pairing": 2}, "and a0007, which has no target"
    assert sum(dry["pairs"].values()) == 8
    assert report["pairs"]["rejected"] == 4
    lines = (fivek.dataset().directory / "rejected.jsonl").read_text().splitlines()
    reason = json.loads(lines[0])["reason"]
    assert reason == f"{name} (dng): several: one/dng/{name}.dng, two/dng/{name}.dng"


def test_xyz_inputs_have_16_bits(fivek: FiveK, renderings: tuple[Path, Path]) -> None:
    inputs, targets = renderings
    for path in inputs.iterdir():
        write_png(path.with_suffix(".png"), np.full((48, 60, 3), 4097, np.uint16))
        path.unlink()
    folders = ("--input-dir", str(inputs), "--target-dir", str(targets))
    fivek.workspace.json("prepare", "fivek", "--protocol", "zeng-xyz", *folders)
    row = fivek.dataset("fivek-zeng-xyz-c").rows[0]
    assert (row.input_bit_depth, row.target_bit_depth) == (16, 8)


def test_the_neutral_tiffs_are_a_protocol_where_the_server_has_them(fivek: FiveK) -> None:
    command = (*PREPARE, "--protocol", "as-shot-zeroed")
    report = fivek.workspace.run(*command)
    # The server has none: every pair is left out, and it is said.
    assert report.returncode == 3, report.stderr
    assert "tiff16_inputAsShotZeroed" in report.stderr


def test_ways_that_do_not_fit_are_refused(fivek: FiveK) -> None:
    run = fivek.workspace.fails
    assert "no public list" not in run(2, "prepare", "fivek", "--protocol", "zeng")
    assert "in no public list" in run(2, "prepare", "fivek", "--protocol", "csrnet")
    assert "are public" in run(2, "prepare", "fivek", "--protocol", "hwang")
    assert "Lightroom" in run(2, "prepare", "fivek", "--protocol", "dpe")
    assert "makes its pictures" in run(2, "prepare", "fivek", "--input-dir", ".")
    assert "no expert 'f'" in run(2, *PREPARE, "--expert", "f")
    assert "no size '1080p'" in run(2, *PREPARE, "--size", "1080p")
    assert "--expert is not for source demo" in run(2, "prepare", "demo", "--expert", "a")
    assert "give one of them" in run(2, *PREPARE, "--limit", "5", "--ids", "x")
    assert "its own workers" in run(2, *PREPARE, "--scheduler", "tcp://127.0.0.1:1")
    assert "an address begins with" in run(2, *PREPARE, "--base-url", "ftp://x/")
    (fivek.workspace.path / "in/side").mkdir(parents=True)
    nested = ("--input-dir", "in", "--target-dir", "in/side")
    assert "overlap" in run(2, "prepare", "fivek", "--protocol", "zeng-srgb", *nested)
    assert "goes with downloading" in run(2, "prepare", "fivek", "--source-dir", ".", "--keep-raw")


def test_lists_that_are_not_the_pinned_ones_are_refused(fivek: FiveK, files: Path) -> None:
    source = fivek.workspace.path / "recipes/protocols/fivek/source.yaml"
    whole = source.read_text()
    source.write_text(whole.replace("count: 2\n", "count: 3\n"))
    assert "2 ids, 3 are stated" in fivek.workspace.fails(3, *PREPARE)
    source.write_text(with_lists(whole, "adaint-test", "f" * 64))
    assert "another file than the expected one" in fivek.workspace.fails(3, *PREPARE)
    content = yaml.safe_load(whole)
    for key in ("names_sha256", "file_sha256"):
        content["licences"][1][key] = "f" * 64
    source.write_text(yaml.safe_dump(content))
    message = fivek.workspace.fails(3, *PREPARE)
    assert "filesAdobeMIT.txt is not the list" in message


def with_lists(whole: str, name: str, sha256: str) -> str:
    content = yaml.safe_load(whole)
    content["lists"][name]["sha256"] = sha256
    return yaml.safe_dump(content)


def test_two_preparations_are_compared_picture_by_picture(
    fivek: FiveK, undisturbed: dict[str, Any]
) -> None:
    first = f"{undisturbed['path']}/data/fivek-libraw-c"
    shutil.copytree(first, fivek.workspace.path / "data/fivek-libraw-c")
    same = fivek.workspace.json("compare-datasets", first, "fivek-libraw-c")
    assert (same["identical"], same["differences"]) == (7, [])
    other = fivek.workspace.json("prepare", "fivek", "--accept-licence", "--expert", "a")
    result = fivek.workspace.json("compare-datasets", first, other["dataset"])
    assert result["common"] == 7
    # The other expert's targets are darker; the inputs are the same.
    assert {d["role"] for d in result["differences"]} == {"target"}
    values = [d["psnr"] for d in result["differences"]]
    assert values == sorted(values)
    assert 15 < values[0] < 40
    assert result["only_first"] == []
    done = fivek.workspace.run("compare-datasets", first, other["dataset"])
    assert "dB" in done.stdout
