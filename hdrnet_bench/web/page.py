"""A trained model as one HTML file that opens from disk and loads nothing else."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from .. import html_pages
from ..config import input_description
from ..errors import UsageError
from ..files import sha256_file, write_text
from ..model.card import facts
from ..model.file import ModelHeader
from ..model.hdrnet import HDRNet
from ..recipe import load_recipe, recipe_paths
from ..version import __version__
from .network import packed_model
from .samples import Sample, samples
from .scores import scores

_NOTE = (
    "The network's weights are rounded to float16 here; all else is as in the model file. Pictures "
    "are 8-bit sRGB, as browsers have them."
)
_TEMPLATES = files("hdrnet_bench.web") / "templates"
# Joined in this order, of the page, and of its worker.
_PAGE_SCRIPTS = (
    *("shaders", "webgl", "engine", "pictures", "losses", "grid_view"),
    *("stage", "openings", "controls", "camera", "page"),
)
_WORKER_SCRIPTS = ("lowres", "network", "slice", "worker")


def write_page(model: HDRNet, source: Path, path: Path) -> dict[str, Any]:
    """Write the page of a model: whole and on the disk, or not at all.

    Args:
        model: with the header of its file.
        source: the model file, by which results know it.

    Returns:
        What the page says of the model.

    Raises:
        UsageError: the model takes no pictures that a browser has.
        DataError: a result of the model is broken.
        OSError: the file cannot be written.
    """
    check_input(model, source)
    about = describe(model, source)
    html = render(model, about, samples())
    write_text(path, html, durable=True)
    measured = [
        f"PSNR {score.psnr} dB on {score.data} ({score.split}), identity {score.identity or '–'}."
        for score in about["scores"]
    ]
    return {"title": about["title"], "scores": measured, "bytes": len(html.encode())}


def check_input(model: HDRNet, source: Path) -> None:
    """Raises UsageError where the model takes no pictures that a browser has."""
    if model.config.input_encoding != "srgb":
        raise UsageError(
            f"{source}: the model takes {input_description(model.config)}, and a browser has "
            "pictures in sRGB alone: `hdrbench enhance` and `--format onnx` serve it"
        )


def describe(model: HDRNet, source: Path) -> dict[str, Any]:
    """What the page says of the model."""
    header = model.header or ModelHeader(config=model.config)
    parameters = sum(p.numel() for p in model.parameters())
    return {
        "title": f"HDRNet: {header.recipe or source.stem}",
        "summary": _summary(header),
        "rows": [
            *facts(header, parameters),
            ("model file", f"SHA-256 {sha256_file(source)[:12]}"),
            ("made by", f"hdrnet-bench {__version__}"),
        ],
        "scores": scores(source),
        "note": _NOTE,
    }


def _summary(header: ModelHeader) -> str | None:
    """What the recipe of that digest says of itself."""
    # A model file is anybody's, and a recipe's name may be a path: known names alone are looked up.
    if header.recipe not in recipe_paths():
        return None
    try:
        recipe = load_recipe(header.recipe)
    except UsageError:  # the user's own recipe is broken, which is no matter of this model
        return None
    return recipe.summary if recipe.digest == header.recipe_digest else None


def render(model: HDRNet, about: dict[str, Any], pictures: list[Sample]) -> str:
    """The page as HTML. about: of `describe`."""
    environment = html_pages.environment("hdrnet_bench.web")
    description, weights = packed_model(model)

    def source(names: tuple[str, ...]) -> str:
        texts = [(_TEMPLATES / f"{name}.js").read_text("utf-8") for name in names]
        return '(() => {\n"use strict";\n' + "\n".join(texts) + "\n})();"

    script = source(_PAGE_SCRIPTS)
    policy = {
        "default-src": "'none'",
        "script-src": html_pages.script_source(script),
        "worker-src": "blob:",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return environment.get_template("page.html.j2").render(
        about=about,
        csp="; ".join(f"{name} {value}" for name, value in policy.items()),
        css=Markup((_TEMPLATES / "page.css").read_text("utf-8")),
        model=description,
        samples=pictures,
        # A browser runs this script and no other, whatever text ever got into the page unescaped.
        script=Markup(script),
        weights=base64.b64encode(weights).decode(),
        worker=Markup(source(_WORKER_SCRIPTS)),
    )
