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
from ..errors import DataError, StorageError, UsageError
from ..files import atomic_path, json_text, json_value, open_regular, sweep, write_text
from ..model.encoding import to_display
from ..model.file import ModelHeader, save_model
from ..recipe import Recipe
from ..runs import BEST, LAST, LOG, RECIPE, SETUP
from .checkpoint import STATE, STATE_TEXT, Checkpoint, TrainingState
from .events import Events
from .kept import MODELS, kept
from .picture import PICTURE, RunPicture

ENVIRONMENT = "environment.json"
_FILES = {RECIPE, ENVIRONMENT, SETUP, LOG, STATE, STATE_TEXT, PICTURE, *MODELS}
_PATTERNS = ("events.out.tfevents.*", ".tmp-*")
_LONGEST_LINE = 1 << 16  # of the log, in bytes


def check_ours(directory: Path) -> None:
    """Whether all that would be deleted with a run is a training's. Raises UsageError."""
    if directory.is_symlink():
        raise UsageError(f"{directory} is a symbolic link, which is not followed to be overwritten")
    if not (directory / LOG).is_file():
        raise UsageError(f"{directory} has no {LOG}, as no run's directory: move it away")
    others = sorted(path.name for path in directory.iterdir() if not _is_ours(path))
    if others:
        more = ", …" if len(others) > 3 else ""
        raise UsageError(
            f"{directory} holds what no training wrote ({', '.join(others[:3])}{more}), which "
            "would be deleted with it: move these away first"
        )


