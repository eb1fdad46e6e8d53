"""Reading a TensorFlow checkpoint, in a process of its own.

TensorFlow and torch bring two copies of the same compiler library; in one process, torch aborts.
So this module is run as a child (`python -m`), imports no torch, and leaves the arrays in a file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CapabilityError, DataError, HdrbenchError
from .files import read_text
from .install import install_advice

_PREFIX = "inference/"
_MOST_STATE = 1 << 16  # bytes of a folder's file `checkpoint`: a few lines


def read_checkpoint(path: Path) -> tuple[str, dict[str, NDArray[Any]]]:
    """The name of a TensorFlow checkpoint, and its variables without optimiser slots.

    Args:
        path: its prefix (model.ckpt-1000), one of its files, or the folder of the latest one.

    Raises:
        CapabilityError: TensorFlow is not installed.
        DataError: there is no checkpoint, or it is broken.
    """
    prefix = _checkpoint_prefix(path)
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "arrays.npz"
        child = subprocess.run(
            [sys.executable, "-m", __name__, str(prefix), str(arrays)],
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
        )
        reason = " ".join((child.stderr.strip().splitlines() or ["no reason given"])[-1].split())
        if child.returncode == CapabilityError.exit_code:
            raise CapabilityError(
                f"reading a checkpoint needs TensorFlow: {install_advice('tf1')} ({reason})"
            )
        if child.returncode:
            raise DataError(f"{path} is not a whole TensorFlow checkpoint: {reason[:300]}")
        with np.load(arrays, allow_pickle=False) as file:
            return prefix.name, dict(file)


def _checkpoint_prefix(path: Path) -> Path:
    if path.is_dir():
        indices = sorted(path.glob("*.index"))
        latest = _latest(path / "checkpoint")
        if latest is None and len(indices) > 1:
            names = ", ".join(index.stem for index in indices[:5])
            raise DataError(f"{path} holds {len(indices)} checkpoints, name one: {names}")
        if latest is None and not indices:
            raise DataError(f"{path} holds no TensorFlow checkpoint (*.index)")
        return latest or indices[0].with_suffix("")
    if path.suffix in (".index", ".meta") or path.suffix.startswith(".data-"):
        path = path.with_suffix("")
    if not (path.with_name(path.name + ".index").exists() or path.is_file()):
        raise DataError(f"there is no TensorFlow checkpoint {path} (no {path.name}.index)")
    return path


def _latest(state: Path) -> Path | None:
    """The prefix that a folder's `checkpoint` file names as the latest; None where there is no such
    file, or no such checkpoint beside it any more."""
    try:
        lines = read_text(state, _MOST_STATE).splitlines()
    except (OSError, UnicodeDecodeError, DataError):
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key == "model_checkpoint_path":
            # By its name alone: the path is that of the machine that trained.
            prefix = state.parent / Path(value.strip().strip('"')).name
            return prefix if prefix.with_name(prefix.name + ".index").exists() else None
    return None


def _main(prefix: str, output: str) -> None:
    """In the child process: writes the checkpoint's variables to an .npz, or ends with one line on
    stderr and an exit code."""
    try:
        try:
            from tensorflow.compat.v1 import train
        except ImportError as error:
            raise CapabilityError(str(error)) from None
        try:
            reader = train.load_checkpoint(prefix)
            names = set(reader.get_variable_to_shape_map())
            # A variable below another one is its slot.
            weights = [n for n in names if n == "global_step" or n.startswith(_PREFIX)]
            weights = [n for n in weights if n.rpartition("/")[0] not in names]
            arrays = {name: np.asarray(reader.get_tensor(name)) for name in weights}
        except Exception as error:  # one of TensorFlow's own for every kind of damage
            raise DataError(" ".join(str(error).split())) from None
        for name, array in arrays.items():
            if array.dtype == object:
                raise DataError(f"{name} holds text")
            if array.dtype.name == "bfloat16":  # a type that .npz files cannot hold
                arrays[name] = array.astype(np.float32)
        np.savez(output, **arrays)  # type: ignore[arg-type]
    except HdrbenchError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    _main(*sys.argv[1:])
