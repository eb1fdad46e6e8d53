"""results/published/README.md: every published figure, and which of them compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..cleaning import clean
from ..prepare.protocol_models import Protocol, Unrunnable
from ..prepare.protocols import SOURCES, all_protocols
from ..results import NONE
from .published import HDRNET, PublishedRow, SpeedRow, is_hdrnet
from .table import markdown_table

SPACES = {"srgb": "sRGB", "xyz": "CIE XYZ", "linear-srgb": "linear sRGB", "camera": "camera RGB"}

_INTRO = (
    "Figures that papers published, as the CSV files of this folder hold them. Nothing here was "
    "measured by this project. Rows of HDRNet are in bold. `hdrbench protocols NAME` "
    "says all that is known of a protocol."
)
_COMPARES = (
    "**What compares.** Two rows compare where protocol and size are the same, and nowhere else: "
    "between protocols the input is rendered otherwise, other pictures are held out, and a decibel "
    "more or less says nothing. Even within one table each paper used its own code for the "
    "metrics. The report shows these rows beside results of its own only where the same protocol "
    "was prepared at the same size."
)
_COLUMNS = (
    "**Columns.** *Paper* is where the figure stands, by arXiv id or DOI, and *table* the number "
    "of its table there; a dash where that was not confirmed. *Checked* is primary where the "
    "figure was read in that source itself, and transcription where another account of it was "
    "copied. ΔE76 and LPIPS are better where they are lower. A time is of the GPU beside it, and "
    "compares with no time of another GPU, or of one that is not named."
)
_TIMES = (
    "Each on the device that its row names and timed in its own way: no two devices compare, and "
    "none of these stands in one row with a time that this project measured."
)
_UNKNOWN = "None of this project's protocols: its data cannot be prepared here."


def page(rows: Sequence[PublishedRow], speed: Sequence[SpeedRow]) -> str:
    """The page as Markdown: `rows` by protocol and then size, in the order in which those first
    come, and `speed`."""
    protocols = _protocols()
    parts = ["# Published figures", _INTRO, _COMPARES, _COLUMNS]
    for name in dict.fromkeys(row.protocol for row in rows):
        those = [row for row in rows if row.protocol == name]
        about = _about(protocols.get(name))
        parts += [f"## {clean(name, 'markdown')}", clean(about, "markdown"), _quality(those)]
    if speed:
        parts += ["## Times on GPUs", _TIMES, _times(speed)]
    return "\n\n".join(parts) + "\n"


def hdrnet_table(rows: Iterable[PublishedRow]) -> str:
    """HDRNet's PSNR on the FiveK protocols, in their order: a Markdown table with a row for each
    protocol and size, and the source beside each figure."""
    protocols = {one.name: one for one in all_protocols("fivek")}
    figures: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if is_hdrnet(row.method) and row.protocol in protocols:
            figures.setdefault((row.protocol, row.resolution), []).append(_figure(row))
    cells = [
        [
            clean(name, "markdown"),
            clean(_rendering(protocols[name]), "markdown"),
            clean(size, "markdown"),
            "; ".join(of),
        ]
        for (name, size), of in figures.items()
    ]
    return markdown_table(("protocol", "input", "size", "PSNR (dB)"), cells)


def _protocols() -> Mapping[str, Protocol | Unrunnable]:
    """All protocols that are written down, by name."""
    return {one.name: one for source in SOURCES for one in all_protocols(source)}


def _about(protocol: Protocol | Unrunnable | None) -> str:
    """What a protocol is, in a line."""
    if protocol is None:
        return _UNKNOWN
    if isinstance(protocol, Unrunnable):
        return f"{protocol.summary} It cannot be prepared: {protocol.not_runnable}."
    used = f" Used by {', '.join(protocol.used_by)}." if protocol.used_by else ""
    return f"{protocol.summary} Input: {_input(protocol)}.{used}"


def _input(protocol: Protocol | Unrunnable) -> str:
    """What a protocol's input is, in words."""
    if isinstance(protocol, Unrunnable):
        return protocol.summary.rstrip(".")
    side = protocol.input
    return f"{side.rendering}; {side.bit_depth} bits, {SPACES[side.space]}"


def _rendering(protocol: Protocol | Unrunnable) -> str:
    """The same without bits and space."""
    return _input(protocol) if isinstance(protocol, Unrunnable) else protocol.input.rendering


def _quality(rows: Sequence[PublishedRow]) -> str:
    header = (
        *("method", "size", "PSNR (dB)", "SSIM", "ΔE76", "LPIPS", "ms", "GPU"),
        *("source", "paper", "table", "checked"),
    )
    sizes = list(dict.fromkeys(row.resolution for row in rows))
    cells = [
        [
            _method(row.method),
            clean(row.resolution, "markdown"),
            f"{row.psnr:.2f}",
            _number(row.ssim, 3),
            _number(row.delta_e76, 2),
            _number(row.lpips, 3),
            _number(row.time_ms, 2),
            clean(row.gpu or NONE, "markdown"),
            clean(row.source, "markdown"),
            _paper(row.arxiv),
            NONE if row.table is None else str(row.table),
            row.checked,
        ]
        for row in sorted(rows, key=lambda row: sizes.index(row.resolution))
    ]
    return markdown_table(header, cells)


def _times(rows: Sequence[SpeedRow]) -> str:
    header = ("method", "timed", "size", "ms", "device", "source", "paper", "place", "checked")
    cells = [
        [
            _method(row.method),
            *(clean(text, "markdown") for text in (row.timed, row.resolution)),
            f"{row.ms:.2f}",
            *(clean(text, "markdown") for text in (row.device, row.source)),
            _paper(row.arxiv),
            clean(row.place, "markdown"),
            row.checked,
            clean(row.differs, "markdown"),
        ]
        for row in rows
    ]
    return markdown_table((*header, "not comparable"), cells)


def _method(name: str) -> str:
    text = clean(name, "markdown")
    return f"**{text}**" if is_hdrnet(name) else text


def _figure(row: PublishedRow) -> str:
    """A row's PSNR, whether it was run again, and its source, linked where it can be."""
    label = clean(row.source, "markdown").replace("[", r"\[").replace("]", r"\]")
    linked = f"[{label}]({_address(row.arxiv)})" if row.arxiv else label
    table = f", table {row.table}" if row.table else ""
    note = clean(row.method.removeprefix(HDRNET).strip(" ()"), "markdown")
    return f"{row.psnr:.2f}{f' {note}' if note else ''}, {linked}{table}"


def _paper(identifier: str | None) -> str:
    """A link to a paper whose id was checked by `PublishedRow` or `SpeedRow`; else a dash."""
    return f"[{identifier}]({_address(identifier)})" if identifier else NONE


def _address(identifier: str) -> str:
    is_doi = "/" in identifier
    return f"https://doi.org/{identifier}" if is_doi else f"https://arxiv.org/abs/{identifier}"


def _number(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"
