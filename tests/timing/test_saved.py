"""The file of the untrained network's times, which several commands write."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from hdrnet_bench.result_timing import NetworkTiming
from hdrnet_bench.timing.saved import save_size, saved_network
from tests.report.fixtures import made_up


def _save(path: Path, timing: NetworkTiming, widths: list[int]) -> None:
    (size, *_) = timing.sizes
    for width in widths:
        rows = [row.model_copy(update={"width": width}) for row in size.rows]
        one = size.model_copy(update={"rows": rows})
        save_size(path, timing.model_copy(update={"sizes": [one]}))


def _on(timing: NetworkTiming, date: str | None, load: float) -> NetworkTiming:
    """Its first size alone, as measured on that day."""
    environment = timing.environment.model_copy(update={"date": date, "load": load})
    update = {"sizes": timing.sizes[:1], "environment": environment}
    return timing.model_copy(update=update)


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        ("2020-12-31", "2021-01-01", ("2021-01-01", 2.0)),
        ("2021-01-01", "2021-01-01", ("2021-01-01", 2.0)),
        (None, "2021-01-01", ("2021-01-01", 2.0)),
        # Another process measured later and was done first.
        ("2021-01-02", "2021-01-01", ("2021-01-02", 1.0)),
    ],
)
def test_a_file_has_the_date_of_what_was_measured_last(
    tmp_path: Path, before: str | None, now: str, kept: tuple[str, float]
) -> None:
    timing = saved_network(made_up.network(tmp_path))
    assert timing is not None
    path = tmp_path / "network-again.json"
    assert save_size(path, _on(timing, before, 1.0)) is None
    assert save_size(path, _on(timing, now, 2.0)) is None
    saved = saved_network(path)
    assert saved is not None
    assert (saved.environment.date, saved.environment.load) == kept
    assert saved.sizes == timing.sizes[:1]


@pytest.mark.fault("several at once")
def test_two_that_save_at_once_lose_nothing(tmp_path: Path) -> None:
    timing = saved_network(made_up.network(tmp_path))
    assert timing is not None
    path = tmp_path / "network-both.json"
    widths = [list(range(100 + first, 160, 3)) for first in range(3)]
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_save, args=(path, timing, some)) for some in widths]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    saved = saved_network(path)
    assert saved is not None
    assert [size.rows[0].width for size in saved.sizes] == list(range(100, 160))
