"""The native CPU kernels: a C library beside this file, called through ctypes.

It is built when the package is installed (kernels/*.cpp); without a compiler it is not there, and
slicing is plain torch. Threads follow torch.get_num_threads(), and the results do not depend on
their number. The library is loaded once, when this module is imported.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

_INTERFACE = 5  # of kernels/enhance_cpu.cpp: hdrbench_interface
CURVES_SUMS = 109  # what hdrbench_curves_backward writes
_HUGE_BYTES = 8 << 20  # smaller tensors come from memory that the allocator holds already
MOST_DEPTH = 8  # of a grid: the fused kernel looks a coefficient up in one register of eight
PICTURE_KINDS = {torch.float32: 0, torch.uint8: 1, torch.uint16: 2}  # what `enhance` takes
# Steps over [0, 1] of the curves in `FromModel`: kByteSteps and kWordSteps of kernels/colours.h.
CURVE_STEPS = {torch.uint8: 1 << 14, torch.uint16: 1 << 17}


class ToModel(NamedTuple):
    """From the integers of a profile to sRGB, or to linear light with its primaries.

    curves: (1 or 3, 256 or 65536) float32, a channel's own light for each number; one for all three
        where they are alike. matrix: (3, 3), to that light from each channel's own. encode: whether
        sRGB's curve follows. Results are clipped to [0, 1].
    """

    curves: Tensor
    matrix: Tensor
    encode: bool


class FromModel(NamedTuple):
    """From sRGB, clipped to [0, 1], to the integers of a profile, rounded once.

    curves: (1 or 3, steps + 1), steps as in CURVE_STEPS, in the type of the integers: the level for
        the square of each step of light; one for all three where they are alike. matrix: (3, 3),
        from linear light with sRGB's primaries to each channel's own.
    """

    curves: Tensor
    matrix: Tensor


class Colours(NamedTuple):
    """What to convert where a picture is read and where it is written; None: nothing."""

    to_model: ToModel | None = None
    from_model: FromModel | None = None


UNCHANGED = Colours()


class _ToModel(ctypes.Structure):
    _fields_ = (
        ("curves", ctypes.c_void_p * 3),
        ("matrix", ctypes.c_float * 9),
        ("encode", ctypes.c_int32),
    )


class _FromModel(ctypes.Structure):
    _fields_ = (("curves", ctypes.c_void_p * 3), ("matrix", ctypes.c_float * 9))


def _load() -> tuple[ctypes.CDLL | None, str]:
    """The library and "", or None and why it is not there."""
    paths = sorted(Path(__file__).parent.glob("_native*"))
    if not paths:
        return None, "it was not built: install a C++ compiler (g++ or clang), then install again"
    # Several where several versions of Python built it; it uses none, so any of them will do.
    reason = ""
    for path in paths:
        try:
            library = ctypes.CDLL(str(path))
            # ctypes checks no arguments: a library of other sources would misread them.
            if library.hdrbench_interface() == _INTERFACE:
                return library, ""
            reason = "it was built from other sources: install again"
        except (OSError, AttributeError) as error:
            reason = f"it cannot be loaded: {error}"
    return None, reason


LIBRARY, REASON = _load()


def forward(grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool, out: Tensor) -> None:
    """Slice and apply into `out`, all contiguous, float32 or float64; shapes as in
    `bilateral_slice_apply`."""
    _call(
        f"hdrbench_forward_{_suffix(grid)}",
        _shape(grid, image, has_offset),
        *(_pointer(t) for t in (grid, guide, image, out)),
    )


def backward(
    grid: Tensor, guide: Tensor, image: Tensor, grad: Tensor, has_offset: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of grid, guide and image, from that of the output; all contiguous."""
    results = tuple(on_huge_pages(torch.empty_like(t)) for t in (grid, guide, image))
    _call(
        f"hdrbench_backward_{_suffix(grid)}",
        _shape(grid, image, has_offset),
        *(_pointer(t) for t in (grid, guide, image, grad, *results)),
    )
    return results  # type: ignore[return-value]


