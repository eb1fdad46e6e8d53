"""HDRNet on named data, measured honestly. See README.md.

All but `__version__` is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .config import HDRNetConfig
    from .data.load import load_pairs
    from .enhance.file import enhance_file
    from .model.hdrnet import HDRNet
    from .model.load import load_model

__all__ = [
    "HDRNet",
    "HDRNetConfig",
    "__version__",
    "enhance_file",
    "load_model",
    "load_pairs",
]

_HOME = {
    "HDRNet": "model.hdrnet",
    "HDRNetConfig": "config",
    "enhance_file": "enhance.file",
    "load_model": "model.load",
    "load_pairs": "data.load",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; `hdrbench --help` and the report do without it.
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
