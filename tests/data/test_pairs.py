"""Pairs in memory: what is stored, as what it stands for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdrnet_bench.data import pairs
from hdrnet_bench.data.compare import compare
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.data.pairs import (
    MEMORY_SHARE,
    decode_pair,
    fits_in_memory,
    load_pair,
)
from hdrnet_bench.data.verify import verify
from hdrnet_bench.images import stored
from hdrnet_bench.images.pixels import to_float32
from tests.conftest import Workspace


def test_pictures_are_kept_only_where_they_fit(tiny: Workspace, monkeypatch) -> None:
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    rows = dataset.split("train")
    needed = sum(row.width * row.height * 6 for row in rows)
    for processes in (1, 2):
        limit = round(needed * processes / MEMORY_SHARE)
        for memory, fits in ((limit, True), (limit - 8, False)):
            # The machine's memory; a container's limit.
            for machine, group in ((memory, None), (memory, 1 << 60), (1 << 60, memory)):
                monkeypatch.setattr(pairs, "total", lambda most=machine: most)
                monkeypatch.setattr(pairs, "limit", lambda most=group: most)
                assert fits_in_memory(rows, processes) is fits
    monkeypatch.setattr(pairs, "total", lambda: None)
    monkeypatch.setattr(pairs, "limit", lambda: None)
    assert fits_in_memory(rows)  # where nothing tells


@pytest.mark.parametrize("what", ["pair", "verify", "compare"])
def test_each_picture_is_read_once(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Its header and its pixels are of the same bytes."""
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    rows, other = dataset.split("test"), Dataset(tiny.path / "data" / "demo-tiny")
    other.rows = [row.model_copy(update={"input_pixels_sha256": "0" * 64}) for row in other.rows]
    opened: list[Path] = []
    open_regular = stored.open_regular

    def counted(path: Path) -> Any:
        opened.append(path)
        return open_regular(path)

    monkeypatch.setattr(stored, "open_regular", counted)
    if what == "pair":
        decode_pair(dataset, rows[0])
        assert len(opened) == 2
    elif what == "verify":
        assert verify(dataset).status == "identical"
        assert len(opened) == 2 * len(dataset.rows)
    else:
        assert len(compare(dataset, other).differences) == len(dataset.rows)
        assert len(opened) == 2 * len(dataset.rows), "of each dataset the inputs"


def test_a_pair_is_its_pixels(tiny: Workspace) -> None:
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    row = dataset.split("test")[0]
    pair, pixels = load_pair(dataset, row), decode_pair(dataset, row)
    assert np.array_equal(pair.input.numpy(), to_float32(pixels[0]))
    assert np.array_equal(pair.target.numpy(), to_float32(pixels[1]))
