"""training.png: there whatever ends a run, drawn from as much of it as there is, at little cost,
and never what ends it."""

from __future__ import annotations

import errno
import math
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdrnet_bench.errors import DataError, StorageError
from hdrnet_bench.stopping import Stopped
from hdrnet_bench.training import picture
from hdrnet_bench.training.picture import EVERY_DRAWN, EVERY_S, PICTURE, RunPicture, Series
from hdrnet_bench.training.train import TrainingError, loss_of
from tests.conftest import Workspace
from tests.training.running import asked, no_rubbish, run_recipe
from tests.training.test_resume import small


def entry(step: int, **values: object) -> dict[str, object]:
    usual = {"loss": 0.1 / step, "psnr": 10.0 + math.log(step), "learning_rate": 1e-4}
    return {"step": step, "validation_psnr": None} | usual | values


def a_run(folder: Path, steps: int = 100, metric: str = "psnr", notes: list | None = None):
    log = [] if notes is None else notes
    return RunPicture(folder, "tiny", steps, metric, log.append)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened.convert("RGB")).astype(int)


def has_colour(shown: np.ndarray, colour: str) -> bool:
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return bool((np.abs(shown - wanted).sum(axis=-1) < 12).any())


@pytest.mark.parametrize("count", [1, 3, 7, 8, 9, 16, 100, 12_345])
def test_a_series_keeps_means_of_all_of_its_values(count: int) -> None:
    series = Series(points=4)
    for step in range(1, count + 1):
        series.add(step, 2.0 * step)
    steps, values = series.points()
    assert len(steps) <= 8
    assert min(count, 4) <= len(steps)
    assert values == pytest.approx(2 * steps)
    assert (np.diff(steps) > 0).all()
    # Each mean is of as many neighbours; the last one of what is left.
    each = 2 * steps[0] - 1
    sizes = np.array([each] * (len(steps) - 1) + [count - each * (len(steps) - 1)])
    assert 0 < sizes[-1] <= each
    assert (steps * sizes).sum() == pytest.approx(count * (count + 1) / 2)


def test_what_is_no_number_is_no_part_of_a_series() -> None:
    series = Series()
    for step, value in enumerate([1.0, math.nan, math.inf, -math.inf, 3.0], 1):
        series.add(step, value)
    assert series.points().tolist() == [[1, 5], [1, 3]]
    assert Series().points().shape == (2, 0)


