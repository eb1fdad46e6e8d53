"""The CUDA kernels (kernels/*.cu): which one serves a call, with which blocks and arguments.

Every function takes `launch`, which runs a kernel by name on a device and stream (cuda_launch.py);
nothing here calls the driver. Grids are contiguous float32, pictures and guides float32, float16 or
bfloat16 of any strides (uint8 too for inference), computed in float32.

Results have the same bits in every run: sums over pixels are taken by fixed threads in a fixed
order, and the split into blocks follows from the shapes alone.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

THREADS = 128  # of every block; the constants that follow are those of kernels/*_cuda.cu
SEGMENT = 4 * THREADS  # pixels of a row that a block takes
ROWS = 8
MATRIX = 12
PART = 256  # most pixels of a row in one block's sums
# Rows of a block of slice_gradient, and how many pixels of a row are in a strip of 32 of them (a
# power of two): the first of the best.
TILES = ((8, 5), (16, 5), (32, 5), (8, 4), (16, 4), (32, 4), (4, 5))
BLOCK_WORK = 200  # what a block costs beside its pixels, in pixels
AT_ONCE = 528  # blocks that a large device runs at once; which one it is decides nothing
PLANES = 8
CURVES_SUMS = 109  # of kernels/guide_cuda.cu
CURVES_WORDS = 112
TABLE_CELLS = 128
TABLE_WORDS = 4 * (3 + 3 * TABLE_CELLS + 24 + 1)
CURVES_BACKWARD_BYTES = 4 * (CURVES_WORDS + 8 * 65 * 4)  # the curves, and 8 groups of 65 fours
# Most blocks of a picture; of a larger one a block takes several runs of SEGMENT pixels. So many
# blocks that each float's sum is of few pixels.
CURVES_BLOCKS = 8192
MAX_SHARED = 48 * 1024  # bytes a block may have on every device without asking
FILL = 400  # blocks that a large device should have at the least
MAX_WIDTH = 1 << 28  # of rows in words: their bytes are counted in 32 bits
MAX_BLOCKS = 65535  # along y and z; along x CUDA allows 2^31 - 1

# A kernel's arguments, of the types that it declares: sizes, strides, addresses.
Number = ctypes.c_int32 | ctypes.c_int64 | ctypes.c_void_p
SUFFIX = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16", torch.uint8: "u8"}
PICTURES = (torch.float32, torch.float16, torch.bfloat16)  # that are sliced
FUSED = (torch.float32, torch.float16, torch.uint8)  # that go through fused inference
ANY_LAYOUT, PLANAR, INTERLEAVED = 0, 1, 2


class Launch(Protocol):
    """Runs a kernel with blocks of THREADS, so many bytes of shared memory, and these arguments."""

    def __call__(
        self, kernel: str, blocks: tuple[int, int, int], shared_bytes: int, arguments: list[Number]
    ) -> None: ...


def slice_apply(
    launch: Launch, grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool, out: Tensor
) -> None:
    """Slice and apply into `out`; shapes as in `bilateral_slice_apply`, any strides, the grid of
    any floating type."""
    batch, inputs, height, width = image.shape
    outputs = out.shape[1]
    suffix = SUFFIX[image.dtype]
    sizes = _sizes(grid, height, width)
    pictures = [_pointer(t) for t in (guide, image, out)]
    strides = [*_strides(guide), *_strides(image), *_strides(out)]
    rows = _block_rows(grid, image, 0)
    blocks = (math.ceil(width / SEGMENT), math.ceil(height / max(rows, 1)), batch)
    # What the fast kernel cannot do, slice_apply_any can: it has a thread a pixel, counted along x
    # alone, and no shared memory.
    if (inputs, outputs, has_offset) == (3, 3, True) and rows and max(blocks[1:]) <= MAX_BLOCKS:
        layout = PLANAR if all(_planar(t) for t in (guide, image, out)) else ANY_LAYOUT
        shared = 4 * _slab_words(grid, width, rows)
        cells = cells_of(grid)
        arguments = [_pointer(cells), *pictures, *sizes, *strides, *_ints(rows, layout)]
        launch(f"slice_apply_{suffix}", blocks, shared, arguments)
        return
    grid = grid.float().contiguous()
    matrix = _ints(batch, inputs, outputs, int(has_offset))
    pixels = math.ceil(guide.numel() / THREADS)
    arguments = [_pointer(grid), *pictures, *matrix, *sizes, *strides]
    launch(f"slice_apply_any_{suffix}", (pixels, 1, 1), 0, arguments)


def slice_gradient(
    launch: Launch, grid: Tensor, guide: Tensor, image: Tensor, grad: Tensor, has_offset: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of grid (float32), guide and image, from that of the output; all contiguous."""
    batch, inputs, height, width = image.shape
    outputs = grad.shape[1]
    depth, rows, columns = grid.shape[2:]
    suffix = SUFFIX[image.dtype]
    grad_grid = torch.empty(grid.shape, dtype=torch.float32, device=grid.device)
    grad_guide, grad_image = guide.new_empty(guide.shape), image.new_empty(image.shape)
    sizes = _sizes(grid, height, width)
    strides = [*_strides(guide), *_strides(image), *_strides(grad)]
    pictures = [_pointer(t) for t in (guide, image, grad)]
    results = [_pointer(t) for t in (grad_guide, grad_image)]
    tile = None
    pixels = height * width * image.element_size()  # bytes of a plane of the results
    near = pixels < 2**32 and all(map(_near, (guide, image, grad)))
    if (inputs, outputs, has_offset) == (3, 3, True) and near:
        tile = _tile(depth, rows, columns, height, width)
    depth_parts = math.ceil(depth / PLANES)
    down = depth_parts * (rows + 1) * (tile.y_parts if tile else 0)
    if tile is not None and max(down, batch) <= MAX_BLOCKS:
        blocks = ((columns + 1) * tile.x_parts, down, batch)
        # Each block's sums at four columns: 11 MB for 4000 x 3000 pixels and the paper's grid.
        # Adding them in place would need atomics, whose order differs from run to run.
        sums = math.prod(blocks) * 4 * MATRIX * PLANES
        workspace = torch.empty(sums, dtype=torch.float32, device=grid.device)
        cells = cells_of(grid)
        parts = _ints(tile.x_parts, tile.x_length, tile.y_parts, tile.rows, tile.bits)
        arguments = [_pointer(cells), *pictures, *results, _pointer(workspace)]
        launch(
            f"slice_gradient_{suffix}",
            blocks,
            tile.shared_bytes,
            [*arguments, *sizes, *parts, *_ints(depth_parts), *strides],
        )
        launch(
            "slice_grid_sum",
            (math.ceil(grid.numel() / THREADS), 1, 1),
            0,
            [
                *(_pointer(t) for t in (workspace, grad_grid)),
                *_ints(batch),
                *sizes,
                *_ints(tile.x_parts, tile.y_parts, depth_parts),
            ],
        )
        return grad_grid, grad_guide, grad_image
    grid = grid.float().contiguous()
    matrix = _ints(inputs, outputs, int(has_offset))
    launch(
        f"slice_gradient_any_{suffix}",
        (math.ceil(guide.numel() / THREADS), 1, 1),
        0,
        [_pointer(grid), *pictures, *results, *_ints(batch), *matrix, *sizes, *strides],
    )
    launch(
        f"slice_grid_gradient_any_{suffix}",
        (grid.numel(), 1, 1),
        4 * THREADS,
        [*pictures, _pointer(grad_grid), *matrix, *sizes, *strides],
    )
    return grad_grid, grad_guide, grad_image


