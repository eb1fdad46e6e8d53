"""The report's paired comparisons: what `hdrbench compare` says, of whom it may be said."""

from pathlib import Path

import pytest

from hdrnet_bench.evaluation.compare import compare
from hdrnet_bench.files import json_text, read_json
from hdrnet_bench.metric_specs import METRICS
from hdrnet_bench.report import contents
from hdrnet_bench.report.table import Table, csv_text
from hdrnet_bench.results import Evaluation, read_result
from tests.report.fixtures import made_up


def paired(root: Path) -> Table | None:
    (part,) = contents.read(root).groups
    return part.paired


def names(table: Table | None) -> list[tuple[str, str]]:
    assert table is not None
    return [(row[1].text, row[2].text) for row in table.rows]


def baseline(root: Path, method: str = "identity", gain: float = 0.0) -> Path:
    return made_up.evaluation(root, method, "baseline", gain=gain, seed=None)


def test_the_best_against_each_other_and_against_doing_nothing(tmp_path: Path) -> None:
    best = made_up.evaluation(tmp_path, gain=5)
    near = made_up.evaluation(tmp_path, "hdrnet-pyramid", gain=4.5)
    made_up.evaluation(tmp_path, "elsewhere", "predictions", gain=1, seed=None)
    baseline(tmp_path)
    baseline(tmp_path, "oracle-affine", gain=9)
    table = paired(tmp_path)
    assert names(table) == [
        ("hdrnet-pyramid", "seed-0"),
        ("elsewhere", "predictions"),
        ("identity", "baseline"),
    ]
    assert table is not None
    assert table.title == (
        "made-up, hdrnet-curves, seed-0, less each other method, paired over the pictures"
    )
    found = compare(read_result(best), read_result(near))
    for one in found.metrics:
        place = next(i for i, c in enumerate(table.columns) if c.keys[0] == one.metric)
        difference, low, high, wins, ties, p, verdict = table.rows[0][place].values
        assert one.paired is not None
        assert (difference, low, high, p) == pytest.approx(
            (one.paired.difference, *(one.paired.interval or ()), one.paired.p), rel=1e-5
        )
        assert (wins, ties) == (one.paired.wins, one.paired.ties)
        words = {"A better": "better", "B better": "worse", "within noise": "noise"}
        assert verdict == words[one.verdict]
        assert f", {wins}/{found.common}: {verdict}" in table.rows[0][place].text
        assert table.rows[0][place].text.startswith(
            f"{one.paired.difference:+.{METRICS[one.metric].decimals}f} ["
        )


def test_who_has_seen_the_pictures_or_is_stale_is_left_out(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path, gain=3)
    made_up.evaluation(tmp_path, "hdrnet-pyramid", gain=6, leaked=2)
    path = made_up.evaluation(tmp_path, "hdrnet-pointwise", gain=7)
    content = read_json(path)
    content["metrics"]["ssim"]["version"] = 0
    path.write_text(json_text(content))
    assert paired(tmp_path) is None
    baseline(tmp_path)
    assert names(paired(tmp_path)) == [("identity", "baseline")]


def test_seeds_are_compared_as_their_mean(tmp_path: Path) -> None:
    seeds = [
        made_up.evaluation(tmp_path, run=f"seed-{k}", seed=k, gain=3 + k / 2) for k in range(3)
    ]
    base = baseline(tmp_path)
    table = paired(tmp_path)
    assert names(table) == [("identity", "baseline")]
    assert table is not None
    assert "hdrnet-curves, 3 seeds, less" in table.title
    found = compare([read_result(path) for path in seeds], read_result(base), ["psnr"])
    assert found.metrics[0].paired is not None
    cell = next(cell for c, cell in zip(table.columns, table.rows[0], strict=True)
                if c.keys[0] == "psnr")  # fmt: skip
    assert cell.values[0] == pytest.approx(found.metrics[0].paired.difference, rel=1e-5)


def test_of_few_pictures_nothing_is_told(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path, n=5)
    made_up.evaluation(tmp_path, "identity", "baseline", n=5, gain=0, seed=None)
    table = paired(tmp_path)
    assert table is not None
    place = next(i for i, c in enumerate(table.columns) if c.keys[0] == "psnr")
    cell = table.rows[0][place]
    assert cell.values[1:3] == (None, None)
    assert cell.values[-1] is None
    assert ":" not in cell.text
    assert csv_text(table).count("\n") == 2


def test_without_a_common_picture_or_a_second_method_there_is_none(tmp_path: Path) -> None:
    path = made_up.evaluation(tmp_path)
    assert paired(tmp_path) is None
    other = made_up.evaluation(tmp_path, "elsewhere", "predictions", seed=None)
    assert paired(tmp_path) is not None
    content = read_json(other)
    for row in content["rows"]:
        row["id"] = f"other-{row['id']}"
    content["shown"] = []
    other.write_text(json_text(content))
    assert paired(tmp_path) is None
    path.unlink()
    assert paired(tmp_path) is None


def ranked(root: Path) -> Table | None:
    (part,) = contents.read(root).groups
    return part.ranked


def test_each_against_the_next_by_mean_psnr(tmp_path: Path) -> None:
    for k in range(2):
        made_up.evaluation(tmp_path, "hdrnet-pyramid", run=f"seed-{k}", seed=k, gain=4 + k)
    first = made_up.evaluation(tmp_path, gain=5)
    last = baseline(tmp_path)
    baseline(tmp_path, "oracle-affine", gain=9)
    table = ranked(tmp_path)
    assert table is not None
    assert [[cell.text for cell in row[1:4]] for row in table.rows] == [
        ["hdrnet-curves", "seed-0", "made-up, hdrnet-pyramid, 2 seeds"],
        ["hdrnet-pyramid", "2 seeds", "made-up, identity, baseline"],
    ]
    assert [column.heading for column in table.columns[1:5]] == ["method", "run", "less", "n"]
    place = next(i for i, c in enumerate(table.columns) if c.keys[0] == "psnr")
    by_hand = [
        compare(read_result(first), _pyramid(tmp_path), ["psnr"]),
        compare(_pyramid(tmp_path), read_result(last), ["psnr"]),
    ]
    for row, found in zip(table.rows, by_hand, strict=True):
        assert found.metrics[0].paired is not None
        assert row[place].values[0] == pytest.approx(found.metrics[0].paired.difference, rel=1e-5)
    assert table in contents.read(tmp_path).tables


def _pyramid(root: Path) -> list[Evaluation]:
    results = [read_result(path) for path in sorted(root.glob("*/hdrnet-pyramid/*/eval-*.json"))]
    return [result for result in results if isinstance(result, Evaluation)]


def test_two_methods_are_ranked_by_the_first_table_alone(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path)
    baseline(tmp_path)
    assert paired(tmp_path) is not None
    assert ranked(tmp_path) is None
    made_up.evaluation(tmp_path, "hdrnet-pyramid", gain=4, leaked=1)
    assert ranked(tmp_path) is None
    made_up.evaluation(tmp_path, "hdrnet-pointwise", gain=4)
    assert ranked(tmp_path) is not None
