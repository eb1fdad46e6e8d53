"""The slicing kernels against plain torch and against a copy of the same bytes, in one run.

Every figure of a table row is taken in turns with the copy it is compared with, so that ratios hold
although the machine's speed does not. Plain torch, which takes seconds, is repeated less often.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .errors import CapabilityError
from .model import HDRNet
from .slicing import bilateral_slice_apply, cpu
from .timing import natural_picture

SIZES = {
    "1080p": (1920, 1080),
    "4K": (3840, 2160),
    "12 MP": (4000, 3000),
    "24 MP": (6000, 4000),
}
GUIDES: tuple[Literal["natural", "noise"], ...] = ("natural", "noise")
MAX_BACKWARD_MP = 9.0  # plain torch keeps some 250 bytes a pixel for its gradients
WARM_UPS, REPEATS, REFERENCE_REPEATS = 2, 15, 3


class KernelRow(NamedTuple):
    """One kernel at one size. Times in ms; null where nothing was measured, with `note` why."""

    size: str
    megapixels: float
    guide: str
    kernel: str
    median_ms: float
    p5_ms: float
    p95_ms: float
    ns_per_pixel: float
    reference_ms: float | None
    times_reference: float | None
    copy_ms: float
    times_copy: float
    max_error: float
    note: str | None


def time_kernels(
    sizes: dict[str, tuple[int, int]] | None = None,
    step: Callable[[], None] = lambda: None,
) -> Iterator[KernelRow]:
    """Time the CPU kernels: forward into `out`, into a fresh tensor, forward and backward, fused.

    The grid is 16 x 16 x 8 cells of 3 x 4; the natural guide is an untrained curves guide of a
    photograph. `max_error` is against float64: of the output, for the backward of the gradients,
    relative to the largest; for bytes, in levels. The copy moves as many bytes as the kernel must.

    Raises CapabilityError without the native library.
    """
    if cpu.LIBRARY is None:
        raise CapabilityError(f"there is no native library to time: {cpu.REASON}")
    for name, (width, height) in (sizes or SIZES).items():
        for guide in GUIDES:
            yield from _one(name, width, height, guide)
            gc.collect()
            step()


def _one(name: str, width: int, height: int, kind: str) -> Iterator[KernelRow]:
    torch.manual_seed(0)
    model = HDRNet().eval()
    image = natural_picture(width, height)[None]
    grid = torch.randn(1, 12, 8, 16, 16)
    with torch.no_grad():
        natural = model.guides[0](image)
    guide = natural if kind == "natural" else torch.rand(1, height, width)
    out = torch.empty_like(image)
    pixels = width * height
    row = _Rower(name, pixels, kind)

    def forward(backend: Any, into: Tensor | None = None) -> Tensor:
        return bilateral_slice_apply(grid, guide, image, backend=backend, out=into)

    exact = torch.empty(1, 3, height, width, dtype=torch.float64)
    cpu.forward(grid.double(), guide.double(), image.double(), True, exact)
    error = float((forward("native") - exact).abs().max())
    del exact
    plain = _times([lambda: forward("reference")], REFERENCE_REPEATS, 1)[0]
    copy = _copy(28 * pixels)  # guide and picture read, result written
    ours, fresh, copies = _times(
        [lambda: forward("native", out), lambda: forward("native"), copy], REPEATS, WARM_UPS
    )
    yield row("forward, out given", ours, plain, copies, error)
    yield row("forward, fresh output", fresh, plain, copies, error)
    yield _backward(row, grid, guide, image)
    if kind == "natural":
        yield _fused(row, model, image)


def _backward(row: _Rower, grid: Tensor, guide: Tensor, image: Tensor) -> KernelRow:
    """Forward and backward with all three gradients."""
    cotangent = torch.randn_like(image)

    def both(backend: Any, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        leaves = [t.to(dtype).detach().requires_grad_() for t in (grid, guide, image)]
        output = bilateral_slice_apply(leaves[0], leaves[1], leaves[2], backend=backend)
        output.backward(cotangent.to(dtype))
        return [leaf.grad for leaf in leaves if leaf.grad is not None]

    # The guide's gradient jumps where a guide meets a bin's centre, and float32 may see it from
    # the other side: those pixels are left out of the error.
    position = guide.double() * grid.shape[2] - 0.5
    kink = (position - position.round()).abs() < 1e-5
    error = 0.0
    for index, (a, b) in enumerate(zip(both("native"), both("native", torch.float64), strict=True)):
        difference = (a - b).abs()
        if index == 1:
            difference[kink] = 0
        error = max(error, float(difference.max() / b.abs().max()))
    copy = _copy(72 * guide.numel())  # 28 forward, 44 backward
    ours, copies = _times([lambda: both("native"), copy], REPEATS, WARM_UPS)
    plain, note = None, None
    if guide.numel() / 1e6 <= MAX_BACKWARD_MP:
        plain = _times([lambda: both("reference")], REFERENCE_REPEATS, 1)[0]
    else:
        note = f"plain torch's gradients are not timed over {MAX_BACKWARD_MP:g} MP: memory"
    return row("forward + backward", ours, plain, copies, error, note)


def _fused(row: _Rower, model: HDRNet, image: Tensor) -> KernelRow:
    """Guide, slice and apply of bytes to bytes, after the coefficients."""
    levels = (image * 255).round().to(torch.uint8)
    with torch.no_grad():
        grid = model.coefficients(torch.rand(1, 3, 256, 256)).contiguous()
    packed = model.guides[0].packed()  # type: ignore[operator]

    def plain() -> Tensor:
        with torch.no_grad():
            output = model.render(grid, levels.float() / 255, "reference")
            return output.clamp(0, 1).mul(255).round().to(torch.uint8)

    ours = cpu.enhance(grid, levels, *packed)
    error = float((ours.int() - plain().int()).abs().max())
    plain_times = _times([plain], REFERENCE_REPEATS, 0)[0]
    copy = _copy(6 * image[0, 0].numel())
    times, copies = _times([lambda: cpu.enhance(grid, levels, *packed), copy], REPEATS, WARM_UPS)
    return row("fused, bytes to bytes", times, plain_times, copies, error, "error in levels of 255")


class _Rower(NamedTuple):
    size: str
    pixels: int
    guide: str

    def __call__(
        self,
        kernel: str,
        times: list[float],
        reference: list[float] | None,
        copies: list[float],
        error: float,
        note: str | None = None,
    ) -> KernelRow:
        p5, median, p95 = (round(float(v), 3) for v in np.percentile(times, (5, 50, 95)))
        plain = None if reference is None else round(float(np.median(reference)), 3)
        copy = round(float(np.median(copies)), 3)
        return KernelRow(
            self.size,
            self.pixels / 1e6,
            self.guide,
            kernel,
            median,
            p5,
            p95,
            round(median * 1e6 / self.pixels, 3),
            plain,
            None if plain is None else round(plain / median, 1),
            copy,
            round(median / copy, 2),
            error,
            note,
        )


def _copy(moved: int) -> Callable[[], Tensor]:
    """A preallocated copy that reads and writes so many bytes in all."""
    source = torch.ones(moved // 2, dtype=torch.uint8)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def _times(runs: list[Callable[[], object]], repeats: int, warm_ups: int) -> list[list[float]]:
    """Milliseconds of each repeat of each run, taken in turns."""
    for _ in range(warm_ups):
        for run in runs:
            run()
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, mine in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            mine.append((time.perf_counter() - start) * 1e3)
    return times
