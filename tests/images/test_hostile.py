"""Pictures that strangers hand in to do harm, and disks that fail under honest ones."""

from __future__ import annotations

import ast
import errno
import io
import os
import resource
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import hdrnet_bench
from hdrnet_bench.errors import DataError, StorageError
from hdrnet_bench.images import jpeg, limits, png, stored, xmp
from hdrnet_bench.images.camera import develop_camera, read_rgb2rgb, read_shading
from hdrnet_bench.images.files import read_picture
from hdrnet_bench.images.kinds import DNG, KINDS
from hdrnet_bench.images.photo import picture_size, read_photo
from hdrnet_bench.images.raw import Development, develop
from hdrnet_bench.prepare.sources.expert import read_romm
from tests import dng
from tests.conftest import Workspace, clean_environment
from tests.dng import gain_map, opcode_list, write_dng
from tests.memory_use import takes_at_most
from tests.pictures.kinds import CASES, EIGHT, chunk, saved
from tests.pictures.kinds import png as png_of
from tests.pictures.kinds import tiff as tiff_of

Record = Callable[[str, object], None]
CONTENT = {case.name: case.content for case in CASES}
SCENE = np.linspace(0.1, 0.9, 40 * 48 * 3).reshape(40, 48, 3)
READERS = (read_photo, picture_size, read_picture)
DNG_READERS = (
    read_photo,
    lambda path: develop(path, Development()),
    lambda path: develop_camera(path, None),
)


def readers_of(path: Path) -> Iterator[Callable[[Path], object]]:
    yield from DNG_READERS if path.suffix == DNG else READERS
    yield from (read_romm, read_shading) if path.suffix == ".tif" else ()


def refused(path: Path, words: str = "in") -> int:
    """By every reader, by name and in one line; by how many."""
    count = 0
    for read in readers_of(path):
        with pytest.raises(DataError, match=words) as raised:
            read(path)
        assert path.name in str(raised.value)
        assert "\n" not in str(raised.value)
        assert not isinstance(raised.value, StorageError)
        count += 1
    return count


# Code of strangers

OPENERS = {
    "open", "imread", "imread_v2", "imopen", "read_image", "decode_image", "TiffFile", "memmap",
    "TiffSequence", "open_heif", "read_heif", "VideoCapture",
}  # fmt: skip
LIBRARIES = (
    *("PIL", "cv2", "imageio", "skimage", "matplotlib.image", "matplotlib.pyplot", "torchvision"),
    *("tifffile", "rawpy", "pillow_heif", "imagecodecs", "scipy.misc"),
)
# Which module may open what, and how it names its formats or is given bytes.
ALLOWED = {
    "images/tiff_file.py: tifffile.TiffFile",
    "images/raw.py: rawpy.imread",
    "images/camera.py: rawpy.imread",
    "images/heif.py: pillow_heif.open_heif",
    "images/tiff.py: PIL.Image.open",
    "images/webp.py: PIL.Image.open",
    "examples/script.py: PIL.Image.open",
}


