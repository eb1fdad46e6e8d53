"""Published figures stand beside what was measured on the same data, and nowhere else."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from hdrnet_bench.cli.published import values_beside
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.prepare.protocols import Protocol, load_protocol
from hdrnet_bench.prepare.sources.fivek import FiveKChoice
from hdrnet_bench.report import contents, page, published_page, readme
from hdrnet_bench.report.published import (
    PublishedRow,
    SpeedRow,
    metrics_as_published,
    read_published,
    read_speed,
    whole_split,
)
from hdrnet_bench.report.table import csv_text
from hdrnet_bench.report.tables_published import published_note, published_table
from hdrnet_bench.result_ids import DatasetId
from tests.conftest import ROOT
from tests.report.fixtures import made_up

PUBLISHED = read_published(ROOT / "results")
HEAD = "protocol,resolution,dataset,method,psnr,ssim,delta_e76,lpips,time_ms,gpu,source,checked"
PAPER_HEAD = HEAD.replace("source,", "source,arxiv,table,")


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


def test_what_compares_with_a_figure_is_measured_as_its_papers_did() -> None:
    assert metrics_as_published("zeng-srgb") == {
        "psnr": "zeng.psnr", "ssim": "zeng.ssim", "delta_e76": "zeng.delta_e"
    }  # fmt: skip
    assert metrics_as_published("uegan")["delta_e76"] == "namedcurves.delta_e_76"
    assert set(metrics_as_published("dpe").values()) == {"deeplpf.psnr", "deeplpf.ssim"}
    for unknown in ("upe", "csrnet", "unheard-of"):
        assert metrics_as_published(unknown)["delta_e76"] == "delta_e_76", "the canonical one"


def test_how_papers_measured_is_what_a_protocol_says_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "recipes/protocols/fivek"
    own.mkdir(parents=True)
    text = (ROOT / "recipes/protocols/fivek/upe.yaml").read_text()
    (own / "upe.yaml").write_text(text + "measured_as: llf-lut\n")
    assert metrics_as_published("upe")["lpips"] == "llf-lut.lpips"
    (own / "upe.yaml").write_text(text + "measured_as: psnr\n")
    assert metrics_as_published("upe")["lpips"] == "lpips", "faulty: as one that is not known"
    with pytest.raises(UsageError, match=r"measured_as: .*'psnr' is none of zeng, "):
        load_protocol("fivek", "upe")


def test_what_was_measured_stands_above_where_it_compares(tmp_path: Path) -> None:
    rows, said = beside(tmp_path, n=500)
    assert rows[2].startswith("| hdrnet-curves, seed-0 | full | ")
    assert rows[2].endswith(" this project | measured |")
    assert rows[3].startswith("| HDRNet | full | 21.96 |")
    assert "how these papers measured is not known here" in said
    assert "does not compare" not in said


def beside(root: Path, **other: Any) -> tuple[list[str], str]:
    """The published table that a result on upe stands in, and what is said below it."""
    made_up.evaluation(root, dataset="fivek-upe-c", protocol="upe", pictures=False, **other)
    text = readme.page(contents.read(root), {}).split("**Published on upe**")[1]
    _, table, notes, *_ = text.split("\n\n")
    return table.splitlines(), notes


@pytest.mark.parametrize(("n", "marked"), [(499, True), (500, False), (501, True)])
def test_a_score_on_other_pictures_than_the_whole_test_split_is_marked(
    tmp_path: Path, n: int, marked: bool
) -> None:
    """As where pictures of a pack were rejected: the dataset has the published one's name."""
    rows, said = beside(tmp_path, n=n)
    assert (f"| hdrnet-curves, seed-0 ({n} of 500 pictures) | full |" in rows[2]) == marked
    assert ("does not compare" in said) == marked
    (part,) = contents.read(tmp_path).groups
    values = values_beside(part.group.first, PUBLISHED)["published"]
    assert (values["pictures"], values["pictures_of_protocol"]) == (n, 500)
    assert values["is_whole_split"] != marked


def test_predictions_that_lack_pictures_are_marked_by_the_same_rule(tmp_path: Path) -> None:
    lacking = {"missing": ["x"], "wrong_size": ["y"]}
    rows, _ = beside(tmp_path, n=498, unpaired=lacking)
    assert "(498 of 500 pictures)" in rows[2]
    # Of a split that is known by its files alone, those that are missing say it.
    unknown = {"name": "fivek-upe-c", "protocol": "unheard-of", "split": "test", "digest": "d"}
    (part,) = contents.read(tmp_path).groups
    assert whole_split(part.group.first.model_copy(update={"dataset": DatasetId(**unknown)})) == 500


