"""What eval and time show of the results of this repository, at several widths."""

import contextlib
import re
from pathlib import Path
from unittest import mock

import pytest
from rich.cells import cell_len

from hdrnet_bench.cli import evaluations, published, tables, timings
from hdrnet_bench.report.published import read_published
from hdrnet_bench.result_timing import (
    KernelTiming,
    NetworkTiming,
    Timing,
    TrainingTiming,
    read_machine,
)
from hdrnet_bench.results import Evaluation, read_result
from hdrnet_bench.timing.job import Measurement
from tests.cli.terminal import console
from tests.conftest import ROOT
from tests.report.fixtures import made_up

RESULTS = ROOT / "results"
EVALUATIONS = sorted(RESULTS.glob("demo-*/*/*/eval-test-full.json"))
TIMINGS = sorted(RESULTS.glob("demo-*/*/*/timing-*.json"))
MACHINES = sorted(RESULTS.glob("*-c*.json"))


def lines_of(width: int, show: str, *arguments: object, terminal: bool = True) -> list[str]:
    shown, written = console(width, terminal)
    module = evaluations if show == "print_evaluations" else timings
    with contextlib.ExitStack() as patches:
        for one in (tables, published, module):
            patches.enter_context(mock.patch.object(one, "out", shown))
        getattr(module, show)(*arguments)
    return written.getvalue().splitlines()


def measured(timing: Timing) -> Measurement:
    return Measurement(rows=timing.rows, copies=timing.copies, state=timing.state)


def evaluated(paths: list[Path]) -> list[Evaluation]:
    results = [read_result(path) for path in paths]
    return [result for result in results if isinstance(result, Evaluation)]


def test_eval_shows_the_metrics_at_80_columns_and_all_in_a_pipe() -> None:
    results = evaluated(EVALUATIONS)
    head, *lines = lines_of(80, "print_evaluations", results)
    assert re.match(r"recipe +method +run +size +PSNR +SSIM\b", head)
    assert len([line for line in lines if " identity " in line[:60]]) > 1
    said = " ".join(line.strip() for line in lines)
    assert "left out for 80 columns: parameters, MACs, MACs/pixel, " in said
    assert max(map(cell_len, lines)) <= 80
    head, *lines = lines_of(80, "print_evaluations", results, terminal=False)
    assert " parameters " in head
    assert all(len(lines[i].split("  ")) >= 8 for i in range(len(results)))
    assert not any("left out" in line for line in lines)


def test_published_figures_keep_their_sources_at_80_columns(tmp_path: Path) -> None:
    path = made_up.evaluation(tmp_path, dataset="fivek-upe-c", protocol="upe", pictures=False)
    shown = evaluated([path]), False, read_published(RESULTS)
    lines = lines_of(80, "print_evaluations", *shown)
    table = lines[lines.index("published on upe, full:") + 1 :]
    assert table[0].split()[-1] == "source"
    assert table[2].startswith("HDRNet ")
    assert table[2].endswith("  DeepUPE paper (2019)")
    assert max(map(cell_len, lines)) <= 80
    assert "(8 of 500 pictures)" in " ".join(table)
    assert not any("published" in line for line in lines_of(80, "print_evaluations", shown[0]))


def test_a_metric_that_was_not_measured_goes_first() -> None:
    results = evaluated([p for p in EVALUATIONS if p.parts[-4] == "demo-retouch"])
    assert all(result.metrics["lpips"].mean is None for result in results)
    lines = [lines_of(width, "print_evaluations", results) for width in range(60, 260, 3)]
    assert {line[0] for line in lines} == {"recipe demo-retouch"}  # once, where all have the same
    heads = [line[1] for line in lines]
    shown = ["LPIPS" in head for head in heads]
    assert shown == sorted(shown)
    assert set(shown) == {False, True}
    before = heads[shown.index(True) - 1]
    assert {"parameters", "MACs", "MACs/pixel", "n", "PSNR", "SSIM", "ΔE76"} <= {*before.split()}


@pytest.mark.parametrize("path", TIMINGS, ids=lambda path: path.parts[-4])
def test_time_of_a_run(path: Path) -> None:
    timing = read_result(path)
    assert isinstance(timing, Timing)
    one = measured(timing)
    noisy = sum(row.noisy for row in one.rows)
    for width, brackets in ((80, False), (200, True)):
        lines = lines_of(width, "print_network", [one], timing.environment, False, False)
        assert re.match(r"resolution .*backend +part +median ms .*of a copy's", lines[0])
        assert max(map(cell_len, lines)) <= width
        assert ("In brackets: the median's 95 % interval." in lines) == brackets
        assert ("[" in lines[1]) == brackets
        assert any(line.startswith(f"noisy: of {noisy} of {len(one.rows)} rows") for line in lines)


def test_notes_are_said_where_their_column_is_left_out() -> None:
    timing = read_result(TIMINGS[0])
    assert isinstance(timing, Timing)
    row = timing.rows[0].model_copy(update={"note": "not enough memory", "noisy": False})
    one = Measurement(rows=[row], copies=[], state=timing.state)
    for width in (80, 250):
        lines = lines_of(width, "print_network", [one], timing.environment, False, False)
        assert " ".join(lines).count("not enough memory") == 1
        assert ("note" in lines[0]) == (width == 250)
        assert not any(line.startswith("noisy") for line in lines)


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_times_of_machines_have_a_line_a_row_at_80_columns(path: Path) -> None:
    timing = read_result(path) if path.name.startswith("kernels-") else read_machine(path)
    if isinstance(timing, KernelTiming):
        lines = lines_of(80, "print_kernels", timing, False)
        assert re.match(r"size, guide +kernel +ms +of a copy", lines[0])
        count = len(timing.rows)
    elif isinstance(timing, TrainingTiming):
        lines = lines_of(80, "print_training", timing, False)
        assert re.match(r"part of a step +native ms .*plain torch ms .*faster", lines[0])
        count = len(timing.parts)
    else:
        assert isinstance(timing, NetworkTiming)
        parts = [Measurement(rows=s.rows, copies=s.copies, state=s.state) for s in timing.sizes]
        lines = lines_of(80, "print_network", parts[:1], timing.environment, False, False)
        count = len(parts[0].rows) + len(parts[0].copies)
    assert lines[count + 1].startswith("left out for 80 columns: ")
    assert max(map(cell_len, lines)) <= 80
