"""The ICC profile at the end of a JPEG XL's header (ISO/IEC 18181-1, annex E.4)."""

from __future__ import annotations

import struct

from .jpegxl_bits import Bits
from .jpegxl_entropy import BAD_ICC, Entropy

# Read in Python: a second for each 100 KB.
_MOST_ICC = 1 << 20
_TAGS = (
    *(b"cprt", b"wtpt", b"bkpt", b"rXYZ", b"gXYZ", b"bXYZ", b"kXYZ", b"rTRC", b"gTRC", b"bTRC"),
    *(b"kTRC", b"chad", b"desc", b"chrm", b"dmnd", b"dmdd", b"lumi"),
)
_XYZ_TAGS = (b"rXYZ", b"gXYZ", b"bXYZ", b"kXYZ", b"wtpt", b"bkpt", b"lumi")
_TYPES = (b"XYZ ", b"desc", b"text", b"mluc", b"para", b"curv", b"sf32", b"gbd ")


def read_icc(bits: Bits) -> bytes:
    """The profile that stands at the header's end (annex E.4). Raises ValueError for damage."""
    size = bits.u64()
    if size > _MOST_ICC:
        raise ValueError(f"its ICC profile is too large ({size} bytes)")
    numbers = Entropy(bits, 41)
    content = bytearray()
    last, before = 0, 0
    for place in range(size):
        context = 0 if place <= 128 else 1 + _letter_kind(last) + 8 * _number_kind(before)
        before, last = last, numbers.read(context) & 255
        content.append(last)
    numbers.check_end()
    return _unpredicted(bytes(content))


def _letter_kind(byte: int) -> int:
    if bytes([byte]).isalpha():
        return 0
    if bytes([byte]).isdigit() or byte in b".,":
        return 1
    if byte < 16:
        return (2, 3, 4)[min(byte, 2)]
    return 6 if byte == 255 else 5 if byte > 240 else 7


def _number_kind(byte: int) -> int:
    if bytes([byte]).isalpha():
        return 0
    if bytes([byte]).isdigit() or byte in b".,":
        return 1
    return 2 if byte < 16 else 3 if byte > 240 else 4


class _Bytes:
    """Bytes in order. Raises ValueError past the end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def take(self, count: int) -> bytes:
        if self.place + count > len(self.content):
            raise ValueError(BAD_ICC)
        self.place += count
        return self.content[self.place - count : self.place]

    def varint(self) -> int:
        number = 0
        for shift in range(0, 35, 7):
            byte = self.take(1)[0]
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError(BAD_ICC)

    def left(self) -> int:
        return len(self.content) - self.place


def _unpredicted(content: bytes) -> bytes:
    """A profile from how it differs from what is expected: a list of commands, then their data."""
    data = _Bytes(content)
    size = data.varint()
    commands = _Bytes(data.take(data.varint()))
    if size > _MOST_ICC:
        raise ValueError(BAD_ICC)
    profile = bytearray()
    for place in range(min(size, 128)):
        usual = usual_icc_header(size, bytes(profile))[place]
        profile.append(usual + data.take(1)[0] & 255)
    if commands.left():
        profile += _tag_list(commands, data)
    while commands.left() and len(profile) <= size:
        _run_command(commands, data, profile)
    if len(profile) != size or data.left() or commands.left():
        raise ValueError(BAD_ICC)
    return bytes(profile)


def _tag_list(commands: _Bytes, data: _Bytes) -> bytes:
    count = commands.varint() - 1
    if count < 0:
        return b""
    tags = struct.pack(">I", count)
    start, size = 128 + 12 * count, 0
    while commands.left():
        command = commands.take(1)[0]
        code = command & 63
        if code == 0:
            break
        if code - 4 >= len(_TAGS):
            raise ValueError(BAD_ICC)
        name = data.take(4) if code == 1 else {2: b"rTRC", 3: b"rXYZ"}.get(code) or _TAGS[code - 4]
        start = commands.varint() if command & 64 else start + size
        size = 20 if name in _XYZ_TAGS else size
        size = commands.varint() if command & 128 else size
        names = {2: (name, b"gTRC", b"bTRC"), 3: (name, b"gXYZ", b"bXYZ")}.get(code, (name,))
        for index, each in enumerate(names):
            place = start + (index * size if code == 3 else 0)
            if max(place, size) >> 32:
                raise ValueError(BAD_ICC)
            tags += each + struct.pack(">II", place, size)
    return tags


def _run_command(commands: _Bytes, data: _Bytes, profile: bytearray) -> None:
    command = commands.take(1)[0]
    if command == 1:
        profile += data.take(commands.varint())
    elif command in (2, 3):
        profile += _unshuffled(data.take(commands.varint()), 2 if command == 2 else 4)
    elif command == 4:
        flags = commands.take(1)[0]
        width, order = (flags & 3) + 1, flags >> 2 & 3
        stride = commands.varint() if flags & 16 else width
        if width == 3 or order == 3 or stride < width or 4 * stride >= len(profile):
            raise ValueError(BAD_ICC)
        differences = _unshuffled(data.take(commands.varint()), width)
        for start in range(0, len(differences), width):
            place = len(profile)
            one, two, three = (
                int.from_bytes(profile[place - back * stride :][:width], "big")
                for back in (1, 2, 3)
            )
            usual = (one, 2 * one - two, 3 * one - 3 * two + three)[order] % (1 << 8 * width)
            for byte, difference in zip(
                usual.to_bytes(width, "big"), differences[start : start + width], strict=False
            ):
                profile.append(byte + difference & 255)
    elif command == 10:
        profile += b"XYZ " + bytes(4) + data.take(12)
    elif 16 <= command < 16 + len(_TYPES):
        profile += _TYPES[command - 16] + bytes(4)
    else:
        raise ValueError(BAD_ICC)


def _unshuffled(content: bytes, width: int) -> bytes:
    """From all first bytes of numbers, then all second ones, to number by number."""
    rows = -(-len(content) // width)
    return b"".join(content[start::rows] for start in range(rows)) if rows else b""


def usual_icc_header(size: int, begun: bytes) -> bytes:
    """What a profile's header is expected to be, where so much of it is known."""
    usual = bytearray(128)
    usual[:4] = struct.pack(">I", size)
    usual[8] = 4
    usual[12:24] = b"mntrRGB XYZ "
    usual[36:40] = b"acsp"
    usual[70:80] = b"\xf6\xd6\0\x01\0\0\0\0\xd3\x2d"
    if len(begun) >= 8:
        usual[80:84] = begun[4:8]
    for platform in (b"APPL", b"MSFT", b"SGI ", b"SUNW"):
        # Told apart by the first letter, and for S by the second.
        known = 2 if platform[:1] == b"S" else 1
        if begun[40 : 40 + known] == platform[:known]:
            usual[40 + known : 44] = platform[known:]
    return bytes(usual)
