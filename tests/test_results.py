"""The committed results are valid, whole and honest about where they come from."""

import csv
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from hdrnet_bench.data.manifest import find_lock
from hdrnet_bench.errors import DataError
from hdrnet_bench.files import json_text, read_json
from hdrnet_bench.metric_specs import METRICS
from hdrnet_bench.recipe import load_recipe
from hdrnet_bench.result_timing import Timing
from hdrnet_bench.results import Evaluation, cell, read_all, read_result, write_result
from hdrnet_bench.statistics import mean_interval
from tests.conftest import ROOT
from tests.report.fixtures import made_up

FOUND = read_all(ROOT / "results")
EVALUATIONS = [(p, r) for p, r in FOUND if isinstance(r, Evaluation)]


def test_there_are_results() -> None:
    assert EVALUATIONS
    assert any(isinstance(r, Timing) for _, r in FOUND)


@pytest.mark.parametrize(("path", "result"), EVALUATIONS, ids=lambda v: getattr(v, "name", None))
def test_evaluation_fits_its_place_recipe_data_and_rows(path: Path, result: Evaluation) -> None:
    assert path.relative_to(ROOT / "results").parts[:3] == (
        result.recipe.name,
        result.method.name,
        result.method.run,
    )
    assert result.recipe.digest == load_recipe(result.recipe.name).digest, "stale: recipe"
    lock = find_lock(result.dataset.name)
    assert lock is not None
    assert result.dataset.digest == lock[0].digest, "stale: data"
    assert result.stale() == []
    expected = [row.id for row in lock[1] if row.split == result.dataset.split]
    assert [row.id for row in result.rows] == expected
    for name, summary in result.metrics.items():
        if summary.mean is None:
            assert summary.reason
            continue
        values = [row.value(name) for row in result.rows]
        assert summary.mean == pytest.approx(sum(values) / len(values))
    table = list(csv.DictReader(path.with_suffix(".csv").open()))
    assert [float(row["psnr"]) for row in table] == [row.value("psnr") for row in result.rows]
    assert result.environment.commit
    assert not result.environment.commit.endswith("-dirty")


def test_demo_retouch_beats_the_identity_by_seven_decibels() -> None:
    means = {
        r.method.name: r.metrics["psnr"].mean
        for _, r in EVALUATIONS
        if r.recipe.name == "demo-retouch"
    }
    trained, base = means["hdrnet-curves"], means["identity"]
    assert trained is not None
    assert base is not None
    assert trained - base >= 7


def test_committed_files_name_no_place_of_a_machine() -> None:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout: there is no list of committed files")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in (".json", ".jsonl", ".csv", ".md", ".html") and path.exists():
            text = path.read_text(encoding="utf-8")
            for place in ("/root/", "/home/", "/tmp/", str(ROOT)):
                assert place not in text, f"{name} holds {place}"


def test_unknown_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "eval-x.json"
    for text in ('{"kind": "guess"}', '{"kind": ["evaluation"]}', "[]", "3"):
        path.write_text(text)
        with pytest.raises(DataError, match="is neither an evaluation nor a timing"):
            read_result(path)


def _set(content: dict, where: str, value: object) -> None:
    *path, last = where.split(".")
    for key in path:
        content = content[int(key)] if isinstance(content, list) else content[key]
    content[int(last) if isinstance(content, list) else last] = value


@pytest.mark.parametrize("value", [0, -1.5])
@pytest.mark.parametrize(
    "where",
    ["rows.0.median_ms", "rows.0.p5_ms", "rows.0.interval_ms.0", "rows.0.width", "rows.0.batch",
     "copies.0.median_ms", "copies.0.gigabytes_per_s"],
)  # fmt: skip
def test_times_and_sizes_are_above_zero(tmp_path: Path, where: str, value: float) -> None:
    """Else a rate or a logarithm of them fails."""
    path = made_up.timing(tmp_path)
    read_result(path)
    content = read_json(path)
    _set(content, where, value)
    path.write_text(json_text(content))
    with pytest.raises(DataError, match=rf"timing-.*\.json: {where}: "):
        read_result(path)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("metrics", {}),
        ("metrics.psnr.mean", None),
        ("metrics.psnr.mean", "high"),
        ("metrics.psnr.mean", 99.0),
        ("metrics.psnr.interval", [19.0, 20.0]),
        ("metrics.psnr.interval", None),
        ("metrics.ssim.interval", [0.5, 0.6]),
        ("metrics.ssim.bounds", [-2.0, 1.0]),
        ("metrics.psnr.max", 99.0),
        ("metrics.psnr.n", 5),
        ("rows.0.psnr", 99.0),
        ("rows.0.psnr", None),
        ("rows.0.psnr", 1e308),
        ("rows.0.id", "coffee"),
        ("rows.0.psnr", "high"),
        ("rows.0.id", "../../x"),
        ("rows", []),
        ("environment", {}),
        ("dataset.name", "../x"),
        ("recipe.name", "a/b"),
        ("dataset.split", "holdout"),
        ("surprise", 1),
    ],
)
def test_edited_results_are_refused_with_the_key(tmp_path: Path, where: str, value: object) -> None:
    content = read_json(ROOT / "results/demo-retouch/identity/baseline/eval-test-full.json")
    _set(content, where, value)
    if where.startswith("metrics.psnr") and value is None:
        content["metrics"]["psnr"]["reason"] = None
    path = tmp_path / "eval-x.json"
    path.write_text(json_text(content))
    with pytest.raises(DataError, match=r"eval-x\.json: "):
        read_result(path)


