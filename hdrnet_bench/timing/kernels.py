"""The slicing kernels against plain torch and against a copy of the same bytes, in one run.

Every figure of a table row is taken in turns with what it is compared with (turns.py), so that
ratios hold although the machine's speed does not. On CUDA times are between events, and a buffer
larger than the L2 cache is read before each repeat.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from copy import deepcopy as copy_module
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import CapabilityError
from ..model.hdrnet import HDRNet
from ..result_timing import KernelRow
from ..slicing import bilateral_slice_apply, cpu, reference
from ..slicing.fused import fused_packed, packed_parameters
from .clock import Clock, copier, device_with_kernels, natural_picture
from .turns import TimedRun, in_turns

SIZES = {
    "1080p": (1920, 1080),
    "4K": (3840, 2160),
    "12 MP": (4000, 3000),
    "24 MP": (6000, 4000),
}
Guide = Literal["natural", "noise"]
GUIDES: tuple[Guide, ...] = ("natural", "noise")
MAX_BACKWARD_MP = 9.0  # plain torch keeps some 250 bytes a pixel for its gradients
REPEATS = {"cpu": 15, "cuda": 40}
PLAIN_NO_MEMORY = "plain torch ran out of memory"


def time_kernels(
    sizes: dict[str, tuple[int, int]] | None = None,
    device: str = "cpu",
    compiled: bool = False,
    step: Callable[[], None] = lambda: None,
) -> Iterator[KernelRow]:
    """Time the kernels: forward into `out` and into a fresh tensor, forward and backward, the
    backward alone, fused; on CUDA the forward of float16 too.

    The grid is 16 x 16 x 8 cells of 3 x 4; the natural guide is an untrained curves guide of a
    photograph, and so is fused inference's; its noise is a picture of noise. `max_error` is against
    float64: of the output, for the backward of the gradients, relative to the largest; for bytes,
    in levels. The copy moves as many bytes as the kernel must.

    Args:
        sizes: (width, height) by name.
        device: "cpu" or a CUDA device.
        compiled: also time the plain-torch slicing under torch.compile (inductor), in float32,
            forward and forward with backward.
        step: called after each size and guide.

    Raises CapabilityError where there are no native kernels for the device.
    """
    where = device_with_kernels(device)
    for name, (width, height) in (sizes or SIZES).items():
        other = None
        if compiled:
            torch._dynamo.reset()  # else a second size is compiled for all sizes
            other = torch.compile(_plain, dynamic=False)
        for guide in GUIDES:
            yield from _one(name, width, height, guide, where, other)
            gc.collect()
            if where.type == "cuda":
                torch.cuda.empty_cache()  # of blocks in this size
            step()


def _plain(grid: Tensor, guide: Tensor, image: Tensor) -> Tensor:
    return reference.apply_coefficients(reference.bilateral_slice(grid, guide), image, True)


def _one(
    name: str, width: int, height: int, kind: Guide, device: torch.device, other: Any
) -> Iterator[KernelRow]:
    torch.manual_seed(0)
    model = HDRNet().eval().to(device)
    image = natural_picture(width, height)[None].to(device)
    grid = torch.randn(1, 12, 8, 16, 16, device=device)
    with torch.no_grad():
        natural = model.guides[0](image)
    guide = natural if kind == "natural" else torch.rand(1, height, width, device=device)
    bench = _Bench(name, width * height, kind, Clock(device))
    yield from _forward(bench, grid, guide, image, other)
    if image.is_cuda:
        yield from _forward(bench, grid.half(), guide.half(), image.half(), None)
    yield from _backward(bench, grid, guide, image, other)
    if kind == "noise":  # whose guide is noise as well
        image = torch.rand_like(image)
    for dtype in (torch.uint8, *((torch.float16, torch.float32) if image.is_cuda else ())):
        yield from _fused(bench, model, image, dtype)


def _forward(
    bench: _Bench, grid: Tensor, guide: Tensor, image: Tensor, other: Any
) -> Iterator[KernelRow]:
    """In the tensors' type. `max_error` is against these very tensors in float64."""
    out = torch.empty_like(image)

    def forward(into: Tensor | None = None) -> Tensor:
        return bilateral_slice_apply(grid, guide, image, backend="native", out=into)

    error = _error(lambda: forward() - _exact(grid, guide, image))
    name = "forward" if image.dtype == torch.float32 else "forward, float16"
    yield from bench.rows(
        {f"{name}, out given": lambda: forward(out), f"{name}, fresh output": forward},
        # Guide and picture read, result written.
        moved=7 * image.element_size() * bench.pixels,
        plain=lambda: _plain(grid, guide, image),
        compiled=other and partial(other, grid, guide, image),
        error=error,
    )


