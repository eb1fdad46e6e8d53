"""Source `hdrplus`: merged raw bursts and HDR+'s finished pictures, as a named protocol means them
(recipes/protocols/hdrplus/).

The input is linear light with 1.0 below the largest stored value, so that highlights that
white-balance gains lift above white are kept; the target is the camera's JPEG. Their pixels are not
on one grid: the finished picture is turned, zoomed and cropped. What it shows is found and cut out
of the input, and both are averaged to one size; what does not fit is left out with its figures.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...color import srgb_to_linear
from ...data.manifest import SPLITS, Split
from ...errors import DataError, UsageError
from ...files import by_name, json_line, sha256_file, sha256_text
from ...images import camera, icc
from ...images.files import profile_name, read_picture
from ...images.resize import Matrix, SizeRule, curve, encoded, linear_16, reduced
from ..build import PreparedPair, RejectedPair
from ..choosing import check_known, dataset_name, part_of
from ..protocol_models import BurstFiles, HdrplusProtocol, HdrplusSource
from ..protocols import pinned_lists, splits
from ..staging import Plan, Task
from . import align

ROLES = ("merged", "final", "reference_frame", "rgb2rgb")  # what every pair needs
PartName = Literal["subset", "full"]
_ENCODINGS: dict[str, Literal["camera", "linear"]] = {"camera": "camera", "linear-srgb": "linear"}


class HdrplusChoice(NamedTuple):
    """What of a protocol is wanted. `size` is a name of the protocol's; `subset` names a choice
    among the part's bursts, None for all."""

    protocol: HdrplusProtocol
    part: PartName
    size: str
    splits: dict[str, Split]
    subset: str | None

    @property
    def name(self) -> str:
        of = self.protocol
        return dataset_name("hdrplus", of.name, self.part, self.size, of.sizes, self.subset)

    @property
    def rule(self) -> SizeRule:
        return self.protocol.sizes[self.size]


class HdrplusJob(NamedTuple):
    """What a worker is given: a burst, the folder that its files lie in, what is to be made."""

    id: str
    folder: Path
    files: BurstFiles
    licence: str
    protocol: HdrplusProtocol
    rule: SizeRule


def choose(
    protocol: HdrplusProtocol,
    source: HdrplusSource,
    part: PartName,
    bursts: Sequence[str] | None,
    *,
    size: str | None,
    limit: int | None,
    ids: Path | None,
) -> HdrplusChoice:
    """What the options ask for.

    Args:
        bursts: the ids that there are; None where the protocol's lists say them.

    Raises UsageError where the protocol has no such thing, DataError where there are more bursts
    than the part has.
    """
    check_known(protocol.name, "size", size, list(protocol.sizes))
    stated = source.parts[part].bursts
    if bursts is not None and len(bursts) > stated:
        raise DataError(
            f"{len(bursts)} bursts are there, and the {part} has {stated}: --full takes "
            f"{source.parts['full'].prefix}"
        )
    number = None if bursts is None else {id_: n for n, id_ in enumerate(sorted(bursts), 1)}
    chosen, subset = part_of(splits(protocol, source, number, part), limit, ids, id_of)
    return HdrplusChoice(protocol, part, size or next(iter(protocol.sizes)), chosen, subset)


def needs_bursts(protocol: HdrplusProtocol, source: HdrplusSource, part: PartName) -> bool:
    """Whether the part is split by more than lists: the ids that there are must be known."""
    return len(pinned_lists(protocol, source, part)) < len(protocol.rules(part))


