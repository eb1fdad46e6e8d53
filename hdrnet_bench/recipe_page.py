"""recipes/README.md: the recipes in groups, how to write one, what the keys mean.

Made of the recipes and of the models that check them, so that it cannot drift from either.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from .cleaning import clean
from .config import HDRNetConfig
from .recipe import DatasetSpec, EvaluationSpec, Recipe, TrainingSpec

# What stands over each group's table: what it is, and what it needs.
_GROUPS = {
    "Demo": "Sample photographs and edits that are made up: they show that the whole way works, "
    "and compare with no published figure. They need no download and no GPU: the photographs come "
    "with packages that are installed anyway.",
    "BSDS500, local Laplacian": "The experiment of this project that has intervals: the paper's "
    "headline task on the 500 photographs of the Berkeley Segmentation Data Set, by grids of four "
    "sizes and by the three variants, after the same training. It needs a copy of that data set "
    "(71 MB, for research that is not commercial) and, on a CPU, some ten minutes a training, of "
    "32 x 32 cells half an hour ([results](../results/README.md)).",
    "FiveK": "The retouches of MIT-Adobe FiveK's five experts, a recipe each. They need that "
    "dataset, which is for research only ([how to come by it](protocols/README.md#fivek)) and, in "
    "practice, a GPU.",
    "FiveK, as papers prepare it": "The renderings that papers train and test on, with a training "
    "that was chosen for the result: published figures stand beside what is measured on them. They "
    "need Lightroom or a pack that a paper's authors published "
    "([how to come by it](protocols/README.md#fivek)).",
    "FiveK, as papers prepare it, trained as in 2017": "The same data, with the training of "
    "HDRNet's reference.",
    "HDR+": "From merged raw bursts to the camera's finished pictures, in linear camera colours. "
    "It needs the HDR+ burst dataset ([how to come by it](protocols/README.md#hdr)) and, in "
    "practice, a GPU.",
    "PPR10K": "Portraits at 360p, retouched by three experts, a recipe each, measured besides with "
    "the person weighing more than what is around. They need that dataset, which is for research "
    "that is not commercial ([how to come by it](protocols/README.md#ppr10k)) and, in practice, a "
    "GPU.",
    "Local Laplacian, mild": "A mild local Laplacian filter, learnt by grids of several sizes "
    "(l4s8: 4 luma bins, 8 x 8 cells) and by the pyramid. They need a folder of photographs of "
    "yours, whose targets are computed, and, in practice, a GPU. A photograph smaller than the "
    "crop is continued by its mirror image.",
    "Local Laplacian, strong": "The same with a strong filter, more pictures in a batch and "
    "smaller crops.",
    "Sanity check": "Whether data and code are sound at all. It needs any folder of photographs.",
    "Your own": "Recipes of your own, from the folder recipes/ where the command was run.",
}

# What papers on FiveK do not use: no figure of theirs stands beside these.
_NOT_OF_PAPERS = ("libraw", "as-shot-zeroed")

# What recipes say of what they take, beside the published experiment: the keys by their headings.
_TAKES = {"expected": "expected", "cost": "cost", "by hand": "by_hand"}

EXAMPLE = """\
name: my-look                # that of the file, where it lies in recipes/
version: 1                   # raise it with every change that changes results
summary: My edits of my photographs.
dataset:
  source: folder
  protocol: my-look          # made by prepare, see below
model:
  variant: curves
training:
  steps: 20000
  batch_size: 4
  crop: 512
  learning_rate: 1.0e-4
  validate_every: 1000
"""

_HOW_TO = f"""\
## How to write a recipe

`hdrbench recipes new my-look --dataset folder-my-look` writes one for a prepared dataset, with what
each key means, into `recipes/my-look.yaml`; `--from` says whose model and training it begins with
(the crop becomes larger where it would show little of the pictures).
By hand, this is all that is needed:

```yaml
{EXAMPLE}```

```
hdrbench prepare folder --protocol my-look --input-dir A --target-dir B
hdrbench recipes new my-look --dataset folder-my-look
hdrbench train my-look --dry-run                       # checks recipe and data, trains nothing
hdrbench train my-look --set training.steps=100        # one key changed
```

