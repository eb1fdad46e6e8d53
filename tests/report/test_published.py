"""Published figures stand beside what was measured on the same data, and nowhere else."""

import csv
import io
from pathlib import Path

import pytest

from hdrnet_bench.errors import DataError
from hdrnet_bench.prepare.protocols import Protocol, load_protocol
from hdrnet_bench.prepare.sources.fivek import FiveKChoice
from hdrnet_bench.report import contents, page, readme
from hdrnet_bench.report.published import SpeedRow, read_published, read_speed
from hdrnet_bench.report.table import csv_text
from tests.conftest import ROOT
from tests.report.fixtures import made_up

PUBLISHED = read_published(ROOT / "results")
HEAD = "protocol,resolution,dataset,method,psnr,ssim,delta_e76,lpips,time_ms,gpu,source,checked"


def on(root: Path, dataset: str, protocol: str, size: str = "full", split: str = "test") -> str:
    made_up.evaluation(
        root, dataset=dataset, protocol=protocol, size=size, split=split, pictures=False
    )
    return readme.page(contents.read(root), {})


def test_the_projects_own_are_read_whole() -> None:
    files = sorted((ROOT / "results/published").glob("*.csv"))
    assert [path.name for path in files] == ["fivek.csv", "hdrplus.csv", "speed.csv"]
    files.pop()
    assert len(PUBLISHED) == sum(len(path.read_text().splitlines()) - 1 for path in files)
    assert {row.checked for row in PUBLISHED} == {"transcription"}
    row = next(row for row in PUBLISHED if row.method == "HDRNet (re-run)")
    assert (row.psnr, row.ssim, row.time_ms, row.gpu) == (24.66, 0.915, 3.49, "V100")


