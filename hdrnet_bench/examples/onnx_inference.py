"""An exported model on a photograph by onnxruntime: numpy and PIL, no torch.

    hdrbench export MODEL model.onnx
    python -m hdrnet_bench.examples.onnx_inference model.onnx INPUT OUTPUT [--compare MODEL]

The file has one input, the picture, and one output; the small copy that the network looks at is
made inside. It takes floating point, or bytes where it was exported with --numbers uint8. With
--compare the model itself enhances the same picture (which loads torch), and the largest difference
is printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from hdrnet_bench.errors import CapabilityError, DataError
from hdrnet_bench.examples.script import check_suffix, read_srgb, run


def open_model(path: str) -> Any:
    """A session. Raises CapabilityError or DataError."""
    try:
        import onnxruntime
    except ImportError:
        raise CapabilityError("onnxruntime is missing: pip install onnxruntime") from None
    try:
        session = onnxruntime.InferenceSession(path)
        config = json.loads(session.get_modelmeta().custom_metadata_map["config"])
    except Exception as error:  # onnxruntime has a class of its own for each fault
        raise DataError(f"{path} is no model that `hdrbench export` wrote: {error}") from None
    names = [[one.name for one in ends] for ends in (session.get_inputs(), session.get_outputs())]
    if names != [["picture"], ["output"]]:
        raise DataError(f"{path} is no whole model: export it again, without --parts")
    if config.get("input_encoding", "srgb") != "srgb":
        raise DataError(f"{path} takes {config['input_encoding']} light, PIL's pictures are sRGB")
    return session


def enhance(session: Any, pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> the same, sRGB."""
    picture = pixels.transpose(2, 0, 1)[None]
    if session.get_inputs()[0].type == "tensor(uint8)":
        (output,) = session.run(["output"], {"picture": np.ascontiguousarray(picture)})
    else:
        (output,) = session.run(["output"], {"picture": picture.astype(np.float32) / 255})
        output = np.rint(output.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(output[0].transpose(1, 2, 0))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Run an exported model without torch.")
    for name in ("exported", "input", "output"):
        parser.add_argument(name)
    parser.add_argument("--compare", metavar="MODEL", help="what was exported: a run or a file")
    options = parser.parse_args(argv)
    check_suffix(options.output)
    session = open_model(options.exported)
    pixels = np.array(read_srgb(options.input))
    try:
        enhanced = enhance(session, pixels)
    except Exception as error:  # onnxruntime has a class of its own for each fault
        raise DataError(f"{options.exported} fails for {options.input}: {error}") from None
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
