"""What has happened to a set of pictures: the findings of all, put together, with what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from .colours import WORDS, Change
from .diagnosis import REFUSED, UNREADABLE, Diagnosis, Finding, colour_finding

_COLLECTION = "export the collection that the protocol names"
_PROFILE = "choose the colour space sRGB in the export dialog"
# Kind of a finding -> what to do about it.
KINDS = {
    UNREADABLE: "export it, or fetch it, anew",
    REFUSED: "`hdrbench prepare` refuses it",
    "another scene": "another picture's id? or shown with more around it, or with borders",
    "flat": "export it anew",
    "other side": "have --input-dir and --target-dir changed places?",
    "turned": "turn the files back, without resizing them",
    "cropped": "the published picture shows more: take the collection's own copy",
    "size": "resize in the export dialog alone, by the edge that the protocol names, uncropped",
    "bits": "choose the bit depth that the protocol names",
    "bgr": "written by a program that has blue first (OpenCV): exchange the channels",
    "prophoto": _PROFILE,
    "adobe-rgb": _PROFILE,
    "display-p3": _PROFILE,
    "linear": "encode with sRGB's curve",
    "encoded-twice": "encode with sRGB's curve once",
    "gamma-1.8": _PROFILE,
    "gamma-2.2": _PROFILE,
    "gamma": "look for a program that changed the brightness between export and here",
    "exposure": _COLLECTION,
    "white balance": _COLLECTION,
    "exposure and white balance": _COLLECTION,
    "scale": _COLLECTION,
    "tones": "another edit, as another expert's, or, where it is little, another Lightroom",
    "quality": "export JPEGs with the quality that the protocol names",
    "blocks": "these were JPEGs of a lower quality once: export them anew",
    "chroma": "written by another program, or at a lower quality: export them anew",
    "detail": "resized otherwise, or sharpened: let Lightroom resize, without sharpening",
}
# Of the pictures whose colours differ, how many a mistake may explain, and how many it surely does,
# to be what they have in common.
_MAY, _SURELY = 0.8, 0.25
# FiveK's collections of inputs, as papers name them: stops beside the zeroed ones, white balance.
_COLLECTIONS = {
    "InputZeroed with ExpertC WhiteBalance": (0.0, "expert"),
    "(default) Input with ExpertC WhiteBalance minus 1.5": (-1.5, "expert"),
    "InputAsShotZeroed": (0.0, "as shot"),
    "Input with Daylight WhiteBalance minus 1.5": (-1.5, "daylight"),
}
_STOPS = 0.35  # by which an exposure may miss that of a collection: tone curves come after it
_MOST_OF = 0.5  # of the pictures that were compared, before a collection is named


class Summary(NamedTuple):
    """Of one kind of difference on one side: how many pictures have it, of how many compared."""

    side: str
    kind: str
    pictures: int
    compared: int
    what: str
    advice: str
    ids: list[str]


def agreed(diagnoses: Sequence[Diagnosis]) -> list[Diagnosis]:
    """The diagnoses with one word for what the pictures of a side have in common: a mistake that
    may explain nearly all of them, and surely some, explains each that it may."""
    changed = []
    for side in dict.fromkeys(one.side for one in diagnoses):
        of_side = [one for one in diagnoses if one.side == side]
        common = _common([f.changes for one in of_side for f in one.findings if f.changes])
        for one in of_side:
            findings = tuple(_as(common, finding) for finding in one.findings)
            changed.append(one._replace(findings=findings))
    return changed


def _common(changes: Sequence[Sequence[Change]]) -> str | None:
    """The mistake about colours that pictures have in common; None where there is none."""
    left: dict[str, list[Change]] = {}
    for of_picture in changes:
        for change in of_picture:
            if change.kind in WORDS:
                left.setdefault(change.kind, []).append(change)
    fitting = {
        kind: median(change.residual for change in found)
        for kind, found in left.items()
        if len(found) >= _MAY * len(changes)
        and sum(change.explains for change in found) >= max(2, _SURELY * len(changes))
    }
    return min(fitting, key=lambda kind: fitting[kind], default=None)


def _as(common: str | None, finding: Finding) -> Finding:
    """A finding about colours in terms of what is common, where that may explain it."""
    change = next((change for change in finding.changes if change.kind == common), None)
    return colour_finding(change, finding.changes) if change else finding


def summaries(diagnoses: Sequence[Diagnosis], collection: str | None = None) -> list[Summary]:
    """Each kind of difference on each side, the most frequent first; of `agreed` diagnoses.

    collection: of FiveK's catalogue, which the inputs should be of.
    """
    found = []
    for side in dict.fromkeys(one.side for one in diagnoses):
        of_side = [one for one in diagnoses if one.side == side]
        by_kind: dict[str, list[tuple[str, Finding]]] = {}
        for one in of_side:
            for finding in one.findings:
                by_kind.setdefault(finding.kind, []).append((one.id, finding))
        for kind, members in sorted(by_kind.items(), key=lambda each: (-len(each[1]), each[0])):
            findings = [finding for _, finding in members]
            whole = side == "input" and len(members) >= _MOST_OF * len(of_side)
            found.append(
                Summary(
                    side,
                    kind,
                    len(members),
                    len(of_side),
                    _in_words(kind, findings),
                    _advice(kind, findings, collection if whole else None),
                    [id_ for id_, _ in members],
                )
            )
    return found


def _in_words(kind: str, findings: Sequence[Finding]) -> str:
    """What these pictures have in common, with its median and range."""
    amounts = [finding.amount for finding in findings if finding.amount is not None]
    if len(findings) == 1 or not amounts:
        words = Counter(finding.what for finding in findings).most_common()
        more = f" (others: {words[1][0]}{', …' if len(words) > 2 else ''})" if words[1:] else ""
        return f"{words[0][0]}{more}"
    if kind in ("exposure", "white balance", "exposure and white balance"):
        return _light_in_words(kind, [_change(finding) for finding in findings])
    if kind == "scale":
        return f"its numbers are {_spread([2**ev for ev in amounts], 2)} times the published ones"
    if kind == "another scene":
        return f"another photograph: {_spread([100 * a for a in amounts], 0)} % of the hash agrees"
    text = {
        "gamma": "its numbers are the published ones to the power {}",
        "tones": "other tones: means or deviations differ by {} levels of 8 bits",
        "quality": "JPEG of quality {}",
        "blocks": "blocks of a coarser JPEG show: {}",
        "detail": "{} times the published one's fine detail",
    }[kind]
    return text.format(_spread(amounts, 0 if kind == "quality" else 2))


def _light_in_words(kind: str, changes: Sequence[Change]) -> str:
    parts = []
    evs = [change.ev for change in changes if change.ev is not None]
    if "exposure" in kind and _is_one_way(evs):
        way = "brighter" if evs[0] > 0 else "darker"
        parts.append(f"{way} by {_spread([abs(ev) for ev in evs], 2)} EV")
    elif "exposure" in kind:
        parts.append(f"brighter or darker, by {min(evs):+.2f} to {max(evs):+.2f} EV")
    if "white balance" in kind:
        red, blue = (_spread([getattr(c, each) for c in changes], 2) for each in ("red", "blue"))
        parts.append(f"another white balance: red {red}, blue {blue} times")
    if not all(change.explains for change in changes):
        rest = median([change.residual for change in changes])
        parts.append(f"tones that differ by {rest:.1f} levels besides")
    return ", ".join(parts)


def _is_one_way(evs: Sequence[float]) -> bool:
    return min(evs) > 0 or max(evs) < 0


def _advice(kind: str, findings: Sequence[Finding], collection: str | None) -> str:
    """What to do; where most inputs are as those of another collection would be, with its name."""
    if kind not in ("exposure", "white balance", "exposure and white balance"):
        return KINDS[kind]
    evs = [change.ev for f in findings if (change := _change(f)).ev is not None]
    if collection not in _COLLECTIONS or ("exposure" in kind and not _is_one_way(evs)):
        return KINDS[kind]
    stops, balance = _COLLECTIONS[collection]
    seen = median(evs) if "exposure" in kind else 0.0
    names = [
        f'"{name}"'
        for name, (of_it, its_balance) in _COLLECTIONS.items()
        if name != collection
        and (its_balance != balance) == ("white balance" in kind)
        and abs(seen - (of_it - stops)) <= _STOPS
    ]
    perhaps = f"perhaps of the collection {' or '.join(names)}: " if names else ""
    return f'{perhaps}export "{collection}"'


def _change(finding: Finding) -> Change:
    """What a finding about colours says was done."""
    return next(change for change in finding.changes if change.kind == finding.kind)


def _spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = (f"{v:.{digits}f}" for v in (min(values), median(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"
