"""Pairs in memory: what is stored, as what it stands for."""

import numpy as np

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.data.pairs import (
    MEMORY_SHARE,
    decode_pair,
    fits_in_memory,
    load_pair,
)
from hdrnet_bench.images.pixels import to_float32
from tests.conftest import Workspace


def test_pictures_are_kept_only_where_they_fit(tiny: Workspace, monkeypatch) -> None:
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    rows = dataset.split("train")
    needed = sum(row.width * row.height * 6 for row in rows)
    for processes in (1, 2):
        limit = round(needed * processes / MEMORY_SHARE)
        for memory, fits in ((limit, True), (limit - 8, False)):
            monkeypatch.setattr("os.sysconf", lambda name, m=memory: m if "PAGES" in name else 1)
            assert fits_in_memory(rows, processes) is fits


def test_a_pair_is_its_pixels(tiny: Workspace) -> None:
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    row = dataset.split("test")[0]
    pair, pixels = load_pair(dataset, row), decode_pair(dataset, row)
    assert np.array_equal(pair.input.numpy(), to_float32(pixels[0]))
    assert np.array_equal(pair.target.numpy(), to_float32(pixels[1]))
