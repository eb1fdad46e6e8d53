"""Timing on a CUDA device. `make gpu-check` runs this."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
import torch

from hdrnet_bench import HDRNetConfig
from hdrnet_bench.result_timing import Part
from hdrnet_bench.timing.clock import FLUSH_BYTES, Clock, copier
from hdrnet_bench.timing.kernels import time_kernels
from hdrnet_bench.timing.network import choose_backends, time_model
from hdrnet_bench.timing.steps import PARTS, time_throughput, time_training

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
    """On a device of which 2.5 GiB are left: plain torch takes 3.4 for 24 megapixels."""
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(max(0, free - (5 << 29)), dtype=torch.uint8, device="cuda")
    measured = time_model(
        HDRNetConfig(), [(6000, 4000), (64, 48)], "cuda", backends=["reference"], budget_s=0.1
    )
    del taken
    torch.cuda.empty_cache()
    large, small = measured.rows[:6], measured.rows[6:]
    assert any(row.note == "out of memory" for row in large)
    assert all(row.median_ms for row in small)


def test_a_flush_reads_all_its_buffer_about_as_fast_as_a_copy() -> None:
    device = torch.device("cuda")
    clock = Clock(device)
    copy = copier(FLUSH_BYTES, device)  # reads half of it, and writes as much
    flushes, copies = (
        sorted(clock.once(run) for _ in range(20))[10] for run in (clock._flush, copy)
    )
    assert copies / 2 < flushes < 3 * copies


def test_kernels_have_their_rows_of_cuda() -> None:
    rows = list(time_kernels({"480p": (640, 480)}, "cuda"))
    fused = [f"fused, {name} to {name}" for name in ("bytes", "halves", "floats")]
    twice = ["forward", "forward, float16", *fused]
    names = {f"{name}, {how}" for name in twice for how in ("out given", "fresh output")}
    names |= {"forward + backward", "backward"}
    assert {(row.guide, row.kernel) for row in rows} == set(
        itertools.product(("natural", "noise"), names)
    )
    for row in rows:
        assert row.reference_ms
        assert row.copy_share > 0
        bound = 0.6 if "bytes" in row.kernel else 2e-2 if "16" in row.kernel else 5e-3
        assert row.max_error is not None
        assert row.max_error < bound, row.kernel


def test_training_steps_in_parts_and_as_the_loop_takes_them() -> None:
    rows = time_training(3, crop=256, device="cuda")
    assert [row.part for row in rows] == list(PARTS)
    assert all(row.reference_ms for row in rows)
    assert sum(row.share for row in rows[:-2]) == pytest.approx(1, abs=2e-3)
    found = list(time_throughput("cuda", [0, 2], crop=256, budget_s=0.3))
    assert [(row.precision, row.workers) for row in found] == [
        *(("float32", count) for count in (0, 2)),
        *(("bfloat16", count) for count in (0, 2)),
    ]
    for row in found:
        assert row.steps_per_s > 0
        assert 0 <= row.data_wait_share < 1
