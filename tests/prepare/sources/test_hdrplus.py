"""`prepare hdrplus`, from a server in the layout of the real bucket and from a copy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from hdrnet_bench.color import linear_to_srgb
from hdrnet_bench.data.manifest import SPLITS, Dataset
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.files import sha256_file
from hdrnet_bench.images.files import read_picture
from hdrnet_bench.prepare import protocols
from hdrnet_bench.prepare.build import RejectedPair
from hdrnet_bench.prepare.fetch.download import Downloads
from hdrnet_bench.prepare.protocol_models import HdrplusProtocol
from hdrnet_bench.prepare.source_models import HdrplusSource
from hdrnet_bench.prepare.sources import hdrplus
from hdrnet_bench.prepare.sources.hdrplus_bucket import Bucket
from tests.conftest import ROOT, Workspace
from tests.file_server import FileServer
from tests.hdrplus_server import (
    ALL,
    BUCKET,
    LISTING,
    PLAIN,
    PREFIX,
    REJECTED,
    RESULTS,
    SIDEWAYS,
    SIZE,
    TEST,
    TURNED,
    UNFINISHED,
    UNRELATED,
    VALIDATION,
    ZOOM,
    ZOOMED,
    fetched_of,
    generation,
    make_hdrplus,
    place,
    scene,
    serve_bucket,
    write_protocols,
)

pytestmark = pytest.mark.usefixtures("prepares_in_a_thread")

PREPARE = ("prepare", "hdrplus", "--workers", "2")
NAME = "hdrplus-hdrnet-subset"
MERGED = f"{BUCKET}/{PREFIX}/{RESULTS}/{PLAIN}/merged.dng"


class HDRPlus(NamedTuple):
    workspace: Workspace
    server: FileServer

    def json(self, *arguments: str) -> Any:
        return self.workspace.json(*PREPARE, "--base-url", self.server.url, *arguments)

    def fails(self, code: int, *arguments: str) -> str:
        return self.workspace.fails(code, *PREPARE, "--base-url", self.server.url, *arguments)

    def objects(self) -> list[str]:
        """The objects that were asked for, by name."""
        return [r.path for r in self.server.requests if r.path != LISTING]


def facts() -> tuple[HdrplusSource, HdrplusProtocol]:
    return protocols.load_source("hdrplus"), protocols.load_protocol("hdrplus", "hdrnet")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hdrplus")
    make_hdrplus(root)
    return root


@pytest.fixture
def bucket(files: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[HDRPlus]:
    """An empty workspace, and a server of the bucket."""
    monkeypatch.setenv("HDRBENCH_CACHE", str(workspace.path / "cache"))
    write_protocols(workspace.path)
    with serve_bucket(files) as server:
        yield HDRPlus(workspace, server)


@pytest.fixture(scope="module")
def undisturbed(files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What preparing reports when nothing goes wrong, and what was asked of the server."""
    path = tmp_path_factory.mktemp("undisturbed")
    write_protocols(path)
    with serve_bucket(files) as server:
        report = HDRPlus(Workspace(path), server).json()
        return report | {"path": path, "requests": server.requests}