class Tile(NamedTuple):
    """How slice_gradient's blocks divide a picture: kernels/slice_gradient_cuda.cu."""

    rows: int  # of a block
    bits: int  # a strip is 32 pixels, 1 << bits of a row
    x_parts: int  # blocks of an interval between two cells' centres, and the pixels of each
    x_length: int
    y_parts: int
    shared_bytes: int


@functools.lru_cache
def _tile(depth: int, rows: int, columns: int, height: int, width: int) -> Tile | None:
    """The tile with the least work; None where none fits in shared memory."""
    across, down = _intervals(width, columns), _intervals(height, rows)
    least, best = math.inf, None
    for tile_rows, bits in TILES:
        # The places of rows and intervals, the slab, the strips; in the place of slab and strips,
        # in the end, the warps' sums.
        first, slab = 4 * (1 + math.ceil(tile_rows / 4)), tile_rows * 2 * depth * MATRIX
        shared = 4 * (first + max(slab + 4 * 2 * 4 * 64, 4 * 2 * 16 * 20))
        if shared > MAX_SHARED:
            continue
        x_parts = math.ceil(max(across) / PART)
        x_length = math.ceil(math.ceil(max(across) / x_parts) / 32) * 32
        y_parts = math.ceil(max(down) / tile_rows)
        steps = sum(math.ceil(n / tile_rows) for n in down)
        pixels = (steps * tile_rows * sum(math.ceil(n / (1 << bits)) for n in across)) << bits
        if bits < 5:  # half as many neighbours a row: more of memory is read twice
            pixels += pixels // 8
        blocks = steps * sum(math.ceil(n / x_length) for n in across)
        # The last blocks leave a device idle that runs AT_ONCE of them: half of such a round.
        work = pixels + blocks * BLOCK_WORK + AT_ONCE * tile_rows * x_length // 2
        if work < least:
            least, best = work, Tile(tile_rows, bits, x_parts, x_length, y_parts, shared)
    return best


