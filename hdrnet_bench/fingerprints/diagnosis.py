"""One picture beside the fingerprint of the published one: the same, or what was done to it."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..images.pixels import Pixels
from .colours import ROUNDING, WORDS, Change, candidates, colour_distances
from .framing import Framing, framing
from .picture import Fingerprint, grey_of

# The kinds of findings about a file that is no picture, and about one that the protocol refuses.
UNREADABLE, REFUSED = "unreadable", "refused"
Status = Literal["identical", "within rounding", "differing"]
Grey = NDArray[np.float32]  # (H, W), as `picture.grey_of` gives it

# By how much fine detail may differ: exporters' rounding, and JPEG of high quality.
_DETAIL = 0.03
_BLOCKING = 0.03
_FLAT = 1.0  # levels of 8 bits: a published picture with less deviation is not recognised

_QUALITY = 1
_CHROMA = {"1x1": "4:4:4", "2x1": "4:2:2", "2x2": "4:2:0", "4x1": "4:1:1", "1x2": "4:4:0"}
# What another quality of JPEG, or another way of resizing, may move a channel's mean and deviation
# by, in levels of 8 bits: colours stay the same.
_TEXTURE = (1.0, 6.0)


class Finding(NamedTuple):
    """kind: of a difference, one of `findings.KINDS`. what: in words, of this picture. amount: what
    the kind is measured in, where it is measured. changes: of colours, what may have been done, the
    most believable first."""

    kind: str
    what: str
    amount: float | None = None
    changes: tuple[Change, ...] = ()


class Diagnosis(NamedTuple):
    id: str
    side: str
    status: Status
    findings: tuple[Finding, ...] = ()


def diagnose(
    found: Fingerprint,
    pixels: Pixels,
    wanted: Fingerprint,
    other: Fingerprint | None = None,
    srgb: bool = True,
) -> Diagnosis:
    """What a picture is beside the fingerprint of the published one.

    Args:
        found: the picture's own fingerprint.
        pixels: the picture, (H, W, 3), upright.
        wanted: the fingerprint of the published picture.
        other: that of the pair's other side, with which it may have changed places.
        srgb: what the numbers should be; XYZ, say, where not.
    """
    if found.pixels_sha256 == wanted.pixels_sha256:
        return Diagnosis(found.id, found.side, "identical")
    grey = grey_of(pixels)
    findings = _differences(found, pixels, grey, wanted, srgb)
    if findings and other is not None and _is(found, pixels, grey, other):
        findings = [Finding("other side", f"it is the published {other.side}")]
    status: Status = "differing" if findings else "within rounding"
    return Diagnosis(found.id, found.side, status, tuple(findings))


def _is(found: Fingerprint, pixels: Pixels, grey: Grey, other: Fingerprint) -> bool:
    if found.pixels_sha256 == other.pixels_sha256:
        return True
    near = max(colour_distances(found, other)) <= ROUNDING
    return near and not _differences(found, pixels, grey, other, srgb=False)


def _differences(
    found: Fingerprint, pixels: Pixels, grey: Grey, wanted: Fingerprint, srgb: bool
) -> list[Finding]:
    is_flat = max(wanted.std) * 255 < _FLAT
    frame = Framing("same", 1.0) if is_flat else framing(grey, wanted.hash)
    if frame.kind == "another scene":
        return [Finding(frame.kind, f"another photograph: {frame.what}", frame.agreement)]
    findings = [Finding(frame.kind, frame.what)] if frame.what else []
    size = (found.width, found.height)
    size = size[::-1] if frame.orientation >= 5 else size
    is_size = size == (wanted.width, wanted.height)
    # What is cropped and not resized has another size for that.
    if not is_size and frame.kind != "cropped":
        sizes = f"{size[0]} x {size[1]}, published {wanted.width} x {wanted.height}"
        findings.append(Finding("size", sizes))
    if found.bits != wanted.bits:
        findings.append(Finding("bits", f"{found.bits} bits, published {wanted.bits}"))
    if frame.kind in ("cropped", "flat"):
        return findings  # what is not shown is missing from the means as well
    texture = _texture(found, wanted, is_size, as_it_lay=frame.orientation == 1)
    limits = _TEXTURE if texture or not is_size else (ROUNDING, ROUNDING)
    if any(d > most for d, most in zip(colour_distances(found, wanted), limits, strict=True)):
        changes = candidates(pixels, wanted, srgb)
        findings.append(colour_finding(changes[0], tuple(changes)))
        # Detail goes with the colours; what a file says of itself does not.
        texture = [finding for finding in texture if finding.kind in ("quality", "chroma")]
    return findings + texture


def _texture(
    found: Fingerprint, wanted: Fingerprint, is_size: bool, as_it_lay: bool
) -> list[Finding]:
    """Another quality of JPEG, or detail from another way of resizing. as_it_lay: not turned, which
    moves a JPEG's blocks."""
    if found.quality and wanted.quality and abs(found.quality - wanted.quality) > _QUALITY:
        what = f"JPEG of quality {found.quality}, published {wanted.quality}"
        return [Finding("quality", what, found.quality)]
    if is_size and as_it_lay and found.blocking - wanted.blocking > _BLOCKING:
        steps = f"{found.blocking:.2f}, published {wanted.blocking:.2f}"
        return [Finding("blocks", f"blocks of a coarser JPEG show: {steps}", found.blocking)]
    findings = []
    if found.chroma and wanted.chroma and found.chroma != wanted.chroma:
        sampled = [_CHROMA.get(each, each) for each in (found.chroma, wanted.chroma)]
        findings = [Finding("chroma", f"JPEG with colour {sampled[0]}, published {sampled[1]}")]
    ratio = found.detail / wanted.detail if wanted.detail else 1.0
    if is_size and abs(ratio - 1) > _DETAIL:
        what = f"{ratio:.2f} times the published one's fine detail"
        findings.append(Finding("detail", what, ratio))
    return findings


def colour_finding(change: Change, changes: tuple[Change, ...]) -> Finding:
    """A change of colours in words."""
    kind = change.kind
    if kind in WORDS:
        return Finding(kind, WORDS[kind], None, changes)
    if kind == "gamma":
        assert change.power is not None
        what = f"its numbers are the published ones to the power {change.power:.2f}"
        return Finding(kind, what, change.power, changes)
    if kind == "tones":
        what = f"other tones: means or deviations differ by {change.residual:.1f} levels of 8 bits"
        return Finding(kind, what, change.residual, changes)
    assert change.ev is not None
    parts = []
    if kind == "scale":
        parts.append(f"its numbers are {2**change.ev:.2f} times the published ones")
    if "exposure" in kind:
        parts.append(f"{'brighter' if change.ev > 0 else 'darker'} by {abs(change.ev):.2f} EV")
    if "white balance" in kind:
        parts.append(f"another white balance (red {change.red:.2f}, blue {change.blue:.2f})")
    if not change.explains:
        parts.append(f"tones that differ by {change.residual:.1f} levels besides")
    return Finding(kind, ", ".join(parts), change.ev, changes)
