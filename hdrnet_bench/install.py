"""How this package was installed, and what installs more: a command that works here.

It is on no package index, so that `pip install` of its name and an extra would find nothing. In a
checkout pip takes the folder; beside an installed wheel, the extra's packages by their own names.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shlex
import shutil
import sys
from pathlib import Path

DISTRIBUTION = "hdrnet-bench"
# What belongs to the sources alone: no wheel has it.
_SOURCE = "slicing/kernels/slice_cpu.cpp"


def checkout(package: Path = Path(__file__).parent) -> Path | None:
    """The top of the sources that `package` lies in, a clone or an unpacked sdist; None where it
    was installed without them."""
    top = package.parent
    return top if (top / "pyproject.toml").is_file() and (package / _SOURCE).is_file() else None


def install_advice(extra: str, *others: str) -> str:
    """The command, in backquotes, that installs what an extra needs, and other packages as well."""
    sources = checkout()
    if sources is not None:
        return _pip("-e", f"{_from_here(sources)}[{extra}]", *others)
    try:
        packages = extra_packages(importlib.metadata.requires(DISTRIBUTION) or [], extra)
    except importlib.metadata.PackageNotFoundError:  # its files were copied without their metadata
        return f"install {DISTRIBUTION} again, and then what its extra {extra} needs"
    return _pip(*packages, *others)


def repeat_advice() -> str:
    """What installs the package again, and so builds its native library."""
    sources = checkout()
    return f"install {DISTRIBUTION} again" if sources is None else _pip("-e", _from_here(sources))


def extra_packages(requirements: list[str], extra: str) -> list[str]:
    """The packages of an extra, with the versions that will do, of a distribution's requirements
    (`importlib.metadata.requires`)."""
    found = []
    for requirement in requirements:
        package, _, condition = requirement.partition(";")
        if re.search(rf"""\bextra\s*==\s*["']{re.escape(extra)}["']""", condition):
            found.append(package.strip())
    return found


def _pip(*arguments: str) -> str:
    return f"`{_pip_program()} install {shlex.join(arguments)}`"


def _pip_program() -> str:
    """The pip of the Python that runs: another one would install where it does not look."""
    python = Path(sys.executable)
    beside = shutil.which("pip", path=str(python.parent))
    if beside and beside == shutil.which("pip"):
        return "pip"
    if beside:
        return shlex.quote(_from_here(Path(beside)))
    if importlib.util.find_spec("pip") is not None:
        return f"{shlex.quote(_from_here(python))} -m pip"
    return "pip"


def _from_here(path: Path) -> str:
    """As short as it may be written in the current folder, and no program of the search path."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # a folder that was removed
        return str(path)
    if not path.is_relative_to(here):
        return str(path)
    parts = path.relative_to(here).parts
    return f"./{parts[0]}" if len(parts) == 1 else str(Path(*parts))
