"""A made pack: photographs that may be passed on, in the folders of a published one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from hdrnet_bench.color import linear_to_srgb, srgb_to_linear
from hdrnet_bench.images.pixels import Pixels, quantise

# Of the size original, which may be any.
INPUTS, TARGETS = "input/JPG/4k", "expertC/JPG/4k"
Change = Callable[[Pixels], Pixels]


def pictures() -> list[Pixels]:
    """Six scenes: parts of photographs that lie apart."""
    astronaut, coffee, chelsea = (
        getattr(skimage.data, name)() for name in ("astronaut", "coffee", "chelsea")
    )
    parts = [
        astronaut[:256, 60:444],
        astronaut[256:, 20:404],
        coffee[:256, :384],
        coffee[144:, 216:],
        chelsea[:200, 30:330],
        chelsea[60:300, 91:],
    ]
    return [np.ascontiguousarray(part) for part in parts]


def light(pixels: Pixels) -> np.ndarray:
    return srgb_to_linear(pixels.astype(np.float64) / 255)


def encoded(linear: np.ndarray) -> Pixels:
    return rounded(linear_to_srgb(np.clip(linear, 0, 1)))


def rounded(numbers: np.ndarray) -> Pixels:
    return np.ascontiguousarray(quantise(numbers.transpose(2, 0, 1)))


def resized(pixels: Pixels, width: int, height: int, how: int = Image.Resampling.LANCZOS) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((width, height), how))


def retouched(pixels: Pixels) -> Pixels:
    """What stands for the expert's edit."""
    return rounded(linear_to_srgb(np.clip(light(pixels) * 1.6, 0, 1)) ** 0.95)


def write_pack(
    folder: Path, change: Change = lambda pixels: pixels, quality: int = 100, kind: str = "jpg"
) -> Path:
    """A pack whose inputs were changed before they were written as JPEG of a quality, or PNG."""
    for place, of in ((INPUTS, change), (TARGETS, retouched)):
        (folder / place).mkdir(parents=True)
        for number, pixels in enumerate(pictures(), 1):
            is_input = place == INPUTS
            save(
                folder / place / f"a{number:04}.{kind if is_input else 'jpg'}",
                of(pixels),
                quality if is_input else 100,
            )
    return folder


def save(path: Path, pixels: Pixels, quality: int = 100, chroma: str = "4:4:4") -> None:
    options = {"quality": quality, "subsampling": chroma} if path.suffix == ".jpg" else {}
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, **options)
