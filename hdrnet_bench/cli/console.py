"""What the command line shows and understands: texts, values, devices, sizes."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console

from ..cleaning import clean, json_shown
from ..errors import CapabilityError, UsageError
from ..files import json_text
from .wrapping import wrapped


class CleanConsole(Console):
    """What is printed may be of anybody's choice: a terminal shows it, and obeys none of it."""

    def print(self, *objects: Any, hang: int = 0, **options: Any) -> None:
        """Each text on one line: no name of a file begins a line of its own.

        On a terminal texts are broken at words, but for commands in backquotes; lines after the
        first begin `hang` columns further in. soft_wrap=True leaves them to the terminal.
        """
        objects = tuple(clean(one, "line") if isinstance(one, str) else one for one in objects)
        width = None if "soft_wrap" in options else self.terminal_width()
        if width and objects and all(isinstance(one, str) for one in objects):
            objects = ("\n".join(wrapped(" ".join(objects), width, hang)),)
        super().print(*objects, **options)

    def terminal_width(self) -> int | None:
        """In columns; None where what is printed goes to no terminal, whatever FORCE_COLOR says."""
        isatty = getattr(self.file, "isatty", None)
        return self.width if isatty and isatty() else None

    def print_text(self, text: str) -> None:
        """A text of several lines."""
        super().print(clean(text, "terminal"), end="" if text.endswith("\n") else "\n")


err = CleanConsole(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
out = CleanConsole(highlight=False, soft_wrap=True, markup=False, emoji=False)

MAX_PIXELS = 500_000_000


def print_json(value: Any) -> None:
    print(json_shown(json_text(value)), end="")


def next_step(text: str, quiet: bool = False) -> None:
    """What one does after this command, with the command line to copy in backquotes."""
    if not quiet:
        err.print(f"next: {text}")


def report_values(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(values)
        return
    for key, value in values.items():
        out.print(f"{key}: {_value_text(value)}", hang=4)


def _value_text(value: Any) -> str:
    """A value in words; what has commas of its own is parted by other marks."""
    if isinstance(value, dict):
        named = {name: _value_text(each) for name, each in value.items()}
        if any(", " in text for text in named.values()):
            return "; ".join(f"{name}: {text}" for name, text in named.items())
        return ", ".join(f"{name} {text}" for name, text in named.items())
    if isinstance(value, list):
        texts = [_value_text(each) for each in value]
        sentences = any(text.endswith(".") for text in texts)
        return (" " if sentences else ", ").join(texts) or "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def choose_device(name: str | None) -> str:
    """The device to use. Raises CapabilityError where CUDA is asked for and not there."""
    if name is not None and not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"device {name!r}: use cpu, cuda or cuda:N")
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if torch.device(name).index is not None and torch.device(name).index >= count > 0:
            raise CapabilityError(f"there is no {name}: {count} CUDA device(s) are here")
        if not count:
            raise CapabilityError(
                "no CUDA device here (torch.cuda.is_available() is false): use --device cpu"
            )
        # Events, names and synchronisation are of the current device.
        torch.cuda.set_device(name if ":" in name else 0)
    return name


def parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or min(int(match[1]), int(match[2])) < 8:
        raise UsageError(f"size {text!r}: write WIDTHxHEIGHT in pixels, at least 8x8, as 1920x1080")
    width, height = int(match[1]), int(match[2])
    if width * height > MAX_PIXELS:
        raise UsageError(f"size {text!r} is over {MAX_PIXELS / 1e6:.0f} megapixels")
    return width, height
