"""The report's pictures: thumbnails that `eval` saved, where their licence lets them be shown.

report.html and the sheets show the best method's of each dataset, at one size; report-private.html
shows every method's, at every size.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..data.licences import may_be_passed_on
from ..errors import DataError
from ..files import read_bytes, unreadable
from ..images import webp
from ..result_pictures import picture_files
from ..results import Evaluation, ResultRow, Shown
from .groups import Group, best_method, label

_SHEET_ROLES = ("input", "output", "target")
# A cell is 3:2 at its tallest, so that a page that shows the sheet 828 pixels wide shows two rows
# in 420.
_WIDTH, _TALLEST, _GAP, _TITLE = 400, 267, 8, 30
_SHEET_BYTES, _SHEET_QUALITIES = 120_000, (82, 74, 66, 58, 50)

# The most bytes of all pictures of a page, of those of the page that is for its maker alone, and of
# one file, and its most pixels: thumbnails, not photographs.
PAGE_BYTES, PRIVATE_PAGE_BYTES = 1_500_000, 50_000_000
PICTURE_BYTES, PICTURE_PIXELS = 300_000, 4_000_000
# Of a picture in colour, so many pixels have channels that lie so far apart.
_COLOURED_SHARE, _COLOURED_LEVELS = 0.05, 20


class GalleryPicture(NamedTuple):
    """One test picture of one result, its four thumbnails, which lie in one file where they are one
    picture, and their size in pixels."""

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
        reason, files = _files(folder, result, row, private)
        if reason:
            absent.append(f"{entry.id}: {reason}")
        else:
            pictures.append(_picture(entry, row, files))
    if not result.shown:
        absent.append("no pictures were kept for this method")
    return Gallery(label(group, result), pictures, absent)


def of_datasets(groups: Sequence[Group]) -> dict[str, Gallery]:
    """What the page that anybody may have shows: of each version and split of a dataset its best
    method's pictures at one size, the first that has any, full before 480p; by the group's slug."""
    galleries: dict[tuple[str, str, str], tuple[str, Gallery]] = {}
    for group in groups:
        if (best := best_method(group)) is not None:
            data = group.first.dataset
            found = group.slug, gallery(group, *best, private=False)
            known = galleries.setdefault((data.name, data.split, data.digest), found)
            if not known[1].pictures and found[1].pictures:
                galleries[data.name, data.split, data.digest] = found
    return dict(galleries.values())


def _files(
    folder: Path, result: Evaluation, row: ResultRow, private: bool
) -> tuple[str | None, dict[str, Path]]:
    """A picture's thumbnails by role; or why they are not shown."""
    files = picture_files(folder, result.dataset, result.method, result.size, row.id)
    if not private and not may_be_passed_on(row.licence):
        licence = f"its licence ({row.licence}) does not let it be passed on"
        return f"{licence}; `hdrbench report --private` makes a page for your own eyes", {}
    if missing := [role for role, path in files.items() if not _is_file(path)]:
        return f"{', '.join(missing)} not in these results; `hdrbench eval` makes them", {}
    if any(path.stat().st_size > PICTURE_BYTES for path in files.values()):
        return f"a file is larger than a thumbnail of {PICTURE_BYTES // 1000} kB", {}
    if any(width * height > PICTURE_PIXELS for width, height in map(_size, files.values())):
        return f"a file has over {PICTURE_PIXELS // 1_000_000} megapixels, and is no thumbnail", {}
    return None, files


def _is_file(path: Path) -> bool:
    """A link is none: it may show what is no result's."""
    return path.is_file() and not path.is_symlink()


def _picture(entry: Shown, row: ResultRow, files: dict[str, Path]) -> GalleryPicture:
    # All are decoded, so that a broken one is found here and not by the reader of the page.
    sizes = [_open(path).size for path in files.values()]
    return GalleryPicture(entry.id, ", ".join(entry.why), row.value("psnr"), files, sizes[0])


