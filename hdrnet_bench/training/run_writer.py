"""What training writes into a run directory beside its state: recipe, log, events, model files."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..data.leakage import trained_on
from ..data.manifest import Dataset
from ..data.pairs import Pair
from ..environment import describe
from ..errors import DataError, StorageError
from ..files import json_text, json_value, open_regular, sweep, write_bytes, write_text
from ..model.encoding import to_display
from ..model.file import ModelHeader, save_model
from ..recipe import Recipe
from ..runs import BEST, LAST, LOG, RECIPE, SETUP
from .checkpoint import STATE, STATE_TEXT, Checkpoint, TrainingState
from .events import Events

ENVIRONMENT = "environment.json"
_FILES = {RECIPE, ENVIRONMENT, SETUP, LOG, LAST, BEST, STATE, STATE_TEXT}
_PATTERNS = ("events.out.tfevents.*", ".tmp-*")
_LONGEST_LINE = 1 << 16  # of the log, in bytes


def not_of_training(directory: Path) -> list[str]:
    """The names in a run directory that no training wrote."""
    return sorted(
        path.name
        for path in directory.iterdir()
        if (path.is_dir() and not path.is_symlink())
        or not (path.name in _FILES or any(path.match(pattern) for pattern in _PATTERNS))
    )


def sweep_run(directory: Path) -> None:
    """Remove what trainings that were killed left of a run in the making, and of one that was
    being overwritten. For who holds the run's lock."""
    for aside in (_begun(directory), _replaced(directory)):
        shutil.rmtree(aside, ignore_errors=True)
    sweep(directory)


def _begun(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.begun")


def _replaced(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.replaced")


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


def kept(state: TrainingState) -> str:
    """What an error says of the last state that was saved."""
    if state.step == 0:
        return "nothing was saved before it"
    return f"it is kept as it was at step {state.step} of {state.steps}: --resume goes on"


def run_summary(directory: Path, state: TrainingState, recipe: Recipe) -> dict[str, Any]:
    """What `train` returns of where a run stands."""
    last, best = state.last or {}, state.best_validation or {}
    return {
        "run": str(directory),
        "seed": state.seed,
        "steps": state.steps,
        "seconds": state.seconds,
        "data_wait_seconds": state.data_wait,
        "data_wait_share": round(state.data_wait / max(state.seconds, 1e-9), 4),
        "validation_psnr": {"last": last.get("psnr"), "best": best.get("psnr")},
        "best": {
            "metric": recipe.training.best_metric,
            "value": state.best,
            "step": state.best_step,
        },
    }


class RunWriter:
    """The one writer of a run directory (rank 0). Raises StorageError where it cannot be written,
    or has gone.

    log: told what is worth knowing of what could not be written.
    """

    def __init__(
        self,
        directory: Path,
        recipe: Recipe,
        dataset: Dataset,
        state: TrainingState,
        checkpoint: Checkpoint,
        log: Callable[[str], None],
    ) -> None:
        self.directory, self.recipe, self.dataset = directory, recipe, dataset
        self.state, self.checkpoint, self._say = state, checkpoint, log

    def open(self, setup: dict[str, Any]) -> None:
        """Make a new run's directory, or bring one that is resumed back to its state. Raises
        DataError where its log is none."""
        with self._writing():
            self._open(setup)

    def _open(self, setup: dict[str, Any]) -> None:
        begun, state = self.directory, self.state
        if state.step == 0:
            begun = _begun(self.directory)
            begun.mkdir()
            write_text(begun / RECIPE, self.recipe.yaml())
            write_text(begun / ENVIRONMENT, json_text(describe().model_dump()))
            (begun / LOG).touch()
        else:
            lines = list(_log_lines(begun / LOG, state.logged))
            if len(lines) < state.logged:
                self._say(f"{begun / LOG} has {len(lines)} of the {state.logged} steps so far")
            write_bytes(begun / LOG, b"".join(lines))
            if state.best_step is not None:
                best = copy.deepcopy(self.checkpoint.validated_model())
                best.load_state_dict(self.checkpoint.best)
                save_model(begun / BEST, best, self._header(state.best_step))
        write_text(begun / SETUP, json_text(setup))
        if begun != self.directory:
            # What is overwritten is deleted last: there is never half of it.
            replaced = _replaced(self.directory)
            if self.directory.exists():
                self.directory.rename(replaced)
            begun.rename(self.directory)
            shutil.rmtree(replaced, ignore_errors=True)
        self._log = (self.directory / LOG).open("a", encoding="utf-8", buffering=1)
        self._events = Events(self.directory, state.logged, self._say)

    def step(self, progress: TrainingStep) -> None:
        with self._writing():
            self._log.write(progress.line() + "\n")
        self._events.scalars(progress.step, progress.scalars())

    def save(self, state: TrainingState) -> None:
        """What training is resumed from. The log's lines are on the disk before it."""
        with self._writing():
            self._check_there()
            os.fsync(self._log.fileno())
            self.checkpoint.save(self.directory, state)
        self.state = state

    def models(self, state: TrainingState, step: int, pair: Pair) -> None:
        """After a validation: the last weights, the best where these are, and how `pair` looks."""
        model = self.checkpoint.validated_model()
        with self._writing():
            self._check_there()
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
        with suppress(OSError):  # a line that could not be written was an error when it was tried
            self._log.close()
        self._events.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            raise StorageError(f"{error}; {kept(self.state)}") from None
        except OSError as error:
            raise StorageError(
                f"{self.directory} cannot be written: {error.strerror or error}; {kept(self.state)}"
            ) from None

    def _check_there(self) -> None:
        """Files are written with the folders they need: a run that was removed would come back as
        half of one."""
        if not (self.directory / RECIPE).exists():
            raise StorageError(f"{self.directory} was removed, or replaced, while it was trained")

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


def _log_lines(path: Path, count: int) -> Iterator[bytes]:
    """The first lines of a run's log, as many as there are of `count`; none where it is missing.
    Raises DataError where it is no log."""
    try:
        with open_regular(path) as stream:
            for step in range(1, count + 1):
                line = stream.readline(_LONGEST_LINE)
                if not line:
                    return
                entry = json_value(line) if line.endswith(b"\n") else None
                if not isinstance(entry, dict) or entry.get("step") != step:
                    raise ValueError
                yield line
    except FileNotFoundError:
        return
    except ValueError:
        raise DataError(
            f"{path}, line {step}, is not what training wrote: restore the file, or remove it"
        ) from None