def test_a_file_that_a_spreadsheet_saved_is_read(tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    whole = (ROOT / "results/published/fivek.csv").read_bytes()
    (tmp_path / "published/fivek.csv").write_bytes(b"\xef\xbb\xbf" + whole.replace(b"\n", b"\r\n"))
    assert read_published(tmp_path) == [row for row in PUBLISHED if row.protocol != "hdrplus-zeng"]


@pytest.mark.parametrize(
    "row", [row for row in PUBLISHED if row.dataset], ids=lambda row: f"{row.dataset}-{row.method}"
)
def test_each_dataset_is_what_prepare_makes_of_that_protocol(row) -> None:
    protocol = load_protocol("fivek", row.protocol)
    assert isinstance(protocol, Protocol)
    size = "original" if row.resolution == "full" else row.resolution
    assert row.dataset == FiveKChoice(protocol, "c", size, {}, None).name
    assert size in protocol.sizes


def test_figures_stand_beside_their_own_protocol_and_size(tmp_path: Path) -> None:
    text = on(tmp_path, "fivek-zeng-srgb-c", "zeng-srgb")
    assert "**Published on zeng-srgb**" in text
    assert "| HDRNet (re-run) | 480p | 24.66 | 0.915 | 8.06 | – | 3.49 | V100 |" in text
    assert "24.52" not in text, "full size, and another protocol's"
    assert "24.14" not in text, "zeng-xyz"
    assert "AdaInt paper (2022) | transcription |" in text
    assert "Published figures of csrnet, dpe, hdrplus-zeng, upe, zeng-xyz are known" in text
    tables = {one.slug: one for one in contents.read(tmp_path).tables}
    rows = list(csv.DictReader(io.StringIO(csv_text(tables["published-fivek-zeng-srgb-c-test"]))))
    assert {row["checked"] for row in rows} == {"transcription"}
    html = page.without_figures(_html(tmp_path))
    assert "Published on zeng-srgb" in html
    assert "transcription" in html


def _html(root: Path) -> str:
    from hdrnet_bench.report import build_report

    build_report(root)
    return (root / "report.html").read_text()


@pytest.mark.parametrize(
    ("dataset", "protocol", "size", "split"),
    [
        ("fivek-libraw-c", "libraw", "full", "test"),  # another protocol
        ("fivek-zeng-srgb-c", "libraw", "full", "test"),  # a name is not enough
        ("fivek-zeng-srgb-c-first100", "zeng-srgb", "full", "test"),  # a part of it
        ("fivek-zeng-srgb-c", "zeng-srgb", "full", "validation"),
        ("fivek-zeng-srgb-c-original", "zeng-srgb", "480p", "test"),  # not the paper's 480p
        ("hdrplus-ltmnet", "ltmnet", "full", "test"),
        ("made-up", "csrnet", "full", "test"),
    ],
)
def test_nothing_is_published_under_what_was_not_run(
    tmp_path: Path, dataset: str, protocol: str, size: str, split: str
) -> None:
    text = on(tmp_path, dataset, protocol, size, split)
    assert "Published on" not in text
    assert "HDRNet" not in text


@pytest.mark.parametrize(
    ("dataset", "size", "resolution"),
    [
        ("fivek-zeng-srgb-c", "480p", "480p"),
        ("fivek-zeng-srgb-c-original", "full", "full"),
    ],
)
def test_the_same_size_under_either_name(
    tmp_path: Path, dataset: str, size: str, resolution: str
) -> None:
    on(tmp_path, dataset, "zeng-srgb", size)
    (part,) = contents.read(tmp_path).groups
    assert part.published is not None
    assert {row[1].text for row in part.published.rows} == {resolution}


def test_results_elsewhere_use_what_came_with_the_package(tmp_path: Path) -> None:
    assert read_published(tmp_path) == PUBLISHED
    (tmp_path / "published").mkdir()
    assert read_published(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("a,480p,,HDRNet,24.1,0.9,,,,,a paper,guess", "checked"),
        ("a,480p,,HDRNet,,0.9,,,,,a paper,primary", "psnr"),
        ("a,480p,,HDRNet,24.1,1.5,,,,,a paper,primary", "ssim"),
        ("a,480p,,HDRNet,24.1,nan,,,,,a paper,primary", "ssim"),
        ("a,480p,,HDRNet,24.1,0.9,,,-1,,a paper,primary", "time_ms"),
        ("a,480p,,HDRNet,24.1,0.9,,,,,,primary", "source"),
        ("a,480p,../x,HDRNet,24.1,0.9,,,,,a paper,primary", "dataset"),
        ("a,480p,,HDRNet,24.1,0.9,,,,,a paper, with a comma,primary", "13 columns"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: str, fault: str) -> None:
    path = tmp_path / "published" / "fivek.csv"
    path.parent.mkdir()
    good = "a,480p,,HDRNet,24.1,0.9,,,,,a paper,primary"
    path.write_text(f"{HEAD}\n{good}\n{line}\n")
    with pytest.raises(DataError, match=rf"fivek\.csv, line 3: .*{fault}"):
        read_published(tmp_path)
    path.write_text(f"{HEAD}\n{good}\n")
    assert [row.checked for row in read_published(tmp_path)] == ["primary"]


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "published" / "fivek.csv"
    path.parent.mkdir()
    path.write_text("")
    with pytest.raises(DataError, match=r"fivek\.csv cannot be read"):
        read_published(tmp_path)


def test_the_projects_own_speeds_name_device_place_and_what_differs() -> None:
    rows = read_speed(ROOT / "results")
    times = {(row.method, row.timed, row.resolution): (row.ms, row.device) for row in rows}
    assert len(times) == len(rows)
    assert times["HDRNet (re-run)", "whole network", "480p"] == (3.49, "V100")
    assert times["HDRNet (re-run)", "whole network", "4K"] == (56.07, "V100")
    assert times["fused-bilagrid", "slice, backward", "4000 x 3000"] == (44.03, "laptop RTX 4070")
    for row in rows:
        assert row.differs
        if row.checked == "primary":
            assert "commit" in row.source
    # The same figures stand in the table of quality.
    quality = {(r.method, r.time_ms) for r in PUBLISHED if r.source == "AdaInt paper (2022)"}
    assert {(r.method, r.ms) for r in rows if r.source.startswith("AdaInt")} <= quality


def test_published_times_stand_alone_where_a_gpu_was_timed(tmp_path: Path) -> None:
    made_up.published_speed(tmp_path)
    made_up.network(tmp_path, "cpu", "cpu-made-up")
    assert contents.read(tmp_path).speed is None
    made_up.network(tmp_path)
    report = contents.read(tmp_path)
    assert report.speed is not None
    text = readme.page(report, {})
    assert "**Published times on GPUs**" in text
    row = f"| Method {made_up.MADE_UP} | whole network | 4K | 56.07 | Device {made_up.MADE_UP} |"
    assert row in text
    assert "56.07" not in text.replace(row, ""), "in one row with what was measured"
    measured = [part.table for part in report.networks]
    assert not any("56.07" in csv_text(one) for one in measured)
    assert "Published times on GPUs" in _html(tmp_path)


def test_published_times_are_none_where_there_is_no_file(tmp_path: Path) -> None:
    made_up.network(tmp_path)
    assert read_speed(tmp_path) == read_speed(ROOT / "results")
    (tmp_path / "published").mkdir()
    assert read_speed(tmp_path) == []
    assert contents.read(tmp_path).speed is None


@pytest.mark.parametrize("column", [c for c in SpeedRow.model_fields if c != "ms"])
def test_a_published_time_without_its_device_or_place_is_refused(
    tmp_path: Path, column: str
) -> None:
    path = made_up.published_speed(tmp_path)
    with path.open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(row))
        writer.writeheader()
        writer.writerow(row | {column: ""})
    with pytest.raises(DataError, match=rf"speed\.csv, line 2: {column}"):
        read_speed(tmp_path)
