"""The report's pictures: thumbnails that `eval` saved, where their licence lets them be shown."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from ..errors import DataError
from ..files import read_bytes, unreadable
from ..results import Evaluation, ResultRow, Shown
from .groups import Group, best_method, label

ROLES = ("input", "output", "target", "error")
_SHEET_ROLES = ("input", "output", "target")
_WIDTH, _TALLEST, _GAP, _TITLE = 400, 1600, 8, 30

# The most bytes of all pictures of a page, and of one file, and its most pixels: thumbnails, not
# photographs.
PAGE_BYTES, PICTURE_BYTES, PICTURE_PIXELS = 8_000_000, 300_000, 4_000_000

# Licences that let a picture be passed on, made smaller, by anybody.
_FREE = re.compile(r"public-domain|CC0-1\.0|CC-BY(-SA)?-\d\.\d")


class GalleryPicture(NamedTuple):
    """One test picture of one result, its four thumbnails, and their size in pixels."""

    id: str
    why: str
    psnr: float | None
    files: dict[str, Path]
    size: tuple[int, int]


class Gallery(NamedTuple):
    """A result's pictures, and why others of its pictures are absent."""

    name: str
    pictures: list[GalleryPicture]
    absent: list[str]


def gallery(group: Group, folder: Path, result: Evaluation, private: bool) -> Gallery:
    """The pictures of a result in its folder. private: also those that may not be passed on."""
    rows = {row.id: row for row in result.rows}
    pictures, absent = [], []
    for entry in result.shown:
        row = rows.get(entry.id)
        if row is None:
            absent.append(f"{entry.id}: not among the pictures that were measured")
            continue
        reason, files = _files(folder / "pictures" / result.size, row, private)
        if reason:
            absent.append(f"{entry.id}: {reason}")
        else:
            pictures.append(_picture(entry, row, files))
    if not result.shown:
        absent.append("no pictures were kept for this method")
    return Gallery(label(group, result), pictures, absent)


def _files(folder: Path, row: ResultRow, private: bool) -> tuple[str | None, dict[str, Path]]:
    """A picture's thumbnails by role; or why they are not shown."""
    files = {role: folder / f"{row.id}-{role}.jpg" for role in ROLES}
    if not private and not _FREE.fullmatch(row.licence):
        licence = f"its licence ({row.licence}) does not let it be passed on"
        return f"{licence}; `hdrbench report --private` makes a page for your own eyes", {}
    if missing := [role for role, path in files.items() if not path.is_file()]:
        return f"{', '.join(missing)} not in these results; `hdrbench eval` makes them", {}
    if any(path.stat().st_size > PICTURE_BYTES for path in files.values()):
        return f"a file is larger than a thumbnail of {PICTURE_BYTES // 1000} kB", {}
    if any(width * height > PICTURE_PIXELS for width, height in map(_size, files.values())):
        return f"a file has over {PICTURE_PIXELS // 1_000_000} megapixels, and is no thumbnail", {}
    return None, files


def _picture(entry: Shown, row: ResultRow, files: dict[str, Path]) -> GalleryPicture:
    # All are decoded, so that a broken one is found here and not by the reader of the page.
    sizes = [_open(path).size for path in files.values()]
    return GalleryPicture(entry.id, ", ".join(entry.why), row.value("psnr"), files, sizes[0])


def content(path: Path) -> bytes:
    """A thumbnail's bytes. Raises DataError where it cannot be read, or is no thumbnail."""
    try:
        return read_bytes(path, PICTURE_BYTES)
    except OSError as error:
        raise unreadable(path, error) from None


def _size(path: Path) -> tuple[int, int]:
    """As the header says, before anything is decoded."""
    return _opened(path).size


def _open(path: Path) -> Image.Image:
    try:
        return _opened(path).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise _broken(path, error) from None


def _opened(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow's own limit is for photographs; a thumbnail's is looked at by the caller.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(content(path)), formats=["JPEG"])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be decoded: {error}; `hdrbench eval --overwrite`")


def fit_to_page(galleries: Sequence[Gallery], limit: int = PAGE_BYTES) -> list[Gallery]:
    """The galleries with as many pictures as fit into `limit` bytes: first the first of each, then
    the second of each, and so on. The others are listed as absent.
    """
    pictures: list[list[GalleryPicture]] = [[] for _ in galleries]
    absent = [list(gallery.absent) for gallery in galleries]
    room = limit
    for turn in range(max((len(gallery.pictures) for gallery in galleries), default=0)):
        for number, gallery in enumerate(galleries):
            if turn >= len(gallery.pictures):
                continue
            picture = gallery.pictures[turn]
            size = weight(picture)
            if size <= room:
                pictures[number].append(picture)
                room -= size
            else:
                absent[number].append(f"{picture.id}: left out, the page would grow too large")
    return [
        Gallery(gallery.name, some, reasons)
        for gallery, some, reasons in zip(galleries, pictures, absent, strict=True)
    ]


def weight(picture: GalleryPicture) -> int:
    """Bytes that a picture's files take in the page, in base64."""
    return sum(-(-path.stat().st_size // 3) * 4 for path in picture.files.values())


def comparison(group: Group, limit: int = 4) -> bytes | None:
    """A JPEG, a sheet of input, output and target of the group's best method, a row for each of at
    most `limit` pictures; None where there is none that may be shown."""
    best = best_method(group)
    pictures = gallery(group, *best, private=False).pictures[:limit] if best else []
    if not best or not pictures:
        return None
    rows = [[_fit(_open(picture.files[role])) for role in _SHEET_ROLES] for picture in pictures]
    heights = [max(image.height for image in row) for row in rows]
    width = len(_SHEET_ROLES) * (_WIDTH + _GAP) + _GAP
    sheet = Image.new("RGB", (width, sum(heights) + len(rows) * (_TITLE + _GAP) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(16)
    top = 0
    for picture, row, height in zip(pictures, rows, heights, strict=True):
        for column, (role, image) in enumerate(zip(_SHEET_ROLES, row, strict=True)):
            left = _GAP + column * (_WIDTH + _GAP)
            title = f"{picture.id}: {role}"
            if role == "output" and picture.psnr is not None:
                title = f"{best[1].method.name}, PSNR {picture.psnr:.1f} dB"
            draw.text((left, top + 7), title, fill="black", font=font)
            sheet.paste(image, (left, top + _TITLE))
        top += height + _TITLE + _GAP
    stream = io.BytesIO()
    sheet.save(stream, format="JPEG", quality=88)
    return stream.getvalue()


def _fit(image: Image.Image) -> Image.Image:
    width, height = _WIDTH, max(1, round(image.height * _WIDTH / image.width))
    if height > _TALLEST:
        width, height = max(1, round(image.width * _TALLEST / image.height)), _TALLEST
    return image.resize((width, height), Image.Resampling.LANCZOS)
