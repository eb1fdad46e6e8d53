"""What the licences that rows name let others do with a picture."""

from __future__ import annotations

import re

# Licences that let a picture be passed on, made smaller, by anybody.
_FREE = re.compile(r"public-domain|CC0-1\.0|CC-BY(-SA)?-\d\.\d")
# Creative Commons licences that the Hub knows, under their identifiers in lower case.
_ON_THE_HUB = re.compile(r"CC0-1\.0|CC-BY-(2\.0|2\.5|3\.0|4\.0)|CC-BY-SA-(3\.0|4\.0)")

NOT_STATED = "not-stated"


def may_be_passed_on(licence: str) -> bool:
    return _FREE.fullmatch(licence) is not None


def hub_licence(licences: set[str]) -> tuple[str, str | None]:
    """`license` of a Hub card for pictures under these licences, and `license_name` where that is
    "other": a name of small letters, digits, dots and hyphens."""
    if len(licences) != 1:
        return "other", "each-picture-its-own"
    (licence,) = licences
    if _ON_THE_HUB.fullmatch(licence):
        return licence.lower(), None
    name = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-")
    return ("unknown", None) if licence == NOT_STATED or not name else ("other", name)
