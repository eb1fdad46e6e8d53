"""croissant.json as `prepare` and `describe` write it: mlcroissant loads the dataset through it,
each source says what is known of its photographs, and an edited file is nobody's to replace."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pytest

from hdrnet_bench.data.croissant import OF_A_PUBLISHER, REQUIRED_RAI, is_unedited, lacking
from hdrnet_bench.data.manifest import Dataset, read_header
from hdrnet_bench.data.verify import verify
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.images.files import read_picture
from hdrnet_bench.prepare import SOURCES, origins
from hdrnet_bench.prepare.build import PreparedPair, build
from hdrnet_bench.prepare.describing import describe
from hdrnet_bench.prepare.origins import origin_of
from hdrnet_bench.prepare.replacing import foreign_files
from hdrnet_bench.prepare.staging import Plan
from tests.conftest import ROOT, TINY, Workspace, in_a_thread, make_tiny, tiny_plan
from tests.prepare.test_build import make_16_bit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build(tiny_plan(), TINY, make_tiny, tmp_path, open_pool=in_a_thread)
    return tmp_path / "demo-tiny"


def make_grouped(payload: tuple[int, int, int]) -> PreparedPair:
    pair = make_tiny(payload)
    mask = np.full(pair.input.shape[:2], 255, np.uint8)
    return pair._replace(mask=mask, group="7")


@pytest.mark.parametrize("make", [make_tiny, make_16_bit, make_grouped])
def test_mlcroissant_loads_rows_and_pictures(tmp_path: Path, make: Any) -> None:
    # "0008" would be the number 8 where a reader guesses types.
    tasks = [TINY[0]._replace(id="0008"), TINY[1]._replace(id="0009"), *TINY[2:]]
    build(tiny_plan(), tasks, make, tmp_path, open_pool=in_a_thread)
    dataset = Dataset(tmp_path / "demo-tiny")
    loaded = mlcroissant.Dataset(dataset.directory / "croissant.json")
    assert not loaded.metadata.ctx.issues.errors
    for split, ids in {"train": ["0008", "0009"], "validation": ["c"], "test": ["d", "e"]}.items():
        records = list(loaded.records(split))
        assert [record[f"{split}/id"].decode() for record in records] == ids
        for record, row in zip(records, dataset.split(split), strict=True):
            assert record[f"{split}/split"] == split.encode()
            assert record[f"{split}/input_file_name"] == row.input_file_name.encode()
            assert record[f"{split}/target_pixels_sha256"] == row.target_pixels_sha256.encode()
            assert (record[f"{split}/width"], record[f"{split}/height"]) == (row.width, row.height)
            assert record[f"{split}/source_names"] == [b"made"]
            assert record[f"{split}/input_mean"] == pytest.approx(row.input_mean)
    for role in ("input", "target"):
        pictures = {
            (record[f"{role}s/split"].decode(), record[f"{role}s/id"].decode()): record
            for record in loaded.records(f"{role}s")
        }
        assert set(pictures) == {(row.split, row.id) for row in dataset.rows}
        for row in dataset.rows:
            path = dataset.input_path(row) if role == "input" else dataset.target_path(row)
            stored = read_picture(path).pixels
            shown = np.asarray(pictures[row.split, row.id][f"{role}s/picture"])
            assert shown.shape == stored.shape
            if stored.dtype == np.uint8:
                assert (shown == stored).all()
    splits = {each["splits/name"] for each in loaded.records("splits")}
    assert splits == {"train", "validation", "test"}


def test_mlcroissant_sees_rows_that_were_changed(folder: Path) -> None:
    path = folder / "test" / "metadata.jsonl"
    path.write_text(path.read_text().replace("CC0-1.0", "CC0-1.1"))
    with pytest.raises(mlcroissant.GenerationError, match=r"Download\(test-rows\)"):
        list(mlcroissant.Dataset(folder / "croissant.json").records("test"))


PLANS = {
    "demo": {},
    "synthetic-hdrplus": {},
    "bsds500": {},
    "fivek": {"expert": "c", "subset": None, "size": {"name": "480p"}},
    "hdrplus": {"part": "full", "subset": None, "size": {"name": "480p"}},
    "ppr10k": {"expert": "a", "subset": None},
}
OWN = {
    "folder": {"pairing": "names"},
    "synthetic-hdrplus": {"files_sha256": "0"},
    "mine": {},
}


def described(tmp_path: Path, source: str, settings: dict, licence: str = "Mine") -> Any:
    plan = Plan(f"{source}-x", source, "x", 2, licence, settings)
    build(plan, TINY[:1], make_tiny, tmp_path, open_pool=in_a_thread)
    path = tmp_path / plan.name / "croissant.json"
    assert not mlcroissant.Dataset(path).metadata.ctx.issues.errors
    assert str(tmp_path) not in path.read_text()
    return json.loads(path.read_text())


@pytest.mark.parametrize("source", SOURCES)
def test_each_published_source_says_all_that_is_required(tmp_path: Path, source: str) -> None:
    if source not in PLANS:
        assert source in OWN
        return
    found = described(tmp_path, source, PLANS[source])
    assert lacking(found) == list(OF_A_PUBLISHER)
    assert found["version"] == "2.0.0"
    assert found["rai:hasSyntheticData"] == (source not in ("fivek", "hdrplus", "ppr10k"))
    assert ("citeAs" in found) == (source not in ("demo", "synthetic-hdrplus"))
    assert f"hdrbench prepare {source} " in found["prov:wasGeneratedBy"]["sc:description"]


@pytest.mark.parametrize("source", OWN)
def test_of_pictures_of_ones_own_nothing_is_made_up(tmp_path: Path, source: str) -> None:
    found = described(tmp_path, source, OWN[source], "not-stated")
    known = {"rai:hasSyntheticData"} if source == "synthetic-hdrplus" else set()
    missing = [key for key in REQUIRED_RAI[:-1] if key not in known]
    assert lacking(found) == [*OF_A_PUBLISHER, *missing]
    card = (tmp_path / f"{source}-x" / "README.md").read_text()
    assert "**Not known to hdrnet-bench:** from, collection, limitations, biases, people" in card


def test_targets_that_a_folder_gets_computed_are_synthetic(tmp_path: Path) -> None:
    assert described(tmp_path, "folder", {"pairing": "computed"})["rai:hasSyntheticData"] is True


def test_the_licences_of_fivek_are_linked() -> None:
    header = read_header(ROOT / "manifests/demo-retouch.json").model_copy(
        update={"source": "fivek"}
    )
    urls = origin_of(header).licence_urls
    assert urls["LicenseAdobe"].endswith("/fivek/legal/LicenseAdobe.txt")
    assert set(urls) == {"LicenseAdobe", "LicenseAdobeMIT"}


def test_missing_ones_are_written_and_the_dataset_is_the_same(folder: Path) -> None:
    header, text = (folder / "dataset.json").read_bytes(), (folder / "croissant.json").read_text()
    (folder / "croissant.json").unlink()
    planned = describe(Dataset(folder), dry_run=True)
    assert not (folder / "croissant.json").exists()
    assert planned == describe(Dataset(folder))
    assert planned.files == {
        folder / "README.md": "as it was",
        folder / "croissant.json": "written",
    }
    assert (folder / "croissant.json").read_text() == text
    assert set(describe(Dataset(folder)).files.values()) == {"as it was"}
    assert (folder / "dataset.json").read_bytes() == header
    assert verify(Dataset(folder)).status == "identical"
    assert not foreign_files(folder)


def test_one_that_another_version_wrote_is_renewed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        origins._ORIGINS,
        "demo",
        origin_of(Dataset(folder).header)._replace(biases="Other words."),
    )
    assert set(describe(Dataset(folder)).files.values()) == {"written"}
    text = (folder / "croissant.json").read_text()
    assert "Other words." in text
    assert is_unedited(text)


def test_an_edited_one_stays(folder: Path) -> None:
    path = folder / "croissant.json"
    content = json.loads(path.read_text())
    content |= {"url": "https://example.org/mine", "rai:dataBiases": ""}
    path.write_text(json.dumps(content))
    before = path.read_bytes()
    result = describe(Dataset(folder))
    assert result.files[path] == "edited"
    assert (result.lacking, result.outdated) == (
        ["creator", "datePublished", "rai:dataBiases"], False
    )  # fmt: skip
    assert path.read_bytes() == before
    assert foreign_files(folder) == [path]
    with pytest.raises(UsageError, match=r"croissant\.json: move it away"):
        build(tiny_plan()._replace(settings={"made": "otherwise"}), TINY, make_tiny, folder.parent,
              open_pool=in_a_thread, overwrite=True)  # fmt: skip
    assert describe(Dataset(folder), overwrite=True).files[path] == "written"
    assert is_unedited(path.read_text())


def test_an_edited_one_of_other_rows_is_told(folder: Path) -> None:
    path = folder / "croissant.json"
    path.write_text(path.read_text().replace(Dataset(folder).header.digest, "0" * 64))
    assert describe(Dataset(folder)).outdated


def test_what_is_stated_of_files_is_of_their_bytes(folder: Path) -> None:
    """Others write the same JSON with other white space, and mlcroissant reads by the SHA-256."""
    path = folder / "croissant.json"
    header, rows = folder / "dataset.json", folder / "test" / "metadata.jsonl"
    header.write_text(json.dumps(json.loads(header.read_text())))
    rows.write_text(rows.read_text().replace('":"', '": "'))
    assert describe(Dataset(folder)).files[path] == "written"
    stated = {each["name"]: each for each in json.loads(path.read_text())["distribution"]}
    for file in (header, rows):
        each = stated[str(file.relative_to(folder))]
        assert each["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert each["contentSize"] == f"{file.stat().st_size} B"
    assert list(mlcroissant.Dataset(path).records("test"))
    assert describe(Dataset(folder)).files[path] == "as it was"
    # Of one that was edited too, but not where it tells of files elsewhere.
    content = json.loads(path.read_text()) | {"url": "https://example.org"}
    path.write_text(json.dumps(content))
    assert not describe(Dataset(folder)).outdated
    header.write_text(header.read_text() + "\n")
    assert describe(Dataset(folder)).outdated
    content["distribution"][0]["contentUrl"] = "https://example.org/dataset.json"
    path.write_text(json.dumps(content | {"distribution": [5, {}, *content["distribution"]]}))
    assert not describe(Dataset(folder)).outdated
    path.write_text(json.dumps(content | {"distribution": 5}))
    assert not describe(Dataset(folder)).outdated


@pytest.mark.parametrize("name", ["croissant.json", "README.md"])
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_a_folder_or_a_dangling_link_in_its_place_is_said(
    folder: Path, name: str, overwrite: bool, make: Any
) -> None:
    for path in (folder / "croissant.json", folder / "README.md"):
        path.unlink()
    make(folder / name)
    with pytest.raises(DataError, match=rf"{name} is no file, but .*: move it away"):
        describe(Dataset(folder), overwrite=overwrite)
    left = {path.name for path in folder.iterdir() if path.suffix in (".md", ".json")}
    assert left == {"dataset.json", name}, "the other one was not written either"


@pytest.mark.parametrize("text", ["[]", "5", "{", "\xff", ""])
def test_one_that_is_no_croissant_is_said(folder: Path, text: str) -> None:
    path = folder / "croissant.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"croissant\.json"):
        describe(Dataset(folder))
    assert describe(Dataset(folder), overwrite=True).files[path] == "written"


@pytest.mark.fault("hostile datasets")
@pytest.mark.parametrize(
    "settings",
    [
        {"size": "x", "subset": 5, "expert": [1], "part": {}},
        {"size": {"name": [1]}, "subset": ["first5"]},
        {"size": {}, "split_lists_sha256": 5, "pairing": [1]},
    ],
)
def test_settings_of_a_dataset_from_elsewhere_may_be_anything(folder: Path, settings: dict) -> None:
    path = folder / "dataset.json"
    for source, protocol in (("fivek", "libraw"), ("hdrplus", "hdrnet"), ("folder", "x")):
        header = json.loads(path.read_text())
        header |= {"source": source, "protocol": protocol, "settings": settings}
        path.write_text(json.dumps(header))
        describe(Dataset(folder))


def test_the_command(tiny: Workspace) -> None:
    path = tiny.path / "data" / "demo-tiny"
    copy = path.with_name("copy")
    shutil.copytree(path, copy)
    (copy / "croissant.json").unlink(missing_ok=True)
    found = tiny.json("describe", str(copy))
    assert found["lacking"] == list(OF_A_PUBLISHER)
    assert found["files"][str(copy / "croissant.json")] == "written"
    shown = tiny.run("describe", str(copy)).stdout
    assert "url, creator, datePublished" in " ".join(shown.split())
    tiny.fails(3, "describe", "nowhere")
