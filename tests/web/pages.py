"""Pages for tests, of small models and of hostile words."""

from pathlib import Path
from typing import Any

from hdrnet_bench.web.page import render
from tests.web.models import SMALL, random_model

HOSTILE = "<img src=x onerror=document.title='run'>"
ABOUT = {
    "title": f"HDRNet: {HOSTILE}",
    "summary": f"What the recipe learns, and {HOSTILE}.",
    "rows": [("recipe", "tiny"), ("data", HOSTILE)],
    "scores": [
        ("demo-tiny", "test", 4, "30.1 [29.0, 31.2]", "20.2 [19.1, 21.3]"),
        (HOSTILE, "test", 4, "30.1 [29.0, 31.2]", None),
    ],
    "note": "A note.",
}


def make_page(folder: Path, name: str, pictures: list, **settings: Any) -> Path:
    path = folder / name
    path.write_text(render(random_model(**(SMALL | settings)), ABOUT, pictures))
    return path
