"""The pictures beside an evaluation's numbers: its worst, median and best by PSNR, made small.

pictures/<size>/<id>-{input,output,target,error}.jpg. An error map is the mean over the channels of
the absolute difference of output and target, both as 8-bit sRGB, averaged over what a pixel of the
map covers; the colours are matplotlib's inferno, from black at 0 to pale yellow at ERROR_WHITE and
above.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..config import Encoding
from ..data.pairs import Pair
from ..images.files import write_thumbnail
from ..model.encoding import to_display
from ..results import Shown, Size
from .score import saved_levels

ERROR_WHITE = 0.1  # of the whole range: 25.5 levels of 255
_LONG_EDGE = 480


def choose(rows: Sequence[dict[str, Any]]) -> list[Shown]:
    """The worst, the (lower) median and the best row by PSNR; identical pictures are the best."""
    ordered = sorted(rows, key=lambda row: math.inf if row["psnr"] is None else row["psnr"])
    middle = (len(ordered) - 1) // 2
    places: dict[str, list[Any]] = {}
    for why, place in (("worst", 0), ("median", middle), ("best", len(ordered) - 1)):
        places.setdefault(ordered[place]["id"], []).append(why)
    return [Shown(id=id_, why=why) for id_, why in places.items()]


def write_gallery(
    folder: Path,
    size: Size,
    shown: Sequence[Shown],
    render: Callable[[str], tuple[Pair, Tensor]],
    encoding: Encoding,
    others: Collection[str],
) -> None:
    """Replace a result folder's pictures of one size and split: all of them, or none.

    Args:
        folder: the result's.
        render: id to its pair and the method's output (3, H, W).
        encoding: of the inputs.
        others: ids of the dataset's other splits, whose pictures stay.
    """
    pictures = folder / "pictures"
    new, old = pictures / f".tmp-{size}-new", pictures / f".tmp-{size}-old"
    for leftover in (new, old):  # by one that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    for path in (pictures / size).glob("*.jpg"):
        if path.stem.rpartition("-")[0] in others:
            shutil.copy2(path, new)
    for picture_of in shown:
        pair, output = render(picture_of.id)
        for role, picture in (
            ("input", to_display(pair.input, encoding).cpu().numpy()),
            ("output", output.cpu().numpy()),
            ("target", pair.target.cpu().numpy()),
            ("error", error_map(output, pair.target)),
        ):
            write_thumbnail(new / f"{picture_of.id}-{role}.jpg", picture, _LONG_EDGE)
    if (pictures / size).exists():
        (pictures / size).rename(old)
    new.rename(pictures / size)
    shutil.rmtree(old, ignore_errors=True)
    for flat in pictures.glob("*.jpg"):  # from before there were sizes
        flat.unlink()


def pictures_of(folder: Path, size: Size, shown: Sequence[Shown]) -> list[Path]:
    roles = ("input", "output", "target", "error")
    names = [f"{picture.id}-{role}.jpg" for picture in shown for role in roles]
    return [folder / "pictures" / size / name for name in names]


def error_map(output: Tensor, target: Tensor) -> np.ndarray:
    """(3, H, W) sRGB twice -> (3, h, w) in [0, 1], the long edge at most 480 pixels."""
    from matplotlib import colormaps

    error = (saved_levels(output) - saved_levels(target)).abs().mean(0)
    height, width = error.shape
    scale = min(1.0, _LONG_EDGE / max(height, width))
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    reduced = F.interpolate(error[None, None], size=small, mode="area")[0, 0].cpu().numpy()
    coloured = colormaps["inferno"](np.clip(reduced / ERROR_WHITE, 0, 1))
    return np.ascontiguousarray(coloured[:, :, :3].transpose(2, 0, 1))
