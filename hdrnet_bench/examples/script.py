"""What the examples share. They end as the commands do: an error that the user can do something
about is one line, any other shows its traceback."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..cleaning import clean
from ..errors import CapabilityError, DataError, HdrbenchError, UsageError

if TYPE_CHECKING:
    import torch


def run(main: Callable[[Sequence[str]], None]) -> NoReturn:
    """Call main with the process's arguments, and exit."""
    try:
        main(sys.argv[1:])
    except HdrbenchError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:  # PIL's and PyAV's too
        where = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{where}", DataError.exit_code)
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    print(clean(" ".join(message.split()), "line"), file=sys.stderr)
    sys.exit(code)


def check_suffix(path: str) -> None:
    """Raises UsageError where PIL writes no colour picture under a name with that suffix."""
    from PIL import Image

    suffix = Path(path).suffix.lower()
    try:
        # Tried on one pixel: of the formats PIL registers, some it only reads or writes in grey.
        Image.new("RGB", (1, 1)).save(io.BytesIO(), Image.registered_extensions()[suffix])
    except (KeyError, OSError, ValueError):
        ending = f"{suffix} files" if suffix else "files without a suffix"
        raise UsageError(f"{path}: PIL writes no {ending}: use .png, .jpg or .tif") from None


def usable(device: str) -> torch.device:
    """Raises CapabilityError for "cuda" where torch sees none."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise CapabilityError("torch sees no CUDA device here: leave --device out")
    return torch.device(device)