- An unknown key, a wrong type or a value out of range is an error that names the key. Numbers
  need a point before an exponent: YAML takes 1.0e-4 for a number and 1e-4 for text.
- A recipe is known by its digest, the SHA-256 of what it asks for: a result says which digest it
  was measured with, and one of another digest is stale. Keys at their defaults may be left out.
- What is trained with `--set` has results of its own name (RECIPE-set-…), so that they are not
  taken for those of the recipe.
- `train` and the other commands take a path, or the name of a recipe in a folder recipes/ where
  they are run, or of one of these. There, name and file must agree.
"""

_SECTIONS: dict[str, tuple[type[BaseModel], str]] = {
    "": (Recipe, "What it is called; its sections are below."),
    "dataset": (
        DatasetSpec,
        "Which prepared dataset: its folder is called SOURCE-PROTOCOL[-EXPERT][-PART][-SIZE].",
    ),
    "model": (
        HDRNetConfig,
        "The network; the defaults are the paper's. `net_input_size` must be `spatial_bin` times a "
        "power of two.",
    ),
    "training": (TrainingSpec, "How it is trained; either `steps` or `epochs`."),
    "evaluation": (EvaluationSpec, "What `eval` measures, and the sizes that `time` times."),
}


def markdown_list(recipes: list[Recipe]) -> str:
    """recipes/README.md of these recipes."""
    parts = [
        "# Recipes\n\n"
        "A recipe is one YAML file that says what is trained on which data, how, and how it\n"
        "is measured. `hdrbench train RECIPE` makes a *run* of it, a trained model in a folder of\n"
        "its own; `hdrbench recipes NAME` shows one whole. Which pictures, rendered and split\n"
        "how, is a [protocol](protocols/README.md).\n\n"
        "Made by `hdrbench recipes --markdown`; the files are the source.\n"
    ]
    told: dict[tuple[str, str], str] = {}
    parts += [_group(title, them, told) for title, them in groups(recipes).items() if them]
    parts += [_HOW_TO, "## The keys\n"]
    parts += [_keys(section, *content) for section, content in _SECTIONS.items()]
    return "\n".join(parts)


def groups(recipes: list[Recipe]) -> dict[str, list[Recipe]]:
    """The recipes by the headings they stand under, in the order of these."""
    members: dict[str, list[Recipe]] = {title: [] for title in _GROUPS}
    for recipe in recipes:
        members[_group_of(recipe)].append(recipe)
    return members


def _group_of(recipe: Recipe) -> str:
    by_source = {
        "demo": "Demo",
        "synthetic-hdrplus": "Demo",
        "hdrplus": "HDR+",
        "bsds500": "BSDS500, local Laplacian",
        "ppr10k": "PPR10K",
    }
    by_protocol = {
        "local-laplacian-mild": "Local Laplacian, mild",
        "local-laplacian": "Local Laplacian, strong",
        "identity": "Sanity check",
    }
    data = recipe.dataset
    if data.source == "fivek":
        if data.protocol in _NOT_OF_PAPERS:
            return "FiveK"
        as_published = recipe.name.endswith("-as-published")
        return "FiveK, as papers prepare it" + (", trained as in 2017" if as_published else "")
    if data.source == "folder":
        return by_protocol.get(data.protocol, "Your own")
    return by_source.get(data.source, "Your own")


def _group(title: str, recipes: list[Recipe], told: dict[tuple[str, str], str]) -> str:
    """A group's section. What all its recipes say of the published experiment stands once, under
    the table; what each says for itself, in its row. So does what else they say in prose, in a
    table of its own."""
    shared, own = _parted({r.name: r.published for r in recipes})
    headings = ["recipe", "what it is", "guide, grid"]
    headings += ["published experiment"] if any(own.values()) else []
    lines = [f"## {title}", "", _GROUPS[title], "", *_heading(headings)]
    for recipe in recipes:
        cells = [f"[{recipe.name}]({recipe.name}.yaml)", clean(recipe.summary, "markdown")]
        lines.append(_row([*cells, _network(recipe.model), own[recipe.name]][: len(headings)]))
    lines += ["", f"Published experiment: {shared}"] if shared else []
    lines += _what_it_takes(recipes, told)
    commands = dict.fromkeys(recipe.dataset.prepare_command for recipe in recipes)
    return "\n".join([*lines, "", "```", *commands, "```", ""])


def _what_it_takes(recipes: list[Recipe], told: dict[tuple[str, str], str]) -> list[str]:
    """What they say is expected, what it costs and what is done by hand; nothing where none says
    anything.

    Args:
        told: which recipe said a sentence of a dataset already, further up the page; that of these
            recipes is put there too.
    """
    said = {
        heading: _parted({r.name: getattr(r, key) or "" for r in recipes})
        for heading, key in _TAKES.items()
    }
    columns = {heading: own for heading, (_, own) in said.items() if any(own.values())}
    lines = ["", *_heading(["recipe", *columns])] if columns else []
    for recipe in recipes if columns else ():
        cells = [_untold(recipe, own[recipe.name], told) for own in columns.values()]
        lines.append(_row([recipe.name, *cells]))
    for heading, (shared, _) in said.items():
        lines += ["", f"{heading.capitalize()}: {shared}"] if shared else []
    return lines


def _untold(recipe: Recipe, text: str, told: dict[tuple[str, str], str]) -> str:
    """A text without the sentences that another recipe of the same data has told already."""
    kept, others = [], dict[str, None]()
    for sentence in _sentences(text):
        first = told.setdefault((recipe.dataset.name, sentence), recipe.name)
        if first == recipe.name:
            kept.append(sentence)
        else:
            others[first] = None
    return " ".join([*(f"As {name}." for name in others), *kept])


def _parted(texts: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The sentences that all of these texts have, and what each has besides, as Markdown."""
    said = {name: _sentences(text) for name, text in texts.items()}
    first = next(iter(said.values()))
    common = [one for one in first if all(one in sentences for sentences in said.values())]
    own = {n: [one for one in sentences if one not in common] for n, sentences in said.items()}
    return (
        clean(" ".join(common), "markdown"),
        {name: clean(" ".join(sentences), "markdown") for name, sentences in own.items()},
    )


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.;]) +(?=[A-Z])", " ".join(text.split()))


