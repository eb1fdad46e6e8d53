"""Prose broken at words."""

from __future__ import annotations

import re

from rich.cells import cell_len

# A command line between backquotes stays whole: it is there to be copied, and a copied line end
# would run the half of it. Spaces alone part words: nothing else is left of a cleaned text.
_PIECES = re.compile(r"( *)((?:(?<!\w)`[^`]*`|[^ ])+)")


def wrapped(text: str, width: int, hang: int = 0) -> list[str]:
    """The lines of a text of one line, each of at most `width` cells of a terminal, but for one
    piece that is longer for itself. Lines after the first begin `hang` cells further in, as far as
    that leaves half of the width."""
    indent = " " * min(len(text) - len(text.lstrip(" ")) + hang, width // 2)
    lines, line = [], ""
    for gap, piece in _PIECES.findall(text):
        if line.strip() and cell_len(line + gap + piece) > width:
            lines.append(line)
            line = indent + piece
        else:
            line += gap + piece
    return [*lines, line]
