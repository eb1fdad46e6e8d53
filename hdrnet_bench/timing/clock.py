"""How long one repeat takes on a device; the copy it is compared with, and the picture it is of."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import CapabilityError
from ..slicing import cpu, cuda_launch

WARM_UP_S = 0.15
FLUSH_BYTES = 256 << 20  # more than any L2 cache has
SLEEP_CYCLES = 4_000_000  # a few milliseconds


class Flush:
    """Empties a device's caches by reading a buffer that is larger than they are.

    It is written once, here: lines that a write left behind would still have to go to memory, and
    their way there would fall into the run that is timed next.
    """

    def __init__(self, device: torch.device, size: int = FLUSH_BYTES) -> None:
        self._buffer = torch.zeros(size // 4, dtype=torch.float32, device=device)
        self._sum = torch.zeros((), dtype=torch.float32, device=device)

    def __call__(self) -> None:
        # Of torch's reductions the sum of float32 reads fastest: about as fast as memory gives.
        torch.sum(self._buffer, dim=0, out=self._sum)


class Clock:
    """Times runs on a device. On CUDA: between events, on the device's own clock as it is, after a
    buffer larger than the L2 cache was read, so that nothing of an earlier run is in the cache and
    nothing there waits to be written back."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.device = device
        self._flush = Flush(device, FLUSH_BYTES if self.cuda else 0)

    def once(self, run: Callable[[], object]) -> float:
        """Milliseconds of one run."""
        return self._once_cuda(run) if self.cuda else _once_cpu(run)

    def _once_cuda(self, run: Callable[[], object]) -> float:
        self._flush()
        torch.cuda._sleep(SLEEP_CYCLES)  # until the launches below are in the queue
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize(self.device)
        return float(begin.elapsed_time(end))


def why_no_kernels(device: torch.device) -> str:
    """ "" where there are native kernels for it."""
    return cpu.REASON if device.type == "cpu" else cuda_launch.why_not(device.index)


def require_kernels(device: torch.device) -> None:
    """Raises CapabilityError where there are no native kernels for it."""
    if reason := why_no_kernels(device):
        raise CapabilityError(f"there are no native kernels to time: {reason}")


def device_with_kernels(device: str) -> torch.device:
    """The device, current where it is a CUDA one of several: its events and streams are meant.

    Raises CapabilityError where there are no native kernels for it.
    """
    where = torch.device(device)
    require_kernels(where)
    if where.type == "cuda" and where.index is not None:
        torch.cuda.set_device(where)
    return where


def _once_cpu(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def copier(moved: int, device: torch.device) -> Callable[[], Tensor]:
    """A preallocated copy that reads and writes so many bytes in all."""
    source = torch.ones(moved // 2, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def natural_picture(width: int, height: int) -> Tensor:
    """A photograph (scikit-image's astronaut) brought to that size: (3, H, W) in [0, 1].

    What a guide reads decides which cells a slice touches, so noise or zeros would not do.
    """
    import skimage.data

    photo = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float() / 255
    return F.interpolate(photo, size=(height, width), mode="bilinear", align_corners=False)[0]