def openings(source: str, imported: dict[str, str] | None = None) -> Iterator[tuple[str, ast.Call]]:
    """Calls that open pictures by a library, whatever it is called here: full name and call."""
    tree, names = ast.parse(source), dict(imported or {})
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                first = name.name.split(".")[0]
                names[name.asname or first] = name.name if name.asname else first
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {n.asname or n.name: f"{node.module}.{n.name}" for n in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            parts, place = [], node.func
            while isinstance(place, ast.Attribute):
                parts.append(place.attr)
                place = place.value
            if isinstance(place, ast.Name):
                name = ".".join([names.get(place.id, place.id), *reversed(parts)])
                opens = name.split(".")[-1] in OPENERS
                if opens and (name.startswith(LIBRARIES) or place.id == "library"):
                    yield name.replace("library.", "pillow_heif."), node


def test_only_the_readers_open_pictures_and_each_names_its_formats() -> None:
    root = Path(hdrnet_bench.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for name, call in openings(path.read_text(encoding="utf-8")):
            found.add(f"{path.relative_to(root).as_posix()}: {name}")
            if name.endswith("Image.open"):
                (formats,) = [k.value for k in call.keywords if k.arg == "formats"]
                assert ast.literal_eval(formats), path
    assert found == ALLOWED


@pytest.mark.parametrize(
    "line",
    [
        "import PIL.Image\nPIL.Image.open(p)",
        "from PIL import Image as I\nI.open(p)",
        "from PIL.Image import open as o\no(p)",
        "import imageio.v3 as iio\niio.imread(p)",
        "from skimage.io import imread\nimread(p)",
        "import matplotlib.image as m\nm.imread(p)",
        "from torchvision.io import read_image\nread_image(p)",
        "import cv2\ncv2.imread(p)",
        "from tifffile import imread\nimread(p)",
    ],
)
def test_openings_are_found_under_every_name(line: str) -> None:
    assert len(list(openings(line))) == 1


@pytest.mark.fault("hostile pictures")
def test_postscript_is_never_run(workspace: Workspace, record_property: Record) -> None:
    """Pillow would start Ghostscript, which runs what is written in such a file."""
    ran, tools = workspace.path / "ran", workspace.path / "tools"
    tools.mkdir()
    for name in ("gs", "gswin64c", "gswin32c"):
        (tools / name).write_text(f'#!/bin/sh\necho "$@" >> "{ran}"\nexit 1\n')
        (tools / name).chmod(0o755)
    folder = workspace.path / "in"
    folder.mkdir()
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    for suffix in (*KINDS, DNG):
        (folder / f"picture{suffix}").write_bytes(program)
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from hdrnet_bench.errors import DataError\n"
        "from hdrnet_bench.images.photo import picture_size, read_photo\n"
        "for path in sorted(Path('in').iterdir()):\n"
        "    for read in (read_photo, picture_size):\n"
        "        try:\n            read(path)\n"
        "        except DataError as error:\n            print('refused', error)\n"
    )
    path = f"{tools}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environment() | {"PATH": path}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    count = 2 * (len(KINDS) + 1)
    record_property("faults", count)
    assert done.stdout.count("refused") == count, done.stderr
    assert not ran.exists()


# Directories in rings, and what they claim


def directory(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + table + struct.pack("<I", following)


SIZE = ((256, 4, 1, 4), (257, 4, 1, 4))
SUBDIRECTORIES = 330


def rings() -> Iterator[tuple[str, bytes]]:
    head = b"II*\0\x08\0\0\0"
    one = len(directory(*SIZE))
    yield "itself", head + directory(*SIZE, following=8)
    yield "two", head + directory(*SIZE, following=8 + one) + directory(*SIZE, following=8)
    yield (
        "three",
        head
        + b"".join(directory(*SIZE, following=8 + one * ((number + 1) % 3)) for number in range(3)),
    )
    yield "behind", head + directory(*SIZE, following=8 + one) + directory(*SIZE, following=8 + one)
    below = len(directory(*SIZE, (SUBDIRECTORIES, 4, 1, 8)))
    ring = directory(*SIZE, following=8 + below)
    yield "ring-below", head + directory(*SIZE, (SUBDIRECTORIES, 4, 1, 8 + below)) + ring
    yield (
        "chain",
        head
        + b"".join(directory(*SIZE, following=8 + one * (number + 1)) for number in range(100_000)),
    )
    yield "many-below", head + directory(*SIZE, (SUBDIRECTORIES, 4, 50_000, 8)) + bytes(200_000)
    claims = [(tag, 4, 0x3FFFFFFF, 8) for tag in range(65_535)]
    yield "entries", head + directory(*claims)
    large = 4 << 20
    copies = [(270, 2, large, 60_000)] * 4000
    yield "copies", head + directory(*SIZE, *copies) + bytes(60_000 + large)
    numbers = [(273, 4, (24 << 20) // 4, 8)]
    yield "numbers", head + directory(*SIZE, *numbers) + bytes(24 << 20)
    big = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16)
    yield "bigtiff", big + struct.pack("<QHHQQQ", 1, 256, 4, 1, 4, 16)
    yield "bigtiff-entries", big + struct.pack("<Q", (1 << 64) - 1) + bytes(64)


RINGS = dict(rings())
_BELOW = directory(*SIZE, (SUBDIRECTORIES, 4, 1, 8))
BELOW = {
    "itself": b"II*\0\x08\0\0\0" + _BELOW,
    "each-other": b"II*\0\x08\0\0\0"
    + directory(*SIZE, (SUBDIRECTORIES, 4, 1, 8 + len(_BELOW)))
    + _BELOW,
}


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("suffix", [".tif", ".dng"])
@pytest.mark.parametrize("name", RINGS)
def test_directories_without_an_end_are_refused(
    tmp_path: Path, name: str, suffix: str, record_property: Record
) -> None:
    path = tmp_path / f"in{suffix}"
    path.write_bytes(RINGS[name])
    started = time.process_time()
    with takes_at_most(400):
        record_property("faults", refused(path))
    assert time.process_time() - started < 5


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("suffix", [".tif", ".dng"])
@pytest.mark.parametrize("name", BELOW)
def test_directories_below_themselves_end(tmp_path: Path, name: str, suffix: str) -> None:
    """Nothing follows those that lie below below, so that this harms nobody."""
    path = tmp_path / f"in{suffix}"
    path.write_bytes(BELOW[name])
    if suffix == ".tif":
        assert picture_size(path) == (4, 4)
    with pytest.raises(DataError):
        read_photo(path)


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("tag", [0x8769, 0x8825, 0xA005])
def test_exif_that_points_at_itself_costs_no_picture(tmp_path: Path, tag: int) -> None:
    block = b"II*\0\x08\0\0\0" + directory((tag, 4, 1, 8), following=8)
    for name, content in (
        ("a.png", png_of(EIGHT, (b"eXIf", block))),
        ("a.tif", tiff_of(EIGHT, extratags=[(tag, 4, 1, 8, True)])),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        assert (read_photo(path).pixels == EIGHT).all()


# Sizes that no memory holds


@pytest.mark.fault("hostile pictures")
def test_a_shading_map_of_a_size_that_it_does_not_have(tmp_path: Path) -> None:
    """Some hundred bytes that ask for gigabytes."""
    path = tmp_path / "map.tif"
    tifffile.imwrite(
        path, np.ones((16, 16, 4), np.float32), tile=(16, 16), compression="zlib",
        photometric="minisblack", planarconfig="contig",
    )  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages.first.tags
        for code in (256, 257, 322, 323):
            tags[code].overwrite(13_000)
    assert path.stat().st_size < 1000
    with pytest.raises(DataError, match="are no coarse map"):
        read_shading(path)


@pytest.mark.fault("hostile pictures")
def test_a_black_pattern_as_large_as_tags_can_say(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    write_dng(path, SCENE, extra=[(50713, "H", 2, (65_535, 65_535), True)])
    with pytest.raises(DataError, match="65535 x 65535 places"):
        develop_camera(path, None)


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("shape", [(1, 8192, 1), (8192, 1, 1), (1, 1, 8192)])
def test_a_gain_map_with_more_points_than_any(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    path = tmp_path / "a.dng"
    gains = gain_map(np.ones(shape), (0, 0, 40, 48))
    write_dng(path, SCENE, extra=[opcode_list((9, 1, gains))])
    with pytest.raises(DataError, match="GainMap has"):
        develop_camera(path, None)


@pytest.mark.fault("hostile pictures")
def test_a_hundred_thousand_opcodes_and_masked_areas(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    write_dng(path, SCENE, extra=[opcode_list(*[(1000, 1, b"")] * 100_000)])
    with pytest.raises(DataError, match="100000 opcodes"):
        develop_camera(path, None)
    areas = (0, 0, 40, 48) * 9
    write_dng(path, SCENE, extra=[(50830, "I", len(areas), areas, True)])
    with pytest.raises(DataError, match="9 masked areas"):
        develop(path, Development())


@pytest.mark.fault("hostile pictures")
def test_tiles_and_jpegs_larger_than_their_tiff(tmp_path: Path, record_property: Record) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_of(EIGHT, tile=(16, 16), compression="zlib"))
    with tifffile.TiffFile(path, mode="r+") as file:
        for code in (322, 323):
            file.pages.first.tags[code].overwrite(60_000)
    count = refused(path, "tiles of 60000 x 60000|16 bits|gains|samples")
    path.write_bytes(tiff_of(EIGHT, tile=(16, 16), compression="jpeg"))
    content = path.read_bytes()
    place = content.index(b"\xff\xc0") + 5
    path.write_bytes(content[:place] + struct.pack(">HH", 60_000, 60_000) + content[place + 4 :])
    with pytest.raises(DataError, match="60000 x 60000 pixels"):
        read_photo(path)
    path.write_bytes(tiff_of(EIGHT, compression="webp"))
    with pytest.raises(DataError, match=r"compression \(50001\) is not read"):
        read_photo(path)
    record_property("faults", count + 2)


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("size", [(170_000_000, 1), (1, 170_000_000), (13_000, 14_000)])
def test_a_header_that_says_too_much_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "a.png"
    content = png_of(EIGHT)
    path.write_bytes(
        content[:8] + chunk(b"IHDR", struct.pack(">II", *size) + content[24:29]) + content[33:]
    )
    refused(path, "the longest|over the limit")


@pytest.mark.fault("hostile pictures")
def test_texts_that_become_gigabytes(tmp_path: Path, record_property: Record) -> None:
    """Within what there is room for, beyond it, so many that libpng's own bound is none, of a name
    that is read, and of others."""
    path, faults = tmp_path / "a.png", 0
    for size, number, name in (
        (60 << 20, 20, "key %d"),
        (65 << 20, 100, "key %d"),
        (65 << 20, 100, "XML:com.adobe.xmp"),
        (7_900_000, 900, "key %d"),
    ):
        bomb = zlib.compress(bytes(size))
        names = [name.replace("%d", str(each)).encode() for each in range(number)]
        half = number // 2
        parts = [(b"zTXt", each + b"\0\0" + bomb) for each in names[:half]]
        parts += [(b"iTXt", each + b"\0\1\0\0\0" + bomb) for each in names[half:]]
        parts.append((b"iCCP", b"name\0\0" + zlib.compress(bytes(200 << 20))))
        path.write_bytes(png_of(EIGHT, *parts))
        started = time.process_time()
        with takes_at_most(400):
            assert (read_photo(path).pixels == EIGHT).all()
            assert picture_size(path) == EIGHT.shape[1::-1]
        assert time.process_time() - started < 4  # a second; without bounds at least 20
        faults += 1
    record_property("faults", faults)


@pytest.mark.fault("hostile pictures")
def test_a_damaged_text_takes_no_more_room_than_it_can() -> None:
    broken = (b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(bytes(100_000))[:-4] + b"abcd")
    packet = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x:xmpmeta/>")
    content = png_of(EIGHT, *[broken] * 200, (b"iTXt", packet))
    assert png.decode(content).xmp == b"<x:xmpmeta/>"


@pytest.mark.fault("hostile pictures")
def test_chunks_and_segments_without_number() -> None:
    content = png_of(EIGHT)
    with pytest.raises(ValueError, match="more chunks than any"):
        png.decode(content[:33] + chunk(b"abcd", b"") * (1 << 20) + content[33:])
    content = CONTENT["plain.jpg"]
    with pytest.raises(ValueError, match="more segments than any"):
        jpeg.decode(content[:2] + b"\xff\xfe\0\2" * 100_001 + content[2:])


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("name", ["plain.jpg", "rgb.png"])
def test_what_lies_behind_a_picture_is_not_copied(name: str) -> None:
    decode = jpeg.decode if name == "plain.jpg" else png.decode
    for last, notes in ((b"", []), (b"more", ["left behind: 4 bytes behind the picture"])):
        content = CONTENT[name] + bytes(100 << 20) + last
        tracemalloc.start()
        try:
            assert decode(content, pixels=False).notes == notes
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


def test_where_something_begins_and_ends_among_zeros() -> None:
    block = stored._BLOCK
    for before, kept, behind in (
        *((0, b"", 0), (5, b"", 0), (0, b"a", 0), (3, b"a\0b", 4), (3 * block + 7, b"", 0)),
        *((block - 1, b"ab", block), (block, b"ab", block - 1), (2 * block + 5, b"a", 2 * block)),
    ):
        content = b"head" + bytes(before) + kept + bytes(behind)
        first, last = stored.not_zero(content, 4)
        assert content[first:last] == kept


@pytest.mark.fault("hostile pictures")
def test_texts_that_take_forever_to_search() -> None:
    """Each began a search to the end, from every place."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    spaces = b"\n" + b" " * 200_000 + b"x"
    content = png_of(EIGHT, (b"tEXt", b"Raw profile type exif\0" + spaces))
    assert png.decode(content).exif is None
    assert xmp.without_other_pictures(b"<Item:a>" * 100_000) is None
    assert xmp.without_other_pictures(b' Item:a="' * 100_000) is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 3


def many_scans(content: bytes, before: bytes = b"", number: int = 600) -> bytes:
    """A progressive JPEG's last scan again and again, behind something."""
    again = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + before + again * number + content[-2:]


BETWEEN_SCANS = {
    "nothing": b"",
    "an end in a comment": b"\xff\xfe\0\x06\xff\xd9\0\0",
    "an end in tables": b"\xff\xdb\0\x43\0" + b"\xff\xd9" * 32,
    "no length": b"\xff\xd0\xff\xff" + b"\xff\x01\xff\xff" + b"\xff\x02\xff\xff",
    "more bytes than one": b"\xff\xff\xff",
}


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("before", BETWEEN_SCANS.values(), ids=BETWEEN_SCANS)
def test_a_jpeg_of_thousands_of_scans(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(many_scans(CONTENT["progressive.jpg"], before))
    refused(path, "more scans than any")


def test_what_lies_between_scans_is_not_behind_the_picture() -> None:
    content = CONTENT["progressive.jpg"]
    scan = content.rindex(b"\xff\xda")
    comment = BETWEEN_SCANS["an end in a comment"]
    found = jpeg.decode(content[:scan] + comment + content[scan:])
    assert (found.pixels == jpeg.decode(content).pixels).all()
    assert (found.notes, found.damage) == ([], None)


@pytest.mark.parametrize("length", [b"\x01\0", b"\xff\xff"])
def test_coded_data_that_became_a_marker_is_damage_and_no_missing_end(length: bytes) -> None:
    content = CONTENT["plain.jpg"]
    damaged = content[:-20] + b"\xff\xe5" + length + content[-16:] + bytes(1000)
    found = jpeg.decode(damaged)
    assert found.damage
    assert found.pixels.shape == jpeg.decode(content).pixels.shape


@pytest.mark.fault("hostile pictures")
def test_a_header_behind_a_marker_without_length(tmp_path: Path) -> None:
    """Else another size would be looked at than libjpeg takes memory for."""
    content = CONTENT["plain.jpg"]
    place = content.index(b"\xff\xc0")
    frame = content[place : place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")]
    large = frame[:5] + struct.pack(">HH", 60_000, 60_000) + frame[9:]
    hidden = b"\xff\x01" + struct.pack(">H", 2 + len(large)) + large
    path = tmp_path / "a.jpg"
    path.write_bytes(content[:place] + hidden + content[place:])
    refused(path, "60000 x 60000 pixels")


@pytest.mark.fault("hostile pictures")
def test_jpegs_of_thousands_of_scans_inside_others(tmp_path: Path, record_property: Record) -> None:
    progressive = CONTENT["progressive.jpg"]
    pixels = jpeg.decode(progressive).pixels
    options: dict[str, Any] = {
        "shape": pixels.shape, "dtype": np.uint8, "photometric": "ycbcr", "compression": "jpeg",
        "rowsperstrip": len(pixels), "metadata": None, "subsampling": (2, 2),
    }  # fmt: skip
    path, count = tmp_path / "a.tif", 0
    for before in (None, *BETWEEN_SCANS.values()):
        strip = progressive if before is None else many_scans(progressive, before)
        tifffile.imwrite(path, iter([strip]), **options)
        if before is None:
            read_photo(path)
            continue
        with pytest.raises(DataError, match="more scans than any"):
            read_photo(path)
        count += 1
    path = tmp_path / "a.dng"
    scene = np.linspace(0.1, 0.9, 64 * 96 * 3).reshape(64, 96, 3)
    for number, refusal in ((0, None), (600, "more scans than any")):

        def encode(piece: np.ndarray, number: int = number) -> bytes:
            content = saved(piece.astype(np.uint8), "JPEG", progressive=True, subsampling=0)
            return many_scans(content, BETWEEN_SCANS["an end in a comment"], number)

        how = dng.lossy(*dng._CURVES)
        how["storage"] = dng.coded(encode, 34892, tile=(32, 32), changed={258: (8,) * 3})
        write_dng(path, scene, **how)
        if refusal is None:
            develop(path, Development())
            continue
        with pytest.raises(DataError, match=refusal):
            develop(path, Development())
        count += 1
    record_property("faults", count)


@pytest.mark.fault("hostile pictures")
def test_tiles_that_each_have_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HDRBENCH_MAX_MEGAPIXELS", "0.07")
    path = tmp_path / "a.tif"
    content = tiff_of(np.zeros((256, 256, 3), np.uint8), tile=(16, 16), compression="zlib")
    path.write_bytes(content + bytes(2 << 20))
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages.first.tags
        tags[324].overwrite([8] * 256)
        tags[325].overwrite([2 << 20] * 256, dtype=4)
    with pytest.raises(DataError, match="larger than the file"):
        read_photo(path)


@pytest.mark.fault("hostile pictures")
def test_jpeg_tables_as_large_as_a_text(tmp_path: Path, record_property: Record) -> None:
    """They are copied for each tile; and what is not whole would swallow what follows."""
    path = tmp_path / "a.tif"
    for tables, words in (
        (b"\xff\xd8" + (b"\xff\xfe\xff\xfd" + bytes(65_531)) * 2 + b"\xff\xd9", "damaged"),
        (b"\xff\xd8\xff\xfe\xff\xff\xff\xd9", "damaged"),
    ):
        path.write_bytes(
            tiff_of(EIGHT, tile=(16, 16), compression="jpeg",
                    extratags=[(347, 7, len(tables), tables, True)])
        )  # fmt: skip
        with pytest.raises(DataError, match=f"tables of its JPEGs are {words}"):
            read_photo(path)
    record_property("faults", 2)


# What is no file, and disks that fail


@pytest.mark.fault("hostile pictures")
def test_only_regular_files_of_a_bounded_size(tmp_path: Path, record_property: Record) -> None:
    pipe, sparse, loop = (tmp_path / name for name in ("pipe.png", "sparse.png", "loop.png"))
    os.mkfifo(pipe)
    sparse.write_bytes(png_of(EIGHT))
    os.truncate(sparse, 100 << 30)
    loop.symlink_to(loop)
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    count = refused(pipe, "not a regular file")
    count += refused(sparse, "over the .* that a picture")
    count += refused(tmp_path / "zero.png", "not a regular file")
    for name in ("loop.png", "folder.png"):
        for read in READERS:
            with pytest.raises(StorageError, match=name):
                read(tmp_path / name)
            count += 1
    with pytest.raises(DataError, match="not the name of a file"):
        read_photo(Path("a\0b.png"))
    record_property("faults", count + 1)


def test_small_pictures_may_carry_large_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDRBENCH_MAX_MEGAPIXELS", "0.001")
    assert limits.max_bytes() > 200 << 20


class _Failing(io.BufferedReader):
    def __init__(self, path: Path, number: int) -> None:
        super().__init__(io.FileIO(path))
        self.number = number

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(self.number, os.strerror(self.number))


FAILING = [errno.EIO, errno.ESTALE]


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize("number", [*FAILING, errno.EMFILE, errno.ENOENT, errno.EACCES])
def test_what_the_system_says_is_not_said_of_the_file(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    names = ["a.jpg", "a.png", "a.tif", "a.webp", "a.heic", "a.avif", "a.jxl", "a.dng"]
    contents = ("420.jpg", "rgb.png", "plain.tif", "lossless.webp", "plain.heic", "lossless.avif",
                "lossless.jxl")  # fmt: skip
    for name, content in zip(names, contents, strict=False):
        (tmp_path / name).write_bytes(CONTENT[content])
    write_dng(tmp_path / "a.dng", SCENE)

    def failing(path: Path) -> _Failing:
        if number in FAILING:  # opened, and then the disk or the server fails
            return _Failing(path, number)
        raise OSError(number, os.strerror(number), str(path))

    count = 0
    for name in names:
        for read in readers_of(tmp_path / name):
            read(tmp_path / name) if read not in (read_romm, read_shading) else None
            with monkeypatch.context() as patched:
                patched.setattr(stored, "open_regular", failing)
                with pytest.raises(StorageError, match=name):
                    read(tmp_path / name)
            count += 1
    record_property("faults", count)


@pytest.mark.fault("I/O errors")
def test_a_library_that_cannot_load_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(CONTENT["rgb.png"])

    def decode(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(png, "decode", decode)
    with pytest.raises(StorageError, match="Too many open files"):
        read_photo(path)


@pytest.mark.fault("I/O errors")
def test_a_colour_matrix_without_end(tmp_path: Path) -> None:
    path = tmp_path / "rgb2rgb.txt"
    path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match="not a regular file"):
        read_rgb2rgb(path)
