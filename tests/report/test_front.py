"""The README's tables: what they choose from the results, and the marks they stand between."""

import json
import re
from pathlib import Path

import pytest

from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.report import (
    build_report,
    contents,
    front,
    outdated,
    readme,
    with_insertion,
)
from hdrnet_bench.report.table import Table
from hdrnet_bench.report.tables import processor
from tests.conftest import ROOT
from tests.report.fixtures import made_up


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_quality_is_the_identity_the_best_method_and_the_best_bound(root: Path) -> None:
    made_up.a_few(root)
    made_up.evaluation(root, "alone", dataset="other", digest="e" * 64, n=6)
    made_up.evaluation(root, "small", dataset="small", digest="f" * 64, size="480p")
    table = front.quality(contents.read(root))
    assert len(table.columns) <= 6
    rows = texts(table)
    assert [row[0] for row in rows] == ["made-up", "other"]  # at full size alone
    _, pictures, identity, method, psnr, bound = rows[0]
    assert (pictures, method) == ("8", "hdrnet-pyramid")
    means = [float(text.split()[0]) for text in (identity, psnr, bound)]
    assert means[0] < means[1] < means[2]
    assert means[1] - means[0] == pytest.approx(5, abs=0.011)
    assert means[2] - means[0] == pytest.approx(9, abs=0.011)
    assert all(re.fullmatch(r"\d+\.\d\d \[\d+\.\d\d, \d+\.\d\d\]", text) for text in rows[0][4:])
    assert rows[1][2:4] == ["–", "alone"]
    assert rows[1][5] == "–"


def test_speed_is_of_the_untrained_network_else_of_a_run(root: Path) -> None:
    made_up.timing(root, speed=1.0)
    made_up.timing(root, "slower", speed=3.0)
    made_up.timing(root, device="cuda", slug="cuda-made-up", speed=7.0)
    made_up.network(root)
    table = front.speed(contents.read(root))
    assert len(table.columns) <= 6
    rows = texts(table)
    assert [row[0] for row in rows] == ["1080p", "4K", "12 MP"] * 2
    assert [row[1] for row in rows] == [f"CPU {made_up.MADE_UP}, 2 cores"] * 3 + [made_up.GPU] * 3
    assert rows[0][2] == "24.9"  # 12 ms a megapixel, of the first of two runs
    assert rows[0][5] == "8x"
    assert rows[3][2:5] == ["2.07", "2.32", "18.7"]  # of the network, not of the run
    assert rows[2][4:] == rows[5][4:] == ["–", "–"]  # plain torch ran out of memory


def test_wide_intervals_stand_beside_their_medians(root: Path) -> None:
    path = made_up.timing(root)
    content = json.loads(path.read_text())
    for row in content["rows"]:
        if (row["backend"], row["part"]) == ("native", "whole"):
            median = row["median_ms"]
            wide = 0.051 if row["width"] == 1920 else 0.049
            row["interval_ms"] = [median, median * (1 + wide)]
    path.write_text(json.dumps(content))
    rows = texts(front.speed(contents.read(root)))
    assert rows[0][3] == "26.1 [26.1, 27.4]"
    # Plain torch: 209 ms, from 205 to 213.
    assert rows[0][5] == "8x [7, 8]"
    assert (rows[1][3], rows[1][5]) == ("101", "8x")


def test_a_gpu_says_what_transfers_cost(root: Path) -> None:
    made_up.timing(root, device="cuda", slug="cuda-made-up")
    (said,) = front.transfers(contents.read(root))
    assert made_up.GPU in said
    assert said.endswith("12 MP take 0.9 ms.")  # 1.5 times the whole, of 0.05 ms a megapixel
    made_up.network(root)  # without transfers, and in the place of the run
    assert front.transfers(contents.read(root)) == []


def test_a_stale_time_is_not_shown(root: Path) -> None:
    evaluated = made_up.evaluation(root)
    made_up.timing(root)
    assert len(front.speed(contents.read(root)).rows) == 3
    content = json.loads(evaluated.read_text())
    content["method"]["model_sha256"] = "f" * 64
    evaluated.write_text(json.dumps(content))
    assert front.speed(contents.read(root)).rows == []


def test_kernels_are_said_of_gpus(root: Path) -> None:
    path = made_up.kernels(root, "cuda", "cuda-made-up")
    assert front.kernels(contents.read(root)) == []  # none at 12 megapixels
    content = json.loads(path.read_text())
    (row,) = content["rows"]
    row |= {"size": "12 MP", "copy_ms": 4.0}
    content["rows"] = [
        row | {"kernel": "forward, out given", "median_ms": 5.0},
        row | {"kernel": "backward", "median_ms": 8.0},
    ]
    path.write_text(json.dumps(content))
    (said,) = front.kernels(contents.read(root))
    assert "80% of a copy's bandwidth" in said
    assert "gradients 50%" in said
    assert made_up.GPU in said


