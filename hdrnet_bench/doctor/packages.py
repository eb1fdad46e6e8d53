"""This package and the others: which versions, of what commit, what is missing."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sys
from collections.abc import Iterator
from typing import NamedTuple

from ..environment import Revision
from ..install import DISTRIBUTION, install_advice, repeat_advice
from ..version import __version__
from .finding import Finding

# Whose versions decide what comes out, or what goes wrong.
MAIN = (
    *("torch", "torchvision", "numpy", "datasets", "pillow", "imagecodecs", "rawpy", "simplejpeg"),
    *("tifffile", "scikit-image", "scipy", "lpips", "huggingface_hub", "pydantic", "typer", "rich"),
)
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Extra(NamedTuple):
    """What an extra is for, and the distributions that it is."""

    purpose: str
    packages: tuple[str, ...]


EXTRAS = {
    "onnx": Extra("ONNX files", ("onnx", "onnxruntime")),
    "tf1": Extra("import-tf1", ("tensorflow",)),
    "heif": Extra("HEIC pictures", ("pillow-heif",)),
    "cuda": Extra("slicing on an NVIDIA GPU", ("cuda-core", "nvidia-ml-py")),
    "distributed": Extra("prepare --scheduler", ("dask", "distributed")),
}


def version_of(distribution: str) -> str | None:
    """None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide what comes out; LibRaw is in rawpy."""
    import torch

    found = {"Python": sys.version.split()[0]}
    found |= {name: version for name in MAIN if (version := version_of(name))}
    found["torch"] = torch.__version__  # which also tells what it is built for
    if "rawpy" in found:
        try:
            import rawpy

            found["LibRaw"] = ".".join(map(str, rawpy.libraw_version))
        except ImportError:  # of a system library that it needs
            pass
    return found


def missing_requirements(requirements: list[str]) -> list[str]:
    """Which packages are not installed that a distribution needs without any of its extras: after
    an installation without dependencies."""
    plain = [text for text in requirements if ";" not in text]
    return [text for text in plain if version_of(_name(text)) is None]


def _name(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    return match[0] if match else requirement


def findings(revision: Revision, found: dict[str, str]) -> Iterator[Finding]:
    """found: as `versions` gives them."""
    yield package_finding(revision)
    yield Finding("versions", "ok", ", ".join(f"{name} {found[name]}" for name in found))
    try:
        lacking = missing_requirements(importlib.metadata.requires(DISTRIBUTION) or [])
    except importlib.metadata.PackageNotFoundError:
        lacking = []
    if lacking:
        yield Finding("packages", "missing", ", ".join(lacking), repeat_advice())


def package_finding(revision: Revision) -> Finding:
    said = f"{__version__}, commit {revision.commit}"
    if revision.commit is None:
        said = f"{__version__}; {revision.why}"
    if not revision.wrong:
        return Finding(DISTRIBUTION, "ok", said)
    return Finding(DISTRIBUTION, "warning", f"{said} (until then, results are of no known commit)")


def extra_findings(cuda: str | None) -> Iterator[Finding]:
    """cuda: torch's version of CUDA."""
    for name, extra in EXTRAS.items():
        lacking = [package for package in extra.packages if version_of(package) is None]
        others = [f"cuda-core[cu{cuda.split('.')[0]}]"] if name == "cuda" and cuda else []
        if lacking:
            yield Finding(
                extra.purpose, "missing", f"{', '.join(lacking)}", install_advice(name, *others)
            )
        else:
            yield Finding(
                extra.purpose,
                "ok",
                ", ".join(f"{package} {version_of(package)}" for package in extra.packages),
            )
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    yield (
        Finding("browser", "ok", browser)
        if browser
        else Finding(
            "browser", "missing", "only for looking at report.html here", "install Chromium"
        )
    )
