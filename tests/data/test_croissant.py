"""croissant.json: mlcroissant takes it, loads rows and pictures through it, and it says what is
known and no more."""

import json
from pathlib import Path
from typing import Any

import mlcroissant
import pytest

from hdrnet_bench.data.croissant import (
    _FIELDS,
    OF_A_PUBLISHER,
    REQUIRED_RAI,
    Origin,
    croissant_text,
    is_unedited,
    lacking,
    rows_digest_of,
)
from hdrnet_bench.data.manifest import Header, Row, read_header, read_rows
from tests.conftest import ROOT

HEADER, ROWS = (
    read_header(ROOT / "manifests/demo-retouch.json"),
    read_rows(ROOT / "manifests/demo-retouch.jsonl"),
)
KNOWN = Origin(
    *("Photographs", "https://example.org/", "A. Author: Title.", "collected", "limits"),
    *("biases", "people", "uses", "consequences"),
    synthetic=False,
)


def content(header: Header = HEADER, rows: list[Row] = ROWS, origin: Origin = KNOWN) -> Any:
    return json.loads(croissant_text(header, rows, origin, "hdrbench prepare demo"))


def issues(text: str) -> tuple[set[str], set[str]]:
    """What mlcroissant finds wrong with it, and what it recommends. Raises where it refuses it."""
    found = mlcroissant.Dataset(json.loads(text)).metadata.ctx.issues
    return set(found.errors), set(found.warnings)


def rows_with(**fields: Any) -> list[Row]:
    return [row.model_copy(update=fields) for row in ROWS]


@pytest.mark.parametrize("path", sorted((ROOT / "manifests").glob("*.json")), ids=lambda p: p.stem)
@pytest.mark.parametrize("origin", [KNOWN, Origin()], ids=["known", "unknown"])
def test_mlcroissant_finds_nothing_wrong_but_the_missing_date(path: Path, origin: Origin) -> None:
    rows = read_rows(path.with_suffix(".jsonl"))
    errors, warnings = issues(croissant_text(read_header(path), rows, origin))
    assert errors == set()
    expected = {"date_published", "datePublished"} | (set() if origin.paper else {"citeAs"})
    assert all(any(name in warning for name in expected) for warning in warnings), warnings


def test_mlcroissant_would_see_a_fault() -> None:
    broken = content()
    del broken["recordSet"][1]["field"][0]["dataType"]
    with pytest.raises(mlcroissant.ValidationError, match="dataType"):
        issues(json.dumps(broken))


def test_every_field_of_a_row_stands_in_it() -> None:
    assert [name for name, *_ in _FIELDS] == list(Row.model_fields)
    masked = rows_with(mask_file_name="mask/a.png", mask_pixels_sha256="0" * 64, group="7")
    for rows, without in ((ROWS, {"mask_file_name", "mask_pixels_sha256", "group"}), (masked, ())):
        sets = {each["@id"]: each for each in content(rows=rows)["recordSet"]}
        names = {field["name"] for field in sets["test"]["field"]}
        assert names == set(Row.model_fields) - set(without)
        assert ("masks" in sets) == (rows is masked)
        assert issues(croissant_text(HEADER, rows, KNOWN))[0] == set()


def test_a_split_without_pairs_is_no_part_of_it() -> None:
    rows = [row for row in ROWS if row.split == "test"]
    found = content(rows=rows)
    assert {each["@id"] for each in found["recordSet"]} == {"splits", "test", "inputs", "targets"}
    assert {each["@id"] for each in found["distribution"]} == {
        "header", "test-rows", "input-files", "target-files"
    }  # fmt: skip
    assert issues(json.dumps(found))[0] == set()


