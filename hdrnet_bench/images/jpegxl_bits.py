"""Numbers of bits, as JPEG XL's codestream has them: read, and written."""

from __future__ import annotations

import numpy as np


class Bits:
    """Numbers of bits, least significant first. Raises ValueError past the end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def peek(self, count: int) -> int:
        """With zeros past the end."""
        first, last = self.place >> 3, self.place + count + 7 >> 3
        number = int.from_bytes(self.content[first:last], "little")
        return number >> (self.place & 7) & ((1 << count) - 1)

    def read(self, count: int) -> int:
        if self.place + count > 8 * len(self.content):
            raise ValueError("it is cut off or damaged: its header ends early")
        number = self.peek(count)
        self.place += count
        return number

    def u32(self, *ways: tuple[int, int]) -> int:
        """One of four ways to say a number, each (what is added, bits that follow)."""
        plus, count = ways[self.read(2)]
        return plus + self.read(count)

    def u64(self) -> int:
        way = self.read(2)
        if way < 3:
            return (0, 1, 17)[way] + self.read((0, 4, 8)[way])
        number, shift = self.read(12), 12
        while self.read(1):
            number |= self.read(4 if shift == 60 else 8) << shift
            if shift == 60:
                break
            shift += 8
        return number

    def enum(self) -> int:
        return self.u32((0, 0), (1, 0), (2, 4), (18, 6))


class BitWriter:
    """Numbers of bits, least significant first; tail: of what stands at the header's end."""

    def __init__(self) -> None:
        self.bits: list[int] = []
        self.tail: list[int] = []

    def write(self, *fields: tuple[int, int]) -> None:
        """Each (count of bits, number)."""
        for count, number in fields:
            self.bits += [number >> place & 1 for place in range(count)]

    def bytes(self) -> bytes:
        return np.packbits(self.bits, bitorder="little").tobytes()


def enum_bits(number: int) -> tuple[int, int]:
    if number < 2:
        return 2, number
    return (6, 2 | number - 2 << 2) if number < 18 else (8, 3 | number - 18 << 2)
