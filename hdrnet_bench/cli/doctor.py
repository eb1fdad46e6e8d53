"""The command `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..cleaning import clean
from ..errors import UsageError
from .console import out, print_json
from .options import Json
from .wrapping import wrapped

if TYPE_CHECKING:
    from ..doctor import Examination, Finding

_STYLES = {"ok": None, "warning": "yellow", "missing": None}
_REPORT_WIDTH = 100
_HANG = 11  # columns: below the text, not below the state


def doctor(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE", help="Whether this one could be trained here; by default the demo's."
        ),
    ] = None,
    network: Annotated[
        bool, typer.Option("--network", help="Also ask the servers that files come from.")
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="As Markdown, to paste into a bug report: without the names of machine and user.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what this machine can do, and what to do about the rest.

    Each finding is ok, a warning (something goes wrong, or makes figures worthless) or missing
    (this machine has not got it, and can do without). The exit code is 0 whatever is found.
    """
    if report and as_json:
        raise UsageError("--report or --json, not both")
    from ..doctor import examine
    from ..recipe import load_recipe

    examination = examine(load_recipe(recipe) if recipe else None, network)
    if as_json:
        print_json(_as_json(examination))
    elif report:
        out.print_text(markdown(examination))
    else:
        _show(examination)


def _as_json(examination: Examination) -> dict[str, object]:
    return {
        "environment": examination.environment.model_dump(),
        "versions": examination.versions,
        "findings": [
            {"group": group, **finding._asdict()}
            for group, findings in examination.findings.items()
            for finding in findings
        ],
    }


def _show(examination: Examination) -> None:
    for group, findings in examination.findings.items():
        out.print(group, style="bold")
        for finding in findings:
            line, advice = _lines(finding)
            out.print(line, style=_STYLES[finding.state], hang=_HANG - 2)
            if advice:
                out.print(advice, hang=2)
    out.print(summary(examination))


def _lines(finding: Finding) -> tuple[str, str]:
    """What is found, and what to do about it or ""."""
    line = f"  {finding.state:<7}  {finding.what}: {finding.text}"
    return line, f"{' ' * _HANG}-> {finding.advice}" if finding.advice else ""


def summary(examination: Examination) -> str:
    states = [f.state for findings in examination.findings.values() for f in findings]
    warnings, missing = states.count("warning"), states.count("missing")
    return f"{len(states)} looked at: {warnings} with a warning, {missing} missing"


def markdown(examination: Examination) -> str:
    """A block for a bug report, of text alone: nothing in it is Markdown."""
    from ..doctor.private import without_names

    lines = []
    for group, findings in examination.findings.items():
        lines.append(group)
        for finding in findings:
            for text, hang in zip(_lines(finding), (_HANG - 2, 2), strict=True):
                if text:
                    shown = without_names(clean(text, "line"))
                    lines += wrapped(shown, _REPORT_WIDTH, hang)
    body = "\n".join(line.replace("```", "'''") for line in lines)
    return f"```text\n{body}\n{summary(examination)}\n```\n"
