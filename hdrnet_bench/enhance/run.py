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
from numpy.typing import NDArray
from torch import Tensor

from ..color import linear_to_srgb
from ..config import Encoding, HDRNetConfig
from ..errors import DataError, HdrbenchError
from ..images import conversion, icc
from ..images.conversion import Back, ToModel
from ..images.kinds import EIGHT_BIT, WITHOUT_ALPHA
from ..images.photo import ENHANCING, Photo, Policy, read_photo
from ..images.photo_writer import write_photo
from ..images.pixels import Pixels
from ..model import pyramid
from ..model.hdrnet import HDRNet
from ..model.lowres import lowres_from_stored, make_lowres, nearest_places
from .plan import EnhanceJob

_STRIP_PIXELS = 1 << 19
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


class Colours(NamedTuple):
    """From the picture's numbers to the model's and back.

    to_model, back: how they are converted; None: not at all. white: what of the picture's numbers
    stands for 1.0. transfer: whether sRGB's curve follows, as the model's configuration says.
    """

    to_model: ToModel | None
    back: Back | None
    white: int
    transfer: bool

    def as_it_is(self, pixels: Pixels) -> bool:
        """Whether the kernel may be given these integers themselves, here and in what returns."""
        profiles = self.to_model or self.back
        return not profiles and not self.transfer and self.white == np.iinfo(pixels.dtype).max


def enhance_photo(model: HDRNet, photo: Photo, bits: int, settings: Settings) -> dict[str, float]:
    """Enhance a photograph in place; alpha stays as it is.

    Returns:
        Seconds of making the grid ("network") and of guide, slice and apply with all conversions
        of colours ("slice").

    Raises:
        DataError: a display-encoded picture for a model of linear light, unless linearise.
    """
    colours = _colours(model.config, photo, settings)
    return _enhance(model, photo, np.dtype(f"uint{bits}"), colours)


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
    if not icc.can_write(target):
        photo.notes.append("written in sRGB: its profile has no way back to its own colours")
        target = icc.SRGB
    back = None if icc.same(icc.SRGB, target) else conversion.from_srgb(target)
    if (model_encoding == "camera") != (encoding == "camera"):
        raise DataError(
            "the model is for linear camera colours: give it a DNG, or a picture in such colours "
            "with --untagged camera"
            if model_encoding == "camera"
            else f"its colours are a camera's, and the model is for {model_encoding}"
        )
    if model_encoding == "camera":
        photo.profile = target if photo.encoding else None
        return Colours(None, back, white, transfer)
    source = photo.profile or _PROFILES[settings.untagged]
    if model_encoding == "linear" and not (icc.is_linear(source) or settings.linearise):
        raise DataError(
            "it is encoded for display (sRGB or alike), and the model is for linear light: give it "
            "a linear picture (--untagged linear if it says nothing of itself), or --linearise"
        )
    if photo.profile is not None:
        photo.profile = target
    to_model = None
    if not icc.same(source, _PROFILES[model_encoding]):
        to_model = conversion.to_srgb(source, photo.pixels.dtype, model_encoding == "linear")
    return Colours(to_model, back, white, transfer)


def _enhance(model: HDRNet, photo: Photo, out_type: np.dtype, colours: Colours) -> dict[str, float]:
    pixels = photo.pixels
    whole = _tensor(pixels)
    device = next(model.parameters()).device
    config = model.config
    start = time.perf_counter()
    fused = device.type == "cpu" and model.serves_fused(whole)
    if fused and colours.as_it_is(pixels) and pixels.dtype == out_type:
        grid = _grid(model, lowres_from_stored(whole, config.net_input_size, config.lowres_resize))
        network_end = time.perf_counter()
        model.enhance_rows(grid, whole, 0, whole.shape[2], out=whole)
        return _split(start, network_end)
    height, width = pixels.shape[:2]
    if model.serves_pyramid(height, width):
        output = _with_alpha(pixels, out_type)  # not in place: a strip reads its neighbours' rows
        grid = _grid(model, _lowres(model, pixels, colours))
        network_end = time.perf_counter()

        def picture(first: int, last: int) -> Tensor:
            return _tensor(_to_model(pixels[first:last], colours))

        rows = pyramid.enhance_rows(model.pyramid_guides(), grid, picture, height, width)

        def levels(first: int, last: int) -> None:
            result = rows(first, last)[0].permute(1, 2, 0).contiguous().numpy()
            output[first:last, :, :3] = _back(result, colours.back, out_type)

        _in_strips(levels, height, 4 * width)  # a pyramid needs some four times the memory a row
        photo.pixels = output
        return _split(start, network_end)
    output = pixels if pixels.dtype == out_type else _with_alpha(pixels, out_type)
    if fused:
        grid = _grid(model, _lowres(model, pixels, colours))
        network_end = time.perf_counter()

        def strip(first: int, last: int) -> None:
            rows = _to_model(pixels[first:last], colours)
            tensor = _tensor(rows)
            model.enhance_rows(grid, tensor, first, height, out=tensor)
            output[first:last, :, :3] = _back(rows, colours.back, out_type)

        _in_strips(strip, height, width)
        photo.pixels = output
        return _split(start, network_end)
    # Other devices, no native library: in floating point as a whole.
    fullres = torch.empty(1, 3, height, width)

    def load(first: int, last: int) -> None:
        fullres[:, :, first:last] = _tensor(_to_model(pixels[first:last], colours))

    def store(first: int, last: int) -> None:
        rows = result[0, :, first:last].permute(1, 2, 0).contiguous().numpy()
        output[first:last, :, :3] = _back(rows, colours.back, out_type)

    _in_strips(load, height, width)
    fullres = fullres.to(device)
    grid = _grid(model, make_lowres(fullres, config.net_input_size, config.lowres_resize))
    network_end = time.perf_counter()
    result = model.render(grid, fullres).cpu()
    _in_strips(store, height, width)
    photo.pixels = output
    return _split(start, network_end)


