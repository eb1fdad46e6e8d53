"""Stopping `hdrbench time`, whose sizes are timed in processes of their own."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tests import running
from tests.conftest import Workspace


@pytest.mark.skipif(sys.platform != "linux", reason="children are looked up in Linux's /proc")
@pytest.mark.fault("signals")
@pytest.mark.parametrize(
    ("number", "to_group", "pause_s"),
    [(signal.SIGINT, True, 0.0), (signal.SIGTERM, False, 0.3)],
)
def test_its_processes_end_with_it(
    workspace: Workspace, number: int, to_group: bool, pause_s: float
) -> None:
    """Also while one is still starting: then it has no handler of its own yet."""
    process = running.start(workspace.path, "time", "--resolution", "64x48", "--budget", "1000")
    deadline = time.monotonic() + 60
    while not running.workers(process.pid):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    started = running.descendants(process.pid)
    time.sleep(pause_s)
    if to_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert out == ""
    assert "Traceback" not in err
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert f"hdrbench: stopped by {name}; 0 of 1 sizes were timed; --save keeps" in err
    assert running.all_gone(started)
    assert list(workspace.path.iterdir()) == []
