"""Models as folders and Hub repositories: model.safetensors, config.json and a model card.

huggingface_hub's own mixin for torch falls back to a pickle file; this one knows safetensors alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from huggingface_hub import ModelCard, ModelHubMixin, constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)

from ..config import input_told
from ..errors import DataError, UsageError
from ..files import json_text, write_text

if TYPE_CHECKING:
    from ..results import Evaluation
    from .file import ModelHeader
    from .hdrnet import HDRNet

WEIGHTS = constants.SAFETENSORS_SINGLE_FILE
CARD = "README.md"


class HubMixin(ModelHubMixin):
    """from_pretrained, save_pretrained and push_to_hub for HDRNet."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """An HDRNet in evaluation mode from a folder that `save_pretrained` wrote, or a repository.

        Args:
            pretrained_model_name_or_path: a folder, or "owner/name" on the Hub.
            options: revision, token, cache_dir, force_download, local_files_only of
                huggingface_hub.

        Raises:
            DataError: it is not there, or its model.safetensors is not one of this project.
        """
        name = str(pretrained_model_name_or_path)
        try:
            return super().from_pretrained(name, **options)
        except HFValidationError:
            raise DataError(
                f"{name} is neither a folder nor the name of a repository (owner/name)"
            ) from None
        except (HfHubHTTPError, LocalEntryNotFoundError) as error:
            reason = " ".join(str(error).split())[:300]
            raise DataError(f"{name} cannot be had from the Hub: {reason}") from None

    @classmethod
    def _from_pretrained(cls, *, model_id: str, config: Any = None, **options: Any) -> Any:
        from .file import load_model

        nothing_else = (
            f"{model_id} has no {WEIGHTS}; other files, pickles like "
            f"{constants.PYTORCH_WEIGHTS_NAME} above all, are not read"
        )
        if Path(model_id).is_dir():
            path = Path(model_id) / WEIGHTS
            if not path.exists():
                raise DataError(nothing_else)
            return load_model(path)
        try:
            return load_model(hf_hub_download(repo_id=model_id, filename=WEIGHTS, **options))
        except LocalEntryNotFoundError:
            raise  # no network, which is something else
        except EntryNotFoundError:
            raise DataError(nothing_else) from None

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        overwrite: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> str | None:
        """Write model.safetensors, config.json and the model card README.md into a folder.

        Args:
            save_directory: made where it is not there.
            overwrite: replace those three files where they are there.
            model_card_kwargs: see `generate_model_card`.
            options: push_to_hub and repo_id of huggingface_hub.
        """
        folder = Path(save_directory)
        there = [
            name for name in (WEIGHTS, constants.CONFIG_NAME, CARD) if (folder / name).exists()
        ]
        if there and not overwrite:
            raise UsageError(f"{folder / there[0]} is there already: overwrite=True replaces it")
        card = str(self.generate_model_card(**(model_card_kwargs or {})))
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / CARD, card)  # the mixin keeps a card that is there
        return super().save_pretrained(folder, model_card_kwargs=model_card_kwargs, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        from .file import save_model

        model = cast("HDRNet", self)
        save_model(save_directory / WEIGHTS, model, _header(model))
        config = model.config.model_dump(mode="json")
        write_text(save_directory / constants.CONFIG_NAME, json_text(config))

    def generate_model_card(
        self, results: Sequence[str | Path] = (), licence: str | None = None
    ) -> ModelCard:
        """What the model is: recipe, data, scores, licence.

        Args:
            results: evaluation files (results/…/eval-*.json) of this model.
            licence: its identifier as the Hub knows it ("cc0-1.0"); of the weights, which the
                pictures they were trained on have a say in.

        Raises:
            DataError: a result is not of this model's recipe, seed or data.
        """
        from ..results import Evaluation, read_result

        model = cast("HDRNet", self)
        header = _header(model)
        evaluations = []
        for path in map(Path, results):
            result = read_result(path)
            if not isinstance(result, Evaluation):
                raise DataError(f"{path} is not an evaluation")
            if (result.recipe.digest, result.dataset.digest, result.method.seed) != (
                header.recipe_digest,
                header.dataset_digest,
                header.seed,
            ):
                raise DataError(f"{path} is of another recipe, dataset or seed than this model")
            evaluations.append(result)
        parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        return ModelCard(_card(header, parameters, evaluations, licence))


def _header(model: HDRNet) -> ModelHeader:
    from .file import ModelHeader

    return model.header or ModelHeader(config=model.config)


def _card(
    header: ModelHeader, parameters: int, evaluations: list[Evaluation], licence: str | None
) -> str:
    config = header.config

    def named(name: str | None, digest: str | None) -> str:
        return f"{name}, digest `{str(digest)[:12]}`" if name else "not stated"

    steps = "not stated" if header.step is None else f"{header.step:,}"
    if header.steps is not None:
        steps += f" of {header.steps:,}"
    source = "trained with hdrnet-bench" if header.recipe else "not stated"
    rows = [
        ("recipe", named(header.recipe, header.recipe_digest)),
        ("data", named(header.dataset, header.dataset_digest)),
        ("seed", "not stated" if header.seed is None else str(header.seed)),
        ("steps", steps),
        ("source", header.source or source),
        ("network", f"{config.variant}, {parameters:,} parameters"),
        ("input", f"{input_told(config)}; low-res copy by {config.lowres_resize}"),
    ]
    return "\n".join(
        [
            "---",
            f"license: {licence or 'unknown'}",
            "library_name: hdrnet-bench",
            "pipeline_tag: image-to-image",
            "tags: [hdrnet, bilateral-grid, photo-enhancement]",
            "---",
            "",
            f"# HDRNet, {config.variant}" + (f": {header.recipe}" if header.recipe else ""),
            "",
            "A network for photo enhancement (Gharbi et al., Deep Bilateral Learning for Real-Time "
            "Image Enhancement, SIGGRAPH 2017), as hdrnet-bench trains and runs it.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
            "## Scores",
            "",
            *_scores(evaluations),
            "",
            "## Licence",
            "",
            f"{licence}" if licence else "Not stated by whoever made this model.",
            "",
            "## Use",
            "",
            "```python",
            "from hdrnet_bench import HDRNet",
            "",
            'model = HDRNet.from_pretrained("owner/name")  # or this folder',
            "output = model.enhance(picture)  # (3, H, W), uint8 or floating in [0, 1]",
            "```",
            "",
        ]
    )


def _scores(evaluations: list[Evaluation]) -> list[str]:
    from ..metric_specs import METRICS
    from ..report.tables import cell

    if not evaluations:
        return ["None are stated."]
    names = [name for name in METRICS if any(name in e.metrics for e in evaluations)]
    labels = " | ".join(METRICS[name].label for name in names)
    lines = [f"| data | split | n | {labels} |", "|---" * (len(names) + 3) + "|"]
    for e in evaluations:
        cells = " | ".join(cell(name, e.metrics.get(name)) for name in names)
        n = e.metrics["psnr"].n
        lines.append(f"| {e.dataset.name} | {e.dataset.split} | {n} | {cells} |")
    return lines
