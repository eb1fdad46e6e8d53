"""AV1's sequence header: what a coded picture says of itself (AV1's specification, 5.5)."""

from __future__ import annotations

from typing import NamedTuple


class Sequence(NamedTuple):
    """Of AV1's sequence header."""

    width: int
    height: int
    bits: int
    primaries: int
    transfer: int


class _Bits:
    """Numbers of bits, most significant first. Raises ValueError past the end."""

    def __init__(self, content: bytes) -> None:
        self.value, self.left = int.from_bytes(content, "big"), 8 * len(content)

    def read(self, count: int) -> int:
        self.left -= count
        if self.left < 0:
            raise ValueError("it is damaged: AV1's header ends early")
        return self.value >> self.left & ((1 << count) - 1)


def sequence_header(content: bytes) -> Sequence:
    """Of the first sequence header. Raises ValueError without one."""
    place = 0
    while place + 2 <= len(content):
        head = content[place]
        place += 2 if head & 4 else 1
        length = len(content) - place
        if head & 2:
            length = 0
            for shift in range(0, 56, 7):
                byte = content[place] if place < len(content) else 0
                place += 1
                length |= (byte & 127) << shift
                if byte < 128:
                    break
        if head >> 3 & 15 == 1:
            return _header(_Bits(content[place : place + min(length, 1024)]))
        place += length
    raise ValueError("it is damaged: its AV1 has no header")


def _header(bits: _Bits) -> Sequence:
    read = bits.read
    profile, _, reduced = read(3), read(1), read(1)
    if reduced:
        read(5)
    else:
        _skip_operating_points(bits)
    across, down = read(4) + 1, read(4) + 1
    width, height = read(across) + 1, read(down) + 1
    if not reduced and read(1):
        read(7)
    read(3)
    if not reduced:
        read(4)
        order_hint = read(1)
        read(2 * order_hint)
        forced = 2 if read(1) else read(1)
        if forced and not read(1):
            read(1)
        read(3 * order_hint)
    read(3)
    deep = read(1)
    depth = 8 + 2 * deep + 2 * (read(1) if profile == 2 and deep else 0)
    if profile != 1:
        read(1)
    primaries, transfer = (read(8), read(8)) if read(1) else (2, 2)
    return Sequence(width, height, depth, primaries, transfer)


def _skip_operating_points(bits: _Bits) -> None:
    read = bits.read
    decoder_model, delay_bits = 0, 0
    if read(1):  # Timing.
        read(64)
        if read(1):
            zeros = 0
            while not read(1):
                zeros += 1
            read(min(zeros, 32))
        decoder_model = read(1)
        if decoder_model:
            delay_bits = read(5) + 1
            read(42)
    display_delay = read(1)
    for _ in range(read(5) + 1):
        read(12)
        if read(5) > 7:
            read(1)
        if decoder_model and read(1):
            read(2 * delay_bits + 1)
        if display_delay and read(1):
            read(4)