def _intervals(size: int, cells: int) -> tuple[int, ...]:
    """How many of `size` pixels lie before the first cell's centre, between it and the second one,
    and so on. In the kernels' own arithmetic, which decides which interval a pixel is in."""
    one = np.float32
    index = np.arange(size, dtype=one)
    position = (index + one(0.5)) * one(cells) / one(size) - one(0.5)
    interval = np.clip(np.floor(position).astype(np.int64) + 1, 0, cells)
    return tuple(np.bincount(interval, minlength=cells + 1).tolist())


def _near(tensor: Tensor) -> bool:
    """Whether a plane's elements are less than 2^32 bytes apart."""
    *_, y, x = tensor.stride()
    last = (tensor.shape[-2] - 1) * y + (tensor.shape[-1] - 1) * x
    return last * tensor.element_size() < 2**32


def curves_forward(launch: Launch, image: Tensor, packed: Tensor) -> Tensor:
    """(B, 3, H, W) contiguous float32, `with_constant` curves -> (B, H, W)."""
    batch, _, height, width = image.shape
    guide = image.new_empty((batch, height, width))
    pixels = height * width
    launch(
        "curves_forward",
        (math.ceil(pixels / SEGMENT), batch, 1),
        4 * CURVES_WORDS,
        [
            *(_pointer(t) for t in (image, packed, guide)),
            ctypes.c_int64(pixels),
            *_ints(_flat_layout(pixels, image, guide)),
        ],
    )
    return guide


def curves_backward(
    launch: Launch, image: Tensor, packed: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor]:
    """The image's gradient, and the CURVES_SUMS sums that the parameters' follow from (float32)."""
    batch, _, height, width = image.shape
    pixels = height * width
    blocks = min(math.ceil(pixels / SEGMENT), CURVES_BLOCKS)
    grad_image = torch.empty_like(image)
    workspace = image.new_empty(batch * blocks * CURVES_SUMS)
    sums = image.new_empty(CURVES_SUMS)
    launch(
        "curves_backward",
        (blocks, batch, 1),
        CURVES_BACKWARD_BYTES,
        [
            *(_pointer(t) for t in (image, packed, grad, grad_image, workspace)),
            ctypes.c_int64(pixels),
            *_ints(_flat_layout(pixels, image, grad, grad_image)),
        ],
    )
    arguments = [_pointer(workspace), _pointer(sums), *_ints(batch * blocks)]
    launch("curves_sums", (CURVES_SUMS, 1, 1), 4 * THREADS, arguments)
    return grad_image, sums


