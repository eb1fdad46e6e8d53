"""report.html: one file that opens from disk, with everything in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from . import pictures, plots
from .contents import NO_GPU, NOTHING_MEASURED, NOTHING_TIMED, Contents, GroupPart
from .groups import best_trained
from .plots import Plot
from .readme import not_run_text
from .table import Cell
from .tables import KERNELS_NOTE, measured_on

_FIGURE = re.compile(r"<!--figure-->.*?<!--/figure-->", re.DOTALL)


def render(contents: Contents, figures: Path, private: bool = False) -> str:
    """The page; pictures and the figures that lie in `figures` are inlined: nothing is fetched.

    `private`: with pictures that may not be passed on.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hdrnet_bench.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"sort_value": sort_value, "code": code, "uri": _data_uri}
    environment.globals["figure"] = lambda plot: _figure(plot, figures)
    groups, weight = _galleries(contents, private)
    return environment.get_template("report.html.j2").render(
        contents=contents,
        groups=groups,
        private=private,
        not_run=not_run_text(contents),
        said={
            "measured": NOTHING_MEASURED,
            "timed": NOTHING_TIMED,
            "gpu": NO_GPU,
            "kernels": KERNELS_NOTE,
        },
        measured_on=measured_on,
        roles=pictures.ROLES,
        weight=f"{weight / 1e6:.1f}",
        most=f"{pictures.PAGE_BYTES / 1e6:.0f}",
    )


def without_figures(html: str) -> str:
    """The page without what depends on the version of matplotlib."""
    return _FIGURE.sub("", html)


def _galleries(contents: Contents, private: bool) -> tuple[list[dict[str, Any]], int]:
    """Each group's parts for the template, and the bytes that all their pictures take."""
    whole = [
        [pictures.gallery(part.group, path, r, private) for path, r in part.group.results]
        for part in contents.groups
    ]
    # The best method of every group first, where there is not room for all.
    order = [
        (group, number)
        for group, part in enumerate(contents.groups)
        for number in _best_first(part)
    ]
    order.sort(key=lambda place: place[1] != _best_first(contents.groups[place[0]])[0])
    fitting = pictures.within([whole[group][number] for group, number in order])
    kept = dict(zip(order, fitting, strict=True))
    groups = [
        {
            "part": part,
            "machines": sorted({measured_on(r.environment) for _, r in part.group.results}),
            "galleries": [kept[group, number] for number in range(len(part.group.results))],
            "open": _best_first(part)[0],
        }
        for group, part in enumerate(contents.groups)
    ]
    shown = [picture for one in fitting for picture in one.pictures]
    return groups, sum(map(pictures.weight, shown))


def _best_first(part: GroupPart) -> list[int]:
    results = part.group.results
    best = best_trained(part.group)
    numbers: Sequence[int] = range(len(results))
    return sorted(numbers, key=lambda number: results[number] is not best)


def sort_value(cell: Cell) -> str:
    """What a column is sorted by; empty where there is nothing."""
    value = cell.values[0]
    return "" if value is None else str(value)


def code(text: str) -> Markup:
    """Escaped text with what stands between backticks as code."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return escape(text)

    def marked() -> Iterator[Markup]:
        for number, piece in enumerate(pieces):
            yield (Markup("<code>{}</code>") if number % 2 else Markup("{}")).format(piece)

    return Markup("").join(marked())


def _figure(plot: Plot, figures: Path) -> Markup:
    svg = (figures / f"{plot.stem}.svg").read_text(encoding="utf-8")
    inlined = plots.inline(svg, plot.stem)
    return Markup(f"<!--figure-->{inlined}<!--/figure-->")


def _data_uri(path: Path) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"