def test_the_subset_from_the_bucket(undisturbed: dict[str, Any], files: Path) -> None:
    assert undisturbed["dataset"] == NAME
    assert undisturbed["pairs"] == {"train": 5, "validation": 1, "test": 1, "rejected": 2}
    folder = undisturbed["path"] / "data" / NAME
    rejected = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    assert {r["id"]: r["stage"] for r in rejected} == REJECTED
    reasons = {r["id"]: r["reason"] for r in rejected}
    assert reasons[UNFINISHED] == f"the server has no {RESULTS}/{UNFINISHED}/final.jpg"
    assert "correlate by" in reasons[UNRELATED]
    dataset = Dataset(folder)
    rows = {row.id: row for row in dataset.rows}
    assert {row.id for row in dataset.split("test")} == set(TEST)
    assert {row.id for row in dataset.split("validation")} == set(VALIDATION)
    assert set(rows) == set(ALL) - set(REJECTED)
    assert dataset.header.input_encoding == "camera"
    assert dataset.header.input_white == 32767
    assert "Attribution-ShareAlike 4.0" in dataset.header.licence
    settings = dataset.header.settings
    assert settings["part"] == "subset"
    assert settings["pictures"] == {"train": 7, "validation": 1, "test": 1}
    assert settings["splits"]["test"] == {"hash_percent": [0, 10]}
    for row in rows.values():
        assert row.licence == "CC-BY-SA-4.0"
        assert (row.input_bit_depth, row.target_bit_depth) == (16, 8)
        assert (row.width, row.height) == (128, 96)
        assert row.source_names == [
            f"{RESULTS}/{row.id}/merged.dng",
            f"{RESULTS}/{row.id}/final.jpg",
            f"{RESULTS}/{row.id}/reference_frame.txt",
            f"bursts/{row.id}/lens_shading_map_N001.tiff",
        ]
        merged, final, *_ = row.source_sha256
        assert merged == sha256_file(place(files, RESULTS, row.id) / "merged.dng")
        assert final == sha256_file(place(files, RESULTS, row.id) / "final.jpg")
        measured = json.loads(row.measured)
        assert measured["shading"] == "map"
        assert measured["resampled"] == {"input": True, "target": True}
        assert measured["alignment"]["orientation"] == 1
        assert measured["alignment"]["correlation"] > 0.5
        pictures = [read_picture(p(row)).pixels for p in (dataset.input_path, dataset.target_path)]
        # The same scene on both sides: finished as the target was, the input is near it.
        light = pictures[0] / 32767
        finished = np.asarray(linear_to_srgb(np.clip(light, 0, 1) ** 0.8)) * 255
        assert np.abs(finished - pictures[1]).mean() < 6, row.id
    zooms = {id_: json.loads(row.measured)["alignment"]["zoom"] for id_, row in rows.items()}
    assert zooms.pop(ZOOMED) == pytest.approx(ZOOM, rel=0.021)
    assert set(zooms.values()) == {1.0}
    assert json.loads(rows[TURNED].measured)["orientation"] == 6, "of the DNG, which was applied"
    assert json.loads(rows[SIDEWAYS].measured)["notes"]["target"] == ["orientation 6 applied"]
    shown = json.loads(rows[ZOOMED].measured)["shown_size"]
    assert shown[0] == pytest.approx(SIZE[1] / ZOOM, rel=0.03)
    assert json.loads(rows[PLAIN].measured)["target_size"] == [SIZE[1], SIZE[0]]
    assert Workspace(undisturbed["path"]).json("verify", str(folder))["status"] == "identical"


def test_only_what_a_pair_needs_is_fetched_as_it_was_listed(
    undisturbed: dict[str, Any], files: Path
) -> None:
    objects = [r for r in undisturbed["requests"] if r.path != LISTING]
    ids = [id_ for id_ in ALL if id_ != UNFINISHED]
    wanted = {path.relative_to(files) for id_ in ids for path in fetched_of(files, id_)}
    assert {Path(r.path) for r in objects} == wanted
    assert len(objects) == len(wanted), "each once"
    for request in objects:
        assert request.query == {"generation": generation(request.path.removeprefix(f"{BUCKET}/"))}
    assert not list(undisturbed["path"].glob("data/**/*.dng")), "gone when the pair is made"


def test_stored_light_has_room_above_white(undisturbed: dict[str, Any]) -> None:
    """1.0 is 32767: the mean of the stored input is that of the scene."""
    dataset = Dataset(undisturbed["path"] / "data" / NAME)
    row = next(row for row in dataset.rows if row.id == PLAIN)
    stored = read_picture(dataset.input_path(row)).pixels.mean((0, 1)) / 32767
    assert stored == pytest.approx(scene(ALL.index(PLAIN)).mean((0, 1)), rel=0.02)


def test_the_other_protocol_is_the_first_times_the_matrix(
    bucket: HDRPlus, undisturbed: dict[str, Any]
) -> None:
    report = bucket.json("--protocol", "linear-srgb")
    assert report["dataset"] == "hdrplus-linear-srgb-subset"
    assert report["pairs"] == undisturbed["pairs"]
    dataset = Dataset(bucket.workspace.path / "data" / report["dataset"])
    assert dataset.header.input_encoding == "linear"
    camera = Dataset(undisturbed["path"] / "data" / NAME)
    for row, other in zip(dataset.rows, camera.rows, strict=True):
        assert f"bursts/{row.id}/rgb2rgb.txt" in row.source_names
        assert row.target_pixels_sha256 == other.target_pixels_sha256
        matrix = np.full((3, 3), 0.25) + np.eye(3) * 0.25
        expected = read_picture(camera.input_path(other)).pixels @ matrix.T
        assert np.abs(read_picture(dataset.input_path(row)).pixels - expected).max() < 2