def enhance(
    launch: Launch,
    grid: Tensor,
    image: Tensor,
    parameters: Tensor,
    width: int,
    out: Tensor | None = None,
) -> Tensor | None:
    """Guide, slice and apply in one pass, without memory beside input and output.

    Args:
        grid: (B, 12, D, GH, GW), floating.
        image: (B, 3, H, W) float32, float16 or uint8, any strides.
        parameters: a `curves_table` (width 0), or a pointwise guide `by_channel`.
        width: hidden channels of a pointwise guide.
        out: where to put the result: as the image, any strides.

    Returns:
        As the image, uint8 clamped and rounded; None where a row's slab exceeds shared memory.
    """
    batch, _, height, columns = image.shape
    guide_words = _fours(5 * width + 1) if width else TABLE_WORDS
    rows = _block_rows(grid, image, guide_words)
    blocks = (math.ceil(columns / SEGMENT), math.ceil(height / max(rows, 1)), batch)
    if not rows or max(blocks[1:]) > MAX_BLOCKS:
        return None
    if out is None:
        out = torch.empty_like(image)
    layout = next(
        (n for n, fits in _LAYOUTS if fits(image) and fits(out)),
        ANY_LAYOUT,
    )
    cells = cells_of(grid)
    launch(
        f"enhance_{'pointwise' if width else 'curves'}_{SUFFIX[image.dtype]}",
        blocks,
        4 * (guide_words + _slab_words(grid, columns, rows)),
        [
            *(_pointer(t) for t in (cells, parameters)),
            *_ints(width),
            *(_pointer(t) for t in (image, out)),
            *_sizes(grid, height, columns),
            *_strides(image),
            *_strides(out),
            *_ints(rows, layout),
        ],
    )
    return out


