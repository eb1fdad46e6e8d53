"""Reports of results that a stranger made: refused by name, or harmless; never a traceback, never
waited for, never swallowed whole."""

import csv
import io
import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hdrnet_bench.errors import DataError
from hdrnet_bench.files import read_json
from hdrnet_bench.report import build_report, contents, outdated, pictures, plots, render, table
from hdrnet_bench.results import read_result
from tests.report.fixtures import hostile, made_up
from tests.report.test_page import Page

Record = Callable[[str, object], None]


def _read(root: Path) -> tuple[contents.Contents | None, str]:
    """The results, or what is said to be wrong with them."""
    try:
        return contents.read(root), ""
    except DataError as error:
        return None, str(error)


@pytest.fixture(scope="module")
def harmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, str]]:
    """In how many places the results hold what could do harm, and the report's texts."""
    root = tmp_path_factory.mktemp("hostile")
    places = hostile.results(root)
    files = render(contents.read(root))
    texts = {name: content for name, content in files.items() if not name.endswith(".webp")}
    return places, {name: content.decode() for name, content in texts.items()}


@pytest.mark.fault("names and texts")
def test_no_text_reaches_a_file_raw(
    harmed: tuple[int, dict[str, str]], record_property: Record
) -> None:
    places, texts = harmed
    record_property("faults", places)
    assert places > 50
    for name, text in texts.items():
        assert not set(hostile.OBEYED) & set(text), name
    assert sum("onerror" in text for text in texts.values()) > 10
    assert "{{ 7 * 7 }}" in texts["report.html"]


@pytest.mark.fault("names and texts")
def test_no_cell_is_a_formula(harmed: tuple[int, dict[str, str]]) -> None:
    _, texts = harmed
    cells = [
        cell
        for name, text in texts.items()
        if name.endswith(".csv")
        for row in csv.reader(io.StringIO(text))
        for cell in row
    ]
    assert sum("=cmd" in cell for cell in cells) > 20
    assert all(cell.startswith("'=") for cell in cells if cell.lstrip("'").startswith("="))


@pytest.mark.fault("hostile results")
def test_no_markup_in_a_page(harmed: tuple[int, dict[str, str]]) -> None:
    _, texts = harmed
    readme, page = texts["README.md"], texts["report.html"]
    assert "<" not in readme.replace("<br>", "")
    assert "](javascript" not in readme
    assert page.count("<script") == 1
    shown = Page(page)  # which bears no attribute "on…", and no element that is not closed
    assert "onerror" in shown.text
    assert all(str(image["src"]).startswith("data:") for image in shown.images)
    for name, text in texts.items():
        if name.endswith(".tex"):
            body = [line for line in text.splitlines() if not line.startswith("%")]
            assert not re.search(r"\\input|(?<!\\)\$x", "\n".join(body)), name


@pytest.mark.fault("hostile results")
@pytest.mark.parametrize(
    "name", ["timing-<img src=x onerror=alert(1)>.json", "kernels-a\x1b[2J.json", "network-ü.json"]
)
def test_a_name_that_no_figure_could_have_is_refused(tmp_path: Path, name: str) -> None:
    kind = name.partition("-")[0]
    path: Path = getattr(made_up, kind)(tmp_path)
    path.rename(path.with_name(name))
    with pytest.raises(DataError, match="its name becomes part of figures' and tables' names"):
        contents.read(tmp_path)


@pytest.mark.fault("hostile results")
def test_a_figures_name_is_escaped_in_the_page() -> None:
    svg = '<svg viewBox="0 0 1 1"><g id="a"/><use href="#a"/></svg>'
    inlined = plots.inline(svg, '"><script>\\1')
    assert "<script" not in inlined
    assert inlined.count("&quot;&gt;&lt;script&gt;\\1") == 3


@pytest.mark.fault("hostile results")
def test_absurd_numbers_are_refused_or_drawn(tmp_path: Path, record_property: Record) -> None:
    timing, evaluation = made_up.timing(tmp_path), made_up.evaluation(tmp_path, pictures=False)
    values: list[Any] = [1e308, -1e308, 5e-324, 0, -1, 10**400, True, None, "1", [], 1e12, 1e-12]
    places: list[tuple[Path, tuple[Any, ...]]] = [
        *((timing, ("rows", 0, key)) for key in ("median_ms", "p5_ms", "p95_ms", "width", "batch")),
        (timing, ("copies", 0, "median_ms")),
        (timing, ("method", "network_macs")),
        (evaluation, ("metrics", "psnr", "n")),
        (evaluation, ("rows", 0, "psnr")),
        (evaluation, ("method", "parameters")),
    ]
    drawn = 0
    for path, (*where, last) in places:
        text = path.read_text()
        for value in values:
            content = json.loads(text)
            inner = content
            for key in where:
                inner = inner[key]
            inner[last] = value
            path.write_text(json.dumps(content))
            found, fault = _read(tmp_path)
            assert found is not None or path.name in fault
            if found is None:
                continue
            if path == timing and (value is None or isinstance(value, float)):
                # Of all sizes and parts: only what the value stands in can be hurt by it.
                plots.render([part.plot for part in found.timings])
                texts = [table.csv_text(part.table) for part in found.timings]
                assert "inf" not in "".join(texts)
                drawn += 1
        path.write_text(text)
    record_property("faults", len(places) * len(values))
    assert drawn >= 8


@pytest.mark.fault("hostile results")
@pytest.mark.parametrize("number", ["1e400", "nan", "inf", "-1e13"])
def test_a_curve_of_absurd_numbers_is_named(tmp_path: Path, number: str) -> None:
    curve = made_up.evaluation(tmp_path).with_name("train.csv")
    curve.write_text(f"step,psnr\n1,20\n2,{number}\n")
    with pytest.raises(DataError, match=r"train\.csv is not a training curve"):
        contents.read(tmp_path)