def test_what_is_required_is_there_or_is_named_as_lacking() -> None:
    known = content()
    assert lacking(known) == list(OF_A_PUBLISHER)
    assert {key: known[key] for key in REQUIRED_RAI[:5]} == {
        "rai:dataLimitations": "limits",
        "rai:dataBiases": "biases",
        "rai:personalSensitiveInformation": "people",
        "rai:dataUseCases": "uses",
        "rai:dataSocialImpact": "consequences",
    }
    assert known["prov:wasDerivedFrom"]["prov:label"] == "Photographs"
    assert "hdrbench prepare demo" in known["prov:wasGeneratedBy"]["sc:description"]
    # That nothing is synthetic is said too.
    assert known["rai:hasSyntheticData"] is False
    unknown = content(origin=Origin())
    assert lacking(unknown) == [*OF_A_PUBLISHER, *REQUIRED_RAI[:-1]]
    assert lacking(known | {"rai:dataBiases": "", "url": "https://x.org"}) == [
        "creator", "datePublished", "rai:dataBiases"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("licence", "said", "closed"),
    [
        ("CC0-1.0", "https://spdx.org/licenses/CC0-1.0.html", False),
        ("CC-BY-SA-4.0", "https://spdx.org/licenses/CC-BY-SA-4.0.html", False),
        ("CC-BY-NC-4.0", "https://spdx.org/licenses/CC-BY-NC-4.0.html", True),
        ("CC-BY-SA-9.0", "CC-BY-SA-9.0", False),
        ("public-domain", "public-domain", False),
        ("not-stated", "not stated", True),
        ("Mine", {"@type": "sc:CreativeWork", "name": "Mine", "url": "https://x.org/l"}, True),
        ("Mine too", "Mine too", True),
    ],
)
def test_licences_and_whether_it_may_be_passed_on(licence: str, said: Any, closed: bool) -> None:
    origin = KNOWN._replace(licence_urls={"Mine": "https://x.org/l"})
    found = content(rows=rows_with(licence=licence), origin=origin)
    assert found["license"] == [said]
    assert ("conditionsOfAccess" in found) == closed
    one_closed = [ROWS[0].model_copy(update={"licence": "Mine"}), *rows_with(licence="CC0-1.0")]
    assert "Not to be passed on" in content(rows=one_closed)["conditionsOfAccess"]


def test_formats_are_those_of_the_files() -> None:
    names = ["input/a.png", "input/a.JPG", "input/a.tif", "input/a.xyz", *["input/a.png"] * 9]
    rows = [r.model_copy(update={"input_file_name": n}) for r, n in zip(ROWS, names, strict=True)]
    files = {each["@id"]: each for each in content(rows=rows)["distribution"]}
    assert files["target-files"]["encodingFormat"] == ["image/png"]
    assert files["input-files"]["encodingFormat"] == [
        "application/octet-stream", "image/jpeg", "image/png", "image/tiff"
    ]  # fmt: skip


def test_it_is_the_same_again_and_an_edited_one_is_known() -> None:
    text = croissant_text(HEADER, ROWS, KNOWN)
    assert text == croissant_text(HEADER, ROWS[::-1], KNOWN)
    assert is_unedited(text)
    assert rows_digest_of(json.loads(text)) == HEADER.digest
    seal = text.split('"hdrbench:unedited"')[1].split('"value": "')[1][:64]
    for edited in (
        text.replace("limits", "my limits"),
        text + " ",
        text.replace("\n", "\r\n"),
        text.replace(seal, ""),
        text.replace(seal, "0" * 64),
        "",
        "{}",
        json.dumps(json.loads(text)),
    ):
        assert not is_unedited(edited)


@pytest.mark.parametrize("value", [None, 5, "x", [], [5], [{"propertyID": "other"}], {}])
def test_the_rows_digest_of_anything(value: Any) -> None:
    assert rows_digest_of({"identifier": value}) is None


@pytest.mark.fault("names and texts")
def test_no_text_of_others_breaks_it(record_property) -> None:
    seal = '"propertyID": "hdrbench:unedited", "value": ""'
    texts = ['"', "\\", "a\nb", "\u2028", "<script>", seal, "{", "\x00", "\\g<1>", "a b"]
    record_property("faults", len(texts))
    for text in texts:
        header = HEADER.model_copy(
            update={"name": text.replace("/", ""), "source": text, "protocol": text,
                    "tools": {"hdrnet-bench": text}}
        )  # fmt: skip
        made = croissant_text(header, rows_with(licence=text), Origin(*[text] * 9), text)
        assert is_unedited(made), text
        found = json.loads(made)
        assert found["license"] == [text]
        assert found["rai:dataLimitations"] == text
        assert rows_digest_of(found) == HEADER.digest
