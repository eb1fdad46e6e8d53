"""JPEG XL's entropy coding (ISO/IEC 18181-1, annex C): read in Python for ICC profiles alone."""

from __future__ import annotations

from .jpegxl_bits import Bits

BAD_ICC = "it is cut off or damaged: its ICC profile cannot be read"


class Entropy:
    """Numbers by context, coded by ANS or prefix codes (annex C)."""

    def __init__(self, bits: Bits, contexts: int, nested: bool = False) -> None:
        self.bits = bits
        self.least_copy: int | None = None
        if bits.read(1):
            if nested and contexts == 1:
                raise ValueError(BAD_ICC)
            self.least_copy = bits.u32((224, 0), (512, 0), (4096, 0), (8, 15))
            self.least_length = bits.u32((3, 0), (4, 0), (5, 2), (9, 8))
            self.length_config = _number_config(bits, 8)
            contexts += 1
        self.map = _context_map(bits, contexts) if contexts > 1 else [0]
        self.prefix = bool(bits.read(1))
        alphabet = 15 if self.prefix else bits.read(2) + 5
        count = max(self.map) + 1
        self.configs = [_number_config(bits, alphabet) for _ in range(count)]
        if self.prefix:
            sizes = [_varlen(bits, 4) + 1 for _ in range(count)]
            self.codes = [_prefix_code(bits, size) for size in sizes]
        else:
            self.entry_bits = 12 - alphabet
            self.aliases = [_alias_table(_histogram(bits), alphabet) for _ in range(count)]
            self.state = bits.read(32)
        self.window: list[int] = []
        self.copies, self.source = 0, 0

    def read(self, context: int) -> int:
        if not self.copies:
            kind = self.map[context]
            token = self._symbol(kind)
            if self.least_copy is None or token < self.least_copy:
                number = self._number(self.configs[kind], token)
                if self.least_copy is not None:
                    self.window.append(number)
                return number
            self.copies = self.least_length + self._number(
                self.length_config, token - self.least_copy
            )
            kind = self.map[-1]
            back = self._number(self.configs[kind], self._symbol(kind)) + 1
            self.source = max(len(self.window) - min(back, 1 << 20), 0)
        self.copies -= 1
        number = self.window[self.source] if self.source < len(self.window) else 0
        self.source += 1
        self.window.append(number)
        return number

    def check_end(self) -> None:
        """ANS ends in the state that its writer began with."""
        if not self.prefix and self.state != 0x130000:
            raise ValueError(BAD_ICC)

    def _symbol(self, kind: int) -> int:
        if self.prefix:
            code, words = 1, self.codes[kind]
            while code not in words:
                if code >> 15:
                    raise ValueError(BAD_ICC)
                code = code << 1 | self.bits.read(1)
            return words[code]
        counts, table = self.aliases[kind]
        index = (self.state & 4095) >> self.entry_bits
        place = self.state & ((1 << self.entry_bits) - 1)
        cutoff, other, offset = table[index]
        if place >= cutoff:
            index, place = other, place + offset
        self.state = counts[index] * (self.state >> 12) + place
        if self.state < 65536:
            self.state = self.state << 16 | self.bits.read(16)
        return index

    def _number(self, config: tuple[int, int, int], token: int) -> int:
        exponent, high, low = config
        if token < 1 << exponent:
            return token
        count = exponent - high - low + (token - (1 << exponent) >> high + low)
        if count > 29:
            raise ValueError(BAD_ICC)
        top = 1 << high | token >> low & ((1 << high) - 1)
        return (top << count | self.bits.read(count)) << low | token & ((1 << low) - 1)


def _number_config(bits: Bits, alphabet: int) -> tuple[int, int, int]:
    """How tokens stand for numbers: exponent of the first that is split, bits kept high and low."""
    exponent = bits.read(alphabet.bit_length())
    if exponent == alphabet:
        return exponent, 0, 0
    high = bits.read(exponent.bit_length())
    low = bits.read((exponent - high).bit_length()) if high <= exponent else 0
    if high + low > exponent:
        raise ValueError(BAD_ICC)
    return exponent, high, low


