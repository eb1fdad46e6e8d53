"""When a training ends is said once, by its own pace, and once more where validations change it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from hdrnet_bench.recipe import Recipe, parse_recipe
from hdrnet_bench.training.forecast import Forecast, pace_text
from hdrnet_bench.training.overrides import override
from tests.conftest import Workspace
from tests.training.running import run_recipe
from tests.training.test_resume import small


@pytest.fixture
def recipe(tiny: Workspace) -> Recipe:
    return parse_recipe(tiny.path / "tiny.yaml")


def said(
    recipe: Recipe,
    *,
    steps: int,
    pace: float,
    every: int,
    cost: float = 0.0,
    first: float = 0.0,
    done: int = 0,
    patience: int | None = None,
    until: int | None = None,
) -> list[tuple[int, str]]:
    """What is said after which step, of steps that take `pace` seconds and validations that take
    `cost`; the first step takes `first` more."""
    settings = [f"training.validate_every={every}", f"training.patience={patience or 'null'}"]
    now, notes = 0.0, []
    spec = override(recipe, settings).training
    forecast = Forecast(spec, steps, lambda note: notes.append((step, note)), lambda: now)
    for step in range(done + 1, (until or steps) + 1):
        now += pace + (first if step == done + 1 else 0)
        validated = step % every == 0 or step == steps
        now += cost if validated else 0
        forecast.passed(step, cost if validated else None)
    return notes


def test_it_is_said_once_with_the_pace_and_the_end(recipe: Recipe) -> None:
    ((step, note),) = said(recipe, steps=1000, pace=2.0, every=1000)
    assert step == 21  # 20 steps from the first on
    begins = "2.0 s a step: about 33 min to the end, "
    assert note.startswith(begins)
    assert note.endswith(", not counting validations")
    end = datetime.now() + timedelta(seconds=979 * 2.0)
    assert any(f"{end + timedelta(minutes=m):%H:%M}" in note for m in (-1, 0, 1))


@pytest.mark.parametrize(
    ("pace", "step"),
    [
        (1 / 128, 1281),  # ten seconds
        (1.0, 21),  # twenty steps
        (5.0, 13),  # a minute of slow ones
        (100.0, 2),
    ],
)
def test_it_waits_until_steps_have_a_pace(recipe: Recipe, pace: float, step: int) -> None:
    (only,) = said(recipe, steps=100_000, pace=pace, every=100_000, until=2000)
    assert only[0] == step


def test_the_first_step_is_no_measure(recipe: Recipe) -> None:
    """It compiles, or waits for its workers."""
    ((_, note),) = said(recipe, steps=1000, pace=2.0, first=600.0, every=1000)
    assert note.startswith("2.0 s a step: about 33 min")


@pytest.mark.parametrize(("steps", "spoken"), [(130, True), (110, False)])
def test_of_less_than_a_minute_nothing_is_said(recipe: Recipe, steps: int, spoken: bool) -> None:
    """After 50 steps in a second each there are 80, or 60."""
    notes = said(recipe, steps=steps, pace=1.0, first=0.0, every=50, cost=0.0, done=29)
    assert bool(notes) == spoken


@pytest.mark.parametrize(("cost", "again"), [(25.0, False), (35.0, True)])
def test_the_first_validation_changes_it_where_it_takes_long(
    recipe: Recipe, cost: float, again: bool
) -> None:
    """Beside 100 steps of a second each."""
    notes = said(recipe, steps=1000, pace=1.0, every=100, cost=cost)
    assert [step for step, _ in notes] == ([21, 100] if again else [21])
    if again:
        left = 900 * 1.0 + 9 * cost
        note = notes[1][1]
        assert note.startswith(
            f"1.0 s a step, 35 s a validation: about {left / 60:.0f} min to the end, "
        )
        assert "not counting" not in note


def test_a_validation_that_comes_first_is_counted(recipe: Recipe) -> None:
    ((step, note),) = said(recipe, steps=10_000, pace=0.1, every=50, cost=5.0)
    assert step == 50
    assert note.startswith("100 ms a step, 5.0 s a validation: about 33 min to the end, ")


def test_the_last_validation_may_come_out_of_turn(recipe: Recipe) -> None:
    """Of 1,050 steps, eleven are validated after: ten more than this first one."""
    ((_, note),) = said(recipe, steps=1050, pace=0.1, every=100, cost=60.0)
    assert "about 12 min" in note  # 95 s of steps, 10 validations of a minute
    ((_, note),) = said(recipe, steps=1000, pace=0.1, every=100, cost=60.0)
    assert "about 10 min" in note  # 90 s, nine


def test_with_patience_it_is_the_latest_end(recipe: Recipe) -> None:
    ((_, note),) = said(recipe, steps=1000, pace=2.0, every=1000, patience=3)
    assert "at most about 33 min" in note


def test_resumed_it_goes_by_its_own_steps(recipe: Recipe) -> None:
    ((step, note),) = said(recipe, steps=1000, pace=2.0, every=1000, done=500)
    assert step == 521
    assert "about 16 min" in note


def test_another_day_is_said_with_its_date(recipe: Recipe) -> None:
    ((_, note),) = said(recipe, steps=10**6, pace=1.0, every=10**6, until=30)
    assert "about 11 d 14 h to the end, on 20" in note
    assert re.search(r", on \d{4}-\d\d-\d\d at \d\d:\d\d, not counting", note)
    ((_, note),) = said(recipe, steps=10**9, pace=1000.0, every=10**9, until=30)
    assert "beyond the calendar" in note


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00623, "6.2 ms"),
        (0.00994, "9.9 ms"),
        (0.00996, "10 ms"),
        (0.35, "350 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (210.4, "210 s"),
    ],
)
def test_a_pace_is_readable(seconds: float, text: str) -> None:
    assert pace_text(seconds) == text


def test_a_training_says_it_and_where_it_is_watched(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdrnet_bench.training.forecast._STEPS", 2)
    monkeypatch.setattr("hdrnet_bench.training.forecast._SECONDS", 0.0)
    monkeypatch.setattr("hdrnet_bench.training.forecast._WORTH_SAYING", 0.0)
    monkeypatch.setattr("hdrnet_bench.training.forecast._MUCH", 1e9)
    notes: list[str] = []
    log: list[str] = []
    run = run_recipe(tiny, small(tiny), "a run", outlook=notes.append, log=log.append)
    assert not [note for note in log if note in notes]
    assert sum(" a step" in note and " to the end, " in note for note in notes) == 1
    (watch,) = [note for note in notes if note.startswith("to watch in")]
    assert watch.endswith(f"'{run}': training.png, log.jsonl, or `tensorboard --logdir '{run}'`")
    notes.clear()
    run_recipe(tiny, small(tiny), "a run", outlook=notes.append, resume=True)
    assert notes == []  # of what is finished there is nothing to watch
