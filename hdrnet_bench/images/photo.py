"""A picture with all that belongs to it: the one reader, for measuring and for enhancing.

What is refused where is a `Policy`; how a file is decoded does not depend on it. Pixels are in
memory once: a picture of 100 megapixels must fit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np

from ..color import linear_to_srgb
from ..config import FULL_SCALE, Encoding
from ..errors import CapabilityError, DataError, HdrbenchError, StorageError, raised_in
from . import camera, colour_tags, conversion, exif, heif, icc, jpeg, jpegxl, png, tiff, webp, xmp
from .camera import CameraDeveloped, develop_camera
from .decoded import Decoded
from .icc import profile_name
from .kinds import DNG, HEAD, KINDS, Kind, kind_of_content, name_of
from .pixels import TURNS, Pixels, upright, white_level
from .raw import Developed, Development, develop
from .stored import picture_bytes

_DPI = tuple[float, float]
# Bytes: the largest, of inks, have a few million. Caches keep some.
_MOST_PROFILE = 16 << 20


class Policy(NamedTuple):
    """What is refused, and what becomes of what a picture of three channels in sRGB does not hold.

    damaged: take what a decoder could read of a damaged file, and note it.
    colours: "own" keeps numbers with their profile; "srgb" converts them; "stored" takes the
        numbers as they are, whatever they mean.
    alpha: keep it.
    texts: note what of the metadata is left out, where it is to be kept.
    """

    damaged: bool
    colours: Literal["own", "srgb", "stored"]
    alpha: bool
    texts: bool = False


ENHANCING = Policy(damaged=True, colours="own", alpha=True, texts=True)
MEASURING = Policy(damaged=False, colours="srgb", alpha=False)
# Of a finished picture that a protocol takes as it is, once its profile has been looked at.
CHECKED = Policy(damaged=False, colours="own", alpha=False)
# Of a prepared dataset, whose header says what its numbers are.
STORED = Policy(damaged=False, colours="stored", alpha=False)


@dataclass
class Photo:
    """pixels: (H, W, 3 or 4) uint8 or uint16, upright, C order; the fourth is alpha, as it was.
    profile: of the pixels (RGB); None where they are sRGB, or nothing says what they are.
    output_profile: what the pixels are to be written in, where that is another.
    exif: a block (exif.py), xmp: a packet, iptc: records, of the picture as it was.
    turned: whether across and down have changed places since.
    kind, lossless: of the file; whether its pixels were those that its writer was given.
    encoding: what no profile can say: camera colours, with `white` for 1.0.
    """

    pixels: Pixels
    profile: bytes | None = None
    output_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: _DPI | None = None
    turned: bool = False
    lossless: bool = True
    notes: list[str] = field(default_factory=list)
    encoding: Literal["camera"] | None = None
    white: int = FULL_SCALE
    kind: Kind | None = None


def read_photo(
    path: Path,
    policy: Policy = ENHANCING,
    raw_as: Encoding = "srgb",
    content: bytes | None = None,
) -> Photo:
    """Decode a picture of any kind in `KINDS`, by its content, or a DNG by its name.

    Args:
        path: of the file.
        policy: what is refused.
        raw_as: what a DNG is developed to.
        content: of the file, where it is read already.

    Raises DataError that names the file and says what it is instead, or what is wrong with it.
    """
    try:
        if path.suffix.lower() == DNG:
            return _develop(path, raw_as, content)
        kind, decoded = _decode(path, content)
        if decoded.damage and not policy.damaged:
            raise DataError(f"{path} is damaged: {decoded.damage}")
        photo = _photo(decoded, policy)
    except Exception as error:  # of Little CMS, say, about a profile of its own kind
        if isinstance(error, HdrbenchError | MemoryError):
            raise
        raise _cannot(path, error) from None
    photo.kind = kind
    named = KINDS.get(path.suffix.lower())
    if named and named != kind:
        photo.notes.append(f"named {path.suffix}: it is {name_of(kind)}")
    return photo


def picture_size(path: Path, content: bytes | None = None) -> tuple[int, int]:
    """(width, height) of the upright picture, from the file's tags where the kind allows; `content`
    and what is raised as of `read_photo`."""
    _, decoded = _decode(path, content, pixels=False)
    height, width = decoded.pixels.shape[:2]
    turns, _ = TURNS[orientation_of(decoded, [])]
    return (height, width) if turns % 2 else (width, height)


def _decode(path: Path, content: bytes | None, pixels: bool = True) -> tuple[Kind, Decoded]:
    try:
        content = picture_bytes(path) if content is None else content
        kind = kind_of_content(content[:HEAD])
        if kind == "tiff":
            return kind, tiff.decode_bytes(content, pixels=pixels)
        if kind == "jpeg":
            return kind, jpeg.decode(content, pixels=pixels)
        if kind == "png":
            return kind, png.decode(content, pixels=pixels)
        if kind == "webp":
            return kind, webp.decode(content, pixels=pixels)
        decoders = {"heic": heif.decode_heic, "avif": heif.decode_avif, "jxl": jpegxl.decode_jxl}
        return kind, decoders[kind](content)
    except CapabilityError as error:
        raise CapabilityError(f"{path}: {error}") from None
    except (HdrbenchError, MemoryError):  # no memory is the machine's fault, not the file's
        raise
    except Exception as error:  # Decoders raise whatever comes to them on a broken file.
        raise _cannot(path, error) from None


def _cannot(path: Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.errno is not None:
        # The bytes are in memory: a library could not load a part of its own, say.
        return StorageError(f"{path} cannot be decoded: {error.strerror}")
    reason = " ".join(str(error).split("<_io")[0].split())[:300]
    # What a library raises is about its own tables and arrays: to a reader it says one thing.
    is_ours = raised_in(error).startswith(f"{__package__}.")
    if not (is_ours and isinstance(error, ValueError)):
        reason = "it is damaged"
    return DataError(f"{path} cannot be decoded as a picture: {reason}")


def _photo(decoded: Decoded, policy: Policy) -> Photo:
    notes = list(decoded.notes)
    if decoded.damage:
        notes.append(f"damaged: {decoded.damage}")
    left_out = list(decoded.left_out)
    block = _readable_exif(decoded.exif, left_out)
    if policy.texts:
        notes += left_out
    profile, said_by = decoded.profile, decoded.profile_from
    if profile is None and said_by is None and block and exif.says_adobe_rgb(block):
        profile, said_by = colour_tags.ADOBE_RGB, "EXIF"
    stored, alpha = _split_alpha(decoded)
    if alpha is not None and not policy.alpha:
        notes.append("alpha channel left out")
        alpha = None
    pixels, profile = _in_rgb(stored, decoded.colours, profile, policy, notes)
    pixels, profile = _in_wanted_colours(pixels, profile, said_by, policy, notes)
    if alpha is not None:
        # The whole as it was decoded, where the colours are the stored ones still.
        whole = decoded.pixels if pixels is stored else np.concatenate([pixels, alpha], axis=2)
        pixels = cast(Pixels, whole)
    code = orientation_of(decoded, notes)
    turns, _ = TURNS[code]
    if code != 1 and policy.texts and _says_places(block, decoded.xmp):
        notes.append("places that EXIF or XMP names are those before turning")
    dpi = decoded.dpi or (exif.dots_per_inch(block) if block else None)
    if dpi and turns % 2:
        dpi = dpi[1], dpi[0]
    return Photo(
        # Contiguous and writable, as enhancing in place asks; copied only where it is not yet.
        np.require(upright(pixels, code), requirements=["C", "W"]),
        profile,
        exif=block,
        xmp=decoded.xmp,
        iptc=decoded.iptc,
        dpi=dpi if dpi and all(0 < value < 65536 for value in dpi) else None,
        turned=turns % 2 == 1,
        lossless=decoded.lossless,
        notes=notes,
    )


def _says_places(block: bytes | None, packet: bytes | None) -> bool:
    return bool(block and exif.has_places(block)) or bool(packet and xmp.has_places(packet))


def _readable_exif(block: bytes | None, notes: list[str]) -> bytes | None:
    if not block:
        return None
    try:
        exif.first_directory(block)
    except ValueError as error:
        notes.append(f"EXIF left out: {error}")
        return None
    return block


def orientation_of(decoded: Decoded, notes: list[str]) -> int:
    """EXIF's code, by the container, else EXIF, else XMP; 1 where none means anything. Notes that
    it is applied, or means nothing."""
    code = decoded.orientation
    if code is None and decoded.exif:
        try:
            code = exif.orientation(decoded.exif)
        except ValueError:
            code = None
    if code is None and decoded.xmp:
        code = xmp.orientation(decoded.xmp)
    if code is None or code == 1:
        return 1
    if code not in TURNS:
        notes.append(f"orientation {code} means nothing, taken as upright")
        return 1
    notes.append(f"orientation {code} applied")
    return code


def _split_alpha(decoded: Decoded) -> tuple[Pixels, Pixels | None]:
    """Without alpha no copy is made."""
    if not decoded.alpha:
        return decoded.pixels, None
    return decoded.pixels[:, :, :-1], decoded.pixels[:, :, -1:]


def _in_rgb(
    pixels: Pixels, colours: str, profile: bytes | None, policy: Policy, notes: list[str]
) -> tuple[Pixels, bytes | None]:
    """(H, W, 3), and their profile where it is one of RGB."""
    space = icc.colour_space(profile) if profile and len(profile) <= _MOST_PROFILE else None
    if profile and space is None:
        notes.append(f"profile left out: {_unusable(profile)}; taken as sRGB")
        profile = None
    fitting = {"rgb": ("rgb",), "cmyk": ("cmyk",), "gray": ("gray", "rgb")}[colours]
    if profile and space not in fitting:
        notes.append(f"profile left out: for {space} ({profile_name(profile)})")
        profile = None
    if colours == "rgb":
        return pixels, profile
    if colours == "cmyk":
        if profile:
            notes.append("CMYK converted from its profile to sRGB")
            return icc.cmyk_to_srgb(pixels, profile), None
        notes.append("CMYK converted without its profile")
        return _cmyk_without_profile(pixels), None
    if profile and space == "gray" and policy.colours != "stored":
        notes.append("grey converted from its profile to sRGB")
        return icc.grey_to_srgb(pixels[:, :, 0], profile), None
    notes.append("grey repeated into three channels")
    return pixels.repeat(3, axis=2), profile


def _unusable(profile: bytes) -> str:
    if len(profile) > _MOST_PROFILE:
        return f"of {len(profile):,} bytes"
    name = profile_name(profile)
    return "unreadable" if name == "unreadable" else f"of no kind that is read ({name})"


def _cmyk_without_profile(pixels: Pixels) -> Pixels:
    """Each ink takes its share of what the others leave: rounded once."""
    white = white_level(pixels)
    left = white - pixels.astype(np.uint32)
    product = left[:, :, :3] * left[:, :, 3:]
    return cast(Pixels, ((product + white // 2) // white).astype(pixels.dtype))


def _in_wanted_colours(
    pixels: Pixels, profile: bytes | None, said_by: str | None, policy: Policy, notes: list[str]
) -> tuple[Pixels, bytes | None]:
    if profile is None or policy.colours == "own":
        if profile is not None and said_by:
            notes.append(f"colours by its {said_by}: {profile_name(profile)}")
        return pixels, profile
    if policy.colours == "stored":
        notes.append(f"embedded profile not applied: {profile_name(profile)}")
        return pixels, None
    if icc.same(profile, icc.SRGB):
        return pixels, None
    notes.append(f"converted from {profile_name(profile)} to sRGB")
    return conversion.integers_to_srgb(pixels, profile), None


def _develop(path: Path, encoding: Encoding, content: bytes | None) -> Photo:
    """A raw photograph as the data is prepared: camera's white balance, default crop, 16 bits."""
    picture: Developed | CameraDeveloped
    content = picture_bytes(path) if content is None else content
    if encoding == "camera":
        picture = develop_camera(path, None, content)
    else:
        picture = develop(path, Development(), content)
    pixels = picture.pixels
    if encoding == "srgb":
        # sRGB's curve once for each of the 65,536 numbers, not once a pixel.
        light = np.arange(65536) / 65535
        pixels = np.rint(linear_to_srgb(light) * 65535).astype(np.uint16)[pixels]
    names = {"srgb": "sRGB", "linear": "linear light", "camera": "linear camera colours"}
    notes = [f"developed to {names[encoding]}, 16 bits", *picture.notes]
    texts = tiff.texts(content, notes)
    photo = Photo(
        pixels, icc.SRGB, icc.SRGB, exif=texts.exif, xmp=texts.xmp, iptc=texts.iptc, notes=notes
    )
    if encoding == "linear":
        notes.append("highlights end at white, and lens shading is as it was")
        photo.profile = icc.LINEAR
    elif encoding == "camera":
        if isinstance(picture, CameraDeveloped) and picture.shading == "none":
            notes.append("lens shading not corrected: the file does not say it (no GainMap)")
        photo.profile, photo.encoding, photo.white = None, "camera", camera.WHITE
    return photo
