"""Pictures for the page's tests."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from PIL import Image

PICTURES = Path(skimage.__file__).parent / "data"


def picture(name: str, size: tuple[int, int] = (150, 100)) -> Image.Image:
    with Image.open(PICTURES / f"{name}.png") as opened:
        return Image.fromarray(np.asarray(opened.convert("RGB").resize(size)))


def saved(folder: Path, name: str, image: Image.Image, **options: Any) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
