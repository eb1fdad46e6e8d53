"""report.html: one file that opens from disk and loads nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from markupsafe import Markup, escape

from .. import html_pages
from ..cleaning import clean
from ..result_pictures import ROLES
from . import pictures, plots
from .contents import NO_GPU, NOTHING_MEASURED, NOTHING_TIMED, Contents
from .groups import Group, best_method
from .headline import Headline, headline, measured_on
from .pictures import Gallery, GalleryPicture
from .plots import Plot
from .readme import unmeasured_text
from .table import Cell, Table, Value
from .tables import KERNELS_NOTE, machine_text
from .tables_time import NETWORK_NOTE

# "29.36 [25.59, 33.12] (n 5)": a number, its interval, and the rest.
_INTERVAL = re.compile(r"([^\[]*) (\[[^\]]*\],?) ?(.*)", re.DOTALL)
# "1920 x 1080", in which no line ends, however narrow the column.
_SIZE = re.compile(r"(\d+ x \d+)")
# The attributes of an SVG whose values are numbers; others may name something, and names have dots.
_GEOMETRY = re.compile(
    r' (?:d|x|y|x1|y1|x2|y2|cx|cy|r|rx|ry|dx|dy|width|height|points|transform|style)="[^"]*"'
)
# A style too may refer to an id.
_DECIMALS = re.compile(r"(url\([^)]*\)|\.\d\d)\d*")
_FIGURE = re.compile(r"<!--figure-->.*?<!--/figure-->", re.DOTALL)


def render(contents: Contents, figures: Mapping[str, bytes], private: bool = False) -> str:
    """The page as HTML, with all pictures and figures inlined.

    Args:
        figures: the SVGs of `plots.render`, by the figures' stems.
        private: also with the pictures whose licence does not let them be passed on.
    """
    environment = html_pages.environment("hdrnet_bench.report")
    environment.filters |= {
        "sort_value": sort_value,
        "code": code,
        "lines": with_lines,
        "numeric": numeric,
        "empty": empty,
        "uri": pictures.data_uri,
    }
    environment.globals["figure"] = lambda plot: _figure(plot, figures)
    shown = _pictures(contents, private)
    script = environment.get_template("report.js").render()
    return environment.get_template("report.html.j2").render(
        contents=contents,
        shown=shown,
        groups=[
            {
                "part": part,
                "machines": sorted({machine_text(r.environment) for _, r in part.group.results}),
            }
            for part in contents.groups
        ],
        measured_on=measured_on(contents, shown.headline),
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
        roles=ROLES,
        weight=f"{shown.weight / 1e6:.1f}",
        # A browser runs this script and no other, whatever text ever got into the page unescaped.
        script=Markup(script),
        script_source=html_pages.script_source(script),
    )


def without_figures(html: str) -> str:
    """The page without what depends on the version of matplotlib."""
    return _FIGURE.sub("", html)


class _Section(NamedTuple):
    """The pictures of some data at one size. galleries: each with whether it is open."""

    group: Group
    galleries: list[tuple[Gallery, bool]]


class _Pictures(NamedTuple):
    """left_out: whether results have pictures that are not on this page. weight: bytes."""

    headline: Headline | None
    sections: list[_Section]
    left_out: bool
    weight: int


def _pictures(contents: Contents, private: bool) -> _Pictures:
    """The best method's pictures of each dataset at one size; private: all that there are."""
    groups = {part.group.slug: part.group for part in contents.groups}
    best = {slug: found for slug, group in groups.items() if (found := best_method(group))}
    of_best = (
        {slug: pictures.gallery(groups[slug], *item, private) for slug, item in best.items()}
        if private
        else pictures.of_datasets(list(groups.values()))
    )
    top = headline(contents.groups, of_best)
    weight = 0
    if top and top.picture:
        weight = pictures.weight(top.picture)
        of_best[top.group.slug] = _without(of_best[top.group.slug], top.picture)
    galleries = [(slug, gallery, True) for slug, gallery in of_best.items()]
    if private:
        galleries += [
            (slug, pictures.gallery(group, *item, private), False)
            for slug, group in groups.items()
            for item in group.results
            if item is not best.get(slug)
        ]
    limit = pictures.PRIVATE_PAGE_BYTES if private else pictures.PAGE_BYTES
    fitting = pictures.fit_to_page([gallery for _, gallery, _ in galleries], limit - weight)
    sections: dict[str, list[tuple[Gallery, bool]]] = {slug: [] for slug in groups}
    for (slug, _, is_open), gallery in zip(galleries, fitting, strict=True):
        sections[slug].append((gallery, is_open))
        weight += sum(map(pictures.weight, gallery.pictures))
    left_out = not private and any(
        item[1].shown and (slug not in of_best or item is not best[slug])
        for slug, group in groups.items()
        for item in group.results
    )
    return _Pictures(
        top,
        [_Section(groups[slug], found) for slug, found in sections.items() if found],
        left_out,
        weight,
    )


def _without(gallery: Gallery, picture: GalleryPicture) -> Gallery:
    others = [other for other in gallery.pictures if other is not picture]
    note = f"{picture.id}: at the top of this page"
    return gallery._replace(pictures=others, absent=[*gallery.absent, note])


def sort_value(cell: Cell) -> Markup:
    """As an attribute, what the page's script sorts a cell by: empty where there is no value, and
    none where it is the text that is shown."""
    value = "" if cell.values[0] is None else str(cell.values[0])
    return (
        Markup("")
        if value == cell.text
        else Markup(' data-value="{}"').format(clean(value, "terminal"))
    )


def numeric(table: Table) -> list[bool]:
    """Of each column, whether it holds no text."""
    return [not any(isinstance(value, str) for value in column) for column in _columns(table)]


def empty(table: Table) -> list[bool]:
    """Of each column, whether it holds nothing."""
    return [all(value is None for value in column) for column in _columns(table)]


def _columns(table: Table) -> list[list[Value]]:
    """The values that rows are sorted by, column by column."""
    return [[row[i].values[0] for row in table.rows] for i in range(len(table.columns))]


def with_lines(cell: Cell) -> Markup:
    """A cell's text; of a number, its interval and what follows that as lines of their own."""
    text = clean(cell.text, "terminal")
    found = _INTERVAL.fullmatch(text)
    if found is None or isinstance(cell.values[0], str):
        pieces = _SIZE.split(text)
        whole = Markup('<span class="size">{}</span>')
        return Markup("").join(
            whole.format(piece) if number % 2 else escape(piece)
            for number, piece in enumerate(pieces)
        )
    lines = [Markup(" <small>{}</small>").format(line) for line in found.groups()[1:] if line]
    return escape(found[1]) + Markup("").join(lines)


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
    """A figure without what nobody sees, which is half of it: decimals, its fonts' names (the page
    has them once), ids that nothing refers to. Text stays as it is."""
    svg = plots.inline(figures[plot.stem].decode(), plot.stem)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))

    def slim(tag: re.Match[str]) -> str:
        text = _GEOMETRY.sub(lambda found: _DECIMALS.sub(r"\1", found[0]), tag[0])
        text = re.sub(r"font-family: [^;\"]*(; )?", "", text)
        id_ = re.search(r' id="([^"]*)"', text)
        return text if id_ is None or id_[1] in used else text.replace(id_[0], "")

    svg = re.sub(r">\s+<", "><", re.sub(r"<[^>]*>", slim, svg))
    return Markup(f"<!--figure-->{svg}<!--/figure-->")
