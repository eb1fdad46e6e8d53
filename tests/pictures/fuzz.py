"""Mutated pictures, as long as one wants: `python -m tests.pictures.fuzz --minutes 10`.

Files of every kind are cut off, have bits flipped and numbers replaced. Each must give pixels or a
DataError of one line, in little memory and time; damage that another reader of the same library
raises for must not pass in silence. What breaks that is kept in build/fuzz/, with how to repeat it.
The suite runs some of each (test_fuzz.py); a process of its own has each base, so that a crash, a
hang or an appetite ends that alone.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import simplejpeg
import tifffile
from PIL import Image

from hdrnet_bench.errors import DataError, StorageError
from hdrnet_bench.images.camera import develop_camera, read_shading
from hdrnet_bench.images.kinds import SUFFIXES
from hdrnet_bench.images.photo import ENHANCING, MEASURING, Photo, picture_size, read_photo
from hdrnet_bench.images.photo_writer import write_photo
from hdrnet_bench.prepare.sources.expert import read_romm
from tests import pictures
from tests.dng import gain_map, opcode_list, write_dng, write_romm_tiff
from tests.pictures.kinds import CASES, SMOOTH, saved, xmp

MEBIBYTES, SECONDS = 1024, 60  # beside what is loaded, and for one picture
FOUND = Path("build/fuzz")
KINDS = (
    *("420.jpg", "progressive.jpg", "cmyk.jpg", "p3.jpg", "two-pictures.jpg"),
    *("rgb.png", "grey16.png", "palette-alpha.png", "p3.png", "orientation-before.png"),
    *("plain.tif", "lzw.tif", "deflate16.tif", "jpeg.tif", "palette-1.tif", "group4.tif"),
    *("tiles.tif", "bigtiff.tif", "lossless.webp", "lossy.webp", "alpha.webp"),
    *("lossless.jxl", "lossless.avif", "plain.heic"),
)
TEXTS = ("texts.jpg", "texts.png", "texts.tif")
RAW = ("mosaic.dng", "jpeg.dng", "gains.dng", "linear.dng")
OTHERS = ("expert.tif", "shading.tif")
BASES = (*KINDS, *TEXTS, *RAW, *OTHERS)
_EXTREME = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)


def write_base(path: Path) -> None:
    """The file that is mutated."""
    scene = np.linspace(0.1, 0.9, 40 * 48 * 3).reshape(40, 48, 3)
    name = path.name
    if name in KINDS:
        path.write_bytes(next(case.content for case in CASES if case.name == name))
    elif name in TEXTS:
        kind = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF"}[name[-3:]]
        options = {"exif": pictures.exif(6), "icc_profile": pictures.DISPLAY_P3, "dpi": (300, 300)}
        if kind == "TIFF":
            Image.fromarray(SMOOTH).save(
                path, kind, tiffinfo={700: xmp(6), 33723: b"\x1c" * 64}, **options
            )
        else:
            path.write_bytes(
                saved(SMOOTH, kind, **options, **({"xmp": xmp(6)} if kind == "JPEG" else {}))
            )
    elif name == "gains.dng":
        gains = gain_map(np.linspace(1, 2, 12).reshape(3, 4, 1), (0, 0, 40, 48))
        write_dng(path, scene, extra=[opcode_list((9, 1, gains))])
    elif name in RAW:
        options = {
            "jpeg.dng": {"compression": "lossless-jpeg"},
            "linear.dng": {"mosaic": False, "black": 0},
        }
        write_dng(path, scene, **options.get(name, {}))
    elif name == "expert.tif":
        write_romm_tiff(path, scene)
    else:
        gains = np.linspace(1, 2, 5 * 6 * 4, dtype=np.float32).reshape(5, 6, 4)
        tifffile.imwrite(path, gains, photometric="minisblack", planarconfig="contig")


def mutated(whole: bytes, random: np.random.Generator) -> bytes:
    """Cut off, or with some bits flipped, numbers replaced, or bytes moved."""
    content = bytearray(whole)
    way = random.integers(6)
    if way == 0:
        del content[random.integers(len(content)) :]
        return bytes(content)
    # Headers are small beside pixels, and are to be met as often.
    most = min(len(content), 600) if random.integers(2) else len(content)
    for _ in range(random.integers(1, 5)):
        place = int(random.integers(most))
        if way < 3:
            content[place] ^= 1 << random.integers(8)
        elif way < 5:
            size = int(random.choice([1, 2, 4]))
            value = int(random.choice(_EXTREME)) & ((1 << 8 * size) - 1)
            order = "little" if random.integers(2) else "big"
            content[place : place + size] = value.to_bytes(size, order)
        else:
            start, length = int(random.integers(most)), int(random.integers(1, 40))
            content[place : place + length] = content[start : start + length]
    if whole.startswith(b"\x89PNG") and random.integers(2):
        return _with_checksums(bytes(content))
    return bytes(content)


def _with_checksums(png: bytes) -> bytes:
    """Without this nothing behind a PNG's checksums would ever be met."""
    content, place = bytearray(png), 8
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 8 + length
        if end + 4 > len(content):
            break
        content[end : end + 4] = struct.pack(">I", zlib.crc32(content[place + 4 : end]))
        place = end + 4
    return bytes(content)


