"""Text from outside, made harmless for the place where it is written.

Names of files, ids, keys of recipes, what a server answers: anybody may have chosen them. In a
terminal they could move the cursor or change its title, in a spreadsheet begin a formula, in a page
or a front matter end what they stand in. `clean` writes them so that they are only read.
"""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path
from typing import Literal

Form = Literal["terminal", "line", "csv", "markdown", "yaml", "html", "latex"]

# What a terminal or an editor obeys instead of showing it: control characters, line ends that are
# not "\n", marks that turn the direction of writing, and halves of characters (surrogates), which
# no encoding can write.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"
    "\ud800-\udfff]"
)

_LATEX = {
    "\\": r"\textbackslash{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "Δ": r"$\Delta$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "[": "{[}",  # after the \\ of the row before it would begin that one's optional argument
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def clean(text: str, form: Form) -> str:
    """`text` as it may be written there.

    Args:
        form: "terminal": shown as it is, its line ends and tabs too, with the rest of what a
            terminal obeys spelt out (as \\x1b). "line": the same, line ends and tabs spelt out too,
            so that no name begins a line of its own. The others make one line of it. "csv": a
            cell that no spreadsheet takes for a formula. "markdown": no HTML, emphasis, link or
            other cell; code between backticks stays code. "yaml": a quoted scalar. "html": escaped
            for elements and attributes. "latex": escaped for text.
    """
    shown = _OBEYED.sub(_spelt, text)
    if form == "terminal":
        return shown
    if form == "line":
        return re.sub("[\n\t]", _spelt, shown)
    line = " ".join(shown.split())
    if form == "csv":
        # Beginnings that Excel, LibreOffice and Google Sheets compute.
        return f"'{line}" if line[:1] in ("=", "+", "-", "@") else line
    if form == "markdown":
        return _markdown(line)
    if form == "yaml":
        return json.dumps(line, ensure_ascii=False)  # JSON is YAML
    if form == "html":
        return html.escape(line)
    escaped = "".join(_LATEX.get(mark, mark) for mark in line)
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escaped)  # a minus, not a hyphen


def _spelt(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _markdown(line: str) -> str:
    code = r"(`[^`]+`)"
    return "".join(
        part.replace("|", r"\|") if re.fullmatch(code, part) else _markdown_text(part)
        for part in re.split(code, line)
    )


def _markdown_text(part: str) -> str:
    text = re.sub(r"[\\|*`~]", r"\\\g<0>", html.escape(part, quote=False))
    # Inside a word it is no emphasis.
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\_", text)
    return text.replace("](", r"]\(")


def json_shown(text: str) -> str:
    """JSON for a terminal: what it would obey is escaped as JSON escapes it, so that it is the same
    value. `text`: JSON, in which such characters stand in strings alone."""
    return _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def name_text(path: Path) -> str:
    """A file's name as text that can be written: a name on Linux need not be UTF-8."""
    return os.fsencode(path.name).decode("utf-8", "replace")
