"""What was noted of pictures, and why pairs were left out, counted by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from .console import err

_NOTE_KINDS = 6  # that a line lists


def note_counts(notes: Iterable[str]) -> dict[str, int]:
    """How many notes there are of each kind, the most frequent first. What of a note stands after
    a colon is of one picture alone."""
    return _most_first(note.partition(": ")[0] for note in notes)


def _most_first(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def rejection_counts(rejections: Iterable[dict[str, str]]) -> dict[str, int]:
    """How many pairs were left out at each stage, the most frequent first."""
    return _most_first(rejection["stage"] for rejection in rejections)


def rejections_text(rejections: Sequence[dict[str, str]]) -> str:
    """The same in words; of files of a wrong kind their suffixes as well."""
    # Such a reason begins with the file's name.
    names = [Path(r["reason"].rpartition(": ")[0]) for r in rejections if r["stage"] == "kind"]
    suffixes = _most_first(name.suffix.lower() or "without suffix" for name in names)
    shown = [f"{count} {suffix}" for suffix, count in list(suffixes.items())[:_NOTE_KINDS]]
    if more := len(suffixes) - len(shown):
        shown.append(f"{more} more suffix{'es' if more > 1 else ''}")
    return "; ".join(
        f"{stage} {count}" + (f": {', '.join(shown)}" if stage == "kind" else "")
        for stage, count in rejection_counts(rejections).items()
    )


def print_notes(counts: dict[str, int], where: str) -> None:
    """One line with how often what was noted; nothing where nothing was. where: it is in full."""
    if not counts:
        return
    shown = [f"{count} x {text}" for text, count in list(counts.items())[:_NOTE_KINDS]]
    if more := len(counts) - len(shown):
        shown[-1] += f" and {more} more kind{'s' if more > 1 else ''}"
    err.print(f"notes: {', '.join(shown)}; {where}")
