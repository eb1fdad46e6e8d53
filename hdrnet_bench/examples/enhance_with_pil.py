"""A picture in by PIL, HDRNet, a picture out by PIL.

    python -m hdrnet_bench.examples.enhance_with_pil MODEL INPUT OUTPUT

MODEL is a pretrained model (demo-retouch), RECIPE/RUN, a run directory or a .safetensors file, for
sRGB pictures; OUTPUT's suffix says its format.

PIL gives the numbers that a file stores. So that the model sees sRGB, upright, two things are done
by hand (`read_srgb` in script.py): the orientation in the EXIF block is applied, and a colour
profile is converted to sRGB. `hdrbench enhance` does more: 16 bits stay 16 bits (PIL makes 8 of a
colour PNG's without a word), the colours go back into the picture's own profile, EXIF, XMP and
transparency are kept, damage is said, and the large picture is never held as floating point.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hdrnet_bench import load_model
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.examples.script import check_suffix, read_srgb, run


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Enhance a picture, read and written by PIL.")
    for name in ("model", "input", "output"):
        parser.add_argument(name)
    options = parser.parse_args(argv)
    check_suffix(options.output)
    model = load_model(options.model)
    if model.config.input_encoding != "srgb":
        raise UsageError(f"{options.model} takes {model.config.input_encoding}: PIL reads no such")
    try:
        image = model.enhance(read_srgb(options.input))
    except ValueError as error:  # fewer pixels than a pyramid needs
        raise DataError(f"{options.input}: {error}") from None
    image.save(options.output, quality=95)  # formats without losses take no notice of quality
    print(f"{options.output}: {image.width} x {image.height}")


if __name__ == "__main__":
    run(main)
