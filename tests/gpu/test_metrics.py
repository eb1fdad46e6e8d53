"""The metrics give on a CUDA device what they give on the CPU."""

import pytest
import torch

from hdrnet_bench import metrics
from hdrnet_bench.metrics.as_published import MODES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_metrics_on_cuda_are_those_of_the_cpu() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 400, 170, generator=generator)
    y = (x + 0.05 * torch.randn(x.shape, generator=generator)).clamp(0, 1)
    for name in ("psnr", "ssim", "delta_e_76", "delta_e_2000"):
        metric = getattr(metrics, name)
        there = metric(x.cuda(), y.cuda())
        assert there.is_cuda
        assert there.tolist() == pytest.approx(metric(x, y).tolist(), abs=1e-8)
    with pytest.raises(ValueError, match="different devices"):
        metrics.psnr(x, y.cuda())
    for name, mode in MODES.items():
        here, there_values = mode(x, y), mode(x.cuda(), y.cuda())
        for value, number in here.items():
            if number is None or value == "lpips":
                continue
            there = there_values[value]
            assert there is not None, (name, value)
            assert there.tolist() == pytest.approx(number.tolist(), abs=1e-8), (name, value)
