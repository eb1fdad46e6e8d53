"""HTML pages of one file, which open from disk and load nothing else."""

from __future__ import annotations

import base64
import hashlib

import jinja2

from .cleaning import clean


def environment(package: str) -> jinja2.Environment:
    """For the templates of a package. All text is escaped, and without what a browser obeys instead
    of showing it, as marks that turn the direction of writing; a name that is not there is an
    error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
    )


def _shown(value: object) -> object:
    # What is escaped already was cleaned before.
    return clean(value, "terminal") if type(value) is str else value


def script_source(script: str) -> str:
    """How a Content-Security-Policy allows this script and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
