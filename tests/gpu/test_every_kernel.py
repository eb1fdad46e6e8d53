"""Every kernel on a device, which compute-sanitizer watches in `make gpu-check`."""

from __future__ import annotations

import pytest
import torch

from hdrnet_bench.slicing.cuda_launch import on_current_stream
from tests.gpu.every_kernel import run_every_kernel

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_every_kernel_twice() -> None:
    device = torch.device("cuda")
    first, again = (run_every_kernel(on_current_stream(device), "cuda") for _ in range(2))
    torch.cuda.synchronize()
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
        assert bool(a.isfinite().all())
