"""The model card: recipe, data, scores and licence of a model, as Markdown for the Hub."""

from __future__ import annotations

import json

from ..cleaning import clean
from ..config import input_description
from ..metric_specs import METRICS
from ..model_header import ModelHeader
from ..results import Evaluation, cell


def card_text(
    header: ModelHeader,
    parameters: int,
    evaluations: list[Evaluation],
    licence: str | None,
    summary: str | None,
    name: str | None,
) -> str:
    """The card of a model with so many parameters, its licence as the Hub calls it, and the name
    that `load_model` knows it by.

    What the header and the results say of themselves may be anybody's text, and ends neither the
    front matter nor a cell.
    """
    config = header.config
    return "\n".join(
        [
            "---",
            f"license: {clean(licence or 'unknown', 'yaml')}",
            "library_name: hdrnet-bench",
            "pipeline_tag: image-to-image",
            "tags: [hdrnet, bilateral-grid, photo-enhancement]",
            "---",
            "",
            f"# HDRNet, {config.variant}" + (f": {_text(header.recipe)}" if header.recipe else ""),
            "",
            *([_text(summary), ""] if summary else ()),
            "A network for photo enhancement (Gharbi et al., Deep Bilateral Learning for Real-Time "
            "Image Enhancement, SIGGRAPH 2017), as hdrnet-bench trains and runs it.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {_text(value)} |" for name, value in facts(header, parameters)),
            "",
            "## Scores",
            "",
            *_scores(evaluations),
            "",
            "## Licence",
            "",
            _text(licence) if licence else "Not stated by whoever made this model.",
            "",
            "## Use",
            "",
            "```python",
            "from hdrnet_bench import load_model",
            "",
            f"model = load_model({json.dumps(name or 'owner/name')})  # or this folder",
            "output = model.enhance(picture)  # (3, H, W), uint8 or floating in [0, 1]",
            "```",
            "",
        ]
    )


def facts(header: ModelHeader, parameters: int) -> list[tuple[str, str]]:
    """What a model of so many parameters is, each with its label. What its file says of itself may
    be anybody's text, which stands here as it is."""
    config = header.config

    def identity(name: str | None, digest: str | None) -> str:
        return f"{name}, digest {str(digest)[:12]}" if name else "not stated"

    steps = "not stated" if header.step is None else f"{header.step:,}"
    if header.steps is not None:
        steps += f" of {header.steps:,}"
    source = "trained with hdrnet-bench" if header.recipe else "not stated"
    return [
        ("recipe", identity(header.recipe, header.recipe_digest)),
        ("data", identity(header.dataset, header.dataset_digest)),
        ("seed", "not stated" if header.seed is None else str(header.seed)),
        ("steps", steps),
        ("source", header.source or source),
        ("network", f"{config.variant}, {parameters:,} parameters"),
        ("input", f"{input_description(config)}; low-res copy by {config.lowres_resize}"),
    ]


def _scores(evaluations: list[Evaluation]) -> list[str]:
    if not evaluations:
        return ["None are stated."]
    names = [name for name in METRICS if any(name in e.metrics for e in evaluations)]
    labels = " | ".join(METRICS[name].label for name in names)
    lines = [f"| data | split | n | {labels} |", "|---" * (len(names) + 3) + "|"]
    for e in evaluations:
        cells = " | ".join(cell(name, e.metrics.get(name)) for name in names)
        n = e.metrics["psnr"].n
        data = f"{_text(e.dataset.name)} | {_text(e.dataset.split)}"
        lines.append(f"| {data} | {n} | {cells} |")
    return lines


def _text(text: str) -> str:
    return clean(text, "markdown")
