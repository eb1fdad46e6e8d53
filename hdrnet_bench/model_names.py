"""What a MODEL may be called, in every command and in load_model. Without torch; the network is
asked last, and only for names that tell of nothing here."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, NamedTuple

from .errors import DataError, HdrbenchError, UsageError, near_matches, near_names
from .files import sha256_file, unreadable
from .hub_files import MOST_BYTES, REPOSITORY, WEIGHTS, hub_file
from .model_header import read_model_header
from .paths import NAME, data_dir, results_dir, runs_dir
from .pretrained import FOLDER, PretrainedModel, pretrained_models
from .recipe import is_recipe_file, recipe_paths
from .runs import LAST, RECIPE, named_runs, run_directories, the_finished

_ANY = "[!.]*.safetensors"
_SHOWN = 12  # digits of a SHA-256


class ModelSource(NamedTuple):
    """What a name means. name: of a pretrained model, or of a repository on the Hub.

    path: the model file; None of one on the Hub before `fetched`.
    """

    kind: Literal["file", "folder", "run", "pretrained", "hub"]
    path: Path | None
    name: str = ""
    pretrained: PretrainedModel | None = None

    def fetched(self) -> tuple[Path, str]:
        """The model file, had from the Hub where it is there, and its `origin`.

        Raises DataError where it cannot be had or read, is no model, or not the pretrained model
        that the list means.
        """
        path = self.path or self._from_hub()
        if self.pretrained and not os.path.lexists(path):
            raise DataError(f"{path} is missing, which {self.pretrained.source} names: restore it")
        if self.pretrained is None:
            read_model_header(path)  # what is no model is not hashed: it may be of any size
        digest = _sha256(path)
        if self.pretrained and digest != self.pretrained.entry.sha256:
            raise DataError(
                f"{path} is not the model {self.name} of {self.pretrained.source}: its SHA-256 "
                f"begins {digest[:_SHOWN]}, not {self.pretrained.entry.sha256[:_SHOWN]}"
            )
        return path, self._origin(str(path), digest)

    def _from_hub(self) -> Path:
        if self.pretrained and self.pretrained.entry.hub:
            return hub_file(self.pretrained.entry.hub, revision=self.pretrained.entry.revision)
        try:
            return hub_file(self.name)
        except DataError as error:
            raise DataError(f"{error} (here is no file, folder or run of that name)") from None

    def _origin(self, where: str, digest: str) -> str:
        kinds = {
            "file": "model file ",
            "folder": "folder: ",
            "run": "run: ",
            "pretrained": f"pretrained model {self.name}: ",
            "hub": f"{self.name} on the Hub: ",
        }
        return f"{kinds[self.kind]}{where}, SHA-256 {digest[:_SHOWN]}"

    def beside(self, suffix: str) -> Path:
        """Where what is made of the model goes by default: beside its file; of what is not the
        user's own, into the current folder."""
        if self.kind in ("pretrained", "hub") or self.path is None:
            return Path(self.name.rpartition("/")[2] + suffix)
        return self.path.with_suffix(suffix)


def _sha256(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise DataError(f"{path} has {size:,} bytes, which no HDRNet has")
        return sha256_file(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise unreadable(path, error) from None


def find_model(target: str | Path) -> ModelSource:
    """What a name means, the first of: a file, or a run's or any folder with a model, here or below
    `paths.runs_dir()`; a recipe, by name or path, with one finished run; a pretrained model; a
    repository OWNER/NAME on the Hub, which is not asked yet.

    Raises UsageError for an unknown name and for a recipe with several finished runs, DataError
    where there is no model yet.
    """
    text = str(target)
    if not is_recipe_file(text) and (found := _there(text)):
        return found
    has_no_run = re.fullmatch(NAME, text) and not run_directories(text)
    if has_no_run and (model := pretrained_models().get(text)):
        return ModelSource("pretrained", model.path, text, model)
    if directories := named_runs(text):
        return ModelSource("run", the_finished(text, directories).model_path)
    if _may_be_on_the_hub(text):
        return ModelSource("hub", None, text)
    raise _no_model(text)


def _there(text: str) -> ModelSource | None:
    if not text:
        return None
    for path in (Path(text), runs_dir() / text):
        # Those of os.path raise no error for any name.
        if os.path.isdir(path):  # noqa: PTH112
            for name in (LAST, WEIGHTS):
                if os.path.exists(path / name):  # noqa: PTH110
                    is_run = name == LAST and os.path.exists(path / RECIPE)  # noqa: PTH110
                    return ModelSource("run" if is_run else "folder", path / name)
        elif os.path.exists(path):  # noqa: PTH110
            return ModelSource("file", path)
    return None


def _may_be_on_the_hub(text: str) -> bool:
    """Whether the Hub is asked for a name: not for one that is spoken of here, and mistyped."""
    if re.fullmatch(REPOSITORY, text) is None or os.path.lexists(text):
        return False
    owner, _, name = text.partition("/")
    folders = {str(folder) for folder in (runs_dir(), data_dir(), results_dir())}
    return not (
        owner in {*folders, FOLDER, *recipe_paths(), *pretrained_models()}
        or Path(owner).is_dir()
        or (runs_dir() / owner).is_dir()
        or text.endswith(".safetensors")
        or re.fullmatch(r"seed-?\d+", name)
        or near_names(text, _runs_with_models(), 0.8)
    )


def _runs_with_models() -> list[str]:
    return ["/".join(file.parts[-3:-1]) for file in runs_dir().glob(f"[!.]*/[!.]*/{LAST}")]


def _no_model(text: str) -> HdrbenchError:
    """What is wrong with a name that means nothing: a UsageError with what is near, or a DataError
    where something of that name is there."""
    path = Path(text)
    if text and os.path.isdir(path):  # noqa: PTH112
        below = (found for name in (LAST, WEIGHTS) for found in path.glob(f"[!.]*/{name}"))
        inside = sorted(map(str, [*path.glob(_ANY), *below]))
        more = f"; there is {', '.join(inside[:3])}" if inside else ""
        return DataError(f"{path} has neither {LAST} nor {WEIGHTS}{more}")
    if text and os.path.lexists(path):
        return DataError(f"there is no model file {path}: it is a link that leads nowhere")
    files = path.parent.glob(_ANY) if os.path.isdir(path.parent) else ()  # noqa: PTH112
    there = [*map(str, files), *_runs_with_models(), *pretrained_models()]
    if near := near_names(text, {*there, *recipe_paths()}):
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = f"{near_matches(text, there)}; on the Hub it would be OWNER/NAME"
    return UsageError(
        f"{text!r} is neither a model file, a folder with one, a run, a recipe nor a pretrained "
        f"model: {hint}"
    )
