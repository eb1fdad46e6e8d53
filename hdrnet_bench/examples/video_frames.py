"""The frames of a video, enhanced: the grid predicted for one in N and smoothed, each frame sliced.

    python -m hdrnet_bench.examples.video_frames MODEL INPUT OUTPUT.mp4 [--every N] [--smoothing A]

INPUT is a video, or a folder of pictures that are its frames in the order of their names (--rate a
second). One frame in N goes through the network; what all are sliced with from there on is A times
the grid before and 1 - A times that frame's own, so that the look follows slowly and does not jump.
After a cut it follows as slowly: --smoothing 0 takes each grid as it is.

PyAV reads and writes (pip install av). Frames go through 8-bit RGB; the output is H.264 with the
input's colour tags and times, turned as the input says. Sound is left out. HDR video (PQ, HLG) is
refused: the model takes sRGB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hdrnet_bench import HDRNet, load_model
from hdrnet_bench.errors import CapabilityError, DataError, UsageError
from hdrnet_bench.examples.script import run, usable
from hdrnet_bench.files import atomic_path
from hdrnet_bench.images import read_picture

HDR = (16, 18)  # AVCOL_TRC_SMPTE2084 and AVCOL_TRC_ARIB_STD_B67
BT709, VIDEO_RANGE = 1, 1
BOUNDS = "--every is 1 or more, --smoothing from 0 to below 1, --rate from 1/1000 to 1000"
RATES = (Fraction(1, 1000), 1000)  # of an MP4 at 90,000 FFmpeg gives no frame back
# swscale's bicubic, accurate rounding, full chroma in and out: its default darkens by a level.
EXACT = 0x4 | 0x40000 | 0x2000 | 0x4000


class Frame(NamedTuple):
    """pixels: (H, W, 3) uint8 or uint16. pts: in time_base. tags: matrix, primaries, curve."""

    pixels: np.ndarray
    pts: int
    time_base: Fraction
    tags: tuple[int, int, int]


def enhanced(
    model: HDRNet, frames: Iterator[Frame], every: int, smoothing: float
) -> Iterator[Frame]:
    """The frames, 8 bits, in memory that the next one takes. Raises DataError where one is of
    another size than the first."""
    enhance = None
    for count, frame in enumerate(frames, start=1):
        height, width = frame.pixels.shape[:2]
        if enhance is None:
            size = height, width
            enhance = model.enhancer(height, width, every, smoothing)
        if (height, width) != size:
            raise DataError(f"frame {count} is of another size than the first")
        try:
            pixels = enhance(frame.pixels)
        except ValueError as error:  # fewer pixels than a pyramid needs
            raise DataError(f"frame {count}: {error}") from None
        if pixels.dtype == np.uint16:
            pixels = np.rint(pixels / 257).astype(np.uint8)
        yield frame._replace(pixels=pixels)


def frames_of(path: Path, rate: Fraction) -> Iterator[Frame]:
    """Raises DataError where there is no video, or a frame cannot be read."""
    if path.is_dir():
        for index, file in enumerate(sorted(file for file in path.iterdir() if file.is_file())):
            yield Frame(read_picture(file).pixels, index, 1 / rate, (BT709, BT709, BT709))
        return
    import av

    try:
        yield from _decoded(path)
    except av.FFmpegError as error:
        raise DataError(f"{path} cannot be read as a video: {error.strerror}") from None


def _decoded(path: Path) -> Iterator[Frame]:
    import av

    with av.open(str(path)) as container:
        if container.format.name == "tty":  # FFmpeg takes any .txt for one, and draws its letters
            raise DataError(f"{path} cannot be read as a video: it is text")
        if not container.streams.video:
            raise DataError(f"{path} has no video")
        for frame in container.decode(video=0):
            if frame.color_trc in HDR:
                raise DataError(f"{path} is HDR video: convert it to SDR first")
            pixels = np.rot90(
                frame.to_ndarray(format="rgb24", interpolation=EXACT), frame.rotation // 90
            )
            if frame.pts is None or frame.time_base is None:
                raise DataError(f"{path} says no times of its frames: put it into an MP4 first")
            tags = (frame.colorspace, frame.color_primaries, frame.color_trc)
            yield Frame(np.ascontiguousarray(pixels), frame.pts, frame.time_base, tags)


def write(path: Path, frames: Iterator[Frame], rate: Fraction) -> int:
    """Encode frames of one size, all or none; how many there were. Tags are those of the first.

    Raises DataError for none.
    """
    import av

    stream, count = None, 0
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        for frame in frames:
            count += 1
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
                stream.height, stream.width = frame.pixels.shape[:2]
                stream.pix_fmt = "yuv444p" if stream.height % 2 or stream.width % 2 else "yuv420p"
                context = stream.codec_context
                context.time_base, context.color_range = frame.time_base, VIDEO_RANGE
                context.colorspace, context.color_primaries, context.color_trc = frame.tags
            image = av.VideoFrame.from_ndarray(frame.pixels, format="rgb24").reformat(
                format=stream.pix_fmt,
                dst_colorspace=frame.tags[0],
                dst_color_range=VIDEO_RANGE,
                interpolation=EXACT,
            )
            image.pts, image.time_base = frame.pts, frame.time_base
            container.mux(stream.encode(image))
        if stream is None:
            raise DataError("there are no frames")
        container.mux(stream.encode())
    return count


def parse_rate(text: str) -> Fraction:
    """Frames a second: 25, 29.97, 30000/1001. Raises ValueError for no number, or UsageError."""
    try:
        # FFmpeg's fractions have 32 bits; television's have 1001.
        return Fraction(text).limit_denominator(1001)
    except ZeroDivisionError:  # which argparse would let through
        raise UsageError(BOUNDS) from None


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Enhance the frames of a video.")
    for name in ("model", "input", "output"):
        parser.add_argument(name)
    parser.add_argument("--every", type=int, default=4, help="frames between predictions")
    parser.add_argument("--smoothing", type=float, default=0.8, help="share of the grid before")
    parser.add_argument(
        "--rate", type=parse_rate, default=Fraction(25), help="of a folder's frames"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args(argv)
    in_bounds = 0 <= options.smoothing < 1 and RATES[0] <= options.rate <= RATES[1]
    if options.every < 1 or not in_bounds:
        raise UsageError(BOUNDS)
    if Path(options.output).suffix.lower() != ".mp4":
        raise UsageError(f"{options.output}: the output is an MP4, so give it the suffix .mp4")
    try:
        import av
    except ImportError:
        raise CapabilityError(
            "PyAV, which reads and writes videos, is missing: pip install av"
        ) from None
    model = load_model(options.model, usable(options.device))
    if model.config.input_encoding != "srgb":
        raise UsageError(f"{options.model} takes {model.config.input_encoding} light, no video")
    frames = frames_of(Path(options.input), options.rate)
    results = enhanced(model, frames, options.every, options.smoothing)
    start = time.perf_counter()
    try:
        count = write(Path(options.output), results, options.rate)
    except av.FFmpegError as error:
        raise DataError(f"{options.output} cannot be written: {error.strerror}") from None
    seconds = time.perf_counter() - start
    print(
        f"{options.output}: {count} frames in {seconds:.1f} s, {count / seconds:.1f} a second, "
        "with decoding and encoding"
    )


if __name__ == "__main__":
    run(main)