def curves_forward(image: Tensor, packed: Tensor) -> Tensor:
    """(B, 3, H, W), packed curves (see `pack_curves`) -> (B, H, W); float32, contiguous."""
    guide = on_huge_pages(image.new_empty((image.shape[0], *image.shape[2:])))
    _call(
        "hdrbench_curves_forward",
        ctypes.c_int32(image.shape[0]),
        ctypes.c_int64(image[0, 0].numel()),
        *(_pointer(t) for t in (packed, image, guide)),
    )
    return guide


def curves_backward(image: Tensor, packed: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """The image's gradient (B, 3, H, W), and the sums that the parameters' follow from."""
    grad_image = on_huge_pages(torch.empty_like(image))
    sums = torch.empty(CURVES_SUMS, dtype=torch.float64)
    _call(
        "hdrbench_curves_backward",
        ctypes.c_int32(image.shape[0]),
        ctypes.c_int64(image[0, 0].numel()),
        *(_pointer(t) for t in (packed, image, grad, grad_image, sums)),
    )
    return grad_image, sums


def enhance(
    grid: Tensor,
    image: Tensor,
    parameters: Tensor,
    width: int,
    *,
    rows: tuple[int, int] | None = None,
    out: Tensor | None = None,
    colours: Colours = UNCHANGED,
) -> Tensor:
    """Guide, slice and apply in one pass; memory for a few rows beside input and output.

    Args:
        grid: (B, 12, D, GH, GW) float32, contiguous, D at most 8.
        image: (B, 3, H, W) float32, uint8 or uint16, any strides.
        parameters: packed curves (width 0), or a pointwise guide's w1, b1, w2, b2.
        width: hidden channels of a pointwise guide.
        rows: (first, height) where the image is a strip: it begins at row `first` of a picture of
            `height` rows.
        out: where to put the result, any strides; it may be `image`, or of another type.
        colours: to convert, of integers alone.

    Returns:
        As the image; integers clamped and rounded.
    """
    check_fused(grid, image, out)
    if grid.shape[2] > MOST_DEPTH or not grid.is_contiguous() or grid.dtype != torch.float32:
        raise ValueError(
            f"the grid is {grid.dtype} {tuple(grid.shape)}: the kernel takes contiguous float32, "
            f"of a depth of {MOST_DEPTH} at most"
        )
    if out is None:
        out = on_huge_pages(torch.empty_like(image))
    first, height = rows or (0, image.shape[2])
    shape = _shape(grid, image, True)
    shape[7] = height  # where a row reads the grid follows from the whole picture's height
    _call(
        "hdrbench_enhance",
        shape,
        _pointer(grid),
        ctypes.c_int32(width),
        _pointer(parameters),
        *_picture(image),
        *_picture(out),
        ctypes.c_int32(first),
        ctypes.c_int32(image.shape[2]),
        _to_model(colours.to_model, image),
        _from_model(colours.from_model, out),
    )
    return out


def check_fused(grid: Tensor, image: Tensor, out: Tensor | None) -> None:
    """Raises ValueError where they do not fit: the kernels get addresses and sizes, and would read
    and write beyond them."""
    if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
        raise ValueError(f"the picture is {tuple(image.shape)}, not (B, 3, H, W)")
    if grid.ndim != 5 or tuple(grid.shape[:2]) != (len(image), 12) or 0 in grid.shape:
        raise ValueError(
            f"the grid is {tuple(grid.shape)}, not ({len(image)}, 12, D, GH, GW) as "
            f"{len(image)} pictures need it"
        )
    if out is not None and out.shape != image.shape:
        raise ValueError(f"out is {tuple(out.shape)}, the picture {tuple(image.shape)}")
    if {one.device for one in (grid, out) if one is not None} != {image.device}:
        raise ValueError(f"grid, picture and out are not all on {image.device}")


def convert(image: Tensor, out: Tensor, colours: Colours) -> Tensor:
    """`image` into `out`, both (3, H, W), of any strides and types that `enhance` takes. Integers
    without colours are [0, 1], and rounded."""
    _call(
        "hdrbench_convert",
        _numbers(ctypes.c_int32, image.shape[1:]),
        *_picture(image[None]),
        *_picture(out[None]),
        _to_model(colours.to_model, image),
        _from_model(colours.from_model, out),
    )
    return out


def area_lowres(image: Tensor, size: int, to_model: ToModel | None = None) -> Tensor:
    """(B, 3, H, W) float32 or integers, any strides -> (B, 3, size, size) float32, about [0, 1].

    The same windows as torch's "area": from floor(i H / size) to ceil((i + 1) H / size). With
    `to_model` the means are those of the converted picture, whose own are integers.
    """
    batch, _, height, width = image.shape
    lowres = torch.empty((batch, 3, size, size), dtype=torch.float32)
    _call(
        "hdrbench_area_lowres",
        _numbers(ctypes.c_int32, (batch, height, width, size)),
        *_picture(image),
        _to_model(to_model, image),
        _pointer(lowres),
    )
    return lowres


def pack_curves(
    ccm: Tensor, ccm_bias: Tensor, shifts: Tensor, slopes: Tensor, mix: Tensor, mix_bias: Tensor
) -> Tensor:
    """The parameters as kernels/curves.h has them: slopes multiplied with the mix."""
    parts = (ccm, ccm_bias, shifts, slopes * mix[:, None], mix_bias)
    return torch.cat([part.detach().reshape(-1) for part in parts]).float().contiguous()


def on_huge_pages(tensor: Tensor) -> Tensor:
    """The same tensor, which nobody has written yet, with the advice to back it by huge pages: the
    first write to 4 KiB pages costs more than slicing does. Only Linux takes the advice."""
    if LIBRARY is not None and tensor.nbytes >= _HUGE_BYTES:
        LIBRARY.hdrbench_huge_pages(_pointer(tensor), ctypes.c_int64(tensor.nbytes))
    return tensor


def _call(name: str, *arguments: object) -> None:
    """Run a function of the library, whose last argument is always the number of threads. ctypes
    lets go of the interpreter's lock meanwhile."""
    if LIBRARY is None:
        raise RuntimeError(f"the native library is not there: {REASON}")
    getattr(LIBRARY, name)(*arguments, ctypes.c_int32(torch.get_num_threads()))


def _shape(grid: Tensor, image: Tensor, has_offset: bool) -> ctypes.Array:
    """`Shape` of kernels/fast_slice.h."""
    batch, channels, depth, rows, columns = grid.shape
    inputs, height, width = image.shape[1:]
    outputs = channels // (inputs + has_offset)
    values = (batch, inputs, outputs, int(has_offset), depth, rows, columns, height, width)
    return _numbers(ctypes.c_int32, values)


def _picture(tensor: Tensor) -> tuple[object, ...]:
    return (
        _pointer(tensor),
        _numbers(ctypes.c_int64, tensor.stride()),
        ctypes.c_int32(PICTURE_KINDS[tensor.dtype]),
    )


def _to_model(colours: ToModel | None, image: Tensor) -> object:
    if colours is None:
        return None
    levels = {torch.uint8: 256, torch.uint16: 65536}[image.dtype]
    _check_curves(colours.curves, torch.float32, levels)
    matrix = colours.matrix.flatten().tolist()
    return ctypes.byref(
        _ToModel(_rows(colours.curves), (ctypes.c_float * 9)(*matrix), colours.encode)
    )


def _from_model(colours: FromModel | None, out: Tensor) -> object:
    if colours is None:
        return None
    _check_curves(colours.curves, out.dtype, CURVE_STEPS[out.dtype] + 1)
    matrix = _numbers(ctypes.c_float, colours.matrix.flatten().tolist())
    return ctypes.byref(_FromModel(_rows(colours.curves), matrix))


def _check_curves(curves: Tensor, dtype: torch.dtype, length: int) -> None:
    """The kernel reads wherever the integers of a picture say."""
    if (
        curves.dtype != dtype
        or curves.shape not in ((1, length), (3, length))
        or not curves.is_contiguous()
    ):
        raise ValueError(f"curves are {curves.dtype}, {tuple(curves.shape)}, not of this picture")


def _rows(curves: Tensor) -> ctypes.Array:
    """Where the curve of each channel begins."""
    return (ctypes.c_void_p * 3)(*(row.data_ptr() for row in curves.expand(3, -1)))


def _numbers(kind: type[ctypes._SimpleCData[Any]], values: Sequence[float]) -> ctypes.Array:
    return (kind * len(values))(*values)


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _suffix(tensor: Tensor) -> str:
    return {torch.float32: "f32", torch.float64: "f64"}[tensor.dtype]
