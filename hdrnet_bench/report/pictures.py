"""The pictures beside the numbers: what `eval` saved as thumbnails, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from ..errors import DataError
from ..files import atomic_path
from ..results import Evaluation
from .tables import Group

ROLES = ("input", "output", "target")
_WIDTH, _GAP, _TITLE = 400, 8, 30


class Shown(NamedTuple):
    """One test picture of one result."""

    id: str
    files: dict[str, Path]
    psnr: float | None


def shown(folder: Path, result: Evaluation) -> list[Shown]:
    """The result's pictures whose thumbnails are all there."""
    found = []
    for row in result.rows:
        files = {role: folder / "pictures" / f"{row.id}-{role}.jpg" for role in ROLES}
        if all(path.exists() for path in files.values()):
            found.append(Shown(row.id, files, row.value("psnr")))
    return found


def best_trained(of: Group) -> tuple[Path, Evaluation] | None:
    """The trained method with the highest mean PSNR, or None."""
    trained = [(p, r) for p, r in of.results if r.method.name != "identity"]
    return max(trained, key=lambda item: item[1].metrics["psnr"].mean or 0.0, default=None)


def write_comparison(path: Path, of: Group, most: int = 4) -> bool:
    """Input, output and target of the group's best method, a row a picture.

    Returns whether there was any picture; an old sheet is removed where there is none.
    """
    best = best_trained(of)
    pictures = shown(*best)[:most] if best else []
    if not best or not pictures:
        path.unlink(missing_ok=True)
        return False
    rows = [[_fit(picture.files[role]) for role in ROLES] for picture in pictures]
    heights = [max(image.height for image in row) for row in rows]
    width = len(ROLES) * (_WIDTH + _GAP) + _GAP
    sheet = Image.new("RGB", (width, sum(heights) + len(rows) * (_TITLE + _GAP) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(16)
    top = 0
    for picture, row, height in zip(pictures, rows, heights, strict=True):
        for column, (role, image) in enumerate(zip(ROLES, row, strict=True)):
            left = _GAP + column * (_WIDTH + _GAP)
            title = f"{picture.id}: {role}"
            if role == "output" and picture.psnr is not None:
                title = f"{best[1].method.name}, PSNR {picture.psnr:.1f} dB"
            draw.text((left, top + 7), title, fill="black", font=font)
            sheet.paste(image, (left, top + _TITLE))
        top += height + _TITLE + _GAP
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="JPEG", quality=88)
    return True


def _fit(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            height = round(image.height * _WIDTH / image.width)
            return image.convert("RGB").resize((_WIDTH, height), Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be decoded: {error}; `hdrbench eval --overwrite`") from None
