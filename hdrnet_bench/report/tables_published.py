"""The tables of published figures, and of what was measured beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..results import Evaluation
from .groups import Group, is_baseline, label
from .published import PublishedRow, metrics_as_published, whole_split
from .table import Cell, Table, columns, number, plain

_NOTE = (
    "As published on this protocol, each with its paper's own code for the metrics and its own "
    "hardware."
)
_CHECKED = (
    "Checked says where the figure was read: in the paper (primary), or in another's table that "
    "cites it (transcription)."
)
_CHANGED = "changed by --set"


def published_table(group: Group, rows: Sequence[PublishedRow]) -> Table:
    """Published figures as the papers give them, after what was measured as they did."""
    names = metrics_as_published(rows[0].protocol)
    measured = [
        _beside_published(group, result, names, rows[0].resolution)
        for result in _measured(group, names)
    ]
    return published_figures(
        f"published-{group.slug}",
        f"Published on {group.first.dataset.protocol}",
        rows,
        measured,
        [*measured_notes(group, rows), f"{_NOTE} {_CHECKED}"],
    )


def published_note(protocol: str) -> str:
    """What published figures on a protocol are, where nothing stands beside them."""
    names = metrics_as_published(protocol)
    if _is_known(names):
        how = f"{', '.join(names.values())} are measured as these papers did"
    else:
        how = "How these papers measured is not known here"
    return (
        f"{_NOTE} {how}: SSIM and colour differences can be of other definitions than those of "
        f"the canonical metrics. {_CHECKED}"
    )


def measured_notes(group: Group, rows: Sequence[PublishedRow]) -> list[str]:
    """How the rows of this project in a `published_table` were measured, and why some of them do
    not compare; nothing where no method was measured."""
    names = metrics_as_published(rows[0].protocol)
    if not _methods(group):
        return []
    measured = _measured(group, names)
    how = f"measured as these papers did ({', '.join(names.values())})"
    why = "whose SSIM and colour differences can be of other definitions than the canonical ones"
    if not _is_known(names):
        how = "of the canonical metrics: how these papers measured is not known here"
        why = "so that SSIM and colour differences can be of other definitions"
    if not measured:
        return [f"Nothing was {how}: a recipe measures what its evaluation.metrics name."]
    notes = [f"Rows of this project are {how}, {why}."]
    if any(_gap(result) for result in measured):
        notes.append(
            "A row of this project with a number of pictures in brackets does not compare: it is "
            "of other pictures than the protocol's whole test split."
        )
    if any(_is_changed(result) for result in measured):
        notes.append(f"{_CHANGED}: the training is not that of the recipe as it is written.")
    return notes


def _is_known(names: Mapping[str, str]) -> bool:
    """Whether it is known how a protocol's papers measured."""
    return names["psnr"] != "psnr"


def _methods(group: Group) -> list[Evaluation]:
    return [r for _, r in group.results if not is_baseline(r) and not r.stale()]


def _measured(group: Group, names: Mapping[str, str]) -> list[Evaluation]:
    """The methods that were measured as a protocol's papers did."""
    return [result for result in _methods(group) if names["psnr"] in result.metrics]


def _gap(result: Evaluation) -> str:
    """How many pictures a result is of, where it is not of all that published figures are of."""
    whole, there = whole_split(result), len(result.rows)
    return f"{there} of {whole} pictures" if there != whole else ""


def _is_changed(result: Evaluation) -> bool:
    """Whether `train --set` changed the recipe: its label says it (`Recipe.label`)."""
    return result.recipe.name.endswith(f"-set-{result.recipe.digest[:8]}")


def _beside_published(
    group: Group, result: Evaluation, names: Mapping[str, str], resolution: str
) -> list[Cell]:
    """A row of what was measured, in the columns of `published_figures`."""

    def mean(figure: str) -> float | None:
        summary = result.metrics.get(names.get(figure, ""))
        return summary.mean if summary else None

    marks = [_CHANGED if _is_changed(result) else "", _gap(result)]
    return _figures(
        label(group, result) + "".join(f" ({mark})" for mark in marks if mark),
        resolution,
        [*(mean(figure) for figure in ("psnr", "ssim", "delta_e76", "lpips")), None],
        [None, "this project", "measured"],
    )


def published_figures(
    slug: str,
    title: str,
    rows: Sequence[PublishedRow],
    measured: Sequence[list[Cell]] = (),
    notes: Sequence[str] = (),
) -> Table:
    """Rows of papers, below rows of what was measured beside them."""
    head = [*columns("method"), *columns("resolution", priority=2)]
    head += columns("PSNR (dB) ↑=psnr", "SSIM ↑=ssim", better=1)
    head += columns("ΔE76 ↓=delta_e_76", better=-1)
    head += columns("LPIPS ↓=lpips", "ms=time_ms", better=-1, priority=2)
    head += [*columns("GPU=gpu", "source", priority=2), *columns("checked", priority=3)]
    published = [
        _figures(
            row.method,
            row.resolution,
            [row.psnr, row.ssim, row.delta_e76, row.lpips, row.time_ms],
            [row.gpu, row.source, row.checked],
        )
        for row in rows
    ]
    return Table(slug, title, head, [*measured, *published], list(notes))


def _figures(
    method: str, resolution: str, figures: Sequence[float | None], told: Sequence[str | None]
) -> list[Cell]:
    """figures: PSNR, SSIM, ΔE76, LPIPS, milliseconds; told: GPU, source, checked."""
    patterns = ("{:.2f}", "{:.3f}", "{:.2f}", "{:.3f}", "{:.2f}")
    shown = [number(value, pattern) for value, pattern in zip(figures, patterns, strict=True)]
    return [plain(method), plain(resolution), *shown, *map(plain, told)]