def _webp(path: Path, width: int, height: int) -> None:
    """A small WebP whose canvas is said to have another size."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, format="WEBP")
    coded = stream.getvalue()[12:]
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunks = b"WEBP" + b"VP8X" + struct.pack("<II", 10, 0) + canvas + coded
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("size", [(65_000, 65_000), (12_000, 12_000), (3000, 2000)])
def test_no_thumbnail_of_a_huge_size_is_decoded(tmp_path: Path, size: tuple[int, int]) -> None:
    made_up.evaluation(tmp_path)
    _webp(path := next(tmp_path.rglob("picture-0-output.webp")), *size)
    (part,) = contents.read(tmp_path).groups
    ((folder, result),) = part.group.results
    if size[0] == 65_000:  # above the limit of any picture
        with pytest.raises(DataError, match=rf"{path.name} cannot be decoded.* over the limit"):
            pictures.gallery(part.group, folder, result, private=False)
        return
    found = pictures.gallery(part.group, folder, result, private=False)
    assert "picture-0: a file has over 4 megapixels, and is no thumbnail" in found.absent


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("size", [(1, 16_000), (16_000, 1), (8, 16_000), (16_000, 8)])
def test_a_sliver_makes_no_huge_sheet(tmp_path: Path, size: tuple[int, int]) -> None:
    made_up.evaluation(tmp_path)
    for path in tmp_path.rglob("picture-0-*.webp"):
        Image.new("RGB", size, (200, 90, 0)).save(path, quality=5)
    (part,) = contents.read(tmp_path).groups
    (sheet,) = pictures.comparisons([part.group]).values()
    with Image.open(io.BytesIO(sheet)) as image:
        assert image.width == 3 * 408 + 8
        assert image.height <= 2 * (267 + 30 + 8) + 8


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("how", ["animated", "transparent", "a canvas too small"])
def test_a_thumbnail_of_another_form(tmp_path: Path, how: str) -> None:
    made_up.evaluation(tmp_path)
    path = next(tmp_path.rglob("picture-0-output.webp"))
    if how == "animated":
        frames = [Image.new("RGB", (480, 320), colour) for colour in ("red", "blue")]
        frames[0].save(path, save_all=True, append_images=frames[1:])
    elif how == "transparent":
        Image.new("RGBA", (480, 320), (9, 9, 9, 9)).save(path)
    else:
        _webp(path, 8, 8)
    (part,) = contents.read(tmp_path).groups
    ((folder, result),) = part.group.results
    if how == "transparent":
        assert len(pictures.gallery(part.group, folder, result, private=False).pictures) == 3
        return
    with pytest.raises(DataError, match=rf"{path.name} cannot be decoded"):
        pictures.gallery(part.group, folder, result, private=False)


@pytest.mark.fault("hostile results")
@pytest.mark.parametrize("digest", ["../../../..", "/etc", "a/../../b", "", ".", "x" * 300])
def test_a_digest_leads_to_no_other_folder(tmp_path: Path, digest: str) -> None:
    """It is part of the path of pictures."""
    path = made_up.evaluation(tmp_path)
    content = read_json(path)
    content["dataset"]["digest"] = digest
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"dataset\.digest"):
        contents.read(tmp_path)


@pytest.mark.fault("hostile results")
@pytest.mark.parametrize(
    "name", ["eval-test-full.json", "train.csv", "pictures/test-full/picture-0-output.webp"]
)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "ring of links", "huge"])
def test_only_regular_files_of_a_bounded_size_are_read(
    tmp_path: Path, name: str, kind: str
) -> None:
    path = made_up.evaluation(tmp_path).parent / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "ring of links":
        path.symlink_to(path.name)
    else:
        with path.open("wb") as stream:
            stream.truncate(10**12)
    found, fault = _read(tmp_path)
    if found is None:
        assert path.name in fault
        return
    # A picture that is none is said to be missing; a name that leads nowhere is no curve.
    text = render(found)["report.html"].decode()
    assert name == "train.csv" or "picture-0: " in text


@pytest.mark.fault("hostile results")
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"kind": ' * 50_000,
        b"\xff\xfe\x00",
        b"",
        b"1" * 5000,
        b"NaN",
        b'"\\ud800"',
    ],
    ids=["brackets", "objects", "binary", "empty", "digits", "nan", "half a character"],
)
def test_json_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    path = made_up.evaluation(tmp_path, pictures=False)
    path.write_bytes(content)
    with pytest.raises(DataError, match=path.name):
        contents.read(tmp_path)
    with pytest.raises(DataError, match=path.name):
        read_result(path)


@pytest.mark.fault("hostile results")
def test_a_manifest_reaches_no_other_file(tmp_path: Path) -> None:
    """It lists what may be removed: nothing but a report's files, whatever a stranger lists."""
    root = tmp_path / "results"
    made_up.kernels(root)
    build_report(root)
    listed = read_json(root / "report.json")
    for name in ("../mine.txt", "/etc/hostname", "published/speed.csv", "tables/../../mine.csv",
                 "kernels-cpu-made-up.json", "figures/.hidden.png", "README.md\n"):  # fmt: skip
        changed = listed | {"files": listed["files"] | {name: "0" * 64}}
        (root / "report.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match=r"report\.json is no list of a report's files"):
            build_report(root)
        with pytest.raises(DataError, match=r"report\.json is no list of a report's files"):
            outdated(root)