def test_faults_of_the_server_change_nothing(bucket: HDRPlus, undisturbed: dict[str, Any]) -> None:
    faults = bucket.server.faults
    faults[MERGED].cuts = [20_000]
    faults[MERGED.replace(PLAIN, TEST[0])].statuses = [503]
    faults[LISTING].statuses = [503]
    faults[LISTING].cuts = [100, 10]
    corrupt = f"{BUCKET}/{PREFIX}/{RESULTS}/{SIDEWAYS}/final.jpg"
    bucket.server.answers[corrupt] = damaged(bucket.server.root / corrupt, times=1)
    report = bucket.json("--connections", "2")
    assert report["digest"] == undisturbed["digest"]
    assert bucket.server.ranges(MERGED)[1] == "bytes=20000-", "the rest alone was fetched"
    assert bucket.server.ranges(corrupt) == [None, None], "fetched again, from its beginning"
    assert bucket.server.most_at_once <= 2
    assert "nothing to do" in bucket.json()["prepared"]


@pytest.mark.fault("servers")
def test_an_object_that_is_corrupt_twice_is_said_and_keeps_no_other_pair_from_being_made(
    bucket: HDRPlus, files: Path, undisturbed: dict[str, Any]
) -> None:
    bucket.server.answers[MERGED] = damaged(files / MERGED, times=2)
    message = bucket.fails(3)
    assert "another file than the expected one, twice: expected md5" in message
    assert "without 1 of" in message
    assert "--overwrite tries them again" in message
    dataset = Dataset(bucket.workspace.path / "data" / NAME)
    before = {row.id for row in dataset.rows}
    assert "nothing to do" in bucket.json()["prepared"]
    report = bucket.json("--overwrite")
    assert report["digest"] == undisturbed["digest"]
    assert before < {row.id for row in Dataset(dataset.directory).rows}


def damaged(path: Path, times: int) -> Any:
    """An answer that is not the listed object so often, and then is."""
    left = [times]

    def answer(query: dict[str, str]) -> bytes:
        content = path.read_bytes()
        left[0] -= 1
        return content if left[0] < 0 else content[:-1] + bytes([content[-1] ^ 1])

    return answer


