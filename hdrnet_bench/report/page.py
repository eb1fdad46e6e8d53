"""report.html: one file that opens from disk and loads nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ..cleaning import clean
from . import pictures, plots
from .contents import NO_GPU, NOTHING_MEASURED, NOTHING_TIMED, Contents, GroupPart
from .groups import best_method
from .plots import Plot
from .readme import unmeasured_text
from .table import Cell
from .tables import KERNELS_NOTE, machine_text
from .tables_time import NETWORK_NOTE

_FIGURE = re.compile(r"<!--figure-->.*?<!--/figure-->", re.DOTALL)


def render(contents: Contents, figures: Mapping[str, bytes], private: bool = False) -> str:
    """The page as HTML, with all pictures and figures inlined.

    Args:
        figures: the SVGs of `plots.render`, by the figures' stems.
        private: also with the pictures whose licence does not let them be passed on.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hdrnet_bench.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
    )
    environment.filters |= {"sort_value": sort_value, "code": code, "uri": _data_uri}
    environment.globals["figure"] = lambda plot: _figure(plot, figures)
    groups, weight = _galleries(contents, private)
    script = environment.get_template("report.js").render()
    return environment.get_template("report.html.j2").render(
        contents=contents,
        groups=groups,
        private=private,
        unmeasured=unmeasured_text(contents),
        texts={
            "measured": NOTHING_MEASURED,
            "timed": NOTHING_TIMED,
            "gpu": NO_GPU,
            "kernels": KERNELS_NOTE,
            "network": NETWORK_NOTE,
        },
        machine_text=machine_text,
        roles=pictures.ROLES,
        weight=f"{weight / 1e6:.1f}",
        limit=f"{pictures.PAGE_BYTES / 1e6:.0f}",
        # A browser runs this script and no other, whatever text ever got into the page unescaped.
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _shown(value: object) -> object:
    """Any text without what a browser obeys instead of showing it, as marks that turn the direction
    of writing. What is escaped already was cleaned before."""
    return clean(value, "terminal") if type(value) is str else value


def without_figures(html: str) -> str:
    """The page without what depends on the version of matplotlib."""
    return _FIGURE.sub("", html)


def _galleries(contents: Contents, private: bool) -> tuple[list[dict[str, Any]], int]:
    """Each group's parts for the template, and the bytes that all their pictures take."""
    galleries = [
        [pictures.gallery(part.group, path, r, private) for path, r in part.group.results]
        for part in contents.groups
    ]
    # Where there is no room for all pictures, those of every group's best method come first.
    order = [
        (group, number)
        for group, part in enumerate(contents.groups)
        for number in _best_first(part)
    ]
    order.sort(key=lambda place: place[1] != _best_first(contents.groups[place[0]])[0])
    page_galleries = pictures.fit_to_page([galleries[group][number] for group, number in order])
    by_place = dict(zip(order, page_galleries, strict=True))
    groups = [
        {
            "part": part,
            "machines": sorted({machine_text(r.environment) for _, r in part.group.results}),
            "galleries": [by_place[group, number] for number in range(len(part.group.results))],
            "open": _best_first(part)[0],
        }
        for group, part in enumerate(contents.groups)
    ]
    page_pictures = [picture for gallery in page_galleries for picture in gallery.pictures]
    return groups, sum(map(pictures.weight, page_pictures))


def _best_first(part: GroupPart) -> list[int]:
    """The numbers of a group's results, the best method's first."""
    results = part.group.results
    best = best_method(part.group)
    numbers: Sequence[int] = range(len(results))
    return sorted(numbers, key=lambda number: results[number] is not best)


def sort_value(cell: Cell) -> str:
    """What the page's script sorts a cell by; empty where there is no value."""
    value = cell.values[0]
    return "" if value is None else str(value)


def code(text: str) -> Markup:
    """Text, cleaned and escaped, with code elements in place of pairs of backticks."""
    text = clean(text, "terminal")
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return escape(text)

    def elements() -> Iterator[Markup]:
        for number, piece in enumerate(pieces):
            yield (Markup("<code>{}</code>") if number % 2 else Markup("{}")).format(piece)

    return Markup("").join(elements())


def _figure(plot: Plot, figures: Mapping[str, bytes]) -> Markup:
    svg = plots.inline(figures[plot.stem].decode(), plot.stem)
    return Markup(f"<!--figure-->{svg}<!--/figure-->")


def _data_uri(path: Path) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(pictures.content(path)).decode()}"