def readers(name: str) -> Iterator[Callable[[Path], Photo | None]]:
    """All that reads such a file."""
    if name == "expert.tif":
        yield lambda path: _nothing(read_romm(path))
    if name == "shading.tif":
        yield lambda path: _nothing(read_shading(path))
    elif name in RAW:
        yield lambda path: _nothing(develop_camera(path, None))
        yield lambda path: read_photo(path, ENHANCING, "srgb")
    else:
        yield lambda path: read_photo(path, ENHANCING)
        yield lambda path: read_photo(path, MEASURING)
        yield lambda path: _nothing(picture_size(path))


def _nothing(_: object) -> None:
    return None


def others_raise(name: str, content: bytes) -> bool:
    """Whether another reader of the same library does."""
    try:
        if name.endswith(".jpg"):
            channels = simplejpeg.decode_jpeg_header(content)[2]
            space = {"Gray": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}.get(channels, "RGB")
            simplejpeg.decode_jpeg(content, space, strict=True)
        elif name.endswith(".png") and _with_checksums(content) != content:
            # With right checksums it raises for texts and the like too, which are no pixels.
            for step in (Image.Image.verify, Image.Image.load):
                with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                    step(image)
    except Exception as error:
        return "subsampling level" not in str(error)
    return False


def check(path: Path, name: str, content: bytes) -> int:
    """Read a mutated file in every way; how many gave something. Raises AssertionError, or what
    must not be raised."""
    path.write_bytes(content)
    read = 0
    for reader in readers(name):
        try:
            photo = reader(path)
        except DataError as error:
            if isinstance(error, StorageError) or path.name not in str(error):
                raise AssertionError(f"not about the file: {error}") from error
            if "\n" in str(error):
                raise AssertionError(f"not one line: {error}") from error
            continue
        read += 1
        if photo is None:
            continue
        assert photo.pixels.dtype in (np.uint8, np.uint16)
        assert photo.pixels.ndim == 3
        if not any(note.startswith("damaged") for note in photo.notes):
            assert not (name in KINDS and others_raise(name, content)), photo.notes
        if name in TEXTS:
            for kind in ("jpeg", "tiff"):
                write_photo(path.with_name("out" + SUFFIXES[kind]), photo, kind, 90, True)
    return read


def child(name: str, seed: int, examples: int, minutes: float, folder: Path) -> None:
    """Mutate one base; a find ends the process, and leaves its file in the folder."""
    base = folder / f"base-{name}"
    write_base(base.with_name(name))
    whole = base.with_name(name).read_bytes()
    for reader in readers(name):
        reader(base.with_name(name))  # what is loaded once is no picture's memory
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (MEBIBYTES << 20),) * 2)
    end = time.monotonic() + 60 * minutes
    number = read = 0
    while number < examples or time.monotonic() < end:
        # Each by a number of its own, so that one can be repeated.
        random = np.random.default_rng((seed, number))
        print(number, file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        read += check(folder / f"changed-{name}", name, mutated(whole, random))
        number += 1
    faulthandler.cancel_dump_traceback_later()
    print(f"{name}: {number} mutations, seed {seed}: read {read} times, else refused")


def run(name: str, seed: int, examples: int, minutes: float) -> str | None:
    """One base in a process of its own; what was found, in words."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.pictures.fuzz", "--child", folder]
        command += ["--only", name, "--seed", str(seed), "--examples", str(examples)]
        command += ["--minutes", str(minutes)]
        log = Path(folder) / "log"
        with log.open("w") as stream:
            environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": folder}
            done = subprocess.run(command, stderr=stream, env=environment, check=False)
        if done.returncode == 0:
            return None
        FOUND.mkdir(parents=True, exist_ok=True)
        changed = Path(folder) / f"changed-{name}"
        kept = FOUND / f"seed-{seed}-{name}"
        if changed.exists():
            kept.write_bytes(changed.read_bytes())
        said = log.read_text(errors="replace").splitlines()
        numbers = [line for line in said if line.isdigit()]
        words = "\n".join([line for line in said if not line.isdigit()][-12:])
        return (
            f"{name}, seed {seed}, mutation {numbers[-1] if numbers else '-'}: exit code "
            f"{done.returncode}\n{words}\nkept as {kept}; again: python -m tests.pictures.fuzz "
            f"--only {name} --seed {seed} --examples {int(numbers[-1]) + 1 if numbers else 1}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=0.0, help="of all kinds together")
    parser.add_argument("--examples", type=int, default=100, help="of each kind at least")
    parser.add_argument("--seed", type=int, default=None, help="by default another one each time")
    parser.add_argument("--only", choices=BASES, help="this kind alone")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int(time.time())
    if options.child:
        child(options.only, seed, options.examples, options.minutes, options.child)
        return
    names = (options.only,) if options.only else BASES
    finds = [run(name, seed, options.examples, options.minutes / len(names)) for name in names]
    found = [find for find in finds if find]
    print("\n\n".join([*found, f"seed {seed}: {len(found)} of {len(names)} kinds broke something"]))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
