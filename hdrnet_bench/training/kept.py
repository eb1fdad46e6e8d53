"""What of a run is kept, as its errors and stops say it, and where it is watched."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

from ..metric_specs import metric_text
from ..model.export import ONNX, PARTS, PROGRAM
from ..paths import runs_dir
from ..recipe import TrainingSpec
from ..runs import BEST, LAST, LOG, resume_command
from ..stopping import Request
from .checkpoint import TrainingState
from .picture import PICTURE

# Weights, and what `hdrbench export` makes of them and writes beside them.
MODELS = {LAST, BEST} | {
    Path(model).stem + suffix
    for model in (LAST, BEST)
    for suffix in (PROGRAM, ONNX, ".onnx.data", *PARTS)
}


def models_in(directory: Path) -> list[str]:
    """The names of weights that lie in a run's directory."""
    return sorted(name for name in MODELS if os.path.lexists(directory / name))


def kept(state: TrainingState, directory: Path) -> str:
    """What is said of the last state that was saved."""
    if state.step:
        how = _goes_on(state, directory)
        return f"the run is kept at step {state.step} of {state.steps}: {how}"
    # Weights are written before the state: over them, --resume begins nothing.
    option = "--overwrite" if models_in(directory) else "--resume"
    return f"no state was saved yet: {option} begins again"


def _goes_on(state: TrainingState, directory: Path) -> str:
    if directory != runs_dir() / state.recipe / directory.name:  # of a program of somebody's own
        return "--resume goes on"
    return f"`{resume_command(directory, state.seed, state.processes)}` goes on"


def stop_note(state: TrainingState, directory: Path) -> str:
    """What is said of a run that was stopped at this state."""
    if state.step == 0:
        return f"{directory}: {kept(state, directory)}"
    where = f"{directory} at step {state.step} of {state.steps}"
    if state.unvalidated is not None:
        where += ", before its validation"
    how = "was trained to its end" if state.finished else _goes_on(state, directory)
    return f"{where}; {how}"


def early_note(spec: TrainingSpec, state: TrainingState) -> str:
    """What is said of a run whose patience ran out."""
    assert state.best is not None
    times = "a validation" if spec.patience == 1 else f"{spec.patience} validations in a row"
    return (
        f"ended early, at step {state.step} of {state.steps}: {times} gave nothing better than "
        f"{metric_text(spec.best_metric, state.best)}, at step {state.best_step}"
    )


def watch_note(directory: Path) -> str:
    """Where a run is watched while it trains."""
    folder = shlex.quote(str(directory))
    return f"to watch in {folder}: {PICTURE}, {LOG}, or `tensorboard --logdir {folder}`"


def said_once(request: Request, log: Callable[[str], None]) -> Callable[[], bool]:
    """Whether a stop is asked for; the first time, what follows is said."""
    said: list[bool] = []

    def asked() -> bool:
        if request and not said:
            said.append(True)
            log("stopping after this step; a second signal ends it at once, without saving")
        return bool(request)

    return asked
