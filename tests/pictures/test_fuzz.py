"""Files cut off and with flipped bits: an error of one line, or pixels that the decoder stands by.

Bounded: `EXAMPLES` of each format. A child of its own has little memory, and a time that it must
not take: a hang or an appetite ends it, and fails the test.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import clean_environment
from tests.pictures.kinds import CASES

EXAMPLES = 150
BASES = {case.name: case.content for case in CASES}
FORMATS = (
    *("420.jpg", "progressive.jpg", "cmyk.jpg", "p3.jpg", "two-pictures.jpg"),
    *("rgb.png", "grey16.png", "palette-alpha.png", "p3.png", "orientation-before.png"),
    *("plain.tif", "lzw.tif", "deflate16.tif", "jpeg.tif", "palette-1.tif", "group4.tif"),
    *("tiles.tif", "bigtiff.tif", "lossless.webp", "lossy.webp", "alpha.webp"),
    *("lossless.jxl", "lossless.avif", "plain.heic"),
)

CHILD = """
import io, resource, sys, warnings
from pathlib import Path
import numpy as np
import simplejpeg
from PIL import Image
from hdrnet_bench.errors import DataError
from hdrnet_bench.images.photo import ENHANCING, MEASURING, read_photo

path, examples, mib = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
whole = path.read_bytes()
read_photo(path)  # what is loaded once is no picture's memory
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (mib << 20),) * 2)
random = np.random.default_rng(1)
right = {policy: read_photo(path, policy).pixels for policy in (ENHANCING, MEASURING)}
read = silent = 0

def decoder_objects(content):
    # Other readers of the same libraries: what makes them raise must not pass in silence.
    if path.suffix == ".jpg":
        try:
            channels = simplejpeg.decode_jpeg_header(content)[2]
            space = {"Gray": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}.get(channels, "RGB")
            simplejpeg.decode_jpeg(content, space, strict=True)
        except ValueError as error:
            return "subsampling level" not in str(error)
    elif path.suffix == ".png":
        try:
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                image.verify()
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                image.load()
        except Exception:
            return True
    return False

for number in range(examples):
    content = bytearray(whole)
    if number % 3 == 0:
        del content[random.integers(len(content)):]
    else:
        for _ in range(random.integers(1, 4)):
            # Headers are small beside pixels, and are to be met as often.
            most = len(content) if number % 3 == 1 else min(len(content), 400)
            content[random.integers(most)] ^= 1 << random.integers(8)
    changed = path.with_name("changed" + path.suffix)
    changed.write_bytes(bytes(content))
    for policy in (ENHANCING, MEASURING):
        try:
            photo = read_photo(changed, policy)
        except DataError as error:
            assert changed.name in str(error) and chr(10) not in str(error), error
            continue
        read += 1
        assert photo.pixels.dtype in (np.uint8, np.uint16) and photo.pixels.ndim == 3
        if decoder_objects(bytes(content)):
            noted = any(note.startswith("damaged") for note in photo.notes)
            assert policy is ENHANCING and noted, (number, policy, photo.notes)
print(read, "read of", 2 * examples)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by Linux's means")
@pytest.mark.parametrize("name", FORMATS)
def test_a_changed_file_is_read_right_noted_or_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BASES[name])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(EXAMPLES), "1024"],
        env=clean_environment() | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert " read of " in done.stdout