def _error(difference: Callable[[], Tensor]) -> float | None:
    """The largest, or None where there is not the memory to compute it."""
    try:
        return float(difference().abs().max())
    except torch.OutOfMemoryError:
        return None


def _exact(grid: Tensor, guide: Tensor, image: Tensor) -> Tensor:
    """In float64."""
    if image.is_cuda:
        return _plain(grid.double(), guide.double(), image.double())
    exact = torch.empty(image.shape, dtype=torch.float64)
    cpu.forward(grid.double(), guide.double(), image.double(), True, exact)
    return exact


def _backward(
    bench: _Bench, grid: Tensor, guide: Tensor, image: Tensor, other: Any
) -> Iterator[KernelRow]:
    """With all three gradients: after a forward pass, and alone."""
    cotangent = torch.randn_like(image)

    def leaves(dtype: torch.dtype = torch.float32) -> list[Tensor]:
        return [t.to(dtype).detach().requires_grad_() for t in (grid, guide, image)]

    def both(apply: Any, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        inputs = leaves(dtype)
        apply(*inputs).backward(cotangent.to(dtype))
        return [leaf.grad for leaf in inputs if leaf.grad is not None]

    def native(grid: Tensor, guide: Tensor, image: Tensor) -> Tensor:
        return bilateral_slice_apply(grid, guide, image, backend="native")

    def difference() -> Tensor:
        # The guide's gradient jumps where a guide meets a bin's centre, and float32 may see it
        # from the other side: those pixels are left out.
        position = guide.double() * grid.shape[2] - 0.5
        kink = (position - position.round()).abs() < 1e-5
        exact = both(_plain if image.is_cuda else native, torch.float64)
        largest = []
        for index, (a, b) in enumerate(zip(both(native), exact, strict=True)):
            off = (a - b).abs()
            if index == 1:
                off[kink] = 0
            largest.append(off.max() / b.abs().max())
        return torch.stack(largest)

    graph: list[tuple[list[Tensor], Tensor]] = []

    def plain_backward() -> tuple[Tensor, ...]:
        """Of a forward pass that was made once: before the first repeat that counts."""
        if not graph:
            inputs = leaves()
            graph.append((inputs, _plain(*inputs)))
        inputs, output = graph[0]
        return torch.autograd.grad(output, inputs, cotangent, retain_graph=True)

    def backward() -> object:
        return torch.ops.hdrbench.slice_apply_backward(grid, guide, image, cotangent, True)

    fits = image.is_cuda or guide.numel() / 1e6 <= MAX_BACKWARD_MP
    untimed = f"plain torch's gradients are not timed over {MAX_BACKWARD_MP:g} MP: memory"
    error = _error(difference)
    yield from bench.rows(
        {"forward + backward": lambda: both(native)},
        moved=72 * guide.numel(),  # 28 forward, 44 backward
        plain=(lambda: both(_plain)) if fits else None,
        compiled=(lambda: both(other)) if fits and other else None,
        error=error,
        untimed=untimed,
    )
    # Guide, picture and the output's gradient read; gradients of guide and picture written.
    yield from bench.rows(
        {"backward": backward},
        moved=44 * guide.numel(),
        plain=plain_backward if fits else None,
        error=error,
        untimed=untimed,
    )


def _fused(bench: _Bench, model: HDRNet, image: Tensor, dtype: torch.dtype) -> Iterator[KernelRow]:
    """Guide, slice and apply in the picture's own type, after the coefficients."""
    levels = (image * 255).round().to(dtype) if dtype == torch.uint8 else image.to(dtype)
    with torch.no_grad():
        lowres = torch.rand(1, 3, 256, 256, device=image.device)
        grid = model.coefficients(lowres).contiguous()
    parameters, hidden = model.guides[0].kernel_parameters()  # type: ignore[operator]
    packed = packed_parameters(parameters, hidden)
    white = 255 if dtype == torch.uint8 else 1

    def plain() -> Tensor:
        with torch.no_grad():
            output = model.render(grid, levels.float() / white, "reference")
            if dtype == torch.uint8:
                output = output.clamp(0, 1).mul(255).round()
            return output.to(dtype)

    out = torch.empty_like(levels)

    def ours(into: Tensor | None = None) -> Tensor:
        result = fused_packed(grid, levels, packed, hidden, into)
        assert result is not None
        return result

    def difference() -> Tensor:
        exact = copy_module(model).double()
        with torch.no_grad():
            output = exact.render(grid.double(), levels.double() / white, "reference")
        return ours() - (output.clamp(0, 1) * 255 if dtype == torch.uint8 else output)

    error = _error(difference)
    name = {torch.uint8: "bytes", torch.float16: "halves", torch.float32: "floats"}[dtype]
    kernel = f"fused, {name} to {name}"
    yield from bench.rows(
        {f"{kernel}, out given": lambda: ours(out), f"{kernel}, fresh output": ours},
        moved=6 * levels.element_size() * bench.pixels,
        plain=plain,
        error=error,
    )


def _try(run: TimedRun, clock: Clock, by_compiler: bool) -> None:
    """Once, uncounted. What torch.compile made may meet anything: then it is run no more."""
    try:
        run.attempt(clock, keep=False)
    except Exception as error:
        if not by_compiler:
            raise
        run.note = (str(error) or type(error).__name__).splitlines()[0]


class _Bench(NamedTuple):
    """One size under one guide, and the clock of its device."""

    size: str
    pixels: int
    guide: Guide
    clock: Clock

    def rows(
        self,
        kernels: dict[str, Callable[[], Any]],
        *,
        moved: int,
        plain: Callable[[], Any] | None,
        error: float | None,
        compiled: Callable[[], Any] | None = None,
        untimed: str | None = None,
    ) -> Iterator[KernelRow]:
        """Time kernels in turns with a copy and with plain torch.

        Args:
            kernels: what is timed, by name.
            moved: bytes that the copy reads and writes: as many as a kernel must.
            plain: the same in plain torch; None where it is not to be timed.
            error: of the kernels, against float64.
            compiled: the same under torch.compile, where that is asked for.
            untimed: the reason where `plain` is None.
        """
        copy = TimedRun(copier(moved, self.clock.device), moved)
        timed = {name: TimedRun(run, moved) for name, run in kernels.items()}
        others = [run and TimedRun(run, moved, often=False) for run in (plain, compiled)]
        slow = [run for run in others if run]
        for run in slow:
            # A warm-up, and whether it fits in memory.
            _try(run, self.clock, by_compiler=run is others[1])
        in_turns([*timed.values(), copy, *slow], self.clock, turns=REPEATS[self.clock.device.type])
        for name, run in (*timed.items(), ("a copy of the same bytes", copy)):
            if run.note:
                raise CapabilityError(f"{name}, {self.size}: {run.note}; choose smaller sizes")
        reference, theirs = (
            None if run is None or run.note else round(run.median, 4) for run in others
        )
        notes = [] if reference else [PLAIN_NO_MEMORY if plain else untimed or ""]
        if others[1] is not None and others[1].note:
            notes.append(f"torch.compile: {others[1].note}")
        note = "; ".join(filter(None, notes)) or None
        for name, run in timed.items():
            yield self._row(name, run, reference, theirs, copy.median, error, note)

    def _row(
        self,
        kernel: str,
        timed: TimedRun,
        reference: float | None,
        compiled: float | None,
        copy: float,
        error: float | None,
        note: str | None,
    ) -> KernelRow:
        p5, median, p95 = (round(float(v), 4) for v in np.percentile(timed.times, (5, 50, 95)))
        copy = round(copy, 4)
        return KernelRow(
            size=self.size,
            megapixels=self.pixels / 1e6,
            guide=self.guide,
            kernel=kernel,
            median_ms=median,
            p5_ms=p5,
            p95_ms=p95,
            ns_per_pixel=round(median * 1e6 / self.pixels, 4),
            reference_ms=reference,
            times_reference=None if reference is None else round(reference / median, 1),
            compiled_ms=compiled,
            copy_ms=copy,
            times_copy=round(median / copy, 2),
            max_error=error,
            note=note,
        )
