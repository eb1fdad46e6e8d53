import io
import time

import pytest
from rich.console import Console

from hdrnet_bench.cli import progress


def test_a_transfer_shows_pictures_bytes_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(progress, "err", Console(file=written, force_terminal=True, width=120))
    with progress.transfer_progress("fivek", 3) as transfer:
        for _ in range(2):
            time.sleep(0.01)
            transfer.received(1_500_000)
            transfer.picture()
    last = [line for line in written.getvalue().splitlines() if "fivek" in line][-1]
    for part in ("2/3", "3.0 MB", " MB/s"):
        assert part in last
