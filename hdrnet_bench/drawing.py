"""matplotlib, for files and colours alone."""

from __future__ import annotations

import os
from types import ModuleType


def import_matplotlib() -> ModuleType:
    """matplotlib, whatever MPLBACKEND says: it names a window to draw in, of which none is opened
    here, and a name that matplotlib does not know would keep it from being imported."""
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    return matplotlib
