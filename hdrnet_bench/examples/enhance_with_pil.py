"""A picture in by PIL, HDRNet, a picture out by PIL.

    python -m hdrnet_bench.examples.enhance_with_pil MODEL INPUT OUTPUT

MODEL is a pretrained model (demo-retouch), RECIPE/RUN, a run directory or a .safetensors file, for
sRGB pictures; OUTPUT's suffix says its format.

PIL gives the numbers that a file stores. So that the model sees sRGB, upright, two things are done
here by hand: the orientation in the EXIF block is applied, and a colour profile is converted to
sRGB. `hdrbench enhance` does more: 16 bits stay 16 bits (PIL makes 8 of a colour PNG's without a
word), the colours go back into the picture's own profile, EXIF, XMP and transparency are kept,
damage is said, and the large picture is never held as floating point.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageCms, ImageOps

from hdrnet_bench import load_model
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.examples.script import check_suffix, run

EIGHT_BITS = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")


def read_srgb(path: str) -> Image.Image:
    """A picture of 8 bits, RGB, upright and in sRGB. Raises DataError for modes that PIL would cut
    to 8 bits, for what PIL refuses as too large, and for a profile that is broken or of another
    kind of picture; OSError as PIL does."""
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
        return numbers.convert("RGB")
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
    return converted


def _is_grey(image: Image.Image) -> bool:
    return image.mode == "RGB" and not np.ptp(np.asarray(image), axis=2).any()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Enhance a picture, read and written by PIL.")
    for name in ("model", "input", "output"):
        parser.add_argument(name)
    options = parser.parse_args(argv)
    check_suffix(options.output)
    model = load_model(options.model)
    if model.config.input_encoding != "srgb":
        raise UsageError(f"{options.model} takes {model.config.input_encoding}: PIL reads no such")
    picture = read_srgb(options.input)
    picture.info.pop("icc_profile", None)  # as PIL says it of the file: its numbers are sRGB now
    image = model.enhance(picture)
    image.save(options.output, quality=95)  # formats without losses take no notice of quality
    print(f"{options.output}: {image.width} x {image.height}")


if __name__ == "__main__":
    run(main)
