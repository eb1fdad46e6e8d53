"""What was measured of a model: the evaluations of its very file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..files import read_bytes, sha256_file
from ..paths import results_dir
from ..results import Evaluation, cell, read_result


class Score(NamedTuple):
    """psnr: in dB with its 95 % interval, as text; identity: of the inputs left as they are, None
    where that was not measured."""

    data: str
    split: str
    pictures: int
    psnr: str
    identity: str | None


def scores(model: Path) -> list[Score]:
    """Of the results that name this file, by its SHA-256. Raises DataError for a broken one."""
    digest = sha256_file(model).encode()
    found = []
    for path in sorted(results_dir().glob("*/*/*/eval-*.json")):
        # Few of many name it, and reading a result checks every row.
        if digest in read_bytes(path) and isinstance(result := read_result(path), Evaluation):
            found.append(_score(path, result))
    return found


def _score(path: Path, result: Evaluation) -> Score:
    beside = sorted(path.parents[2].glob(f"identity/*/{path.name}"))
    identities = [r for r in map(read_result, beside) if isinstance(r, Evaluation)]
    same = [r for r in identities if (r.dataset, r.size) == (result.dataset, result.size)]
    return Score(
        result.dataset.name,
        f"{result.dataset.split}, {result.size} size",
        result.metrics["psnr"].n,
        cell("psnr", result.metrics["psnr"]),
        cell("psnr", same[0].metrics["psnr"]) if same else None,
    )
