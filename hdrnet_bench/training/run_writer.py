"""What training writes into a run directory beside its state: recipe, log, events, model files."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..data.leakage import trained_on
from ..data.manifest import Dataset
from ..data.pairs import Pair
from ..environment import describe
from ..files import json_text, write_text
from ..model.encoding import to_display
from ..model.file import ModelHeader, save_model
from ..recipe import Recipe
from ..runs import BEST, LAST, LOG, RECIPE, SETUP
from .checkpoint import Checkpoint, TrainingState
from .events import Events


class TrainingStep(NamedTuple):
    """Where training stands, after each step. `validation` only where it was measured now;
    `seconds` trained so far, of which `data_wait` waiting for data."""

    step: int
    steps: int
    loss: float
    psnr: float
    learning_rate: float
    validation: dict[str, float] | None
    seconds: float
    data_wait: float

    @property
    def data_wait_share(self) -> float:
        return self.data_wait / max(self.seconds, 1e-9)

    def line(self) -> str:
        """As log.jsonl has it."""
        validation: Mapping[str, float | None] = self.validation or {"psnr": None}
        return json.dumps(
            {
                "step": self.step,
                "loss": self.loss,
                "psnr": self.psnr,
                "learning_rate": self.learning_rate,
                **{f"validation_{name}": value for name, value in validation.items()},
                "seconds": round(self.seconds, 3),
                "data_wait": round(self.data_wait, 3),
            }
        )

    def scalars(self) -> dict[str, float]:
        """As TensorBoard shows it."""
        values = {
            "train/loss": self.loss,
            "train/psnr": self.psnr,
            "train/learning_rate": self.learning_rate,
            "train/data_wait_share": self.data_wait_share,
        }
        return values | {f"validation/{k}": v for k, v in (self.validation or {}).items()}


class RunWriter:
    """The one writer of a run directory (rank 0)."""

    def __init__(
        self,
        directory: Path,
        recipe: Recipe,
        dataset: Dataset,
        state: TrainingState,
        checkpoint: Checkpoint,
    ) -> None:
        self.directory, self.recipe, self.dataset = directory, recipe, dataset
        self.state, self.checkpoint = state, checkpoint

    def open(self, setup: dict[str, Any]) -> None:
        """Make a new run's directory, or bring one that is resumed back to its state."""
        begun, state = self.directory, self.state
        if state.step == 0:
            begun = self.directory.with_name(f".{self.directory.name}.begun")
            shutil.rmtree(begun, ignore_errors=True)
            begun.mkdir()
            write_text(begun / RECIPE, self.recipe.yaml())
            write_text(begun / "environment.json", json_text(describe().model_dump()))
            (begun / LOG).touch()
        else:
            lines = (begun / LOG).read_text(encoding="utf-8").splitlines()
            write_text(begun / LOG, "".join(f"{line}\n" for line in lines[: state.step]))
            if state.best_step is not None:
                best = copy.deepcopy(self.checkpoint.validated_model())
                best.load_state_dict(self.checkpoint.best)
                save_model(begun / BEST, best, self._header(state.best_step))
        write_text(begun / SETUP, json_text(setup))
        if begun != self.directory:
            if self.directory.exists():
                shutil.rmtree(self.directory)
            begun.rename(self.directory)
        self._log = (self.directory / LOG).open("a", encoding="utf-8", buffering=1)
        self._events = Events(self.directory, state.step)

    def step(self, progress: TrainingStep) -> None:
        self._log.write(progress.line() + "\n")
        self._events.scalars(progress.step, progress.scalars())

    def models(self, state: TrainingState, step: int, pair: Pair) -> None:
        """After a validation: the last weights, the best where these are, and how `pair` looks."""
        model = self.checkpoint.validated_model()
        if state.best_step == step:
            save_model(self.directory / BEST, model, self._header(step))
        save_model(self.directory / LAST, model, self._header(step))
        training = model.training
        output = model.eval().enhance(pair.input)
        model.train(training)
        input_picture = to_display(pair.input, model.config.input_encoding)
        pictures = (input_picture, output, pair.target)
        self._events.comparison(step, "validation/input, output, target", *pictures)

    def close(self) -> None:
        self._log.close()
        self._events.close()

    def _header(self, step: int) -> ModelHeader:
        return ModelHeader(
            config=self.recipe.model,
            recipe=self.recipe.name,
            recipe_digest=self.recipe.digest,
            dataset=self.dataset.header.name,
            dataset_digest=self.dataset.header.digest,
            trained_on=trained_on(self.dataset),
            seed=self.state.seed,
            step=step,
            steps=self.state.steps,
        )
