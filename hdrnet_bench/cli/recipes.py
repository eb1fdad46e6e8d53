"""The command `recipes`: list them, show one, write one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from . import completion
from .console import next_step, out, print_json, report_values
from .options import Json
from .tables import report_groups

if TYPE_CHECKING:
    from ..recipe import Recipe

_NEW = "To write one (recipes new NAME)"


def recipes(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME | new NAME",
            help="Show this recipe; or write a new one, recipes/NAME.yaml.",
            autocompletion=completion.recipes_or_new,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="DATASET",
            help="The prepared dataset that it trains on.",
            rich_help_panel=_NEW,
            autocompletion=completion.datasets,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RECIPE",
            help="Whose model, training and evaluation it takes over; by default demo-retouch.",
            rich_help_panel=_NEW,
            autocompletion=completion.recipes,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace a file that is there.", rich_help_panel=_NEW),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show the file instead of writing it.", rich_help_panel=_NEW
        ),
    ] = False,
    protocols: Annotated[
        bool, typer.Option("--protocols", help="As `hdrbench protocols [NAME]`.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The list as recipes/README.md has it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List recipes, show one, or write one for data of your own.

    A recipe says what is trained on which data, how, and how it is measured.

        hdrbench recipes demo-retouch
        hdrbench recipes new mine --dataset folder-mine
    """
    from ..recipe import load_recipe

    first, others = (words[0], words[1:]) if words else (None, [])
    if first == "new":
        if len(others) != 1:
            raise UsageError("recipes new NAME --dataset DATASET: give one NAME")
        if protocols or markdown:
            raise UsageError("--protocols and --markdown list: `recipes new` writes one recipe")
        _write(others[0], dataset, source, overwrite, dry_run, as_json)
        return
    if others:
        raise UsageError(f"recipes shows one recipe at a time: {others[0]!r} is too much")
    if dataset or source or overwrite or dry_run:
        raise UsageError("--dataset, --from, --overwrite, --dry-run: they go with `recipes new`")
    if markdown and (protocols or first):
        raise UsageError("--markdown is the list of all recipes: nothing goes with it")
    if protocols:
        from .protocols import list_protocols

        list_protocols(first, as_json)
    elif first is not None:
        _show(load_recipe(first), as_json)
    else:
        _list(markdown, as_json)


def _show(recipe: Recipe, as_json: bool) -> None:
    if as_json:
        print_json(recipe.model_dump(mode="json") | {"digest": recipe.digest})
        return
    out.print_text(recipe.yaml())
    out.print(f"# data: {recipe.dataset.prepare_command}", soft_wrap=True)


def _list(markdown: bool, as_json: bool) -> None:
    from ..recipe import parse_recipe, recipe_paths
    from ..recipe_page import groups, markdown_list

    recipes = [parse_recipe(path) for path in recipe_paths().values()]
    if markdown:
        print(markdown_list(recipes), end="")
        return

    def row(recipe: Recipe) -> dict[str, Any]:
        return {
            "recipe": recipe.name,
            "dataset": recipe.dataset.name,
            "model": recipe.model.variant,
            "summary": recipe.summary,
        }

    shown = {title: [row(r) for r in members] for title, members in groups(recipes).items()}
    report_groups({t: rows for t, rows in shown.items() if rows}, "recipe", "summary", as_json)


def _write(
    name: str,
    dataset: str | None,
    source: str | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """`recipes new`: a recipe on a dataset, with the rest of another's."""
    from ..files import write_text
    from ..recipe import FIRST_RECIPE, is_recipe_file, load_recipe, recipe_paths
    from ..recipe_writing import explained_yaml, named_dataset, on_dataset, short_edge

    if dataset is None:
        raise UsageError(f"recipes new {name}: --dataset DATASET says what it trains on")
    own_path = is_recipe_file(name)
    path = Path(name) if own_path else Path("recipes") / f"{name}.yaml"
    if name == "new" or (not own_path and not overwrite and name in recipe_paths()):
        raise UsageError(f"there is a recipe of the name {name}: take another one, or --overwrite")
    opened = named_dataset(dataset)
    name_of_it = path.stem if own_path else name
    recipe = on_dataset(
        load_recipe(source or FIRST_RECIPE),
        opened.header,
        name_of_it,
        short_edge(opened.split("train")),
    )
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already: name another one, or --overwrite")
    text = explained_yaml(recipe, opened.header.counts.get("train", 0))
    if dry_run:
        if as_json:
            print_json({"would write": str(path), "recipe": recipe.model_dump(mode="json")})
        else:
            out.print_text(text)
        return
    write_text(path, text)
    report_values({"wrote": str(path)}, as_json)
    next_step(f"look into {path}, then `hdrbench train {shlex.quote(name)}`", as_json)