def data_uri(path: Path) -> str:
    """A thumbnail to put into a page. Raises as `content`."""
    return f"data:image/webp;base64,{base64.b64encode(content(path)).decode()}"


def content(path: Path) -> bytes:
    """A thumbnail's bytes. Raises DataError where it cannot be read, or is no thumbnail."""
    try:
        return read_bytes(path, PICTURE_BYTES)
    except OSError as error:
        raise unreadable(path, error) from None


def _size(path: Path) -> tuple[int, int]:
    """As the header says, before anything is decoded."""
    try:
        height, width = webp.decode(content(path), pixels=False).pixels.shape[:2]
    except ValueError as error:
        raise _broken(path, error) from None
    return width, height


def _open(path: Path) -> Image.Image:
    try:
        return Image.fromarray(webp.decode(content(path)).pixels).convert("RGB")
    except ValueError as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be decoded: {error}; `hdrbench eval --overwrite`")


def in_colour(picture: GalleryPicture) -> bool:
    """Whether it is of a photograph in colour, as its target shows."""
    pixels = np.asarray(_open(picture.files["target"])).astype(np.int16)
    coloured = np.ptp(pixels, axis=2) > _COLOURED_LEVELS
    return float(coloured.mean()) > _COLOURED_SHARE


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
    return sum(-(-path.stat().st_size // 3) * 4 for path in set(picture.files.values()))


def comparisons(groups: Sequence[Group]) -> dict[str, bytes]:
    """A sheet of the pictures of each dataset that `of_datasets` has any of, by its group."""
    shown = of_datasets(groups)
    bests = {group.slug: best for group in groups if (best := best_method(group)) is not None}
    return {
        slug: comparison(gallery.pictures, bests[slug][1].method.name)
        for slug, gallery in shown.items()
        if gallery.pictures
    }


def comparison(pictures: Sequence[GalleryPicture], method: str, limit: int = 2) -> bytes:
    """A WebP, a sheet of input, output and target of at most `limit` of the pictures, of which
    there is one at least, a row each: of those in colour where there are any.

    Args:
        method: its name, above the outputs.
    """
    pictures = ([picture for picture in pictures if in_colour(picture)] or pictures)[:limit]
    rows = [[_cell(_open(picture.files[role])) for role in _SHEET_ROLES] for picture in pictures]
    heights = [max(image.height for image in row) for row in rows]
    width = len(_SHEET_ROLES) * (_WIDTH + _GAP) + _GAP
    sheet = Image.new("RGB", (width, sum(heights) + len(rows) * (_TITLE + _GAP) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(18)
    top = 0
    for picture, row, height in zip(pictures, rows, heights, strict=True):
        for column, (role, image) in enumerate(zip(_SHEET_ROLES, row, strict=True)):
            left = _GAP + column * (_WIDTH + _GAP)
            title = f"{picture.id}: {role}"
            if role == "output" and picture.psnr is not None:
                title = f"{method}, PSNR {picture.psnr:.1f} dB"
            draw.text((left, top + 5), title, fill="black", font=font)
            sheet.paste(image, (left, top + _TITLE))
        top += height + _TITLE + _GAP
    return _light(sheet)


def _cell(image: Image.Image) -> Image.Image:
    """As wide as a cell; of one that is taller than 3:2 a part of it."""
    tallest = max(1, round(image.width * _TALLEST / _WIDTH))
    if image.height > tallest:
        top = (image.height - tallest) // 6  # not the middle: heads stand high
        image = image.crop((0, top, image.width, top + tallest))
    height = min(_TALLEST, max(1, round(image.height * _WIDTH / image.width)))
    return image.resize((_WIDTH, height), Image.Resampling.LANCZOS)


def _light(sheet: Image.Image) -> bytes:
    """As WebP of the best quality that is light enough; of the lowest where none is."""
    for quality in _SHEET_QUALITIES:
        stream = io.BytesIO()
        sheet.save(stream, format="WEBP", quality=quality, method=6)
        if stream.tell() <= _SHEET_BYTES:
            break
    return stream.getvalue()