def _is_ours(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        return False
    return path.name in _FILES or any(path.match(pattern) for pattern in _PATTERNS)


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

    def entry(self) -> dict[str, Any]:
        """As log.jsonl has it, a line for each."""
        validation: Mapping[str, float | None] = self.validation or {"psnr": None}
        return {
            "step": self.step,
            "loss": self.loss,
            "psnr": self.psnr,
            "learning_rate": self.learning_rate,
            **{f"validation_{name}": value for name, value in validation.items()},
            "seconds": round(self.seconds, 3),
            "data_wait": round(self.data_wait, 3),
        }

    def scalars(self) -> dict[str, float]:
        """As TensorBoard shows it."""
        values = {
            "train/loss": self.loss,
            "train/psnr": self.psnr,
            "train/learning_rate": self.learning_rate,
            "train/data_wait_share": self.data_wait_share,
        }
        return values | {f"validation/{k}": v for k, v in (self.validation or {}).items()}


def run_summary(directory: Path, state: TrainingState, recipe: Recipe) -> dict[str, Any]:
    """What `train` returns of where a run stands. Of one that ended early, `steps` is how many it
    had, `planned_steps` how many the recipe asks for at most."""
    last, best = state.last or {}, state.best_validation or {}
    early = {"stopped_early": True, "planned_steps": state.steps} if state.stopped_early else {}
    return {
        "run": str(directory),
        "seed": state.seed,
        "steps": state.step if state.stopped_early else state.steps,
        **early,
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
        best_metric = recipe.training.best_metric
        self._picture = RunPicture(directory, recipe.label, state.steps, best_metric, log)

    def open(self, setup: dict[str, Any]) -> None:
        """Make a new run's directory, or bring one that is resumed back to its state. Raises
        DataError where its log is none."""
        if self.state.step == 0:
            self._begin(setup)
        with self._writing():
            if self.state.step:
                self._bring_back(setup)
            self._log = (self.directory / LOG).open("a", encoding="utf-8", buffering=1)
        self._events = Events(self.directory, self.state.logged, self._say)

    def _begin(self, setup: dict[str, Any]) -> None:
        """Make the directory beside where it goes: it is whole, or what was there is as it was."""
        begun = _begun(self.directory)
        try:
            begun.mkdir()
            write_text(begun / RECIPE, self.recipe.yaml())
            write_text(begun / ENVIRONMENT, json_text(describe().model_dump()))
            write_text(begun / SETUP, json_text(setup))
            (begun / LOG).touch()
            self._put_in_place(begun)
        except BaseException as error:
            shutil.rmtree(begun, ignore_errors=True)
            if isinstance(error, OSError):
                reason = error.strerror or error
                raise StorageError(
                    f"{self.directory} cannot be written: {reason}; nothing was begun"
                ) from None
            raise

    def _put_in_place(self, begun: Path) -> None:
        """What is overwritten is deleted last: there is never half of it."""
        replaced = _replaced(self.directory)
        if self.directory.exists():
            check_ours(self.directory)  # again: decoding pictures may have taken minutes
            self.directory.rename(replaced)
        try:
            begun.rename(self.directory)
        except BaseException:
            if replaced.exists():
                replaced.rename(self.directory)
            raise
        shutil.rmtree(replaced, ignore_errors=True)

    def _bring_back(self, setup: dict[str, Any]) -> None:
        directory, state = self.directory, self.state
        count = 0
        with atomic_path(directory / LOG) as temporary, temporary.open("wb") as stream:
            for line, entry in _log_lines(directory / LOG, state.logged):
                stream.write(line)
                self._picture.add(entry)
                count += 1
        if count < state.logged:
            self._say(f"{directory / LOG} has {count} of the {state.logged} steps so far")
        if state.best_step is not None:
            self._save_best(state.best_step, state.steps)
        write_text(directory / SETUP, json_text(setup))

    def _save_best(self, step: int, steps: int) -> None:
        best = copy.deepcopy(self.checkpoint.validated_model())
        best.load_state_dict(self.checkpoint.best)
        save_model(self.directory / BEST, best, self._header(step, steps))

    def step(self, progress: TrainingStep) -> None:
        entry = progress.entry()
        with self._writing():
            self._log.write(json.dumps(entry) + "\n")
        self._events.scalars(progress.step, progress.scalars())
        self._picture.add(entry)
        if self._picture.is_due():
            self._draw()

    def save(self, state: TrainingState) -> None:
        """What training is resumed from. The log's lines are on the disk before it."""
        self._check_there()
        with self._writing():
            os.fsync(self._log.fileno())
            self.checkpoint.save(self.directory, state)
        self.state = state

    def models(self, state: TrainingState, step: int, pair: Pair) -> None:
        """After a validation: the last weights, the best where these are, and how `pair` looks."""
        model = self.checkpoint.validated_model()
        # A training that ends early has no more steps than up to here, and its best says so too.
        steps = step if state.stopped_early else state.steps
        self._check_there()
        with self._writing():
            if state.best_step == step:
                save_model(self.directory / BEST, model, self._header(step, steps))
            elif state.stopped_early and state.best_step is not None:
                self._save_best(state.best_step, steps)
            save_model(self.directory / LAST, model, self._header(step, steps))
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
        self._draw()

    def _draw(self) -> None:
        if self._is_there():
            self._picture.draw()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (StorageError, OSError) as error:
            self._check_there()
            what = str(error)
            if isinstance(error, OSError):
                what = f"{self.directory} cannot be written: {error.strerror or error}"
            raise StorageError(f"{what}; {kept(self.state, self.directory)}") from None

    def _check_there(self) -> None:
        """Files are written with the folders they need: a run that was removed would come back as
        half of one."""
        if not self._is_there():
            raise StorageError(f"{self.directory} was removed, or replaced, while it was trained")

    def _is_there(self) -> bool:
        return (self.directory / RECIPE).exists()

    def _header(self, step: int, steps: int) -> ModelHeader:
        return ModelHeader(
            config=self.recipe.model,
            recipe=self.recipe.name,
            recipe_digest=self.recipe.digest,
            dataset=self.dataset.header.name,
            dataset_digest=self.dataset.header.digest,
            trained_on=trained_on(self.dataset),
            seed=self.state.seed,
            step=step,
            steps=steps,
        )


def _log_lines(path: Path, count: int) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The first lines of a run's log and what they say, as many as there are of `count`; none where
    it is missing. Raises DataError where it is no log."""
    try:
        with open_regular(path) as stream:
            for step in range(1, count + 1):
                line = stream.readline(_LONGEST_LINE)
                if not line:
                    return
                entry = json_value(line) if line.endswith(b"\n") else None
                if not isinstance(entry, dict) or entry.get("step") != step:
                    raise ValueError
                yield line, entry
    except FileNotFoundError:
        return
    except ValueError:
        raise DataError(
            f"{path}, line {step}, is not what training wrote: restore the file, or remove it"
        ) from None
