"""What a format's module hands to the reader: stored pixels, and what the file says of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np

from .pixels import Pixels


@dataclass
class Decoded:
    """A file's first picture as it is stored: not turned, its colours not converted.

    pixels: (H, W, channels) uint8 or uint16 of full scale, C order: 1 channel of grey, 3 of red,
        green and blue or 4 of CMYK (0 is no ink), and behind them alpha, not multiplied in, where
        `alpha` says so.
    profile: the ICC profile of the colours; None where they are sRGB, or nothing says what they
        are. profile_from: what said so, where no ICC profile did: the tag's name.
    orientation: EXIF's code, where something other than EXIF or XMP says it.
    exif: a TIFF structure, without the "Exif" in front that some formats have; xmp: a packet; iptc:
        records (IPTC-IIM).
    dpi: dots per inch across and down, as the pixels lie in the file.
    lossless: whether the file's pixels are what its writer was given.
    notes: what of the file's pictures was left behind. left_out: what of its texts (metadata) was.
    damage: what the decoder says is wrong with the file; its pixels are then partly made up.
    """

    pixels: Pixels
    colours: Literal["gray", "rgb", "cmyk"]
    alpha: bool = False
    profile: bytes | None = None
    profile_from: str | None = None
    orientation: int | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    lossless: bool = True
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    damage: str | None = None


def only_as_large(width: int, height: int, channels: int) -> Pixels:
    """Pixels that are asked for their size alone: they take no memory."""
    return cast(Pixels, np.broadcast_to(np.zeros(1, np.uint8), (height, width, channels)))
