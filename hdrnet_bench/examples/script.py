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
    from PIL import Image

EIGHT_BITS = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")


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


def read_srgb(path: str) -> Image.Image:
    """A picture of 8 bits as PIL's RGB, upright and in sRGB, without transparency. Raises DataError
    for modes that PIL would cut to 8 bits, for what PIL refuses as too large, and for a profile
    that is broken or of another kind of picture; OSError as PIL does."""
    from PIL import Image, ImageCms, ImageOps

    try:
        # Among all that PIL knows are kinds that it starts programs for.
        opened = Image.open(path, formats=("BMP", "JPEG", "PNG", "TIFF", "WEBP"))
        image = ImageOps.exif_transpose(opened)
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} is too large for PIL: {error}") from None
    if image.mode not in EIGHT_BITS:
        raise DataError(f"{path} is of PIL's mode {image.mode}: use `hdrbench enhance` for it")
    profile = image.info.get("icc_profile")
    numbers = image if image.mode == "CMYK" else image.convert("RGB")
    if not profile:
        return _plain(numbers)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space == "GRAY" and _is_grey(numbers):
            numbers = numbers.convert("L")  # grey, black and white, or a palette of greys
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(numbers, source, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        raise DataError(
            f"{path} has a colour profile that is broken or not for PIL's mode {image.mode} "
            f"({error}): `hdrbench enhance` leaves such a profile out and says so"
        ) from None
    assert converted is not None  # it is None only where it works in place
    return _plain(converted)


def _plain(image: Image.Image) -> Image.Image:
    """RGB without what PIL says of the file: its numbers are sRGB's now."""
    plain = image.convert("RGB")
    plain.info.clear()
    return plain


def _is_grey(image: Image.Image) -> bool:
    import numpy as np

    return image.mode == "RGB" and not np.ptp(np.asarray(image), axis=2).any()


def usable(device: str) -> torch.device:
    """Raises CapabilityError for "cuda" where torch sees none."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise CapabilityError("torch sees no CUDA device here: leave --device out")
    return torch.device(device)
