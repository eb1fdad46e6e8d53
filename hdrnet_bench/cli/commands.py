"""How commands look and what they say of wrong words, on top of typer.

Help is plain text at the terminal's width: usage, what the command does, its options in groups.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..errors import near_names

WIDEST = 100  # columns of help: longer lines are hard to read
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": WIDEST}
# Options that had another name in an earlier version, by command.
RENAMED = {
    ("time", "--size"): "--resolution",
    ("enhance", "--workers"): "--threads",
}


class Command(TyperCommand):
    """A command whose usage names its arguments as its page does, and whose options are in the
    groups of their `rich_help_panel`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        # typer puts what is needed into braces: prepare [OPTIONS] {SOURCE}.
        pieces = super().collect_usage_pieces(ctx)
        return [re.sub(r"^\{(.*)\}(\.\.\.)?$", r"\1", piece) for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            argument = parameter.param_type_name == "argument"
            title = getattr(parameter, "rich_help_panel", None)
            name, text = record
            if argument:
                # An argument's type is in its name: MODEL <str>.
                name = re.sub(r" <.*>$", "", name)
                text = re.sub(r" *\\?\[required\]$", "", text)
            groups.setdefault(title or ("Arguments" if argument else "Options"), []).append(
                (name, text)
            )
        # What belongs to no group comes last, before what all commands have.
        for title, records in sorted(groups.items(), key=lambda item: item[0] == "Options"):
            with formatter.section(title):
                formatter.write_dl(records, col_max=26)


class Group(TyperGroup):
    """The program: its commands in the groups of their `rich_help_panel`, in the order in which
    they were added."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                panel = command.rich_help_panel or "Commands"
                panels.setdefault(panel, []).append((name, command.short_help or ""))
        for panel, records in panels.items():
            with formatter.section(panel):
                formatter.write_dl(records)


def add(app: typer.Typer, function: Callable[..., None], panel: str) -> None:
    """Make a function a command of its name. The first paragraph of its docstring is its line in
    the list."""
    name = function.__name__.removesuffix("_command").replace("_", "-")
    text = inspect.cleandoc(function.__doc__ or "")
    short = " ".join(text.split("\n\n")[0].split())
    # Lines that stand further in are to stay as they are: click is told by \b above them.
    text = re.sub(r"(?<=\n\n)(?=    )", "\b\n", text)
    app.command(
        name, cls=Command, help=text, short_help=short, rich_help_panel=panel,
        context_settings=SETTINGS,
    )(function)  # fmt: skip


def usage_message(error: Exception) -> str | None:
    """What is wrong with a command line, and what may have been meant; None for an error that is
    not of its words."""
    text = getattr(error, "format_message", None)
    context = getattr(error, "ctx", None)
    if text is None or getattr(error, "exit_code", None) != 2:
        return None
    name = "" if context is None or context.parent is None else context.info_name
    help_ = f"`hdrbench {name} --help`" if name else "`hdrbench --help`"
    option = getattr(error, "option_name", None)
    if context is not None and option is not None and type(error).__name__ == "NoSuchOption":
        said = _unknown_option(option, name, context)
    else:
        said = " ".join(text().split()).rstrip(".").replace("Value error, ", "")
        said = said[:1].lower() + said[1:]
    return f"{name}: {said} ({help_})" if name else f"{said} ({help_})"


def _unknown_option(option: str, name: str, context: Any) -> str:
    """What of it: the name it has now, a near one of this command, or where else there is such."""
    said = f"no such option {option}"
    if (name, option) in RENAMED:
        return f"{said}: it is {RENAMED[name, option]} now"
    if not option.startswith("--"):
        return f"{said}: a name that begins with '-' is written ./{option}…"
    near = _near(option, _options(context.command, context))
    if near:
        return f"{said}: did you mean {' or '.join(near)}?"
    if name == "train" and (key := _recipe_key(option)):
        return f"{said}: a recipe's keys are changed by --set {key}=VALUE"
    root = context.find_root().command
    others = [
        f"`hdrbench {other}`"
        for other, command in getattr(root, "commands", {}).items()
        if option in _options(command, context)
    ]
    return f"{said}: {', '.join(others[:3])} has one" if 0 < len(others) <= 3 else said


def _options(command: Any, context: Any) -> list[str]:
    return [o for p in command.get_params(context) if not p.hidden for o in p.opts if o[0] == "-"]


def _near(option: str, options: list[str]) -> list[str]:
    """By the words alone: the dashes, which all have, would make any two alike."""
    by_word = {o.lstrip("-"): o for o in options if o.startswith("--")}
    return [by_word[word] for word in near_names(option.lstrip("-"), by_word, 0.7)[:2]]


def _recipe_key(option: str) -> str | None:
    """The key of a recipe that an option of that name would be."""
    from ..recipe import SECTIONS

    keys = {key: f"{section}.{key}" for section, m in SECTIONS.items() for key in m.model_fields}
    near = near_names(option.lstrip("-").replace("-", "_"), keys, 0.8)
    return keys[near[0]] if near else None
