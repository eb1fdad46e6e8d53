"""An exported model on a photograph by onnxruntime: numpy and PIL, no torch.

    hdrbench export MODEL model.onnx
    python -m hdrnet_bench.examples.onnx_inference model.onnx INPUT OUTPUT [--compare MODEL]

The network takes the picture and a small copy of it. How the copy is made stands in the file's
metadata, and `make_lowres` does exactly that: an average of whole pixels over windows that may
overlap by one, as torch's area does, or the pixel that torch's nearest takes. With --compare the
model itself enhances the same picture (which loads torch), and the largest difference is printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from hdrnet_bench.errors import CapabilityError, DataError
from hdrnet_bench.examples.script import check_suffix, run


def make_lowres(picture: np.ndarray, size: int, resize: str) -> np.ndarray:
    """(3, H, W) float32 -> (3, size, size), by "area" or "nearest"."""
    small = picture.astype(np.float64)
    for axis in (1, 2):
        length, places = picture.shape[axis], np.arange(size)
        if resize == "nearest":
            scale = np.float32(length) / np.float32(size)  # torch rounds so
            nearest = np.floor(places.astype(np.float32) * scale).astype(int)
            small = small.take(np.minimum(nearest, length - 1), axis)
        else:
            first, end = places * length // size, -(-(places + 1) * length // size)
            sums = np.insert(small.cumsum(axis), 0, 0, axis)
            widths = (end - first)[:, None] if axis == 1 else end - first
            small = (sums.take(end, axis) - sums.take(first, axis)) / widths
    return small.astype(np.float32)


def open_model(path: str) -> tuple[Any, dict[str, Any]]:
    """A session, and the configuration in the file. Raises CapabilityError or DataError."""
    try:
        import onnxruntime
    except ImportError:
        raise CapabilityError("onnxruntime is missing: pip install onnxruntime") from None
    try:
        session = onnxruntime.InferenceSession(path)
        config = json.loads(session.get_modelmeta().custom_metadata_map["config"])
    except Exception as error:  # onnxruntime has a class of its own for each fault
        raise DataError(f"{path} is no model that `hdrbench export` wrote: {error}") from None
    if config.get("input_encoding", "srgb") != "srgb":
        raise DataError(f"{path} takes {config['input_encoding']} light, PIL's pictures are sRGB")
    return session, config


def enhance(session: Any, config: dict[str, Any], pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> the same, sRGB."""
    picture = pixels.transpose(2, 0, 1).astype(np.float32) / 255
    lowres = make_lowres(picture, config["net_input_size"], config["lowres_resize"])
    (output,) = session.run(["output"], {"lowres": lowres[None], "fullres": picture[None]})
    levels = np.rint(output[0].clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Run an exported model without torch.")
    for name in ("exported", "input", "output"):
        parser.add_argument(name)
    parser.add_argument("--compare", metavar="MODEL", help="what was exported: a run or a file")
    options = parser.parse_args(argv)
    check_suffix(options.output)
    session, config = open_model(options.exported)
    picture = Image.open(options.input, formats=("BMP", "JPEG", "PNG", "TIFF", "WEBP"))
    pixels = np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    enhanced = enhance(session, config, pixels)
    Image.fromarray(enhanced).save(options.output, quality=95)
    print(f"{options.output}: {enhanced.shape[1]} x {enhanced.shape[0]}")
    if options.compare:
        import torch

        from hdrnet_bench import load_model

        planar = torch.from_numpy(pixels).permute(2, 0, 1)
        expected = load_model(options.compare).enhance(planar).permute(1, 2, 0).numpy()
        difference = np.abs(enhanced.astype(int) - expected.astype(int)).max()
        print(f"largest difference from the model itself: {difference} of 255 levels")


if __name__ == "__main__":
    run(main)