def test_stopped_it_goes_on(
    bucket: HDRPlus, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdrnet_bench.prepare.fetch.download.LONGEST_PAUSE_S", 0.01)
    bucket.server.faults[MERGED].statuses = [503] * 50
    message = bucket.fails(3)
    assert "could not be fetched" in message
    assert "same command again" in message
    bucket.server.faults[MERGED].statuses = []
    report = bucket.json()
    assert report["digest"] == undisturbed["digest"]
    # With it the one that the server lacked; the misaligned one was settled.
    assert report["cost"]["pairs"] == 2


def test_dry_run_says_what_would_be_fetched(bucket: HDRPlus, files: Path) -> None:
    report = bucket.json("--dry-run")
    sizes = [p.stat().st_size for i in ALL if i != UNFINISHED for p in fetched_of(files, i)]
    assert report["would fetch"] == {"files": 40, "bytes": sum(sizes), "unsized": 0}
    (missing,) = report["not there"]
    assert f"{UNFINISHED}/final.jpg" in missing
    assert {Path(name).name for name in bucket.objects()} == {"reference_frame.txt"}
    assert not (bucket.workspace.path / "data").exists()


@pytest.mark.parametrize("level", ["", PREFIX, f"{PREFIX}/bursts", f"{PREFIX}/{RESULTS}"])
def test_a_copy_is_found_at_every_level(files: Path, level: str) -> None:
    source = protocols.load_source("hdrplus")
    found = hdrplus.local_folder(files / BUCKET / level, source, "subset")
    assert found == files / BUCKET / PREFIX
    assert hdrplus.local_bursts(found, source) == ALL
    if level:
        with pytest.raises(UsageError, match="is the subset set, not the full"):
            hdrplus.local_folder(files / BUCKET / level, source, "full")
    else:
        with pytest.raises(DataError, match="holds no 20171106"):
            hdrplus.local_folder(files / BUCKET, source, "full")


def test_a_copy_gives_the_same(bucket: HDRPlus, undisturbed: dict[str, Any], files: Path) -> None:
    source = ("--source-dir", str(files / BUCKET))
    dry = bucket.workspace.json(*PREPARE, *source, "--dry-run")
    assert dry["left out"] == {"pairing": 1}
    report = bucket.workspace.json(*PREPARE, *source)
    assert report["digest"] == undisturbed["digest"]
    assert sum(dry["pairs"].values()) == report["cost"]["pairs"] - 1
    assert bucket.server.requests == []
    rejected = bucket.workspace.path / "data" / NAME / "rejected.jsonl"
    stages = {r["id"]: r["stage"] for r in map(json.loads, rejected.read_text().splitlines())}
    assert stages == REJECTED | {UNFINISHED: "pairing"}
    assert str(files) not in rejected.read_text()


def test_kept_files_are_a_copy(bucket: HDRPlus, files: Path) -> None:
    ids = bucket.workspace.path / "ids.txt"
    ids.write_text(f"# mine\n{PLAIN}\n{VALIDATION[0]}/\n{TEST[0]}\n")
    report = bucket.json("--keep-raw", "--ids", "ids.txt")
    assert report["dataset"].startswith(f"{NAME}-ids-")
    raw = bucket.workspace.path / "data/raw/hdrplus"
    kept = {p.relative_to(raw) for p in raw.rglob("*") if p.is_file() and p.name != ".lock"}
    assert len(kept) == 15
    for path in kept:
        assert (raw / path).read_bytes() == (files / BUCKET / path).read_bytes()
    again = bucket.workspace.json(
        *PREPARE, "--source-dir", str(raw), "--ids", "ids.txt", "--size", "original"
    )
    assert again["dataset"].startswith(f"{NAME}-original-ids-")
    row = Dataset(bucket.workspace.path / "data" / again["dataset"]).rows[0]
    assert (row.width, row.height) == (SIZE[1], SIZE[0])
    resampled = json.loads(row.measured)["resampled"]
    assert resampled == {"input": False, "target": False}
    final = raw / PREFIX / RESULTS / row.id / "final.jpg"
    target = bucket.workspace.path / "data" / again["dataset"] / row.split / row.target_file_name
    assert np.array_equal(read_picture(target).pixels, read_picture(final).pixels)


def test_names_never_meet() -> None:
    names = set()
    source = protocols.load_source("hdrplus")
    for protocol in (protocols.load_protocol("hdrplus", n) for n in ("hdrnet", "linear-srgb")):
        for part in source.parts:
            for size in protocol.sizes:
                for subset in (None, "first10"):
                    names.add(hdrplus.HdrplusChoice(protocol, part, size, {}, subset).name)
    assert len(names) == 2 * 2 * 3 * 2
    assert "hdrplus-hdrnet-full-1024-first10" in names


LISTS = ROOT.parent / "shared/data/splits"


def test_the_full_set_is_split_as_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not LISTS.is_dir():
        pytest.skip("the published split lists are not beside the checkout (shared/data/splits)")
    monkeypatch.setenv("HDRBENCH_CACHE", str(tmp_path))
    source, protocol = facts()
    for name in ("train", "validation", "test"):
        pinned = source.lists[f"ltmnet-{name}"].sha256
        listed = (LISTS / f"hdrplus_ltmnet_{name.removesuffix('idation')}.txt").read_bytes()
        (tmp_path / pinned).write_bytes(listed.removesuffix(b"\n"))  # as published
        assert sha256_file(tmp_path / pinned) == pinned
    assert not hdrplus.needs_bursts(protocol, source, "full")
    choice = hdrplus.choose(protocol, source, "full", None, size=None, limit=None, ids=None)
    found = list(choice.splits.values())
    assert [found.count(split) for split in SPLITS] == [1400, 100, 500]
    assert choice.name == "hdrplus-hdrnet-full"
    plan = hdrplus.plan(choice, source)
    assert set(plan.settings["lists_sha256"]) == {f"ltmnet-{n}" for n in SPLITS}
    assert all(hdrplus.id_of(f"{id_}/merged.dng") == id_ for id_ in choice.splits)


def test_the_subset_is_split_whichever_bursts_are_there() -> None:
    source, protocol = facts()
    ids = [f"b{n}" for n in range(153)]
    whole = hdrplus.choose(protocol, source, "subset", ids, size=None, limit=None, ids=None).splits
    half = hdrplus.choose(protocol, source, "subset", ids[::2], size=None, limit=None, ids=None)
    assert half.splits == {id_: whole[id_] for id_ in ids[::2]}
    assert set(whole) == set(ids)
    shares = {split: list(whole.values()).count(split) / 153 for split in SPLITS}
    assert shares["train"] == pytest.approx(0.8, abs=0.1)
    with pytest.raises(DataError, match="154 bursts are there, and the subset has 153"):
        hdrplus.choose(protocol, source, "subset", [*ids, "x"], size=None, limit=None, ids=None)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"{", "is no bucket's listing: Expecting"),
        (b'{"error": {"code": 403}}', "is no bucket's listing: kind"),
        (b'{"kind": "storage#objects", "items": [{"name": "x"}]}', "items.0.size"),
        (b'{"kind": "storage#objects", "nextPageToken": "a"}', "page 'a' comes again"),
        (b'{"kind": "storage#objects", "prefixes": ["20171106_subset/bursts/../"]}', "no burst's"),
        (b'{"kind": "storage#objects"}', "no burst is in"),
    ],
)
def test_answers_that_are_no_listing_are_said(bucket: HDRPlus, answer: bytes, message: str) -> None:
    bucket.server.answers[LISTING] = lambda query: answer
    assert message in bucket.fails(3, "--dry-run")


