"""Models as folders and Hub repositories: model.safetensors, config.json and a model card.

huggingface_hub's own mixin for torch falls back to a pickle file; this one knows safetensors alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from torch import nn

from ..config import HDRNetConfig
from ..errors import DataError, UsageError
from ..files import json_text, write_text
from ..hub_files import CARD, CONFIG, WEIGHTS, hub_file, upload, without_weights
from ..model_header import ModelHeader
from ..model_names import ModelSource
from ..pretrained import pretrained_models
from .file import read_network, save_model

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, ModelCard


class HubMixin:
    """from_pretrained, save_pretrained and push_to_hub for a torch module.

    The module is made by its class from a configuration, and keeps that as `config`; `header` is
    what the file it was read from says of it, `origin` a line that says which file that was. Both
    are None where it was made here.
    """

    config: HDRNetConfig
    header: ModelHeader | None = None
    origin: str | None = None

    @classmethod
    def from_pretrained(
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

        The configuration is that of model.safetensors: config.json is not read.

        Args:
            pretrained_model_name_or_path: a folder, a pretrained model's name, or "owner/name" on
                the Hub.
            revision, token, cache_dir, force_download, local_files_only: of huggingface_hub.

        Raises:
            DataError: it is not there, or its model.safetensors is not one of this project.
        """
        name = str(pretrained_model_name_or_path)
        if Path(name).is_dir():
            if not (Path(name) / WEIGHTS).exists():
                raise DataError(without_weights(name))
            source = ModelSource("folder", Path(name) / WEIGHTS)
        elif revision is None and (known := pretrained_models().get(name)):
            source = ModelSource("pretrained", known.path, name, known)
        else:
            path = hub_file(
                name,
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
            )
            source = ModelSource("hub", path, name)
        path, origin = source.fetched()
        model, header = read_network(path, cast(Any, cls))
        model.header, model.origin = header, origin
        return model

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        overwrite: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **push_options: Any,
    ) -> CommitInfo | None:
        """Write model.safetensors, config.json and the model card README.md into a folder.

        Args:
            save_directory: made where it is not there.
            overwrite: replace those three files where they are there.
            model_card_kwargs: see `generate_model_card`.
            push_to_hub, repo_id, push_options: then push as `push_to_hub` does, by default to a
                repository of the folder's name.

        Returns:
            What `push_to_hub` returns, None without it.

        Raises:
            UsageError: one of the files is there.
            DataError: a result is not of this model, or pushing failed.
        """
        folder = Path(save_directory)
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file: name a folder")
        existing = [name for name in (WEIGHTS, CONFIG, CARD) if (folder / name).exists()]
        if existing and not overwrite:
            raise UsageError(f"{folder / existing[0]} is there already: overwrite=True replaces it")
        card = self._card_text(**(model_card_kwargs or {}))
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / CARD, card)
        save_model(folder / WEIGHTS, cast(nn.Module, self), self._own_header())
        write_text(folder / CONFIG, json_text(self.config.model_dump(mode="json")))
        if not push_to_hub:
            return None
        return self.push_to_hub(
            repo_id or folder.name, model_card_kwargs=model_card_kwargs, **push_options
        )

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Push model using huggingface_hub.",
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
        model_card_kwargs: dict[str, Any] | None = None,
    ) -> CommitInfo:
        """Upload what `save_pretrained` writes to a repository on the Hub, in one commit.

        Args:
            repo_id: "owner/name", or a name of your own; made where it is not there.
            commit_message, private, token, branch, create_pr: of huggingface_hub.
            model_card_kwargs: see `generate_model_card`.

        Returns:
            The commit's address, a str whose `oid` is the revision.

        Raises:
            DataError: the Hub does not take it, or a result is not of this model.
        """
        with tempfile.TemporaryDirectory() as folder:
            card: dict[str, Any] = {"name": repo_id} | (model_card_kwargs or {})
            self.save_pretrained(folder, model_card_kwargs=card)
            return upload(
                Path(folder),
                repo_id,
                message=commit_message,
                private=private,
                token=token,
                branch=branch,
                create_pr=create_pr,
            )

    def generate_model_card(
        self,
        results: Sequence[str | Path] = (),
        licence: str | None = None,
        summary: str | None = None,
        name: str | None = None,
    ) -> ModelCard:
        """What the model is: recipe, data, scores, licence.

        Args:
            results: evaluation files (results/…/eval-*.json) of this model.
            licence: its identifier as the Hub knows it ("cc0-1.0"); of the weights, which the
                pictures they were trained on have a say in.
            summary: what it is and what it is for, in a paragraph.
            name: what `load_model` knows it by.

        Raises:
            DataError: a result is not of this model's recipe, seed or data.
        """
        from huggingface_hub import ModelCard

        return ModelCard(self._card_text(results, licence, summary, name))

    def _card_text(
        self,
        results: Sequence[str | Path] = (),
        licence: str | None = None,
        summary: str | None = None,
        name: str | None = None,
    ) -> str:
        # Half of what a model costs to import beside torch.
        from ..results import Evaluation, read_result
        from .card import card_text

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
        return card_text(header, parameters, evaluations, licence, summary, name)

    def _own_header(self) -> ModelHeader:
        return self.header or ModelHeader(config=self.config)