def test_a_recipe_that_set_changed_is_recognised(tmp_path: Path) -> None:
    rows, said = beside(tmp_path, n=500, recipe=f"fivek-upe-set-{'a' * 8}")
    assert "| hdrnet-curves, seed-0 (changed by --set) | full |" in rows[2]
    assert "changed by --set: the training is not that of the recipe" in said
    rows, said = beside(tmp_path, n=500, recipe=f"fivek-upe-set-{'b' * 8}", run="seed-1")
    assert "seed-1 | full |" in rows[3], "a name that merely ends so"


def test_what_is_said_below_the_table_is_true_of_all_its_rows(tmp_path: Path) -> None:
    """A row that was measured as the papers did has no other definitions than theirs."""
    on(tmp_path, "fivek-zeng-srgb-c", "zeng-srgb")
    (part,) = contents.read(tmp_path).groups
    result, rows = part.group.first, [row for row in PUBLISHED if row.protocol == "zeng-srgb"]
    metrics = {**result.metrics, "zeng.psnr": result.metrics["psnr"]}
    measured = result.model_copy(update={"metrics": metrics})
    group = part.group._replace(results=[(tmp_path, measured)])
    notes = published_table(group, rows).notes
    assert notes[0].startswith("Rows of this project are measured as these papers did (zeng.psnr, ")
    assert "whose SSIM and colour differences can be of other definitions than the cano" in notes[0]
    assert not any("definitions" in note for note in notes[1:])
    assert "definitions than those of the canonical" in published_note("zeng-srgb")
    assert "How these papers measured is not known here: " in published_note("upe")


def test_other_metrics_than_the_papers_do_not_stand_among_their_figures(tmp_path: Path) -> None:
    text = on(tmp_path, "fivek-zeng-srgb-c", "zeng-srgb").split("**Published on zeng-srgb**")[1]
    assert "this project" not in text
    assert "Nothing was measured as these papers did (zeng.psnr, zeng.ssim, zeng.delta_e): " in text


def test_beside_baselines_alone_nothing_is_said_of_this_project(tmp_path: Path) -> None:
    made_up.evaluation(
        tmp_path, "identity", "baseline", dataset="fivek-upe-c", protocol="upe", pictures=False,
        seed=None, curve=False,
    )  # fmt: skip
    text = readme.page(contents.read(tmp_path), {}).split("**Published on upe**")[1]
    assert "21.96" in text
    said = text.split("\n## ")[0]
    assert "this project" not in said
    assert "Nothing was" not in said


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


@pytest.mark.parametrize(
    ("arxiv", "table", "fault"),
    [
        ("2204.1398", "2", None),
        ("2204.13983", "2", None),
        ("10.1007/978-3-031-72967-6_6", "", None),
        ("", "", None),
        ("2204.139", "2", "arxiv"),
        ("2204.139833", "2", "arxiv"),
        ("arXiv:2204.13983", "2", "arxiv"),
        ("2204.13983v1", "2", "arxiv"),
        ("10.1007/a) [b](c", "2", "arxiv"),
        ("2204.13983", "1", None),
        ("2204.13983", "0", "table"),
        ("2204.13983", "99", None),
        ("2204.13983", "100", "table"),
        ("2204.13983", "II", "table"),
    ],
)
def test_a_papers_id_and_table_are_checked(
    tmp_path: Path, arxiv: str, table: str, fault: str | None
) -> None:
    path = tmp_path / "published" / "fivek.csv"
    path.parent.mkdir()
    row = f"a,480p,,HDRNet,24.1,0.9,,,,,a paper,{arxiv},{table},primary"
    path.write_text(f"{PAPER_HEAD}\n{row}\n")
    if fault:
        with pytest.raises(DataError, match=rf"fivek\.csv, line 2: {fault}"):
            read_published(tmp_path)
    else:
        (read,) = read_published(tmp_path)
        assert (read.arxiv or "", read.table) == (arxiv, int(table) if table else None)


def test_a_malformed_id_of_a_time_is_refused(tmp_path: Path) -> None:
    path = made_up.published_speed(tmp_path)
    head, row = path.read_text().splitlines()
    path.write_text(f"{head},arxiv\n{row},2204\n")
    with pytest.raises(DataError, match=r"speed\.csv, line 2: arxiv"):
        read_speed(tmp_path)


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
    # A time stands beside a score only where both are of one size: 4K's are here alone.
    assert not [row for row in PUBLISHED if row.time_ms and row.resolution == "full"]
    adaint = [row for row in rows if row.source.startswith("AdaInt")]
    timed = {
        (r.method, r.resolution, r.time_ms) for r in PUBLISHED if r.source.startswith("AdaInt")
    }
    assert {(r.method, r.resolution, r.ms) for r in adaint if r.resolution == "480p"} <= timed
    assert {r.method: r.ms for r in adaint if r.resolution == "4K"} == {
        "HDRNet (re-run)": 56.07, "3D-LUT (re-run)": 1.49, "CSRNet": 77.10, "AdaInt": 1.59,
    }  # fmt: skip


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


