"""How far two preparations of one protocol are apart, picture by picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ..errors import UsageError
from ..images.files import open_picture
from ..images.photo import STORED
from ..images.pixels import white_level
from .manifest import Dataset, Row

Role = Literal["input", "target", "mask"]


class Difference(NamedTuple):
    """Of one picture. `psnr` in dB, None where the pictures cannot be compared, and `what` says
    why; `largest` is the largest difference of a channel, in levels of 8 bits."""

    split: str
    id: str
    role: Role
    psnr: float | None
    mean: float | None
    largest: float | None
    what: str | None = None


class DatasetComparison(NamedTuple):
    """`differences` are of the pictures that differ: of other sizes first, then by their mean
    difference, the largest first."""

    first: str
    second: str
    protocol: str
    common: int
    only_first: list[str]
    only_second: list[str]
    identical: int
    differences: list[Difference]

    def as_json(self) -> dict[str, Any]:
        return self._asdict() | {"differences": [d._asdict() for d in self.differences]}

    def summary(self) -> str:
        lines = [
            f"{self.first} and {self.second}, protocol {self.protocol}: {self.common} pairs in "
            f"both, {self.identical} with identical pixels"
        ]
        for name, only in ((self.first, self.only_first), (self.second, self.only_second)):
            if only:
                more = f" and {len(only) - 5} more" if len(only) > 5 else ""
                lines.append(f"only in {name}: {', '.join(only[:5])}{more}")
        return "\n".join(lines)


def compare(a: Dataset, b: Dataset, step: Callable[[], None] = lambda: None) -> DatasetComparison:
    """Compare all pictures that both have, by split and id; `step` is called after each pair.

    Raises UsageError where the datasets are of different protocols.
    """
    kinds = [(d.header.source, d.header.protocol, d.header.version) for d in (a, b)]
    if kinds[0] != kinds[1]:
        names = " and ".join(f"{s} {p} version {v}" for s, p, v in kinds)
        raise UsageError(f"these are of different protocols: {names}")
    rows_a, rows_b = ({(r.split, r.id): r for r in d.rows} for d in (a, b))
    common = [key for key in rows_a if key in rows_b]
    differences, identical = [], 0
    for key in common:
        pair_differences = _differences(a, rows_a[key], b, rows_b[key])
        identical += not pair_differences
        differences += pair_differences
        step()
    differences.sort(key=lambda d: (d.mean is not None, -(d.mean or 0.0)))
    return DatasetComparison(
        str(a.directory),
        str(b.directory),
        a.header.protocol,
        len(common),
        [f"{s}/{i}" for s, i in rows_a if (s, i) not in rows_b],
        [f"{s}/{i}" for s, i in rows_b if (s, i) not in rows_a],
        identical,
        differences,
    )


def _differences(a: Dataset, row_a: Row, b: Dataset, row_b: Row) -> list[Difference]:
    differences = []
    sides: list[tuple[Role, str, str, Path, Path]] = [
        ("input", row_a.input_pixels_sha256, row_b.input_pixels_sha256,
         a.input_path(row_a), b.input_path(row_b)),
        ("target", row_a.target_pixels_sha256, row_b.target_pixels_sha256,
         a.target_path(row_a), b.target_path(row_b)),
    ]  # fmt: skip
    for role, hash_a, hash_b, path_a, path_b in sides:
        if hash_a != hash_b:
            differences.append(_difference(row_a, role, path_a, path_b))
    if row_a.mask_pixels_sha256 != row_b.mask_pixels_sha256:
        both = row_a.mask_pixels_sha256 and row_b.mask_pixels_sha256
        what = "the masks are others" if both else "one dataset alone has a mask"
        differences.append(Difference(row_a.split, row_a.id, "mask", None, None, None, what))
    return differences


def _difference(row: Row, role: Role, path_a: Path, path_b: Path) -> Difference:
    files = [open_picture(path) for path in (path_a, path_b)]
    sizes = [file.size() for file in files]
    if sizes[0] != sizes[1]:
        what = " and ".join(f"{width}x{height}" for width, height in sizes)
        return Difference(row.split, row.id, role, None, None, None, f"sizes {what}")
    pixels = [file.read(STORED).pixels for file in files]
    x, y = (p.astype(np.float64) / white_level(p) for p in pixels)
    error = np.abs(x - y)
    mse = float(np.mean(error**2))
    # Pixels of other bit depths may differ by their hash and not by their values.
    psnr = -10 * math.log10(mse) if mse else None
    return Difference(
        row.split,
        row.id,
        role,
        psnr,
        float(error.mean()) * 255,
        round(float(error.max()) * 255, 3),
        None if mse else f"{pixels[0].dtype} and {pixels[1].dtype} of the same values",
    )
