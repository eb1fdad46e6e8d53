"""What kind of picture a file is: by its name, and by its first bytes, which count."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Kind = Literal["jpeg", "png", "tiff", "webp", "heic", "avif", "jxl"]
# What is read and written, by suffix in small letters.
KINDS: dict[str, Kind] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
    ".heic": "heic",
    ".heif": "heic",
    ".hif": "heic",
    ".avif": "avif",
    ".jxl": "jxl",
}
DNG = ".dng"  # developed to one of these, and never written
SUFFIXES: dict[Kind, str] = {
    "jpeg": ".jpg",
    "png": ".png",
    "tiff": ".tif",
    "webp": ".webp",
    "heic": ".heic",
    "avif": ".avif",
    "jxl": ".jxl",
}
SIXTEEN_BIT: tuple[Kind, ...] = ("png", "tiff", "jxl")
EIGHT_BIT: tuple[Kind, ...] = ("jpeg", "webp")
TEN_BIT: tuple[Kind, ...] = ("heic", "avif")  # of what has more than 8
WITHOUT_ALPHA: tuple[Kind, ...] = ("jpeg",)
# Pictures that are not read: named where they lie among those that are.
OTHER_PICTURES = frozenset(
    [
        ".3fr",
        ".ai",
        ".apng",
        ".ari",
        ".arq",
        ".arw",
        ".bay",
        ".bmp",
        ".cap",
        ".cr2",
        ".cr3",
        ".crw",
        ".cur",
        ".dcr",
        ".dcs",
        ".dds",
        ".dib",
        ".drf",
        ".eip",
        ".eps",
        ".erf",
        ".exr",
        ".fff",
        ".fit",
        ".fits",
        ".gif",
        ".gpr",
        ".hdr",
        ".icb",
        ".ico",
        ".iiq",
        ".insp",
        ".j2c",
        ".j2k",
        ".jif",
        ".jp2",
        ".jpf",
        ".jpm",
        ".jps",
        ".jpx",
        ".jxr",
        ".k25",
        ".kdc",
        ".mdc",
        ".mef",
        ".mos",
        ".mpo",
        ".mrw",
        ".nef",
        ".nrw",
        ".orf",
        ".pbm",
        ".pcx",
        ".pef",
        ".pfm",
        ".pgm",
        ".pic",
        ".pict",
        ".pnm",
        ".ppm",
        ".ps",
        ".psb",
        ".psd",
        ".ptx",
        ".pxn",
        ".qoi",
        ".raf",
        ".ras",
        ".raw",
        ".rw2",
        ".rwl",
        ".rwz",
        ".sgi",
        ".sr2",
        ".srf",
        ".srw",
        ".svg",
        ".tga",
        ".wbmp",
        ".wdp",
        ".wmf",
        ".x3f",
        ".xbm",
        ".xcf",
        ".xpm",
    ]
)
_NAMES: dict[Kind, str] = {
    "jpeg": "a JPEG",
    "png": "a PNG",
    "tiff": "a TIFF",
    "webp": "a WebP",
    "heic": "a HEIC",
    "avif": "an AVIF",
    "jxl": "a JPEG XL",
}
# How the first bytes of each begin.
_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
)
_OTHERS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"8BPS", "a Photoshop file"),
    (b"IIRO", "an Olympus raw photograph (ORF)"),
    (b"IIRS", "an Olympus raw photograph (ORF)"),
    (b"MMOR", "an Olympus raw photograph (ORF)"),
    (b"IIU\0", "a Panasonic raw photograph (RW2)"),
    (b"FUJIFILMCCD-RAW", "a Fujifilm raw photograph (RAF)"),
    (b"II\x1a\0\0\0HEAPCCDR", "a Canon raw photograph (CRW)"),
    (b"\0MRM", "a Minolta raw photograph (MRW)"),
    (b"FOVb", "a Sigma raw photograph (X3F)"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?R", "a Radiance HDR picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"II\xbc", "a JPEG XR"),
    (b"qoif", "a QOI picture"),
    (b"DDS ", "a DDS texture"),
    (b"gimp xcf", "a GIMP file"),
    (b"SIMPLE  =", "a FITS file"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML file"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"version https://git-lfs", "a pointer of Git LFS, and not the picture itself"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\0\0\x01\0", "an icon"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
HEAD = 512  # bytes that `kind_of_content` needs to see


def kind_of_content(head: bytes) -> Kind:
    """The kind by a file's first `HEAD` bytes.

    Raises ValueError that says what it is instead, where it is none of those that are read.
    """
    kind = next((kind for start, kind in _BEGINNINGS if head.startswith(start)), None)
    if kind == "tiff" and head[8:10] == b"CR":
        raise ValueError("it is a Canon raw photograph (CR2), which is not read")
    if kind is not None:
        return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return _kind_of_brands(head)
    if not head.strip(b"\0"):
        raise ValueError("it is empty" if not head else "it holds nothing but zeros")
    other = next((name for start, name in _OTHERS if head.startswith(start)), None)
    if other is None and head[:1] == b"P" and head[1:2] in b"1234567" and head[2:3].isspace():
        other = "a PNM picture"
    if other is None:
        raise ValueError("it is no picture of a known kind")
    raise ValueError(f"it is {other}, which is not read")


def _kind_of_brands(head: bytes) -> Kind:
    """Of a file in boxes, whose first one lists its brands after its length, name and version."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[place : place + 4] for place in range(16, size - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return "avif"
    if brands & {*_HEIF_BRANDS}:
        return "heic"
    if b"crx " in brands:
        raise ValueError("it is a Canon raw photograph (CR3), which is not read")
    raise ValueError("it is a film or another file in boxes (ISO base media), and no picture")


def name_of(kind: Kind) -> str:
    """The kind with its article."""
    return _NAMES[kind]


def is_picture_name(path: Path) -> bool:
    """Whether the name is of a kind that is read."""
    return path.suffix.lower() in (*KINDS, DNG)