def _network(config: HDRNetConfig) -> str:
    return f"{config.variant}, {config.spatial_bin} x {config.spatial_bin} x {config.luma_bins}"


def _keys(section: str, model: type[BaseModel], text: str) -> str:
    """A table of a section's keys, from its model's schema."""
    schema = model.model_json_schema()
    lines = [f"### `{section}`" if section else "### The recipe itself", "", text, ""]
    lines += _heading(["key", "values", "default", "meaning"])
    for key, of in schema["properties"].items():
        if key in _SECTIONS:
            continue
        default = "needed" if key in schema.get("required", []) else _shown(of.get("default"))
        lines.append(_row([f"`{key}`", _values(of), default, clean(of["description"], "markdown")]))
    return "\n".join([*lines, ""])


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "–"
    if isinstance(value, list) and not isinstance(value[0], list):
        return ", ".join(map(_shown, value))
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _values(schema: dict[str, Any]) -> str:
    """What a key takes, in words, by its JSON schema."""
    schema = next((one for one in schema.get("anyOf", []) if one["type"] != "null"), schema)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = {"array": "list", "string": "text", "boolean": "`true`, `false`"}.get(
        schema["type"], schema["type"]
    )
    if "pattern" in schema:
        return "name (a-z, 0-9, -)"
    bounds = [
        f"{word} {schema[key]:,}"
        for key, word in (
            ("minimum", "from"),
            ("exclusiveMinimum", "over"),
            ("maximum", "to"),
            ("exclusiveMaximum", "under"),
        )
        if key in schema and schema[key] != _NO_LIMIT
    ]
    return " ".join([kind, *bounds])


_NO_LIMIT = 10**9  # a bound that keeps out only what is no such number


def _heading(cells: list[str]) -> list[str]:
    return [_row(cells), "|" + "---|" * len(cells)]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
