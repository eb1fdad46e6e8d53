"""The command `train`."""

from __future__ import annotations

from typing import Annotated

import typer

from . import completion
from .options import Device, DryRun, Json, Overwrite, Quiet


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A recipe's name or file.",
            autocompletion=completion.recipes,
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="DATASET",
            help="Train on this prepared dataset instead of the recipe's, with crops that fit its "
            "pictures; the run and its results are called RECIPE-on-DATASET.",
            autocompletion=completion.datasets,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=2**31 - 1, metavar="N", help="One seed; by default each of the recipe's."
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            "--run-name",  # torchrun takes --run for a short form of an option of its own
            metavar="NAME",
            help="Name of the run; by default seed-<seed>.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the recipe, as training.steps=10; repeatable.",
            autocompletion=completion.recipe_keys,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped.")
    ] = False,
    device: Device = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, max=64, metavar="N", help="Processes that make batches; they change no result."
        ),
    ] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a recipe: a run with weights, log, curve and all that resumes it.

    Ctrl-C and SIGTERM save the state; --resume goes on from there. On data of your own:

        hdrbench train demo-retouch --dataset folder-mine
    """
    from .training import train_recipe

    train_recipe(
        recipe,
        settings or [],
        dataset=dataset,
        seed=seed,
        run=run,
        device=device,
        workers=workers,
        resume=resume,
        overwrite=overwrite,
        dry_run=dry_run,
        quiet=quiet,
        as_json=as_json,
    )
