"""Timing on a CUDA device. `make gpu-check` runs this."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
import torch

from hdrnet_bench import HDRNetConfig
from hdrnet_bench.result_timing import Part
from hdrnet_bench.timing.network import choose_backends, time_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
def test_parts_and_transfers(dtype: str) -> None:
    backends = choose_backends(["native", "reference"], "cuda")
    measured = time_model(
        HDRNetConfig(), [(640, 480)], "cuda", backends=backends, dtype=dtype, budget_s=0.5
    )
    keys = [(row.backend, row.part) for row in measured.rows]
    assert keys == list(itertools.product(backends, get_args(Part)))
    for row in measured.rows:
        assert row.median_ms > 0
        assert row.peak_memory_mib > 0
        of_the_bus = row.part in ("upload", "download", "whole with transfer")
        assert (row.copy_share is None) == of_the_bus
        if row.part == "guide + slice + apply":
            assert row.max_error < {"float32": 1e-4, "float16": 2e-3}.get(dtype, 0.6)


def test_want_of_memory_is_a_row() -> None:
    measured = time_model(
        HDRNetConfig(), [(20000, 20000), (64, 48)], "cuda", backends=["reference"], budget_s=0.1
    )
    large, small = measured.rows[:6], measured.rows[6:]
    assert any(row.note == "out of memory" for row in large)
    assert all(row.median_ms for row in small)
