"""The pictures beside an evaluation's numbers: its worst, median and best by PSNR, made small.

Where they lie says ../result_pictures.py. An error map is the mean over the channels of the
absolute difference of output and target, both as 8-bit sRGB, averaged over what a pixel of the map
covers; the colours are matplotlib's inferno, from black at 0 to pale yellow at ERROR_WHITE and
above.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..config import Encoding
from ..data.pairs import Pair
from ..drawing import import_matplotlib
from ..files import atomic_path
from ..images.files import write_thumbnail
from ..model.encoding import to_display
from ..results import Shown
from .score import saved_levels

ERROR_WHITE = 0.1  # of the whole range: 25.5 levels of 255
_LONG_EDGE = 480
# Of WebP. A map has hard edges everywhere, which cost much, and is only glanced at.
_QUALITY, _ERROR_QUALITY = 75, 50


def choose(rows: Sequence[dict[str, Any]]) -> list[Shown]:
    """The worst, the (lower) median and the best row by PSNR; identical pictures are the best."""
    ordered = sorted(rows, key=lambda row: math.inf if row["psnr"] is None else row["psnr"])
    middle = (len(ordered) - 1) // 2
    places: dict[str, list[Any]] = {}
    for why, place in (("worst", 0), ("median", middle), ("best", len(ordered) - 1)):
        places.setdefault(ordered[place]["id"], []).append(why)
    return [Shown(id=id_, why=why) for id_, why in places.items()]


def write_gallery(
    writing: ExitStack,
    places: Mapping[str, Mapping[str, Path]],
    render: Callable[[str], tuple[Pair, Tensor]],
    encoding: Encoding,
) -> None:
    """Write the pictures of a result: under temporary names, until `writing` is closed.

    Args:
        places: of each id, where its pictures are to lie, by role; roles that share a place are one
            picture.
        render: id to its pair and the method's output (3, H, W).
        encoding: of the inputs.
    """
    for id_, files in places.items():
        pair, output = render(id_)
        pictures = {
            "input": to_display(pair.input, encoding).cpu().numpy(),
            "output": output.cpu().numpy(),
            "target": pair.target.cpu().numpy(),
            "error": error_map(output, pair.target),
        }
        for path, role in {path: role for role, path in files.items()}.items():
            quality = _ERROR_QUALITY if role == "error" else _QUALITY
            file = writing.enter_context(atomic_path(path))
            write_thumbnail(file, pictures[role], _LONG_EDGE, quality)


def error_map(output: Tensor, target: Tensor) -> np.ndarray:
    """(3, H, W) sRGB twice -> (3, h, w) in [0, 1], the long edge at most 480 pixels."""
    colormaps = import_matplotlib().colormaps
    error = (saved_levels(output) - saved_levels(target)).abs().mean(0)
    height, width = error.shape
    scale = min(1.0, _LONG_EDGE / max(height, width))
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    reduced = F.interpolate(error[None, None], size=small, mode="area")[0, 0].cpu().numpy()
    coloured = colormaps["inferno"](np.clip(reduced / ERROR_WHITE, 0, 1))
    return np.ascontiguousarray(coloured[:, :, :3].transpose(2, 0, 1))
