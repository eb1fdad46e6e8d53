"""How large a picture may be: asked of its header, before memory is taken for its pixels."""

from __future__ import annotations

import os

from ..errors import UsageError

_OPTION = "HDRBENCH_MAX_MEGAPIXELS"
_MEGAPIXELS = 179.0
_LONGEST_SIDE = 1_000_000  # pixels, as libpng has it: of other formats none has more
# Of a file: four channels of 16 bits as they are, and half as much for smaller copies and films
# behind the picture; and what small ones carry beside their pixels.
_BYTES_A_PIXEL, _BYTES_BESIDE = 12, 256 << 20


def max_pixels() -> int:
    """The most pixels a picture may have: 179 megapixels, or what the environment says.

    Raises UsageError where that is no number.
    """
    text = os.environ.get(_OPTION, "")
    try:
        megapixels = float(text) if text else _MEGAPIXELS
    except ValueError:
        megapixels = 0.0
    if not 0 < megapixels < 1e6:
        raise UsageError(f"{_OPTION}={text}: a number of megapixels is wanted")
    return round(megapixels * 1e6)


def max_bytes() -> int:
    """The most bytes that a picture's file may have. Raises UsageError as `max_pixels`."""
    return _BYTES_BESIDE + _BYTES_A_PIXEL * max_pixels()


def check_size(width: int, height: int) -> None:
    """Raises ValueError for a picture without pixels, with more than is allowed, or so long that
    nothing can write it."""
    if min(width, height) < 1:
        raise ValueError(f"its header says {width} x {height} pixels")
    limit = max_pixels()
    if width * height > limit:
        raise ValueError(
            f"it has {width} x {height} pixels, {width * height / 1e6:.3g} megapixels, over the "
            f"limit of {limit / 1e6:g}: {_OPTION}={-(-width * height // 1_000_000)} lifts it"
        )
    if max(width, height) > _LONGEST_SIDE:
        raise ValueError(
            f"it has {width} x {height} pixels, and a side of {_LONGEST_SIDE:,} is the longest"
        )
