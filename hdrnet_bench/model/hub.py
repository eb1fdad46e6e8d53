"""Models as folders and Hub repositories: model.safetensors, config.json and a model card.

huggingface_hub's own mixin for torch falls back to a pickle file; this one knows safetensors alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, cast

from huggingface_hub import (
    ModelCard,
    ModelHubMixin,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)
from torch import nn

from ..config import HDRNetConfig
from ..connections import shortened
from ..errors import DataError, UsageError
from ..files import json_text, write_text
from ..results import Evaluation, read_result
from .card import card_text
from .file import ModelHeader, read_network, save_model

WEIGHTS = constants.SAFETENSORS_SINGLE_FILE
CARD = "README.md"
# The largest network that a configuration allows has some dozen megabytes.
MOST_BYTES = 1 << 30


class HubMixin(ModelHubMixin):
    """from_pretrained, save_pretrained and push_to_hub for a torch module.

    The module is made by its class from a configuration, and keeps that as `config`; `header` is
    what the file it was read from says of it, None where it was made here.
    """

    config: HDRNetConfig
    header: ModelHeader | None = None

    @classmethod
    def from_pretrained(  # type: ignore[override]  # no other options
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
    ) -> Self:
        """An HDRNet in evaluation mode from a folder that `save_pretrained` wrote, or a repository.

        The configuration is that of model.safetensors: config.json, which the mixin's own would
        parse first, is not read.

        Args:
            pretrained_model_name_or_path: a folder, or "owner/name" on the Hub.
            revision, token, cache_dir, force_download, local_files_only: of huggingface_hub.

        Raises:
            DataError: it is not there, or its model.safetensors is not one of this project.
        """
        name = str(pretrained_model_name_or_path)
        if Path(name).is_dir():
            path = Path(name) / WEIGHTS
            if not path.exists():
                raise DataError(_without_weights(name))
        else:
            no_answer = None if local_files_only else _check_size(name, revision, token)
            path = _downloaded(
                name, no_answer, revision=revision, token=token, cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only or no_answer is not None,
            )  # fmt: skip
        model, header = read_network(path, cast(Any, cls))
        model.header = header
        return model

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
        existing = [
            name for name in (WEIGHTS, constants.CONFIG_NAME, CARD) if (folder / name).exists()
        ]
        if existing and not overwrite:
            raise UsageError(f"{folder / existing[0]} is there already: overwrite=True replaces it")
        card = str(self.generate_model_card(**(model_card_kwargs or {})))
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / CARD, card)  # the mixin keeps a card that is there
        return super().save_pretrained(folder, model_card_kwargs=model_card_kwargs, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        save_model(save_directory / WEIGHTS, cast(nn.Module, self), self._own_header())
        config = self.config.model_dump(mode="json")
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
        header = self._own_header()
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
        weights = cast(nn.Module, self).parameters()
        parameters = sum(p.numel() for p in weights if p.requires_grad)
        return ModelCard(card_text(header, parameters, evaluations, licence))

    def _own_header(self) -> ModelHeader:
        return self.header or ModelHeader(config=self.config)


def _check_size(name: str, revision: str | None, token: str | bool | None) -> Exception | None:
    """Ask the Hub, before anything is downloaded, whether a repository's model would fill the disk.

    huggingface_hub has no limit to set. The Hub's word is taken for the size: repositories are
    strangers', the Hub is not.

    Returns the error where the Hub does not answer: it need not be waited for again. Raises
    DataError where the model is too large, or nobody says how large.
    """
    try:
        url = hf_hub_url(name, WEIGHTS, revision=revision)
        size = get_hf_file_metadata(url, token=token).size
    except (HfHubHTTPError, HFValidationError):
        return None  # an answer: downloading meets it too, and says it or does with the cache
    except Exception as error:  # of the libraries below it
        return error
    if size is None:
        raise DataError(f"{name}: the Hub does not say how large its {WEIGHTS} is")
    if size > MOST_BYTES:
        raise DataError(f"{name}: its {WEIGHTS} has {size:,} bytes, which no HDRNet has")
    return None


def _downloaded(name: str, no_answer: Exception | None, **options: Any) -> Path:
    """The model file of a repository, in the Hub's cache. no_answer: why the Hub cannot be asked.
    Raises DataError."""
    try:
        return Path(hf_hub_download(name, WEIGHTS, **options))
    except HFValidationError:
        raise DataError(
            f"{name} is neither a folder nor the name of a repository (owner/name)"
        ) from None
    except Exception as error:
        # There is no network, which is something else.
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise DataError(_without_weights(name)) from None
        # The client's own errors, those of the libraries below it, the disk's: one line each.
        error = no_answer or error
        reason = shortened(str(error)) or type(error).__name__
        raise DataError(f"{name} cannot be had from the Hub: {reason}") from None


def _without_weights(name: str) -> str:
    return (
        f"{name} has no {WEIGHTS}; other files, pickles like "
        f"{constants.PYTORCH_WEIGHTS_NAME} above all, are not read"
    )