@pytest.mark.parametrize("column", sorted(SpeedRow.model_fields.keys() - {"ms", "arxiv"}))
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


PAGE = published_page.page(PUBLISHED, read_speed(ROOT / "results"))


def section(title: str) -> str:
    """The part of the page below a heading, up to the next."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def cells(table: str, length: int) -> list[list[str]]:
    """The rows of a Markdown table that has so many columns, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert {len(row) for row in rows} == {length}
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_page_has_every_row_of_every_file_once() -> None:
    shown = [
        (protocol, *row)
        for protocol in dict.fromkeys(row.protocol for row in PUBLISHED)
        for row in cells(section(protocol), 12)
    ]
    assert len(shown) == len(PUBLISHED)
    for path in (ROOT / "results/published/fivek.csv", ROOT / "results/published/hdrplus.csv"):
        with path.open(newline="") as stream:
            for want in csv.DictReader(stream):
                site = "https://doi.org" if "/" in want["arxiv"] else "https://arxiv.org/abs"
                link = f"[{want['arxiv']}]({site}/{want['arxiv']})"
                name = want["method"]
                method = f"**{name}**" if name.startswith("HDRNet") else name
                (row,) = [
                    row
                    for row in shown
                    if row[:3] == (want["protocol"], method, want["resolution"])
                    and row[3] == want["psnr"]
                ]
                numbers = ("ssim", "delta_e76", "lpips", "time_ms", "gpu", "source")
                assert list(row[4:10]) == [want[key] or "–" for key in numbers]
                assert row[10:] == (link, want["table"] or "–", "transcription")
    speed = cells(section("Times on GPUs"), 10)
    assert [(row[0].strip("*"), row[2], row[3]) for row in speed] == [
        (row.method, row.resolution, f"{row.ms:.2f}") for row in read_speed(ROOT / "results")
    ]


def test_the_page_says_what_each_protocol_is() -> None:
    assert load_protocol("fivek", "upe").summary in section("upe")
    assert "Used by DeepUPE, DeepLPF-UPE, 4D-LUT." in section("upe")
    assert "It cannot be prepared: its random 4500/500 split" in section("csrnet")
    assert "None of this project's protocols" in section("hdrplus-zeng")
    sizes = [row[1] for row in cells(section("zeng-srgb"), 12)]
    assert sizes == sorted(sizes), "480p and full mixed"


def test_what_is_not_known_is_a_dash_and_names_are_only_read() -> None:
    row = PublishedRow(
        **dict.fromkeys(("delta_e76", "lpips", "time_ms", "gpu", "dataset")),
        protocol="unheard-of",
        resolution="480p",
        method="A|B <img src=x> [c](https://d)",
        psnr=20.0,
        ssim=None,
        source="a *paper*",
        checked="primary",
    )
    text = published_page.page([row], [])
    row_text = (
        r"| A\|B &lt;img src=x&gt; [c]\(https://d) | 480p | 20.00 | – | – | – | – | – "
        r"| a \*paper\* | – | – | primary |"
    )
    assert row_text in text
    assert "Times on GPUs" not in text


def test_hdrnets_own_table_has_its_figures_on_fivek_alone() -> None:
    table = published_page.hdrnet_table(PUBLISHED)
    assert [row.count("|") for row in table.splitlines()] == [5] * 8
    rows = cells(table, 4)
    own = [row for row in PUBLISHED if row.method in ("HDRNet", "HDRNet (re-run)")]
    figures = [
        (row[0], row[2], figure.partition(",")[0].split()[0])
        for row in rows
        for figure in row[3].split("; ")
    ]
    assert sorted(figures) == sorted(
        (row.protocol, row.resolution, f"{row.psnr:.2f}")
        for row in own
        if row.protocol != "hdrplus-zeng"
    )
    assert rows[0] == [
        "zeng-srgb",
        'collection "InputZeroed with ExpertC WhiteBalance"',
        "480p",
        "24.32, [3D-LUT paper (2020)](https://arxiv.org/abs/2009.14468); "
        "24.66 re-run, [AdaInt paper (2022)](https://arxiv.org/abs/2204.13983)",
    ]
    other = own[0].model_copy(update={"method": "HDRNet++", "psnr": 31.41})
    assert "31.41" not in published_page.hdrnet_table([*own, other])
    plain = own[0].model_copy(update={"arxiv": None, "source": "a [paper]", "table": 3})
    assert r"| 24.32, a \[paper\], table 3 |" in published_page.hdrnet_table([plain])