def plan(choice: HdrplusChoice, source: HdrplusSource) -> Plan:
    """What the dataset is."""
    protocol, part = choice.protocol, choice.part
    # Versions stand with the tools: another one that yields the same pixels is no other data.
    told = {k: v for k, v in camera.settings().items() if k not in ("rawpy", "libraw")}
    settings: dict[str, Any] = {
        "protocol": protocol.model_dump(
            mode="json",
            include={"input", "target", "resampling", "differing_sizes", "aspect_tolerance"},
        ),
        "part": part,
        "splits": {s: rule.model_dump(mode="json") for s, rule in protocol.rules(part).items()},
        "size": {"name": choice.size, **choice.rule.model_dump(mode="json")},
        "lists_sha256": pinned_lists(protocol, source, part),
        "pictures": {s: sum(v == s for v in choice.splits.values()) for s in SPLITS},
        "ids_sha256": sha256_text(json_line(sorted(choice.splits))),
        "subset": choice.subset,
        "development": told,
        "alignment": {"correlation": align.MIN_CORRELATION, "shift": align.MAX_SHIFT},
    }
    return Plan(
        choice.name,
        "hdrplus",
        protocol.name,
        protocol.version,
        f"{source.title}: {source.terms}",
        settings,
        input_encoding=_ENCODINGS[protocol.input.space],
        input_white=protocol.input.white,
    )


def tasks(choice: HdrplusChoice, source: HdrplusSource, folder: Path) -> list[Task]:
    """One for each burst, whose files lie, or are to lie, below the folder."""
    return [
        Task(
            id_,
            split,
            HdrplusJob(id_, folder, source.files, source.licence, choice.protocol, choice.rule),
        )
        for id_, split in sorted(choice.splits.items())
    ]


def make(job: HdrplusJob) -> PreparedPair:
    """Develop, align, crop and resize one pair.

    Raises RejectedPair for what the files hold, OSError where they cannot be read: a disk that is
    gone is no reason to leave a picture out.
    """
    places = dict(zip(ROLES, needed(job.files, job.id), strict=True))
    missing = [place for place in places.values() if not (job.folder / place).is_file()]
    if missing:
        raise RejectedPair("pairing", f"{', '.join(missing)}: not there")
    paths = {role: job.folder / place for role, place in places.items()}
    try:
        frame = read_reference_frame(paths["reference_frame"])
        places["shading"] = job.files.shading.format(id=job.id, frame=frame)
        paths["shading"] = job.folder / places["shading"]
        return _made(job, places, paths)
    except DataError as error:
        raise RejectedPair("decode", by_name(str(error), *paths.values())) from None


def _made(job: HdrplusJob, places: dict[str, str], paths: dict[str, Path]) -> PreparedPair:
    shading = camera.read_shading(paths["shading"]) if paths["shading"].is_file() else None
    developed = camera.develop_camera(paths["merged"], shading)
    if developed.shading == "none":
        raise RejectedPair(
            "shading", f"neither {places['shading']} nor merged.dng says the lens shading"
        )
    target, notes = _finished(paths["final"])
    # In camera colour whatever the protocol, so that all have the same pairs.
    found = align.align(developed.pixels, target)
    if problem := align.problem(found):
        raise RejectedPair("alignment", problem)
    source = align.applied(developed.pixels, found)
    used, matrix = ["merged", "final"], None
    if job.protocol.input.space == "linear-srgb":
        matrix = _rows(camera.read_rgb2rgb(paths["rgb2rgb"]))
        used.append("rgb2rgb")
    if developed.shading == "map":
        used += ["reference_frame", "shading"]
    shown = source.shape[1], source.shape[0]
    finished = target.shape[1], target.shape[0]
    size = _size(job.rule, shown, finished, job.protocol.aspect_tolerance)
    return PreparedPair(
        input=linear_16(reduced(source, size, _linear(), matrix)),
        target=target if size == finished else encoded(reduced(target, size, _srgb())),
        source_names=[places[role] for role in used],
        source_sha256=[sha256_file(paths[role]) for role in used],
        licence=job.licence,
        measured={
            "alignment": {
                "orientation": found.orientation,
                "zoom": round(found.zoom, 6),
                "correlation": round(found.correlation, 4),
                "shift": [round(value, 3) for value in found.shift],
                "crop": list(found.crop),
            },
            "shown_size": list(shown),
            "target_size": list(finished),
            "resampled": {"input": size != shown, "target": size != finished},
            "shading": developed.shading,
            "orientation": developed.orientation,
            "multipliers": [round(value, 6) for value in developed.multipliers],
            "black": developed.black,
            "white": developed.white,
            "camera": developed.camera,
            "notes": {"input": developed.notes, "target": notes},
        },
    )


