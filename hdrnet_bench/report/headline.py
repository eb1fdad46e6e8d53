"""What the page opens with: one picture to compare, and the figures that go with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..results import Evaluation
from .contents import Contents, GroupPart
from .groups import Group, best_method, by_seed, is_identity
from .pictures import Gallery, GalleryPicture, in_colour
from .table import Cell, Table
from .tables import processor

_COLUMNS = ("method", "psnr", "ssim", "delta_e_2000")


class Headline(NamedTuple):
    """group: what it is of. table: of the best method, the identity and the bounds. method: the
    best one's name. pictures: how many the rows' means are over, as "6 pictures" or "6 to 8
    pictures". psnr: its own and the identity's in dB; None where there is no method or no
    identity. picture: of the best method; None where none may be shown."""

    group: Group
    table: Table
    method: str | None
    pictures: str
    psnr: tuple[str | None, str | None]
    picture: GalleryPicture | None


def headline(parts: Sequence[GroupPart], galleries: Mapping[str, Gallery]) -> Headline | None:
    """Of the data that has pictures, in colour first, and on which most was measured; of equals the
    first. Nothing is chosen by how good it is. None where nothing was measured.

    Args:
        galleries: the best method's pictures, by the group's slug.
    """
    if not parts:
        return None
    found = [_picture(galleries.get(part.group.slug)) for part in parts]
    sizes = [(seen, len(part.group.results)) for (seen, _), part in zip(found, parts, strict=True)]
    chosen = sizes.index(max(sizes))
    part = parts[chosen]
    rows = _rows(part)
    head = part.quality.columns
    keys = [column.keys[0] for column in head]
    places = [keys.index(key) for key in _COLUMNS if key in keys]
    psnr = keys.index("psnr")
    counts = [result.metrics["psnr"].n for _, of in rows.values() for result in of]
    table = part.quality._replace(
        slug=f"headline-{part.group.slug}",
        columns=[
            head[place]._replace(priority=2 if place == places[-1] else 1) for place in places
        ],
        rows=[[row[place] for place in places] for row, _ in rows.values()],
        notes=[],
        row_header=0,
    )
    best = best_method(part.group)
    return Headline(
        part.group,
        table,
        best[1].method.name if best else None,
        _pictures(min(counts, default=0), max(counts, default=0)),
        (_mean(rows.get("best"), psnr), _mean(rows.get("identity"), psnr)),
        found[chosen][1],
    )


def _picture(gallery: Gallery | None) -> tuple[int, GalleryPicture | None]:
    """How much there is to see (2: in colour, 1: in grey, 0: nothing), and the picture: of median
    quality, which is neither the luckiest nor the worst, or else the first."""
    found = [(1 + in_colour(one), one) for one in gallery.pictures] if gallery else []
    if not found:
        return 0, None
    return max(found, key=lambda item: (item[0], "median" in item[1].why))


def _pictures(least: int, most: int) -> str:
    if least < most:
        return f"{least} to {most} pictures"
    return f"{most} picture{'' if most == 1 else 's'}"


# A row of the quality table, and the results that it is of: several seeds, or one.
_Row = tuple[list[Cell], list[Evaluation]]


def _rows(part: GroupPart) -> dict[str, _Row]:
    """The best method's row, over its seeds where it has several, the identity's, and the
    bounds'."""
    results = [result for _, result in part.group.results]
    rows: dict[str, _Row] = {}
    best = best_method(part.group)
    # The table has a row for each result, then one for each method with several seeds.
    of_rows = [*([result] for result in results), *by_seed(part.group)]
    for row, of in zip(part.quality.rows, of_rows, strict=True):
        if best and any(result is best[1] for result in of):
            rows["best"] = row, of
    for row, result in zip(part.quality.rows, results, strict=False):
        if is_identity(result):
            rows.setdefault("identity", (row, [result]))
        elif result.method.oracle:
            rows[f"bound {len(rows)}"] = row, [result]
    return rows


def _mean(row: _Row | None, place: int) -> str | None:
    """A mean without its interval."""
    return row[0][place].text.partition(" [")[0] if row else None


class Measured(NamedTuple):
    """processors: of all measurements, those of the headline first. date: the newest that a result
    file has. commits: of the headline's results."""

    processors: list[str]
    date: str | None
    commits: list[str]


def measured_on(contents: Contents, top: Headline | None) -> Measured:
    groups = [part.group for part in contents.groups]
    groups.sort(key=lambda group: top is None or group.slug != top.group.slug)
    environments = [result.environment for group in groups for _, result in group.results]
    environments += [part.timed.timing.environment for part in contents.timings]
    environments += [part.timing.environment for part in contents.networks]
    environments += [part.timing.environment for part in contents.kernels]
    environments += [part.timing.environment for part in contents.steps]
    processors = [processor(one, on_gpu=one.gpu is not None) for one in environments]
    dates = [one.date for one in environments if one.date]
    results = [result for _, result in top.group.results] if top else []
    commits = {result.environment.commit_text for result in results}
    return Measured(list(dict.fromkeys(processors)), max(dates, default=None), sorted(commits))