def test_blocks_go_between_their_marks_and_nowhere_else(root: Path, tmp_path: Path) -> None:
    made_up.a_few(root)
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- speed -->\nold\n<!-- /speed -->\nb\n<!-- quality --><!-- /quality -->\nc\n"
    )
    blocks = readme.blocks(contents.read(root))
    text = with_insertion(page, blocks)
    assert text.startswith("a\n<!-- speed -->\n| picture | device |")
    assert "<!-- /speed -->\nb\n<!-- quality -->\n**made-up, test split, full size" in text
    assert text.endswith("<!-- /quality -->\nc\n")
    assert "old" not in text
    page.write_text(text)
    assert with_insertion(page, blocks) == text
    page.write_text("<!-- speed --><!-- /speed -->\n<!-- speed -->old<!-- /speed -->\n")
    assert with_insertion(page, blocks).count("| picture | device |") == 2
    page.write_text("no marks\n")
    with pytest.raises(DataError, match="has no marks to put tables between: <!-- results -->"):
        with_insertion(page, blocks)


@pytest.mark.parametrize(
    ("marks", "fault"),
    [
        ("<!-- speed -->", "<!-- speed --> is not followed by <!-- /speed -->"),
        ("<!-- /speed --><!-- speed -->", "<!-- /speed --> has no <!-- speed --> before it"),
        (
            "<!-- speed --><!-- speed --><!-- /speed -->",
            "followed by <!-- /speed -->, but by <!-- sp",
        ),
        (
            "<!-- results -->mine<!-- speed -->mine<!-- /results --><!-- /speed -->",
            "followed by <!-- /results -->, but by <!-- speed -->",
        ),
    ],
)
def test_marks_that_would_take_text_with_them_are_refused(
    root: Path, tmp_path: Path, marks: str, fault: str
) -> None:
    made_up.evaluation(root)
    page = tmp_path / "page.md"
    page.write_text(marks)
    with pytest.raises(DataError, match=re.escape(fault)):
        build_report(root, page)
    assert page.read_text() == marks


def test_without_results_the_blocks_say_so(root: Path) -> None:
    blocks = readme.blocks(contents.read(root))
    assert blocks["results"].startswith("Nothing measured yet")
    assert blocks["speed"].startswith("Nothing timed yet")


def test_readme_quotes_the_demo_as_it_was_measured() -> None:
    """The demo is the recipe's first seed: what it prints is in the committed results."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    said = re.search(
        r"^demo-retouch, .*: PSNR (\S+) dB, identity (\S+) dB: \+(\S+) dB$", text, re.M
    )
    assert said
    means = [
        json.loads((ROOT / f"results/demo-retouch/{run}/eval-test-full.json").read_text())[
            "metrics"
        ]["psnr"]["mean"]
        for run in ("hdrnet-curves/seed-0", "identity/baseline")
    ]
    assert [float(number) for number in said.groups()] == pytest.approx(
        [*means, means[0] - means[1]], abs=0.005
    )


def test_published_figures_get_their_page_in_a_folder_of_their_own(
    root: Path, tmp_path: Path
) -> None:
    made_up.evaluation(root)
    page = root / "published" / "README.md"
    build_report(root)
    assert not page.parent.exists()  # those of the package are not copied
    made_up.published_speed(root)
    build_report(root)
    assert made_up.MADE_UP in page.read_text()
    assert outdated(root) == []
    page.write_text("pasted")
    assert outdated(root) == ["published/README.md"]
    with pytest.raises(UsageError, match=r"published/README\.md"):
        build_report(root)
    page.unlink()
    build_report(root)
    page.parent.rename(tmp_path / "elsewhere")
    page.parent.symlink_to(tmp_path / "elsewhere")
    # Nothing is removed or written through a link: neither what a report wrote nor anything else.
    for content in (page.read_text(), "not ours"):
        page.write_text(content)
        build_report(root)
        assert page.read_text() == content
    assert "published/README.md" not in json.loads((root / "report.json").read_text())["files"]


@pytest.mark.parametrize(
    ("cpu", "name"),
    [
        ("Intel(R) Xeon(R) CPU @ 2.80GHz", "Intel Xeon, 2 cores"),
        ("Intel(R) Xeon(R) Processor", "Intel Xeon, 2 cores"),
        ("AMD EPYC", "AMD EPYC, 2 cores"),
    ],
)
def test_a_processor_is_named_without_what_its_makers_add(cpu: str, name: str) -> None:
    assert processor(made_up.environment(cpu=cpu), on_gpu=False) == name
    assert processor(made_up.environment(cpu=cpu), on_gpu=True) == name  # there is none
    on_both = made_up.environment(gpu=True, cpu=cpu)
    assert processor(on_both, on_gpu=True) == made_up.GPU
    assert processor(on_both, on_gpu=False) == name
