"""Pictures of the kinds that cameras and editors make, for tests of reading and enhancing."""

from __future__ import annotations

import io
import struct

import imagecodecs
from PIL import Image, ImageCms, TiffImagePlugin

DISPLAY_P3: bytes = imagecodecs.cms_profile(
    "rgb",
    whitepoint=[0.3127, 0.3290, 1.0],
    primaries=[0.68, 0.32, 1.0, 0.265, 0.69, 1.0, 0.15, 0.06, 1.0],
    gamma=2.2,
)
ADOBE_RGB: bytes = imagecodecs.cms_profile(
    "rgb",
    whitepoint=[0.3127, 0.3290, 1.0],
    primaries=[0.64, 0.33, 1.0, 0.21, 0.71, 1.0, 0.15, 0.06, 1.0],
    gamma=563 / 256,
)
PROPHOTO: bytes = imagecodecs.cms_profile(
    "rgb",
    whitepoint=[0.3457, 0.3585, 1.0],
    primaries=[0.7347, 0.2653, 1.0, 0.1596, 0.8404, 1.0, 0.0366, 0.0001, 1.0],
    gamma=1.8,
)
LINEAR_WIDE: bytes = imagecodecs.cms_profile(
    "rgb",
    whitepoint=[0.3127, 0.3290, 1.0],
    primaries=[0.708, 0.292, 1.0, 0.17, 0.797, 1.0, 0.131, 0.046, 1.0],
    gamma=1.0,
)
GREY_LINEAR: bytes = imagecodecs.cms_profile("gray", gamma=1.0)
# sRGB as another program writes it.
SRGB_OF_PILLOW: bytes = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int = 1) -> Image.Exif:
    """What a camera writes: tags of all three directories, a maker's note."""
    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = "Maker", "Model 1"
    tags[0x0112] = orientation
    tags[0x8298] = "(c) somebody"
    tags[0x8769] = {
        0x9003: "2020:02:03 04:05:06",
        0x829A: TiffImagePlugin.IFDRational(1, 250),
        0x8827: 400,
        0x927C: b"maker's own bytes",
        0xA002: 9,
        0xA003: 6,
    }
    tags[0x8825] = {1: "N", 2: (48.0, 8.0, 12.5), 3: "E", 4: (11.0, 34.0, 1.0)}
    return tags


def with_thumbnail(jpeg: bytes) -> bytes:
    """The same JPEG, its EXIF followed by a directory that points to a small copy."""
    raw = bytearray(exif(6).tobytes()[6:])
    count = int.from_bytes(raw[8:10], "big")
    raw[10 + 12 * count : 14 + 12 * count] = len(raw).to_bytes(4, "big")
    small = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(small, "JPEG")
    place = len(raw) + 2 + 24 + 4
    raw += (2).to_bytes(2, "big")
    for tag, value in ((0x0201, place), (0x0202, len(small.getvalue()))):
        raw += tag.to_bytes(2, "big") + (4).to_bytes(2, "big") + (1).to_bytes(4, "big")
        raw += value.to_bytes(4, "big")
    raw += bytes(4) + small.getvalue()
    segment = b"Exif\0\0" + bytes(raw)
    return jpeg[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + jpeg[2:]


def one_way_profile() -> bytes:
    """A profile of RGB whose tables say what its numbers mean, and whose tables of the way back
    make one grey of everything."""

    def table(values: list[int]) -> bytes:
        # 16-bit tables: three channels to three, two steps each, identity matrix, straight curves.
        identity = b"".join(struct.pack(">I", 65536 * (i % 4 == 0)) for i in range(9))
        curve = struct.pack(">6H", *(0, 65535) * 3)
        grid = struct.pack(f">{len(values)}H", *values)
        head = struct.pack(">4s4xBBBx", b"mft2", 3, 3, 2)
        return head + identity + struct.pack(">HH", 2, 2) + curve + grid + curve

    corners = [65535 * (corner >> shift & 1) for corner in range(8) for shift in (2, 1, 0)]
    (count,) = struct.unpack_from(">I", DISPLAY_P3, 128)
    entries = [struct.unpack_from(">4sII", DISPLAY_P3, 132 + 12 * i) for i in range(count)]
    tags = {name: DISPLAY_P3[at : at + size] for name, at, size in entries if b"XYZ" not in name}
    tags = {name: value for name, value in tags.items() if b"TRC" not in name}
    tags |= {b"A2B0": table(corners), b"B2A0": table([32768] * 24)}
    place = 132 + 12 * len(tags)
    directory, content = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        directory += struct.pack(">4sII", name, place + len(content), len(value))
        content += value + bytes(-len(value) % 4)
    header = DISPLAY_P3[4:20] + b"Lab " + DISPLAY_P3[24:84] + bytes(16) + DISPLAY_P3[100:128]
    return struct.pack(">I", place + len(content)) + header + directory + content


ONE_WAY = one_way_profile()
