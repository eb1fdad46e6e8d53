"""One photograph, from file to file."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, get_args

from ..config import Encoding
from ..errors import CapabilityError, DataError, UsageError
from ..images.kinds import KINDS, SIXTEEN_BIT
from ..images.photo_writer import check_kind
from ..model.hdrnet import HDRNet
from .plan import plan
from .run import Settings, error_text, run


def enhance_file(
    model: HDRNet,
    path: str | PathLike[str],
    out: str | PathLike[str],
    *,
    bits: Literal[8, 16] | None = None,
    quality: int = 95,
    untagged: Encoding = "srgb",
    linearise: bool = False,
    strict: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Enhance a photograph as `hdrbench enhance` does: its colours are converted to the model's and
    back, profile, EXIF, XMP, IPTC and alpha are kept, and what is not, is said.

    Args:
        model: as `load_model` gives it.
        path: JPEG, PNG, TIFF, WebP, HEIC, AVIF, JPEG XL or DNG.
        out: a file, whose suffix says its kind; whole once it is there.
        bits: a channel, by default as the input.
        quality: 1 to 100, of what is written with losses.
        untagged: what a picture without a colour profile is.
        linearise: give a model for linear light a picture that is encoded for display.
        strict: refuse a damaged file, of which a decoder reads the rest.
        overwrite: replace `out` where it is there.

    Returns:
        input, output, width, height, bits, notes (what was not kept, or is odd), and seconds of
        each part.

    Raises:
        UsageError: `out` is there, or is no name of a picture that can be written.
        DataError: the picture is not there, cannot be read, or is not for this model; or the output
            cannot be written.
        CapabilityError: a library for its kind is missing.
    """
    source, target = fspath(path), fspath(out)
    for text in (source, target):
        if Path(text).is_dir():
            raise UsageError(f"{text} is a folder: name a file (`hdrbench enhance` takes folders)")
    if not Path(source).is_file():
        raise DataError(f"there is no file {source}")
    suffix = Path(target).suffix.lower()
    if suffix not in KINDS:
        raise UsageError(f"{target}: its suffix says no kind that is written ({', '.join(KINDS)})")
    if Path(target).exists() and not overwrite:
        raise UsageError(f"{target} is there already: name another one, or overwrite=True")
    if not isinstance(model, HDRNet):
        raise UsageError(f"the model is {type(model).__name__}: hand what load_model gives")
    if bits not in (None, 8, 16) or (bits == 16 and KINDS[suffix] not in SIXTEEN_BIT):
        raise UsageError(f"{target}: bits={bits} is not what such a file holds")
    if untagged not in get_args(Encoding):
        raise UsageError(f"untagged is {untagged!r}, not one of {', '.join(get_args(Encoding))}")
    if not 1 <= quality <= 100:
        raise UsageError(f"quality is {quality}, not 1 to 100")
    (job,) = plan([source], target, None, bits, overwrite)
    check_kind(job.kind)
    settings = Settings(untagged, linearise, quality, overwrite, strict)
    (report,) = run(model, [job], settings, threads=1)
    if report["error"]:
        kind = CapabilityError if report.get("missing_capability") else DataError
        raise kind(error_text(report))
    return {key: value for key, value in report.items() if key != "error"}
