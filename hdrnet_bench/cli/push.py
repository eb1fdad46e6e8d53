"""`hdrbench push`: a model to the Hugging Face Hub."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from ..errors import UsageError
from . import completion
from .console import next_step, out, print_json, report_values
from .model_argument import model_file, say_unfinished, silence_hub
from .options import MODEL, DryRun, Json, Quiet
from .progress import progress

if TYPE_CHECKING:
    from ..model_header import ModelHeader


def push(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help=f"{MODEL}.", autocompletion=completion.models)
    ],
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="On the Hub; made where there is none.")
    ],
    private: Annotated[
        bool, typer.Option("--private", help="Where the repository is made: for its owner alone.")
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence", metavar="ID", help="Of the weights, as the Hub calls it: cc0-1.0."
        ),
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            "--result",
            metavar="FILE",
            help="For the card: a result of this model (results/…/eval-*.json); repeatable.",
        ),
    ] = None,
    summary: Annotated[
        str | None,
        typer.Option(
            "--summary", metavar="TEXT", help="For card and entry: what it is, in a sentence."
        ),
    ] = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Bring a model to the Hugging Face Hub, as safetensors with its card.

    In one commit: model.safetensors, config.json and README.md with the results. What is printed
    then, in pretrained/models.yaml, makes it known by name. `hf auth login` or HF_TOKEN says who
    you are. --dry-run asks the Hub nothing.
    """
    from ..files import read_text, sha256_file
    from ..hub_files import CARD, REPOSITORY, WEIGHTS, upload
    from ..model_names import find_model

    if re.fullmatch(REPOSITORY, repository) is None:
        raise UsageError(f"{repository!r} is no name of a repository: write OWNER/NAME")
    source = find_model(model)
    if dry_run and source.path is None:
        raise UsageError(f"{model} is on the Hub, which --dry-run asks nothing: name what is here")

    if source.pretrained:
        licence = licence or source.pretrained.entry.licence
        summary = summary or source.pretrained.entry.summary
    from ..model.load import read_model

    file, _ = model_file(source, quiet or as_json)
    network, header = read_model(file)
    say_unfinished(file, header)
    card = {"results": results or [], "licence": licence, "summary": summary, "name": repository}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network.save_pretrained(folder, model_card_kwargs=card)
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        report = {
            "model": str(file),
            "repository": repository,
            "files": {name: f"{size:,} bytes" for name, size in files.items()},
            "sha256": sha256_file(folder / WEIGHTS),
        }
        text = read_text(folder / CARD)
        if dry_run:
            if as_json:
                print_json(report | {"files": files, "card": text})
                return
            report_values(report, False)
            out.print_text(f"{CARD}:\n{text}")
            return
        if quiet or as_json:
            silence_hub()
        with progress(f"push {repository}", 1, quiet) as step:
            # Without --private as the owner has it for new repositories.
            commit = upload(
                folder, repository, message="Model of hdrnet-bench", private=private or None
            )
            step()
    report |= {"wrote": str(commit), "revision": commit.oid}
    entry = _entry(repository, header, report, licence, summary)
    if as_json:
        print_json(report | {"files": files, "entry": entry})
        return
    report_values(report, False)
    out.print_text(_shown(entry))
    (known,) = entry
    next_step(
        f"with these lines below `models:` in pretrained/models.yaml, "
        f"`hdrbench enhance {known} INPUT OUTPUT` knows it",
        quiet,
    )


def _entry(
    repository: str,
    header: ModelHeader,
    report: dict[str, Any],
    licence: str | None,
    summary: str | None,
) -> dict[str, dict[str, Any]]:
    """Of pretrained/models.yaml, by the name that the model may have there."""
    from ..pretrained import Entry

    name = re.sub(r"[^a-z0-9]+", "-", repository.partition("/")[2].lower()).strip("-")
    of_itself = f"HDRNet, {header.config.variant}" + (
        f": the recipe {header.recipe} on {header.dataset}" if header.recipe else ""
    )
    entry = Entry(
        sha256=report["sha256"],
        summary=summary or of_itself,
        licence=licence or "unknown",
        hub=repository,
        revision=report["revision"],
    )
    return {name: entry.model_dump()}


def _shown(entry: dict[str, dict[str, Any]]) -> str:
    """As it stands below `models:`."""
    lines = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=1000).splitlines()
    return "".join(f"  {line}\n" for line in lines)
