"""A trained model on a user's pictures: colours in and out, many files, bounded memory.

Decoding, computing and encoding overlap: decoders and encoders are threads, the model runs in the
caller's; at most a few pictures are in memory at any time.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..config import Encoding, HDRNetConfig
from ..errors import CapabilityError, DataError, HdrbenchError
from ..files import sweep
from ..images import icc
from ..images.conversion import curves_of
from ..images.kinds import EIGHT_BIT, TEN_BIT, WITHOUT_ALPHA
from ..images.photo import ENHANCING, Photo, Policy, read_photo
from ..images.photo_writer import write_photo
from ..images.pixels import Pixels
from ..model import pyramid
from ..model.hdrnet import HDRNet
from ..model.lowres import lowres_from_stored, make_lowres, nearest_places
from ..model.threads import one_thread
from ..slicing import cpu
from .colours import Colours, Conversion, tensor
from .plan import EnhanceJob, path_text

_STRIP_PIXELS = 1 << 19
_LONGEST_ERROR = 500  # characters: a device without memory tells all of its life
_PROFILES = {"srgb": icc.SRGB, "linear": icc.LINEAR}


class Settings(NamedTuple):
    """How pictures are treated. untagged: what one without a profile is. linearise: let a model
    for linear light have pictures that are encoded for display. strict: refuse a damaged file of
    which a decoder can read something."""

    untagged: Encoding = "srgb"
    linearise: bool = False
    quality: int = 95
    overwrite: bool = False
    strict: bool = False

    @property
    def policy(self) -> Policy:
        return ENHANCING._replace(damaged=not self.strict)


def enhance_photo(model: HDRNet, photo: Photo, bits: int, settings: Settings) -> dict[str, float]:
    """Enhance a photograph in place; alpha stays as it is.

    Returns:
        Seconds of making the grid ("network") and of guide, slice and apply with all conversions
        of colours ("slice").

    Raises:
        DataError: a display-encoded picture for a model of linear light, unless linearise.
    """
    start = time.perf_counter()
    colours = _colours(model.config, photo, settings)
    conversion = Conversion(colours, photo.pixels, np.dtype(f"uint{bits}"))
    prepared = time.perf_counter() - start
    seconds = _enhance(model, photo, conversion)
    return seconds | {"slice": seconds["slice"] + prepared}


def _colours(config: HDRNetConfig, photo: Photo, settings: Settings) -> Colours:
    model_encoding, white = config.input_encoding, int(np.iinfo(photo.pixels.dtype).max)
    transfer = config.input_transfer == "srgb"
    untagged = photo.profile is None and photo.encoding is None
    encoding = settings.untagged if untagged else photo.encoding
    if untagged and model_encoding == encoding and photo.pixels.dtype == np.uint16:
        white = config.input_white  # as in the data that the model was trained on
    if photo.encoding == "camera":
        white = photo.white
    target = photo.output_profile or photo.profile or icc.SRGB
    written = None
    if not icc.same(target, icc.SRGB):
        # Curves, which are needed in any case, say that there is a way back.
        if curves_of(target, photo.pixels.dtype) or icc.can_write(target):
            written = target
        else:
            photo.notes.append("written in sRGB: its profile has no way back to its own colours")
            target = icc.SRGB
    if (model_encoding == "camera") != (encoding == "camera"):
        raise DataError(
            "the model is for linear camera colours: give it a DNG, or a picture in such colours "
            "with --untagged camera"
            if model_encoding == "camera"
            else f"its colours are a camera's, and the model is for {model_encoding}"
        )
    if model_encoding == "camera":
        photo.profile = target if photo.encoding else None
        return Colours(None, written, False, white, transfer)
    source = photo.profile or _PROFILES[settings.untagged]
    if model_encoding == "linear" and not (icc.is_linear(source) or settings.linearise):
        raise DataError(
            "it is encoded for display (sRGB or alike), and the model is for linear light: give it "
            "a linear picture (--untagged linear if it says nothing of itself), or --linearise"
        )
    if photo.profile is not None:
        photo.profile = target
    read = None if icc.same(source, _PROFILES[model_encoding]) else source
    return Colours(read, written, model_encoding == "linear", white, transfer)


def _enhance(model: HDRNet, photo: Photo, conversion: Conversion) -> dict[str, float]:
    pixels, out_type = photo.pixels, conversion.out_type
    whole = tensor(pixels)
    device = next(model.parameters()).device
    config = model.config
    start = time.perf_counter()
    height, width = pixels.shape[:2]
    fused = device.type == "cpu" and model.serves_fused(whole)
    if model.serves_pyramid(height, width):
        output = _with_alpha(pixels, out_type)  # not in place: a strip reads its neighbours' rows
        grid = _grid(model, _lowres(model, pixels, conversion))
        network_end = time.perf_counter()

        def picture(first: int, last: int) -> Tensor:
            return conversion.to_model(pixels[first:last])

        rows = pyramid.enhance_rows(model.pyramid_guides(), grid, picture, height, width)

        def levels(first: int, last: int) -> None:
            conversion.back(rows(first, last), output[first:last])

        _in_strips(levels, height, 4 * width)  # a pyramid needs some four times the memory a row
        photo.pixels = output
        return _split(start, network_end)
    output = pixels if pixels.dtype == out_type else _with_alpha(pixels, out_type)
    if fused:
        grid = _grid(model, _lowres(model, pixels, conversion))
        network_end = time.perf_counter()
        if native := conversion.native:
            model.enhance_rows(grid, whole, 0, height, out=tensor(output), colours=native)
        else:

            def strip(first: int, last: int) -> None:
                rows = conversion.to_model(pixels[first:last])
                model.enhance_rows(grid, rows, first, height, out=rows)
                conversion.back(rows, output[first:last])

            _in_strips(strip, height, width)
        photo.pixels = output
        return _split(start, network_end)
    # Other devices, no native library: in floating point as a whole.
    fullres = torch.empty(1, 3, height, width)

    def load(first: int, last: int) -> None:
        fullres[:, :, first:last] = conversion.to_model(pixels[first:last])

    def store(first: int, last: int) -> None:
        conversion.back(result[:, :, first:last], output[first:last])

    _in_strips(load, height, width)
    fullres = fullres.to(device)
    grid = _grid(model, make_lowres(fullres, config.net_input_size, config.lowres_resize))
    network_end = time.perf_counter()
    result = model.render(grid, fullres).cpu()
    _in_strips(store, height, width)
    photo.pixels = output
    return _split(start, network_end)


def _grid(model: HDRNet, lowres: Tensor) -> Tensor:
    with one_thread():
        return model.coefficients(lowres)


def _split(start: float, network_end: float) -> dict[str, float]:
    return {"network": network_end - start, "slice": time.perf_counter() - network_end}


def _with_alpha(pixels: Pixels, dtype: np.dtype) -> Pixels:
    """Room for another depth, alpha brought to it."""
    output = np.empty(pixels.shape, dtype)
    white, before = np.iinfo(dtype).max, np.iinfo(pixels.dtype).max
    output[:, :, 3:] = np.rint(pixels[:, :, 3:] * (white / before))
    return output


def _lowres(model: HDRNet, pixels: Pixels, conversion: Conversion) -> Tensor:
    """make_lowres of the picture as the model is given it."""
    size, (height, width) = model.config.net_input_size, pixels.shape[:2]
    if conversion.colours.read_as_it_is(pixels):
        return lowres_from_stored(tensor(pixels), size, model.config.lowres_resize)
    if model.config.lowres_resize == "nearest":
        rows, columns = nearest_places(height, size), nearest_places(width, size)
        picked = pixels[rows.numpy()[:, None], columns.numpy()]
        return conversion.to_model(picked).contiguous()
    if native := conversion.native:
        return cpu.area_lowres(tensor(pixels), size, native.to_model)
    lowres = torch.empty(1, 3, size, size)

    def average(first: int, last: int) -> None:
        for i in range(first, last):
            window = pixels[i * height // size : -(-(i + 1) * height // size)]
            lowres[:, :, i : i + 1] = torch.nn.functional.interpolate(
                conversion.to_model(window), size=(1, size), mode="area"
            )

    _in_strips(average, size, max(1, width * height // size))
    return lowres


def _in_strips(work: Callable[[int, int], None], height: int, width: int) -> None:
    """work(first, last) over strips of rows, on as many threads as torch uses."""
    rows = max(1, _STRIP_PIXELS // width)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for done in [
            pool.submit(work, first, min(first + rows, height)) for first in range(0, height, rows)
        ]:
            done.result()


def run(
    model: HDRNet,
    jobs: Sequence[EnhanceJob],
    settings: Settings,
    threads: int | None = None,
    step: Callable[[], None] = lambda: None,
    written: list[Path] | None = None,
) -> Iterator[dict[str, Any]]:
    """Enhance files, one report each in their order: size, bits that are written, notes, seconds of
    each part, or the error, with "missing_capability" where it is this machine's lack. A file that
    fails does not stop the others.

    Args:
        threads: that decode, and as many that encode; by default up to four.
        step: called after each file.
        written: each output is added to it once it is there, whole.
    """
    for folder in {job.target.parent for job in jobs}:
        sweep(folder)
    written = [] if written is None else written
    threads = threads or min(4, os.cpu_count() or 1)
    raw_as = model.config.input_encoding
    jobs = list(jobs)
    with (
        ThreadPoolExecutor(threads) as decoders,
        ThreadPoolExecutor(threads) as encoders,
    ):
        decoding: deque[Future[tuple[Photo, float]]] = deque()
        encoding: deque[Future[dict[str, Any]]] = deque()
        ahead = iter(jobs)

        def decode_ahead() -> None:
            while len(decoding) < threads and (job := next(ahead, None)):
                decoding.append(decoders.submit(_timed_read, job.source, settings.policy, raw_as))

        def finished(most: int) -> Iterator[dict[str, Any]]:
            while len(encoding) > most:
                report = encoding.popleft().result()
                step()
                yield report

        try:
            decode_ahead()
            for job in jobs:
                photo = decoding.popleft()
                encoding.append(_one(model, job, photo, settings, encoders, written))
                del photo  # so that a picture ends with its encoding
                decode_ahead()
                yield from finished(threads)
            yield from finished(0)
        finally:
            for reading in decoding:
                reading.cancel()
            for writing in encoding:
                writing.cancel()


def _timed_read(path: Path, policy: Policy, raw_as: Encoding) -> tuple[Photo, float]:
    start = time.perf_counter()
    return read_photo(path, policy, raw_as), time.perf_counter() - start


def _one(
    model: HDRNet,
    job: EnhanceJob,
    decoded: Future[tuple[Photo, float]],
    settings: Settings,
    encoders: ThreadPoolExecutor,
    written: list[Path],
) -> Future[dict[str, Any]]:
    report: dict[str, Any] = {
        "input": path_text(job.source),
        "output": path_text(job.target),
        "error": None,
    }
    try:
        photo, seconds = decoded.result()
        height, width, channels = photo.pixels.shape
        bits = job.bits or photo.pixels.dtype.itemsize * 8
        if job.kind in EIGHT_BIT:
            if bits == 16:
                photo.notes.append(f"written with 8 bits, which are all that {job.kind} holds")
            bits = 8
        if channels == 4 and job.kind in WITHOUT_ALPHA:
            raise DataError("it has an alpha channel, which JPEG cannot hold: --format png")
        with torch.no_grad():
            parts = enhance_photo(model, photo, bits, settings)
        stored = 10 if bits == 16 and job.kind in TEN_BIT else bits
        report |= {"width": width, "height": height, "bits": stored}
        report["seconds"] = {"decode": seconds, **parts}
        return encoders.submit(_write, job, photo, settings, report, written)
    except (HdrbenchError, MemoryError, RuntimeError, ValueError, OSError) as error:
        # Want of memory on a device, a picture too small for a pyramid, too many open files.
        failed: Future[dict[str, Any]] = Future()
        failed.set_result(report | _failure(error))
        return failed


def _failure(error: Exception) -> dict[str, Any]:
    """What a report says of it."""
    text = " ".join(str(error).split())[:_LONGEST_ERROR]
    failure: dict[str, Any] = {"error": text or "not enough memory"}
    return failure | ({"missing_capability": True} if isinstance(error, CapabilityError) else {})


def error_text(report: dict[str, Any]) -> str:
    """A report's error with the input's name, which most errors have themselves."""
    error: str = report["error"]
    return error if error.startswith(report["input"]) else f"{report['input']}: {error}"


def _write(
    job: EnhanceJob,
    photo: Photo,
    settings: Settings,
    report: dict[str, Any],
    written: list[Path],
) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        write_photo(job.target, photo, job.kind, settings.quality, settings.overwrite)
        written.append(job.target)
    except (HdrbenchError, MemoryError) as error:
        report |= _failure(error)
    except OSError as error:
        # NumPy's, which writes TIFFs, says of a full disk only how much it could write.
        reason = error.strerror or " ".join(str(error).split())
        report["error"] = f"{path_text(job.target)} cannot be written: {reason}"
    report["seconds"] = {
        name: round(value, 4)
        for name, value in (report["seconds"] | {"encode": time.perf_counter() - start}).items()
    }
    return report | {"notes": photo.notes}
