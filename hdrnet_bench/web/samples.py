"""Sample pictures that the page may carry: photographs of installed packages, free for anybody."""

from __future__ import annotations

import base64
from typing import NamedTuple

from ..data.licences import may_be_passed_on
from ..errors import DataError
from ..images import webp
from ..prepare.build import RejectedPair
from ..prepare.sources import demo

_QUALITY = 90
# What is to be seen, and whose it is, as the packages' documentation says.
_SHOWN = {
    "astronaut": ("An astronaut in an orange suit before a flag and a model shuttle", "NASA"),
    "chelsea": ("A ginger cat's face", "Stefan van der Walt"),
    "coffee": ("A cup of coffee on a wooden table", "Rachel Michetti"),
}


class Sample(NamedTuple):
    """A picture for the page; uri: a WebP in a data: address."""

    name: str
    alt: str
    credit: str
    licence: str
    uri: str
    width: int
    height: int


def samples() -> list[Sample]:
    """Those that the demo recipes test on, and never train on. Raises DataError where a package's
    file is broken."""
    return [
        _sample(photo, *_SHOWN[photo.id])
        for photo in demo.PHOTOGRAPHS
        if photo.id in _SHOWN and may_be_passed_on(photo.licence)
    ]


def _sample(photo: demo.Photograph, alt: str, credit: str) -> Sample:
    try:
        pixels = demo.read(photo).pixels
    except RejectedPair as error:
        raise DataError(error.args[1]) from None
    content = webp.encode(pixels, _QUALITY, False, None, None, None)
    uri = f"data:image/webp;base64,{base64.b64encode(content).decode()}"
    height, width = pixels.shape[:2]
    licence = photo.licence.replace("-", " ")
    return Sample(photo.id, alt, credit, licence, uri, width, height)