def _finished(path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """The finished picture, upright by its EXIF, and what reading it had to do."""
    picture = read_picture(path)
    if picture.pixels.dtype != np.uint8:
        raise RejectedPair("depth", f"{path.name}: 8 bits are wanted")
    with Image.open(path) as image:
        profile = image.info.get("icc_profile")
    if profile and not icc.same(profile, icc.SRGB):
        raise RejectedPair("profile", f"{path.name}: {profile_name(profile)}, sRGB is wanted")
    return picture.pixels.astype(np.uint8, copy=False), list(picture.notes)


def _size(
    rule: SizeRule, shown: tuple[int, int], finished: tuple[int, int], tolerance: float
) -> tuple[int, int]:
    """The (width, height) that both are averaged to: the finished picture's by the rule, as far as
    what is left of the input is as large. Raises RejectedPair where their shapes differ by more
    than the tolerance and a pixel of rounding."""
    fitting = shown[0] * finished[1] / finished[0]
    if abs(fitting - shown[1]) > 1 + tolerance * shown[1]:
        sizes = f"input {shown[0]}x{shown[1]}, target {finished[0]}x{finished[1]}"
        raise RejectedPair("size", f"{sizes}: their shapes differ")
    width, height = rule.target(*finished)
    return min(width, shown[0]), min(height, shown[1])


@functools.cache
def _linear() -> NDArray[np.float32]:
    return curve()


@functools.cache
def _srgb() -> NDArray[np.float32]:
    return curve(srgb_to_linear, 8)


def _rows(matrix: NDArray[np.float64]) -> Matrix:
    first, second, third = ((float(a), float(b), float(c)) for a, b, c in matrix)
    return first, second, third


def needed(files: BurstFiles, id_: str) -> list[str]:
    """Where the files of ROLES lie, below the folder of a part."""
    return [getattr(files, role).format(id=id_) for role in ROLES]


def fetched(job: HdrplusJob) -> list[Path]:
    """The files of a burst that are here, by the folders that it has to itself."""
    folders = {(job.folder / place).parent for place in needed(job.files, job.id)}
    return sorted(path for folder in folders for path in folder.glob("*"))


def read_reference_frame(path: Path) -> int:
    """The number of the frame that the others were merged onto. Raises DataError."""
    return reference_frame(path.read_text(encoding="utf-8", errors="replace"), str(path))


def reference_frame(text: str, where: str) -> int:
    match = re.fullmatch(r"\s*(\d{1,3})\s*", text)
    if not match:
        raise DataError(f"{where} holds no frame's number: {text.strip()[:40]!r}")
    return int(match[1])


def burst_id(name: str) -> str:
    """A burst's name as an id. Raises DataError for one that is fit for no file name."""
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise DataError(f"{name!r} is no burst's name")
    return name


def id_of(name: str) -> str | None:
    """The id that a file's or folder's name begins with."""
    match = re.match(r"[A-Za-z0-9_]+", name)
    return match[0] if match else None


def local_folder(folder: Path, source: HdrplusSource, part: PartName) -> Path:
    """Where a copy has a part's bursts and results: at `folder`, in it, or beside it.

    Raises DataError where it has none, UsageError where it is another part's.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    folder = folder.resolve()
    own = source.parts[part].prefix
    first, second = (Path(p).parts[0] for p in (source.files.rgb2rgb, source.files.merged))
    candidates = [folder / own, folder, folder.parent]
    for candidate in candidates if folder.name in (first, second) else candidates[:2]:
        if not all((candidate / name).is_dir() for name in (first, second)):
            continue
        others = {other.prefix: name for name, other in source.parts.items() if name != part}
        if candidate.name in others:
            raise UsageError(f"{candidate} is the {others[candidate.name]} set, not the {part}")
        return candidate
    raise DataError(f"{folder} holds no {own}, nor {first}/ and {second}/ of it")


def local_bursts(folder: Path, source: HdrplusSource) -> list[str]:
    """The ids of the bursts in a copy of a part."""
    below = folder / Path(source.files.rgb2rgb).parts[0]
    names = (path.name for path in below.iterdir() if path.is_dir())
    return sorted(burst_id(name) for name in names if not name.startswith("."))
