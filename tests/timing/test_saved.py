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
