"""Names that a file may have on Linux, macOS and Windows alike, and texts made into such names.

Letters and digits are those of any script. Of the other characters a name has those alone that no
shell, page, table or path takes for more than a character inside a word.
"""

from __future__ import annotations

import re
import unicodedata

from .files import sha256_text

# Bytes: so much stays below what any file system takes with a suffix and a hash behind it, also
# where it encrypts names (eCryptfs takes 143).
LONGEST = 100
_CUT = 80  # bytes of a longer name that stand before its hash
_INSIDE = frozenset(" ._-+,()&'!#@=~[]")
_FIRST = frozenset("_(")  # "_DSC0001" and "_MG_0001" are cameras'
# Devices of Windows, whatever follows a dot.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE)


def is_plain(text: str) -> bool:
    """Whether it has the characters of such a name alone, in one spelling of Unicode (NFC), and
    begins and ends as one."""
    return (
        text != ""
        and all(_is_letter(mark) or mark in _INSIDE for mark in text)
        and (unicodedata.category(text[0])[0] in "LN" or text[0] in _FIRST)
        and not text.endswith(" ")
        and unicodedata.is_normalized("NFC", text)
    )


def is_portable(name: str) -> bool:
    """Whether a file may have the name, with a suffix or without, wherever it is copied to: also
    no device of Windows, and not too long."""
    return (
        is_plain(name)
        and not name.endswith(".")
        and not _RESERVED.fullmatch(name)
        and len(name.encode()) <= LONGEST
    )


def portable(name: str) -> str:
    """The name itself where it `is_portable`, else one that is like it.

    "-" stands for what it may not have, also for the slashes of a path; a hash for the end of one
    that is too long, and for one that has nothing to keep.
    """
    # What may stay is known of NFC alone.
    composed = unicodedata.normalize("NFC", name)
    if is_portable(composed):
        return composed
    kept = "".join(m if _is_letter(m) or m in _INSIDE else "\0" for m in composed)
    plain = re.sub("\0+", "-", kept).rstrip(" .-_")
    while plain and not is_plain(plain[0]):
        plain = plain[1:]
    if _RESERVED.fullmatch(plain):
        plain = f"_{plain}"
    if is_portable(plain):
        return plain
    cut = plain.encode()[:_CUT].decode(errors="ignore").rstrip(" ")
    return f"{cut}-{name_hash(composed)}".lstrip("-")


def name_hash(name: str) -> str:
    """Eight digits that tell names apart."""
    return sha256_text(name)[:8]


def same_file(name: str) -> str:
    """What is equal for names that are one file on some file system: those differ in small and
    capital letters, or in how Unicode spells them, alone."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _is_letter(mark: str) -> bool:
    """Letters, the marks that are written over or under them, and digits."""
    return unicodedata.category(mark)[0] in "LMN"