def area_lowres(launch: Launch, image: Tensor, size: int, out: Tensor | None = None) -> Tensor:
    """(B, 3, H, W) float32, float16 or uint8, any strides -> (B, 3, size, size) float32, `out`
    where it is given."""
    batch, _, height, width = image.shape
    if out is None:
        out = torch.empty((batch, 3, size, size), dtype=torch.float32, device=image.device)
    if 3 * batch > MAX_BLOCKS:
        for some, part in zip(
            image.split(MAX_BLOCKS // 3), out.split(MAX_BLOCKS // 3), strict=True
        ):
            area_lowres(launch, some, size, part)
        return out
    # As many windows side by side as span about a pixel for each thread and four.
    outputs = min(max(SEGMENT * size // width, 1), size)
    columns = _fours(min(math.ceil(outputs * width / size) + 2, width) + 4)
    if 4 * columns > MAX_SHARED:  # wider than 12,000 pixels for each of the low-res copy
        white = 255 if image.dtype == torch.uint8 else 1
        return out.copy_(F.interpolate(image.float() / white, size=(size, size), mode="area"))
    launch(
        f"area_lowres_{SUFFIX[image.dtype]}",
        (math.ceil(size / outputs), size, 3 * batch),
        4 * columns,
        [
            *(_pointer(t) for t in (image, out)),
            *_ints(height, width, size, outputs),
            *_strides(image),
            *_ints(PLANAR if _planar(image) else ANY_LAYOUT),
        ],
    )
    return out


def cells_of(grid: Tensor) -> Tensor:
    """(B, 12, D, GH, GW) -> (B, GH, GW, D, 12) contiguous float32, in which a cell's matrix at a
    depth is three words of 128 bits: what the slices are made from."""
    batch, values, depth, rows, columns = grid.shape
    shape = (batch, rows, columns, depth, values)
    cells = torch.empty(shape, dtype=torch.float32, device=grid.device)
    return cells.copy_(grid.permute(0, 3, 4, 2, 1))


def curves_table(launch: Launch, packed: Tensor) -> Tensor:
    """Packed curves (cpu.pack_curves) as the table of kernels/guide_cuda.cu."""
    table = packed.new_empty(TABLE_WORDS)
    launch("curves_table", (3, 1, 1), 0, [_pointer(packed), _pointer(table)])
    return table


def with_constant(packed: Tensor) -> Tensor:
    """Packed curves (cpu.pack_curves) and, last, mix_bias - sum(slope * shift)."""
    values = packed.double()  # in double, as curve_constant of kernels/curves.h
    constant = values[108] - (values[12:60] * values[60:108]).sum()
    return torch.cat([packed, constant[None].float()])


def by_channel(parameters: Tensor, width: int) -> Tensor:
    """A pointwise guide's w1 (width, 3), b1, w2, b2 with w1 and b1 side by side: a hidden channel's
    four numbers are one 128-bit word."""
    weights, bias, output = parameters.split([3 * width, width, width + 1])
    hidden = torch.cat([weights.reshape(width, 3), bias[:, None]], 1).flatten()
    beyond = parameters.new_zeros(_fours(5 * width + 1) - (5 * width + 1))
    return torch.cat([hidden, output, beyond])  # it is read in fours of words


def _block_rows(grid: Tensor, image: Tensor, other_words: int) -> int:
    """Rows of a block: at most ROWS, fewer where their slabs would not fit in shared memory beside
    other words, or where there would be too few blocks. 0 where not even one fits."""
    batch, _, height, width = image.shape
    fitting = 0
    for rows in (ROWS, 4, 2, 1):
        if 4 * (other_words + _slab_words(grid, width, rows)) > MAX_SHARED:
            continue
        fitting = rows
        if batch * math.ceil(width / SEGMENT) * math.ceil(height / rows) >= FILL:
            break
    return fitting


def _fours(words: int) -> int:
    """Up to a multiple of four."""
    return (words + 3) // 4 * 4


def _slab_words(grid: Tensor, width: int, rows: int) -> int:
    depth, _, columns = grid.shape[2:]
    slack = 1e-4 + columns * 2.0**-21  # for the rounding of both positions
    # From a segment's first pixel to its last the position grows by the product below. The lower
    # column of the first and the upper one of the last are at most its ceiling and one apart.
    most = math.ceil((min(SEGMENT, width) - 1) * columns / width + slack) + 2
    return rows * min(most, columns) * depth * MATRIX


def _planar(tensor: Tensor) -> bool:
    """Whether rows lie in memory as words of four elements."""
    *_, x = tensor.stride()
    return (
        x == 1
        and tensor.shape[-1] < MAX_WIDTH
        and tensor.shape[-1] % 4 == 0
        and _in_fours(tensor, tensor.ndim - 1)
    )


def _interleaved(tensor: Tensor) -> bool:
    """(B, 3, H, W) as rows of RGB pixels, in words of four elements."""
    _, c, _, x = tensor.stride()
    if (c, x) != (1, 3) or tensor.shape[-1] % 4 or tensor.shape[-1] >= MAX_WIDTH:
        return False
    return _in_fours(tensor.select(1, 0), tensor.ndim - 2)


def _in_fours(tensor: Tensor, dimensions: int) -> bool:
    """Whether the memory and the steps of the first dimensions are multiples of four elements. A
    dimension of one has a stride that is never taken, and may be anything."""
    steps = zip(tensor.stride()[:dimensions], tensor.shape[:dimensions], strict=True)
    aligned = all(stride % 4 == 0 for stride, size in steps if size > 1)
    return aligned and tensor.data_ptr() % (4 * tensor.element_size()) == 0


_LAYOUTS = ((PLANAR, _planar), (INTERLEAVED, _interleaved))


def _flat_layout(pixels: int, *tensors: Tensor) -> int:
    """For contiguous planes taken as one row each."""
    aligned = all(t.data_ptr() % (4 * t.element_size()) == 0 for t in tensors)
    return PLANAR if aligned and pixels % 4 == 0 else ANY_LAYOUT


def _sizes(grid: Tensor, height: int, width: int) -> list[Number]:
    return _ints(*grid.shape[2:], height, width)


def _strides(tensor: Tensor) -> list[Number]:
    """Steps along batch, channel, row and column; a guide has no channels."""
    steps = tensor.stride()
    b, c, y, x = steps if len(steps) == 4 else (steps[0], 0, *steps[1:])
    return [ctypes.c_int64(step) for step in (b, c, y, x)]


def _ints(*values: int) -> list[Number]:
    return [ctypes.c_int32(value) for value in values]


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())
