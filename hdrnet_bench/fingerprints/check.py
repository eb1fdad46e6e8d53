"""Pictures on disk beside the fingerprints of the published ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError, StorageError
from ..files import by_name
from ..images.photo import Photo
from .diagnosis import REFUSED, UNREADABLE, Diagnosis, Finding, diagnose
from .picture import Fingerprint, Side, fingerprint
from .reference import Reference


class Picture(NamedTuple):
    id: str
    side: Side
    path: Path


class Examined(NamedTuple):
    """print: None where the file cannot be read as a picture. diagnosis: None where there is
    nothing to compare with."""

    picture: Picture
    print: Fingerprint | None
    diagnosis: Diagnosis | None


def examine(
    picture: Picture,
    reference: Reference | None,
    refusal: Callable[[Path, Photo], str | None],
    srgb: bool,
) -> Examined:
    """A picture's fingerprint, and what it is beside the reference's.

    Args:
        reference: None where there is nothing to compare with.
        refusal: why the protocol does not take the picture, whatever it shows.
        srgb: as of `diagnose`.

    Raises StorageError where the system does not give the file.
    """
    id_, side, path = picture
    try:
        found, photo = fingerprint(path, id_, side)
    except StorageError:
        raise
    except DataError as error:
        what = by_name(str(error), path)
        broken = Diagnosis(id_, side, "differing", (Finding(UNREADABLE, what),))
        return Examined(picture, None, broken)
    reason = refusal(path, photo)
    refused = (Finding(REFUSED, reason),) if reason else ()
    wanted = reference and reference.prints.get((side, id_))
    if reference is None or wanted is None:
        own = Diagnosis(id_, side, "differing", refused) if refused else None
        return Examined(picture, found, own)
    other = reference.prints.get(("target" if side == "input" else "input", id_))
    diagnosis = diagnose(found, photo.pixels, wanted, other, srgb)
    if refused:
        findings = (*refused, *diagnosis.findings)
        diagnosis = diagnosis._replace(status="differing", findings=findings)
    return Examined(picture, found, diagnosis)