def _grid(model: HDRNet, lowres: Tensor) -> Tensor:
    """The coefficients, on one thread: the network is small, and threads that wait for each other
    at every layer, while decoders and encoders have the cores, cost ten times what they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return model.coefficients(lowres)
    finally:
        torch.set_num_threads(threads)


def _split(start: float, network_end: float) -> dict[str, float]:
    return {"network": network_end - start, "slice": time.perf_counter() - network_end}


def _tensor(pixels: NDArray[Any]) -> Tensor:
    """(H, W, 3 or more) as (1, 3, H, W), without a copy."""
    return torch.from_numpy(pixels[:, :, :3]).permute(2, 0, 1)[None]


def _with_alpha(pixels: Pixels, dtype: np.dtype) -> Pixels:
    """Room for another depth, alpha brought to it."""
    output = np.empty(pixels.shape, dtype)
    white, before = np.iinfo(dtype).max, np.iinfo(pixels.dtype).max
    output[:, :, 3:] = np.rint(pixels[:, :, 3:] * (white / before))
    return output


def _to_model(rows: Pixels, colours: Colours) -> NDArray[np.float32]:
    rows = rows[:, :, :3]
    if colours.to_model:
        floating = colours.to_model(rows)
    else:
        floating = rows.astype(np.float32) / np.float32(colours.white)
    return linear_to_srgb(floating) if colours.transfer else floating


def _back(rows: NDArray[np.float32], back: Back | None, dtype: np.dtype) -> NDArray[Any]:
    rows = rows.clip(0, 1)
    if back:
        return back(rows, dtype)
    return np.rint(rows * np.float32(np.iinfo(dtype).max))


def _lowres(model: HDRNet, pixels: Pixels, colours: Colours) -> Tensor:
    """make_lowres of a picture whose colours must be converted first, row of it by row."""
    size, (height, width) = model.config.net_input_size, pixels.shape[:2]
    if colours.as_it_is(pixels):
        return lowres_from_stored(_tensor(pixels), size, model.config.lowres_resize)
    if model.config.lowres_resize == "nearest":
        rows, columns = nearest_places(height, size), nearest_places(width, size)
        picked = pixels[rows.numpy()[:, None], columns.numpy()]
        return _tensor(_to_model(picked, colours)).contiguous()
    lowres = torch.empty(1, 3, size, size)

    def average(first: int, last: int) -> None:
        for i in range(first, last):
            window = pixels[i * height // size : -(-(i + 1) * height // size)]
            lowres[:, :, i : i + 1] = torch.nn.functional.interpolate(
                _tensor(_to_model(window, colours)), size=(1, size), mode="area"
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
    workers: int | None = None,
    step: Callable[[], None] = lambda: None,
) -> Iterator[dict[str, Any]]:
    """Enhance files, one report each in their order: size, bits, notes, seconds of each part, or
    the error. A file that fails does not stop the others.

    Args:
        workers: threads that decode, and as many that encode; by default up to four.
        step: called after each file.
    """
    workers = workers or min(4, os.cpu_count() or 1)
    raw_as = model.config.input_encoding
    jobs = list(jobs)
    with (
        ThreadPoolExecutor(workers) as decoders,
        ThreadPoolExecutor(workers) as encoders,
    ):
        decoding: deque[Future[tuple[Photo, float]]] = deque()
        encoding: deque[Future[dict[str, Any]]] = deque()
        ahead = iter(jobs)

        def decode_ahead() -> None:
            while len(decoding) < workers and (job := next(ahead, None)):
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
                encoding.append(_one(model, job, photo, settings, encoders))
                del photo  # so that a picture ends with its encoding
                decode_ahead()
                yield from finished(workers)
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
) -> Future[dict[str, Any]]:
    report: dict[str, Any] = {"input": str(job.source), "output": str(job.target), "error": None}
    try:
        photo, seconds = decoded.result()
        height, width, channels = photo.pixels.shape
        bits = job.bits or photo.pixels.dtype.itemsize * 8
        if job.kind in EIGHT_BIT:
            bits = 8
        if channels == 4 and job.kind in WITHOUT_ALPHA:
            raise DataError("it has an alpha channel, which JPEG cannot hold: --format png")
        with torch.no_grad():
            parts = enhance_photo(model, photo, bits, settings)
        report |= {"width": width, "height": height, "bits": bits}
        report["seconds"] = {"decode": seconds, **parts}
        return encoders.submit(_write, job, photo, settings, report)
    except (HdrbenchError, MemoryError, RuntimeError, ValueError) as error:
        # Want of memory on a device, a picture too small for a pyramid.
        failed: Future[dict[str, Any]] = Future()
        failed.set_result(report | {"error": str(error) or "not enough memory"})
        return failed


def _write(
    job: EnhanceJob, photo: Photo, settings: Settings, report: dict[str, Any]
) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        write_photo(job.target, photo, job.kind, settings.quality, settings.overwrite)
    except (HdrbenchError, MemoryError) as error:
        return report | {"error": str(error) or "not enough memory"}
    except OSError as error:
        return report | {"error": f"{job.target} cannot be written: {error.strerror}"}
    report["seconds"] = {
        name: round(value, 4)
        for name, value in (report["seconds"] | {"encode": time.perf_counter() - start}).items()
    }
    return report | {"notes": photo.notes}