def _varlen(bits: Bits, size: int) -> int:
    if not bits.read(1):
        return 0
    count = bits.read(size)
    return (1 << count) + bits.read(count)


def _context_map(bits: Bits, contexts: int) -> list[int]:
    if bits.read(1):
        size = bits.read(2)
        found = [bits.read(size) for _ in range(contexts)]
    else:
        moved = bits.read(1)
        numbers = Entropy(bits, 1, nested=contexts <= 2)
        found = [numbers.read(0) for _ in range(contexts)]
        numbers.check_end()
        if max(found) > 255:
            raise ValueError(BAD_ICC)
        if moved:
            order = list(range(256))
            for place, index in enumerate(found):
                found[place] = order.pop(index)
                order.insert(0, found[place])
    if set(found) != set(range(max(found) + 1)):
        raise ValueError(BAD_ICC)
    return found


def _prefix_code(bits: Bits, size: int) -> dict[int, int]:
    """Symbols by their words, each with a 1 in front."""
    if size == 1:
        return {1: 0}
    skipped = bits.read(2)
    if skipped == 1:
        width = (size - 1).bit_length()
        symbols = [bits.read(width) for _ in range(bits.read(2) + 1)]
        if len(set(symbols)) < len(symbols) or max(symbols) >= size:
            raise ValueError(BAD_ICC)
        lengths = ((0,), (1, 1), (1, 2, 2), (2, 2, 2, 2))[len(symbols) - 1]
        if len(symbols) == 4 and bits.read(1):
            lengths = (1, 2, 3, 3)
        return _words(dict(zip(symbols, lengths, strict=True)))
    coded, space = {}, 32
    for symbol in (1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15)[skipped:]:
        if space <= 0:
            break
        short = bits.read(2)
        length = (0, 4, 3)[short] if short < 3 else 2 if not bits.read(1) else 1 + 4 * bits.read(1)
        if length:
            coded[symbol] = length
            space -= 32 >> length
    if len(coded) != 1 and space:
        raise ValueError(BAD_ICC)
    words = _words(dict.fromkeys(coded, 0) if len(coded) == 1 else coded)
    return _words(_code_lengths(bits, words, size))


def _code_lengths(bits: Bits, words: dict[int, int], size: int) -> dict[int, int]:
    lengths: list[int] = []
    space, last, repeat, repeated = 32768, 8, 0, 0
    while len(lengths) < size and space > 0:
        word = 1
        while word not in words:
            if word >> 6:
                raise ValueError(BAD_ICC)
            word = word << 1 | bits.read(1)
        length = words[word]
        if length < 16:
            lengths.append(length)
            repeat = 0
            if length:
                last = length
                space -= 32768 >> length
            continue
        more = length - 14
        length = last if length == 16 else 0
        if repeated != length:
            repeat, repeated = 0, length
        old = repeat
        repeat = ((repeat - 2) << more if repeat else 0) + bits.read(more) + 3
        lengths += [length] * (repeat - old)
        space -= (repeat - old) * (32768 >> length) if length else 0
    if space or len(lengths) > size:
        raise ValueError(BAD_ICC)
    return {symbol: length for symbol, length in enumerate(lengths) if length}


def _words(lengths: dict[int, int]) -> dict[int, int]:
    """The canonical code of these lengths."""
    words, word, before = {}, 0, 0
    for symbol, length in sorted(lengths.items(), key=lambda each: (each[1], each[0])):
        word <<= length - before
        words[1 << length | word] = symbol
        word, before = word + 1, length
    return words


