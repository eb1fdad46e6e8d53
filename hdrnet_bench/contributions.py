"""Results that people measured elsewhere and pass on: contributions/<what>-<machine>-<hash>.json.

A contribution is a result file as it was written, under a name that says what it is of, on which
machine and device, and the beginning of its own SHA-256, so that two of one kind of machine do not
meet. It is accepted where a reader elsewhere can take it for what it says: of published pictures,
from sources that can be had, and with nothing in it that tells who measured it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, TypeAdapter

from .data.manifest import find_lock
from .environment import commit, name_slug
from .errors import DataError
from .files import json_text, read_json_bytes, sha256_bytes, write_bytes
from .result_ids import DatasetId, validated
from .result_timing import KernelTiming, NetworkTiming, Timing, TrainingTiming
from .results import NONE, Evaluation, Unpaired, cell

FOLDER = Path("contributions")
SCHEMA = "schema.json"
Contribution = Evaluation | Timing | KernelTiming | NetworkTiming | TrainingTiming
_KINDS: Mapping[str, type[Contribution]] = {
    "evaluation": Evaluation,
    "timing": Timing,
    "kernels": KernelTiming,
    "network": NetworkTiming,
    "training": TrainingTiming,
}
_MOST_BYTES = 1 << 24  # a result of 5,000 pictures has some three million
_LONGEST_NAME = 200
# Whose pictures are published, so that rows name what everybody can have and no file of one's own.
_PUBLISHED = re.compile(r"(demo|fivek|hdrplus|ppr10k|bsds500)-.+|synthetic-hdrplus-local-tone-map")
# Any path from the root, as errors of libraries may quote it: which folders a machine has, nobody
# can list. A path below a folder that is not said, as skimage/data/brick.png, tells of no machine.
_PLACE = re.compile(
    r"(?<![\w./-])/+[^\s/,;]+(?: +[^\s/,;]+)*/+[^\s/]"
    r"|(?<!\w)~(?:[A-Za-z_][\w.-]*)?/"
    r"|\b[A-Za-z]:[\\/]|\\\\\w"
)
_URL = re.compile(r"\bhttps?://[^\s/,;()<>\"'][^\s,;()<>\"']*")


class Pictures(NamedTuple):
    """What an evaluation is of, known before the first picture is scored; as an evaluation job and
    its result have it."""

    dataset: DatasetId
    leaked: int = 0
    unpaired: Unpaired | None = None


class Contributed(NamedTuple):
    """path: where the copy lies. result: what it holds."""

    path: Path
    result: Contribution


def read_contribution(path: Path) -> tuple[Contribution, bytes]:
    """A file as it is, validated, and the bytes that it was read from: these are what is named and
    passed on. Raises DataError that names it and the faulty key."""
    value, content = read_json_bytes(path, _MOST_BYTES)
    return validated(path, value, _KINDS, "is no result that eval or time writes"), content


def check(path: Path) -> Contribution:
    """A file as it can be accepted; whether it is `outdated` is another question. Raises DataError
    with all that is wrong with it."""
    result, content = read_contribution(path)
    wrong = faults(result)
    expected = file_name(result, content)
    if path.name != expected:
        wrong.append(f"its name does not fit what it holds: it would be {expected}")
    if wrong:
        raise DataError(f"{path}: {'; '.join(wrong)}")
    return result


def contribute(path: Path, folder: Path = FOLDER) -> Contributed:
    """Copy a result file to where contributions lie. Raises DataError where it cannot be
    accepted."""
    result, content = _acceptable(path)
    place = folder / file_name(result, content)
    write_bytes(place, content)
    return Contributed(place, result)


def _acceptable(path: Path) -> tuple[Contribution, bytes]:
    result, content = read_contribution(path)
    if wrong := faults(result) + outdated(result):
        raise DataError(f"{path} cannot be contributed: {'; '.join(wrong)}")
    return result, content


def check_before(
    pictures: Iterable[Pictures] = (), there: Iterable[Path] = (), *, measures: bool = True
) -> None:
    """What can be known before hours of measuring.

    Args:
        pictures: what is to be evaluated.
        there: the results that stay as they are.
        measures: whether anything is measured, which is of the commit as it is now.

    Raises DataError where something of it could not be accepted.
    """
    wrong = _commit_faults(commit()) if measures else []
    for each in pictures:
        wrong += _picture_faults(each) + _lock_faults(each.dataset)
    if wrong:
        # Both sizes of one dataset have the same.
        raise DataError(f"this cannot be contributed: {'; '.join(dict.fromkeys(wrong))}")
    for path in there:
        _acceptable(path)


def faults(result: Contribution) -> list[str]:
    """Why a result cannot be accepted, in words; nothing where it can."""
    wrong = []
    environment = result.environment
    wrong += _commit_faults(environment.commit)
    if environment.date is None:
        wrong.append("it does not say when it was measured: measure it again with this version")
    if isinstance(result, Evaluation):
        wrong += _picture_faults(_pictures(result))
    for place, text in _texts(result.model_dump(mode="json")):
        if _PLACE.search(_URL.sub("", text)):
            wrong.append(f"{place} tells of a place on a machine: {text[:60]!r}")
            break
    return wrong


def outdated(result: Contribution) -> list[str]:
    """Why a result is none of this version's data and definitions, in words. A new one is refused
    for it; one that was accepted earlier stays what it was."""
    if not isinstance(result, Evaluation):
        return []
    wrong = _lock_faults(result.dataset)
    if stale := result.stale():
        wrong.append(f"{', '.join(stale)}: measured by another definition than this version's")
    return wrong


def _pictures(result: Evaluation) -> Pictures:
    return Pictures(result.dataset, result.leaked, result.unpaired)


def _commit_faults(source: str | None) -> list[str]:
    if source is None or not source.endswith("-dirty"):
        return []
    return [
        f"it is of changed sources (commit {source}), which nobody else has: measure from a "
        "committed tree or a release"
    ]


def _picture_faults(pictures: Pictures) -> list[str]:
    wrong, name = [], pictures.dataset.name
    if not _PUBLISHED.fullmatch(name):
        wrong.append(
            f"dataset {name} is of pictures that others cannot have, and its rows are called as "
            "files of yours"
        )
    if pictures.leaked:
        wrong.append(f"the model was trained with {pictures.leaked} of its pictures")
    if pictures.unpaired and any(pictures.unpaired.model_dump().values()):
        wrong.append("it is not of all pictures of the split, or names files besides them")
    return wrong


def _lock_faults(dataset: DatasetId) -> list[str]:
    lock = find_lock(dataset.name)
    if lock is None or lock[0].digest == dataset.digest:
        return []
    return [
        f"its pictures are not those of the lock manifests/{dataset.name}.json: `hdrbench verify "
        f"{dataset.name}` says which differ"
    ]


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, with where it stands."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield place, str(key)
            yield from _texts(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, f"{place}[{number}]")


def file_name(result: Contribution, content: bytes) -> str:
    """What a result, of which `content` is the file, is called among contributions."""
    name = f"{_what(result)}-{machine(result)}".replace("_", "-")
    return f"{name[:_LONGEST_NAME].strip('-')}-{sha256_bytes(content)[:8]}.json"


def _what(result: Contribution) -> str:
    if isinstance(result, Evaluation | Timing):
        of = f"{result.recipe.name}-{result.method.name}-{result.method.run}"
        if isinstance(result, Timing):
            return f"timing-{of}"
        return f"eval-{of}-{result.dataset.name}-{result.dataset.split}-{result.size}"
    return result.kind


def machine(result: Contribution) -> str:
    """Processor and device in a form fit for a file's name. An evaluation says of no device that it
    ran there: a GPU that the machine has stands for it."""
    environment = result.environment
    on_cpu = not isinstance(result, Evaluation) and result.device.partition(":")[0] == "cpu"
    gpu = "" if on_cpu or not environment.gpu else f"-{name_slug(environment.gpu)}"
    return f"{name_slug(environment.cpu)}-{'cuda' if gpu else 'cpu'}{gpu}"


def held(result: Contribution) -> str:
    """What a result holds, for whoever is about to pass it on."""
    environment = result.environment
    what = ""
    if isinstance(result, Evaluation | Timing):
        method = result.method
        what = f"recipe {result.recipe.name}, method {method.name}, run {method.run}"
        what += ", named as they are here, the SHA-256 of its files, "
    rows = "times"
    if isinstance(result, Evaluation):
        rows = (
            f"dataset {result.dataset.name}, ids, sizes, licences, metrics and notes of "
            f"{len(result.rows)} pictures"
        )
    load = "" if environment.load is None else f", load {environment.load}"
    return (
        f"{what}{rows}; of this machine {environment.machine()}, {environment.threads} threads"
        f"{load}, {environment.platform}; version {environment.package}, commit "
        f"{environment.commit or 'none'}, date {environment.date}; no text in it looks like a path "
        "of a machine, and whether a name tells of you is yours to see"
    )


def held_figure(result: Contribution) -> str:
    """The figure that stands for a result in a list: PSNR, or the time of the largest picture."""
    if isinstance(result, Evaluation):
        return f"PSNR {cell('psnr', result.metrics['psnr'])} dB"
    if isinstance(result, KernelTiming):
        fastest = min(row.ns_per_pixel for row in result.rows)
        return f"{len(result.rows)} kernels, {fastest:.2f} ns a pixel at best"
    if isinstance(result, TrainingTiming):
        rates = [row.steps_per_s for row in result.throughput]
        return f"{max(rates):.1f} training steps a second at best" if rates else NONE
    timed = result.rows if isinstance(result, Timing) else [r for s in result.sizes for r in s.rows]
    whole = [row for row in timed if row.part == "whole" and row.median_ms is not None]
    if not whole:
        return NONE
    row = max(whole, key=lambda one: (one.megapixels, -(one.median_ms or 0)))
    return f"{row.width}x{row.height}: {row.median_ms:.1f} ms ({row.backend}, {row.dtype})"


def schema_text() -> str:
    """The JSON schema of contributions, for any other tool."""
    union = Annotated[Contribution, Field(discriminator="kind")]
    schema = TypeAdapter(union).json_schema()
    return json_text(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "A result of hdrnet-bench, measured elsewhere",
        }
        | schema
    )
