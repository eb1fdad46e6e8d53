"""The state that training is resumed from: state.safetensors, and state.json for people to read.

Weights, optimiser, averages, the best weights so far and random states are tensors; where training
stood is JSON in the header of the same file, so that one rename replaces all of it and a kill at
any moment leaves one whole generation. state.json is a copy of that header; nothing reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from ..data.manifest import Dataset
from ..errors import DataError, UsageError, first_fault
from ..files import json_line, json_text, json_value, unreadable, write_text
from ..model.hdrnet import HDRNet
from ..model.tensors import read_tensors, write_tensors
from ..recipe import Recipe
from ..runs import resume_command
from ..safetensors_header import read_claims

STATE, STATE_TEXT = "state.safetensors", "state.json"
_KEY = "hdrnet_bench_state"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what Adam keeps of each parameter


class StepValues(NamedTuple):
    """What a step measured: the loss, PSNR of the batch in dB, the learning rate it was taken
    with."""

    loss: float
    psnr: float
    learning_rate: float


class TrainingState(BaseModel):
    """Where training stands. `best`: the named metric's best value so far, at step `best_step`;
    `last`: validation metrics of the last time; `seconds`: trained, of which `data_wait` waiting
    for data. `unvalidated`: of the last step, where it was stopped in its validation, which then
    comes first when training goes on. `stopped_early`: ended at `step` for want of a better
    validation (the recipe's patience)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    recipe: str
    recipe_digest: str
    dataset: str
    dataset_digest: str
    seed: int
    step: int = Field(ge=0)
    steps: int = Field(ge=1, le=2**62)
    best: float | None = None
    best_step: int | None = None
    best_validation: dict[str, float] | None = None
    last: dict[str, float] | None = None
    seconds: float = 0.0
    data_wait: float = 0.0
    processes: int = 1
    threads: int
    scaler: dict[str, Any] | None = None
    unvalidated: StepValues | None = None
    stopped_early: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.step > self.steps:
            raise ValueError(f"step {self.step} of {self.steps}")
        if (self.best_step is None) != (self.best is None):
            raise ValueError("best without its step")
        if self.stopped_early and (self.step == self.steps or self.unvalidated is not None):
            raise ValueError(f"stopped early at step {self.step}, and not")
        return self

    @property
    def finished(self) -> bool:
        return (self.step == self.steps or self.stopped_early) and self.unvalidated is None

    @property
    def logged(self) -> int:
        """The steps whose line is in the log."""
        return self.step if self.unvalidated is None else self.step - 1


class Checkpoint:
    """What changes while training, gathered so that it can be written and read back."""

    def __init__(
        self,
        model: HDRNet,
        optimiser: torch.optim.Optimizer,
        average: HDRNet | None,
    ) -> None:
        self.model, self.optimiser, self.average = model, optimiser, average
        self.best: dict[str, Tensor] = {}

    def validated_model(self) -> HDRNet:
        """The network that is validated and written: the averaged one where there is one."""
        return self.model if self.average is None else self.average

    def remember_best(self) -> None:
        self.best = {
            name: t.detach().clone() for name, t in self.validated_model().state_dict().items()
        }

    def finite(self) -> bool:
        return all(bool(torch.isfinite(p).all()) for p in self.model.parameters())

    def save(self, directory: Path, state: TrainingState) -> None:
        """Write both files: whole and on the disk, or not at all. Raises OSError."""
        tensors = {f"model/{name}": t for name, t in self.model.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average/{name}": t for name, t in self.average.state_dict().items()}
        tensors |= {f"best/{name}": t for name, t in self.best.items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimiser.state[parameter].items():
                tensors[f"optimiser/{name}/{key}"] = torch.as_tensor(value)
        tensors["random/cpu"] = torch.get_rng_state()
        device = next(self.model.parameters()).device
        if device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(device)
        content = state.model_dump(mode="json")
        write_tensors(directory / STATE, tensors, {_KEY: json_line(content)})
        write_text(directory / STATE_TEXT, json_text(content))

    def load(self, directory: Path, with_best: bool) -> None:
        """Read the tensors back, those of the best validation where there was one.

        Raises DataError where they do not fit, StorageError where they cannot be read.
        """
        path = directory / STATE
        tensors = read_tensors(path)
        try:
            self.model.load_state_dict(_below(tensors, "model/"))
            if self.average is not None:
                self.average.load_state_dict(_below(tensors, "average/"))
            for name, parameter in self.model.named_parameters():
                moments = _below(tensors, f"optimiser/{name}/")
                shapes = {key: tensor.shape for key, tensor in moments.items()}
                if shapes != {k: parameter.shape if k != "step" else () for k in _MOMENTS}:
                    raise KeyError(f"optimiser/{name} is missing or does not fit")
                # Adam counts its steps on the CPU, wherever the parameters are.
                self.optimiser.state[parameter] = {
                    key: value if key == "step" else value.to(parameter.device)
                    for key, value in moments.items()
                }
            self.best = _below(tensors, "best/")
            expected = {n: t.shape for n, t in self.validated_model().state_dict().items()}
            found = {n: t.shape for n, t in self.best.items()}
            if found != (expected if with_best else {}):
                raise KeyError("best/ does not fit")
            torch.set_rng_state(tensors["random/cpu"])
            if "random/cuda" in tensors and torch.cuda.is_available():
                torch.cuda.set_rng_state(tensors["random/cuda"])
        except (RuntimeError, KeyError, TypeError) as error:
            problem = " ".join(str(error).split())[:300]
            raise DataError(f"{path} does not fit this training: {problem}") from None


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def read_training_state(directory: Path) -> TrainingState | None:
    """Where a run stands, or None where it has no state yet. Raises DataError for a broken one,
    StorageError where it cannot be read."""
    path = directory / STATE
    try:
        path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from None
    metadata = read_claims(path).metadata
    try:
        return TrainingState.model_validate(json_value(metadata[_KEY]))
    except (KeyError, ValidationError, ValueError) as error:
        problem = "no state" if isinstance(error, KeyError) else first_fault(error)[:200]
        raise DataError(f"{path} is not a training state of this version: {problem}") from None


def check_same(
    state: TrainingState, recipe: Recipe, dataset: Dataset, seed: int, where: Path
) -> None:
    """Raise UsageError where a state belongs to another recipe or seed, DataError where to another
    version of the data."""
    if state.recipe_digest != recipe.digest:
        raise UsageError(
            f"{where} was trained with another {recipe.name} (digest "
            f"{state.recipe_digest[:12]}, now {recipe.digest[:12]}): resume with the run's own, "
            f"`{resume_command(where, state.seed, state.processes)}`, or train another --run"
        )
    if state.seed != seed:
        raise UsageError(f"{where} was trained with seed {state.seed}, not {seed}")
    if state.dataset_digest != dataset.header.digest:
        raise DataError(
            f"{where} was trained on {state.dataset} with digest "
            f"{state.dataset_digest[:12]}, which is now {dataset.header.digest[:12]}: prepare "
            "that version again, or train another --run"
        )