# A fixed code of the logarithms of counts in ANS's histograms, its words of up to 7 bits read from
# the least significant one.
_LOG_WORDS = {
    (3, 0): 10,
    (3, 2): 7,
    (3, 4): 6,
    (3, 5): 8,
    (3, 6): 9,
    (4, 3): 3,
    (4, 7): 5,
    (4, 9): 4,
    (4, 11): 1,
    (4, 15): 2,
    (5, 17): 0,
    (6, 33): 11,
    (7, 1): 12,
    (7, 65): 13,
}


def _histogram(bits: Bits) -> list[int]:
    """How often of 4096 each symbol comes."""
    if bits.read(1):
        symbols = [_varlen(bits, 3) for _ in range(bits.read(1) + 1)]
        counts = [0] * (max(symbols) + 1)
        counts[symbols[0]] = bits.read(12) if len(symbols) == 2 else 4096
        if len(symbols) == 2:
            counts[symbols[1]] = 4096 - counts[symbols[0]]
        if len(set(symbols)) < len(symbols):
            raise ValueError(BAD_ICC)
        return counts
    if bits.read(1):
        size = _varlen(bits, 3) + 1
        return [4096 // size + (index < 4096 % size) for index in range(size)]
    ones = 0
    while ones < 3 and bits.read(1):
        ones += 1
    shift = (bits.read(ones) | 1 << ones) - 1
    size = _varlen(bits, 3) + 3
    logs: list[int] = []
    runs: dict[int, int] = {}
    while len(logs) < size:
        code = next(
            (
                (length, number)
                for (length, word), number in _LOG_WORDS.items()
                if bits.peek(length) == word
            ),
            None,
        )
        if code is None:
            raise ValueError(BAD_ICC)
        bits.read(code[0])
        logs.append(code[1] - 1)
        if code[1] == 13:
            run = _varlen(bits, 3) + 4
            runs[len(logs) - 1] = run
            logs += [-1] * (run - 1)
    omitted = max(
        (place for place in range(size) if place not in runs and logs[place] < 12),
        key=lambda place: (logs[place], -place),
        default=-1,
    )
    if omitted < 0 or shift > 13 or len(logs) > size or omitted + 1 in runs:
        raise ValueError(BAD_ICC)
    counts = []
    while len(counts) < size:
        place = len(counts)
        if place in runs:
            counts += [counts[-1] if counts else 0] * runs[place]
        elif place == omitted or logs[place] < 0:
            counts.append(0)
        else:
            log = logs[place]
            kept = max(min(log, shift - (12 - log >> 1)), 0)
            counts.append((1 << log) + (bits.read(kept) << log - kept))
    counts[omitted] = 4096 - sum(counts)
    if counts[omitted] <= 0:
        raise ValueError(BAD_ICC)
    return counts


def _alias_table(counts: list[int], alphabet: int) -> tuple[list[int], list[tuple[int, int, int]]]:
    """Counts, and of each of 2**alphabet equal parts: from where on it belongs to another symbol,
    which, and what is added to the place there."""
    parts, size = 1 << alphabet, 4096 >> alphabet
    if len(counts) > parts:
        raise ValueError(BAD_ICC)
    counts = counts + [0] * (parts - len(counts))
    if max(counts) == 4096:
        symbol = counts.index(4096)
        return counts, [(0, symbol, size * index) for index in range(parts)]
    cutoffs, other, offsets = list(counts), [0] * parts, [0] * parts
    over = [index for index in range(parts) if cutoffs[index] > size]
    under = [index for index in range(parts) if cutoffs[index] < size]
    while over:
        large, small = over.pop(), under.pop()
        cutoffs[large] -= size - cutoffs[small]
        other[small], offsets[small] = large, cutoffs[large]
        if cutoffs[large] < size:
            under.append(large)
        elif cutoffs[large] > size:
            over.append(large)
    return counts, [
        (0, index, 0)
        if cutoffs[index] == size
        else (cutoffs[index], other[index], offsets[index] - cutoffs[index])
        for index in range(parts)
    ]