def test_every_value_lies_within_its_metrics_bounds() -> None:
    assert {name for name, metric in METRICS.items() if metric.bounds is None} == {
        name for name in METRICS if name.rpartition(".")[2] in ("psnr", "psnr_hc")
    }
    for _, result in EVALUATIONS:
        for name in result.metrics:
            low, high = METRICS[name].bounds or (-np.inf, None)
            values = [value for value in result.values(name) if value is not None]
            assert all(low <= value <= (high or np.inf) for value in values), name


NEAR_ONE = [0.99, 0.995, 0.999, 1.0, 0.93, 0.998]


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A result as older versions wrote it: its interval of SSIM is plain Student's t, beyond 1."""
    content = read_json(made_up.evaluation(tmp_path, n=6))
    for row, value in zip(content["rows"], NEAR_ONE, strict=True):
        row["ssim"] = value
    low, high = stats.ttest_1samp(NEAR_ONE, 0).confidence_interval(0.95)
    assert high > 1
    content["metrics"]["ssim"] |= {"mean": np.mean(NEAR_ONE), "interval": [low, high]}
    path = tmp_path / "eval-older.json"
    path.write_text(json_text(content))
    return path


def test_an_older_result_is_read_and_its_interval_kept_within_bounds(older: Path) -> None:
    before = older.read_bytes()
    result = read_result(older)
    ssim = result.metrics["ssim"]
    assert ssim.interval == mean_interval(NEAR_ONE, (-1, 1)).interval
    assert ssim.interval[1] < 1
    assert ssim.mean == pytest.approx(np.mean(NEAR_ONE))
    assert cell("ssim", ssim) == "0.9853 [0.8993, 0.9979]"
    low, high = stats.ttest_1samp(result.values("psnr"), 0).confidence_interval(0.95)
    assert result.metrics["psnr"].interval == pytest.approx((low, high))
    assert older.read_bytes() == before


def test_a_result_says_what_its_intervals_were_kept_within(older: Path, tmp_path: Path) -> None:
    result, path = read_result(older), tmp_path / "eval-now.json"
    write_result(path, result)
    content = read_json(path)
    assert content["metrics"]["ssim"]["bounds"] == [-1, 1]
    assert content["metrics"]["lpips"]["bounds"] == [0, None]
    assert "bounds" not in content["metrics"]["psnr"]
    assert read_result(path) == result
    for wrong in ([-1, 2], [0, None], None):  # as if it had been computed otherwise
        _set(content, "metrics.ssim.bounds", wrong)
        path.write_text(json_text(content))
        with pytest.raises(DataError, match=r"metrics\.ssim\.interval is not what the rows give"):
            read_result(path)
    for wrong in ([1, 1], [1, -1]):
        _set(content, "metrics.ssim.bounds", wrong)
        path.write_text(json_text(content))
        with pytest.raises(DataError, match=r"metrics\.ssim: .*its bounds"):
            read_result(path)


def test_bounds_in_a_file_that_a_metric_has_not_take_no_interval_away(older: Path) -> None:
    content = read_json(older)
    reason = "no interval: beyond the metric's bounds for 6 of 6 pictures"
    content["metrics"]["psnr"] |= {"bounds": [0, 1], "interval": None, "reason": reason}
    older.write_text(json_text(content))
    result = read_result(older)
    psnr = result.metrics["psnr"]
    low, high = stats.ttest_1samp(result.values("psnr"), 0).confidence_interval(0.95)
    assert psnr.interval == pytest.approx((low, high))
    assert (psnr.reason, psnr.bounds) == (None, None)


def test_a_file_that_is_written_again_is_read_again(older: Path, tmp_path: Path) -> None:
    """Also where an older version's mean was of values that rounding had put beyond the bounds."""
    content = read_json(older)
    values = [-5e-10] * 5 + [0.0]
    for row, value in zip(content["rows"], values, strict=True):
        row["lpips"] = value
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    content["metrics"]["lpips"] |= {"mean": np.mean(values), "interval": [low, high]}
    older.write_text(json_text(content))
    result, path = read_result(older), tmp_path / "eval-again.json"
    assert (result.metrics["lpips"].mean, result.metrics["lpips"].interval) == (0, (0, 0))
    write_result(path, result)
    assert read_result(path) == result


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, None), None])
def test_of_a_metric_that_this_version_does_not_know_the_files_interval_stays(
    older: Path, bounds: tuple[float, float | None] | None
) -> None:
    assert "sharpness" not in METRICS
    content = read_json(older)
    for row, value in zip(content["rows"], NEAR_ONE, strict=True):
        row["sharpness"] = value
    found = mean_interval(NEAR_ONE, bounds)
    content["metrics"]["sharpness"] = {
        "version": 1, "n": 6, "mean": found.mean, "interval": found.interval,
        **({"bounds": bounds} if bounds else {}),
    }  # fmt: skip
    older.write_text(json_text(content))
    summary = read_result(older).metrics["sharpness"]
    assert summary.interval == pytest.approx(found.interval)
    assert summary.bounds == bounds


def test_an_older_result_with_an_impossible_value_has_no_interval(older: Path) -> None:
    content = read_json(older)
    values = [1.5, *NEAR_ONE[1:]]
    content["rows"][0]["ssim"] = 1.5
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    content["metrics"]["ssim"] |= {"mean": np.mean(values), "interval": [low, high]}
    older.write_text(json_text(content))
    ssim = read_result(older).metrics["ssim"]
    assert ssim.interval is None
    assert ssim.reason == "no interval: beyond the metric's bounds for 1 of 6 pictures"