def test_a_bucket_that_is_not_there_is_said(bucket: HDRPlus) -> None:
    del bucket.server.answers[LISTING]
    assert "no bucket's listing" in bucket.fails(3)


def bring_first(bucket: HDRPlus, raw: Path, name: str, md5: str | None) -> Path:
    """Fetch the first burst while the listing has this MD5 for its file of that name; where its
    result would lie."""
    listing = bucket.server.answers[LISTING]

    def changed(query: dict[str, str]) -> bytes:
        answer = json.loads(listing(query))
        for item in answer.get("items", []):
            if item["name"].endswith(name):
                item["md5Hash"] = md5
        return json.dumps(answer).encode()

    bucket.server.answers[LISTING] = changed
    source, protocol = facts()
    place = Bucket(source, bucket.server.url, source.parts["subset"], raw)
    choice = hdrplus.choose(protocol, source, "subset", ALL, size=None, limit=None, ids=None)
    job = hdrplus.tasks(choice, source, place.folder)[0].payload
    with Downloads() as downloads:
        place.bring(downloads, job, lambda count: None)
    return place.folder / RESULTS / job.id / "merged.dng"


@pytest.mark.parametrize("md5", [None, "AAAA", "no base64"])
def test_an_object_without_a_usable_md5_is_not_taken(
    bucket: HDRPlus, md5: str | None, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no MD5"):
        bring_first(bucket, tmp_path / "raw", "merged.dng", md5)
    assert not list((tmp_path / "raw").rglob("merged.dng"))


@pytest.mark.fault("servers")
@pytest.mark.parametrize("md5", ["AAAA", "no base64", "ü" * 24, "a" * 9999])
def test_an_md5_of_a_file_that_no_pair_needs_may_be_anything(
    bucket: HDRPlus, md5: str, tmp_path: Path
) -> None:
    assert bring_first(bucket, tmp_path / "raw", "payload_N000.dng", md5).exists()


@pytest.mark.parametrize(
    ("name", "content", "stage", "says"),
    [
        ("reference_frame.txt", b"none", "decode", "reference_frame.txt holds no frame's number"),
        ("merged.dng", b"II*\0 no DNG", "decode", "merged.dng"),
        ("final.jpg", b"\xff\xd8 no picture", "decode", "final.jpg"),
    ],
)
def test_broken_files_leave_a_pair_out(
    files: Path, tmp_path: Path, name: str, content: bytes, stage: str, says: str
) -> None:
    job = copied_job(files, tmp_path)
    (tmp_path / RESULTS / PLAIN / name).write_bytes(content)
    with pytest.raises(RejectedPair) as rejected:
        hdrplus.make(job)
    assert rejected.value.args[0] == stage
    assert says in rejected.value.args[1]
    assert str(tmp_path) not in rejected.value.args[1]


def test_a_pair_without_lens_shading_or_with_another_profile_is_left_out(
    files: Path, tmp_path: Path
) -> None:
    from tests.pictures import DISPLAY_P3, SRGB_OF_PILLOW

    job = copied_job(files, tmp_path)
    final = tmp_path / RESULTS / PLAIN / "final.jpg"
    picture = Image.open(final)
    picture.load()
    picture.save(final, icc_profile=SRGB_OF_PILLOW, quality=95)
    assert hdrplus.make(job).target.shape == (96, 128, 3)
    picture.save(final, icc_profile=DISPLAY_P3, quality=95)
    with pytest.raises(RejectedPair, match="sRGB is wanted"):
        hdrplus.make(job)
    (tmp_path / "bursts" / PLAIN / "lens_shading_map_N001.tiff").unlink()
    with pytest.raises(RejectedPair, match=r"lens_shading_map_N001\.tiff nor merged\.dng"):
        hdrplus.make(job)


def copied_job(files: Path, folder: Path) -> hdrplus.HdrplusJob:
    """A job on a copy of PLAIN's files, for a short edge of 96."""
    for kind in ("bursts", RESULTS):
        shutil.copytree(place(files, kind, PLAIN), folder / kind / PLAIN)
    source, protocol = facts()
    rule = protocol.sizes["480p"].model_copy(update={"pixels": 96})
    return hdrplus.HdrplusJob(PLAIN, folder, source.files, source.licence, protocol, rule)


@pytest.mark.parametrize(
    ("rule", "source", "target", "size"),
    [
        ("original", (4048, 3036), (4048, 3036), (4048, 3036)),
        ("original", (2024, 1518), (4048, 3036), (2024, 1518)),
        ("480p", (2025, 1518), (4048, 3036), (640, 480)),
        ("480p", (533, 400), (4048, 3036), (533, 400)),
        ("1024", (3036, 4048), (3036, 4048), (768, 1024)),
        ("original", (4048, 3044), (4048, 3034), (4048, 3034)),  # a pixel and 0.3 %
        ("original", (4048, 3045), (4048, 3034), None),
        ("original", (4048, 3034), (4048, 3045), None),
        ("original", (100, 75), (100, 74), (100, 74)),
        ("original", (100, 75), (100, 73), None),
    ],
)
def test_both_get_one_size_or_are_rejected(
    rule: str,
    source: tuple[int, int],
    target: tuple[int, int],
    size: tuple[int, int] | None,
) -> None:
    _, protocol = facts()
    arguments = protocol.sizes[rule], source, target, protocol.aspect_tolerance
    if size is None:
        with pytest.raises(RejectedPair, match=f"{source[0]}x{source[1]}"):
            hdrplus._common_size(*arguments)
    else:
        assert hdrplus._common_size(*arguments) == size


def test_ways_that_do_not_fit_are_refused(bucket: HDRPlus) -> None:
    run = bucket.workspace.fails
    assert "give one of them" in run(2, *PREPARE, "--subset", "--full")
    assert "--expert is not for source hdrplus" in run(2, *PREPARE, "--expert", "a")
    assert "--full is not for source fivek" in run(2, "prepare", "fivek", "--full")
    assert "no protocol 'ltmnet'" in run(2, *PREPARE, "--protocol", "ltmnet")
    assert "no size '720p'" in bucket.fails(2, "--size", "720p")
    copy = (*PREPARE, "--source-dir", ".")
    assert "holds no 20171106_subset" in run(3, *copy)
    assert "goes with downloading" in run(2, *copy, "--keep-raw")
    assert "goes with downloading" in run(2, *copy, "--base-url", "http://x/")
    assert "give --source-dir once" in run(2, *copy, "--source-dir", ".")
    assert "an address begins with" in run(2, *PREPARE, "--base-url", "ftp://x/")
    shown = bucket.workspace.run("recipes", "--protocols", "linear-srgb").stdout
    for part in ("from 0 to below 10", "ltmnet-test", "1.0 stored as 32767", "f37fb99e"):
        assert part in shown