@pytest.mark.parametrize("count", [0, 1, 39, 40, 41, 800])
def test_smoothing_keeps_a_straight_line_inside_and_the_mean_of_noise(count: int) -> None:
    line = np.arange(count, dtype=float)
    smooth = picture.smoothed(line)
    assert smooth.shape == line.shape
    inside = slice(count // 20, count - count // 20)
    assert smooth[inside] == pytest.approx(line[inside])
    assert (smooth is line) == (count < 40)
    assert picture.smoothed(np.ones(count)) == pytest.approx(np.ones(count))  # to both ends
    noise = np.random.default_rng(0).normal(size=800)
    assert picture.smoothed(noise).std() < 0.3


@pytest.mark.parametrize(("steps", "there"), [(9, False), (10, True)])
def test_a_run_has_one_from_ten_steps_on(tiny: Workspace, steps: int, there: bool) -> None:
    run = run_recipe(tiny, small(tiny, f"training.steps={steps}"), "run")
    assert (run / PICTURE).exists() == there
    if there:
        shown = pixels(run / PICTURE)
        assert shown.shape == (690, 800, 3)
        assert has_colour(shown, picture._TRAINING)
        assert has_colour(shown, picture._VALIDATION)
    no_rubbish(run)


def test_the_metric_that_is_best_by_has_a_place_of_its_own(tmp_path: Path) -> None:
    for validations in ({}, {"validation_psnr": 9.0, "validation_delta_e_76": 5.0}):
        heights, notes = {}, []
        for metric in ("psnr", "delta_e_76"):
            run = a_run(tmp_path, metric=metric, notes=notes)
            for step in range(1, 21):
                run.add(entry(step, **validations))
            run.draw()
            heights[metric] = len(pixels(tmp_path / PICTURE))
        assert heights == {"psnr": 690, "delta_e_76": 890}
        assert notes == []  # also before the first validation


@pytest.mark.parametrize(
    ("values", "metric", "best"),
    [
        ({5: 10.0, 10: 12.0, 15: 12.0}, "psnr", "PSNR 12.00 dB at step 10"),
        ({5: 3.0, 10: 1.0, 15: 2.0}, "delta_e_76", "ΔE76 1.00 at step 10"),
        ({}, "psnr", None),
    ],
)
def test_it_says_where_the_run_stands(
    tmp_path: Path, values: dict[int, float], metric: str, best: str | None
) -> None:
    run = a_run(tmp_path, 2000, metric)
    for step in range(1, 1001):
        run.add(entry(step, **{f"validation_{metric}": values.get(step)}))
    says = f"; best validation {best}" if best else ", not validated yet"
    assert run._standing() == f"step 1,000 of 2,000{says}"


def _huge(step: int) -> dict[str, object]:
    return entry(step, loss=1e300 if step == 50 else 1e-300, psnr=-3000.0)


def _nothing(step: int) -> dict[str, object]:
    return {"step": step}


def _of_somebody(step: int) -> dict[str, object]:
    return entry(step, loss="a", psnr=True, learning_rate=10**400, validation_psnr=[1])


def _zero(step: int) -> dict[str, object]:
    return entry(step, loss=0.0, psnr=120.0, learning_rate=0.0, validation_psnr=120.0)


def _one_validation(step: int) -> dict[str, object]:
    return entry(step, validation_psnr=7.0 if step == 30 else None)


@pytest.mark.parametrize("log", [_huge, _nothing, _of_somebody, _zero, _one_validation])
@pytest.mark.parametrize("name", ["seed-0", "a $x^$ \\frac 照片 \x1b[2J"])
def test_any_log_and_any_name_can_be_drawn(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, log, name: str
) -> None:
    notes: list[str] = []
    (tmp_path / name).mkdir()
    run = a_run(tmp_path / name, notes=notes)
    for step in range(1, 61):
        run.add(log(step))
    run.draw()
    assert notes == []
    assert not list(recwarn)
    assert has_colour(pixels(tmp_path / name / PICTURE), picture._VALIDATION) == (
        log in (_zero, _one_validation)
    )


def test_what_somebody_set_of_matplotlib_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib

    drawn = []
    for place, settings in enumerate(({}, {"axes.facecolor": "red", "text.usetex": True})):
        folder = tmp_path / str(place)
        with matplotlib.rc_context(settings):
            run = a_run(folder)
            for step in range(1, 30):
                run.add(entry(step))
            run.draw()
        drawn.append(pixels(folder / PICTURE)[60:])  # below the folder's name
    assert (drawn[0] == drawn[1]).all()
    assert "matplotlib.pyplot" not in sys.modules or not matplotlib.pyplot.get_fignums()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("hdrnet_bench.training.picture.time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("cost", [0.1, 2.0])
def test_drawing_takes_a_hundredth_of_the_time_at_most(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch, cost: float
) -> None:
    def drawn(run: RunPicture) -> bytes:
        clock[0] += cost
        return b""

    monkeypatch.setattr(RunPicture, "_png", drawn)
    run = a_run(tmp_path)
    for step in range(1, 20):
        run.add(entry(step))
    clock[0] += EVERY_S - 0.001
    assert not run.is_due()
    clock[0] += 0.002
    assert run.is_due()
    run.draw()
    clock[0] += max(EVERY_S, EVERY_DRAWN * cost) - 0.001
    assert not run.is_due()
    clock[0] += 0.002
    assert run.is_due()


def test_it_is_drawn_while_it_trains_and_at_its_end(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(RunPicture, "is_due", lambda run: run._step in (12, 15))
    monkeypatch.setattr(RunPicture, "_png", lambda run: drawn.append(run._step) or b"")
    run_recipe(tiny, small(tiny, "training.steps=18"), "run")
    assert drawn == [12, 15, 18]
    drawn.clear()
    monkeypatch.setattr(RunPicture, "is_due", lambda run: run._step == 18)
    run_recipe(tiny, small(tiny, "training.steps=18"), "again")
    assert drawn == [18]  # once


def test_resumed_it_has_the_steps_from_before(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(tiny, "training.steps=16")
    drawn: list[tuple[list[float], object]] = []

    def what(run: RunPicture) -> bytes:
        shown = [*run._training.values(), *run._validation.values()]
        drawn.append(([series.points().tolist() for series in shown], run._best))
        return b""

    monkeypatch.setattr(RunPicture, "_png", what)
    run_recipe(tiny, recipe, "whole")
    with pytest.raises(Stopped):
        run_recipe(tiny, recipe, "run", {10: asked(signal.SIGINT)})
    run_recipe(tiny, recipe, "run", resume=True)
    whole, stopped, resumed = drawn
    assert resumed == whole
    assert len(stopped[0][0][0]) == 11
    assert len(whole[0][0][0]) == 16


def test_a_run_that_diverges_has_one_too(tiny: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def spoilt(spec: object, *arguments: object) -> object:
        calls.append(1)
        return loss_of(spec, *arguments) * (math.nan if len(calls) == 13 else 1)

    monkeypatch.setattr("hdrnet_bench.training.train.loss_of", spoilt)
    with pytest.raises(TrainingError, match="step 13"):
        run_recipe(tiny, small(tiny, "training.steps=16"), "run")
    assert has_colour(pixels(tiny.path / "run" / PICTURE), picture._TRAINING)


def _full(path: Path, content: bytes) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _broken(run: RunPicture) -> bytes:
    raise ValueError("of matplotlib's\nown")


def _no_memory(run: RunPicture) -> bytes:
    raise MemoryError


@pytest.mark.fault("full disks")
@pytest.mark.parametrize(
    ("name", "fails", "reason"),
    [
        ("write_bytes", _full, "No space left on device"),
        ("RunPicture._png", _broken, "of matplotlib's own"),
        ("RunPicture._png", _no_memory, "MemoryError"),
        ("import_matplotlib", lambda: __import__("no_such_module"), "No module named"),
    ],
)
def test_a_picture_that_cannot_be_had_ends_nothing_and_is_said_once(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, fails, reason: str
) -> None:
    monkeypatch.setattr(f"hdrnet_bench.training.picture.{name}", fails)
    monkeypatch.setattr(RunPicture, "is_due", lambda run: run._step > 10)
    notes: list[str] = []
    run = run_recipe(tiny, small(tiny, "training.steps=14"), "run", log=notes.append)
    (note,) = [note for note in notes if note.startswith(f"no {PICTURE}")]
    assert reason in note
    assert note.endswith("): training goes on")
    assert "\n" not in note
    assert len((run / "log.jsonl").read_text().splitlines()) == 14
    no_rubbish(run)


@pytest.mark.fault("I/O errors")
def test_a_run_that_has_gone_does_not_come_back_for_its_picture(tiny: Workspace) -> None:
    run = tiny.path / "run"
    recipe = small(tiny, "training.steps=20", "training.checkpoint_every=1")
    with pytest.raises(StorageError, match="was removed"):
        run_recipe(tiny, recipe, "run", {12: lambda: run.rename(tiny.path / "moved")})
    assert not run.exists()


def test_it_is_deleted_with_its_run(tiny: Workspace) -> None:
    run = run_recipe(tiny, small(tiny, "training.steps=10"), "run")
    assert (run / PICTURE).exists()
    run_recipe(tiny, small(tiny), "run", overwrite=True)
    assert not (run / PICTURE).exists()


@pytest.mark.fault("hostile recipes and models")
def test_a_log_whose_lines_say_nothing_is_resumed(tiny: Workspace) -> None:
    recipe = small(tiny, "training.steps=20")
    with pytest.raises(Stopped):
        run_recipe(tiny, recipe, "run", {11: asked(signal.SIGINT)})
    lines = [f'{{"step": {step}, "psnr": "{step}"}}\n' for step in range(1, 13)]
    (tiny.path / "run/log.jsonl").write_text("".join(lines))
    notes: list[str] = []
    run_recipe(tiny, recipe, "run", resume=True, log=notes.append)
    assert not [note for note in notes if PICTURE in note and "watch" not in note]
    assert (tiny.path / "run" / PICTURE).exists()


@pytest.mark.fault("hostile recipes and models")
def test_a_log_that_is_none_is_left_as_it_is(tiny: Workspace) -> None:
    recipe = small(tiny, "training.steps=20")
    with pytest.raises(Stopped):
        run_recipe(tiny, recipe, "run", {11: asked(signal.SIGINT)})
    (tiny.path / "run/log.jsonl").write_text('{"step": 1}\n{"step": 3}\n')
    with pytest.raises(DataError, match="line 2, is not what training wrote"):
        run_recipe(tiny, recipe, "run", resume=True)
    assert (tiny.path / "run/log.jsonl").read_text() == '{"step": 1}\n{"step": 3}\n'
    no_rubbish(tiny.path / "run")
