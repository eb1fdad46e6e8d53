"""Does a prepared dataset still hold the pixels that its rows, and its lock, say?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from ..errors import DataError, StorageError
from ..images.files import open_picture
from ..images.mask import read_mask
from ..images.photo import STORED
from ..images.pixels import pixels_sha256
from .manifest import SPLITS, Dataset, Row, channel_statistics, find_lock, rows_digest

Kind = Literal["differing", "incomplete"]
Status = Literal["identical", "differing", "incomplete"]

# Half of an 8-bit level, averaged over the picture: what rounding alone can move a mean by.
ROUNDING = 0.5 / 255


class Problem(NamedTuple):
    kind: Kind
    split: str
    id: str
    what: str


class Verification(NamedTuple):
    dataset: str
    status: Status
    pictures: int
    lock: Literal["identical", "differing", "incomplete", "unknown"]
    problems: list[Problem]

    def as_json(self) -> dict[str, Any]:
        return self._asdict() | {"problems": [problem._asdict() for problem in self.problems]}


def verify(dataset: Dataset, step: Callable[[], None] = lambda: None) -> Verification:
    """Re-hash every picture; compare with the rows, the header's digest and the committed lock.

    `step` is called after each pair. Incomplete: something is missing. Differing: something is
    there and is not what it should be.
    """
    problems = []
    for row in dataset.rows:
        problems += _check_row(dataset, row)
        step()
    for split in SPLITS:
        rows, counted = len(dataset.split(split)), dataset.header.counts.get(split, 0)
        if rows != counted:
            kind: Kind = "incomplete" if rows < counted else "differing"
            what = f"{rows} rows where dataset.json counts {counted}"
            problems.append(Problem(kind, split, "-", what))
    if dataset.header.name != dataset.directory.resolve().name:
        what = f"dataset.json names {dataset.header.name}, its folder is another"
        problems.append(Problem("differing", "-", "-", what))
    if not problems and rows_digest(dataset.rows) != dataset.header.digest:
        problems.append(Problem("differing", "-", "-", "rows do not give dataset.json's digest"))
    lock_problems = _compare_with_lock(dataset)
    lock = "unknown" if lock_problems is None else _worst(lock_problems)
    reported = {(p.split, p.id) for p in problems}
    problems += [p for p in lock_problems or [] if p.id == "-" or (p.split, p.id) not in reported]
    pictures = sum(len(row.file_names) for row in dataset.rows)
    return Verification(dataset.header.name, _worst(problems), pictures, lock, problems)


def _worst(problems: list[Problem]) -> Status:
    kinds = {problem.kind for problem in problems}
    return "differing" if "differing" in kinds else "incomplete" if kinds else "identical"


def _check_row(dataset: Dataset, row: Row) -> list[Problem]:
    problems = []
    for role, path, expected, mean, std in (
        ("input", dataset.input_path(row), row.input_pixels_sha256, row.input_mean, row.input_std),
        (
            "target",
            dataset.target_path(row),
            row.target_pixels_sha256,
            row.target_mean,
            row.target_std,
        ),
    ):
        if not path.exists():
            problems.append(Problem("incomplete", row.split, row.id, f"{role} {path} is missing"))
            continue
        try:
            size = (file := open_picture(path)).size()
            if size != (row.width, row.height):  # not decoded, however large it is
                what = f"{role} pixels: size {size[0]}x{size[1]}, not {row.width}x{row.height}"
                problems.append(Problem("differing", row.split, row.id, what))
                continue
            pixels = file.read(STORED).pixels
        except StorageError:  # which says nothing of the picture
            raise
        except DataError as error:
            problems.append(Problem("differing", row.split, row.id, f"{role}: {error}"))
            continue
        if pixels_sha256(pixels) != expected:
            what = _drift(channel_statistics(pixels), (mean, std))
            problems.append(Problem("differing", row.split, row.id, f"{role} pixels: {what}"))
    return problems + _check_mask(dataset, row)


def _check_mask(dataset: Dataset, row: Row) -> list[Problem]:
    path = dataset.mask_path(row)
    if path is None:
        return []
    if not path.exists():
        return [Problem("incomplete", row.split, row.id, f"mask {path} is missing")]
    try:
        size = (file := open_picture(path)).size()
        if size != (row.width, row.height):
            what = f"size {size[0]}x{size[1]}, not {row.width}x{row.height}"
        elif pixels_sha256(read_mask(file).levels) != row.mask_pixels_sha256:
            what = "they are others than its row says"
        else:
            return []
    except StorageError:
        raise
    except DataError as error:
        return [Problem("differing", row.split, row.id, f"mask: {error}")]
    return [Problem("differing", row.split, row.id, f"mask pixels: {what}")]


def _drift(now: tuple[list[float], list[float]], then: tuple[list[float], list[float]]) -> str:
    moved = max(
        abs(a - b) for s, t in zip(now, then, strict=True) for a, b in zip(s, t, strict=True)
    )
    size = "rounding-sized" if moved <= ROUNDING else "more than rounding"
    return f"{size} (channel statistics moved by at most {moved * 255:.4f} of 255)"


def _compare_with_lock(dataset: Dataset) -> list[Problem] | None:
    lock = find_lock(dataset.header.name)
    if lock is None:
        return None
    locked = {(row.split, row.id): row for row in lock[1]}
    rows = {(row.split, row.id): row for row in dataset.rows}
    problems = []
    for field in ("source", "protocol", "version", "settings", "licence"):
        if getattr(dataset.header, field) != getattr(lock[0], field):
            what = f"{field} in dataset.json differs from the lock's"
            problems.append(Problem("differing", "-", "-", what))
    for key in sorted(locked.keys() | rows.keys()):
        if key not in rows:
            problems.append(Problem("incomplete", *key, "in the lock, not in the dataset"))
        elif key not in locked:
            problems.append(Problem("differing", *key, "in the dataset, not in the lock"))
        elif rows[key] != locked[key]:
            problems.append(Problem("differing", *key, _row_difference(rows[key], locked[key])))
    return problems


def _row_difference(row: Row, lock: Row) -> str:
    for role in ("input", "target"):
        if getattr(row, f"{role}_pixels_sha256") != getattr(lock, f"{role}_pixels_sha256"):
            stats = [(getattr(r, f"{role}_mean"), getattr(r, f"{role}_std")) for r in (row, lock)]
            return f"{role} pixels differ from the lock's: {_drift(stats[0], stats[1])}"
    fields = [f for f in Row.model_fields if getattr(row, f) != getattr(lock, f)]
    return f"row differs from the lock's in {', '.join(fields)}"
