"""Source `hdrplus`: merged raw bursts and HDR+'s finished pictures, by one of the protocols in
recipes/protocols/hdrplus/.

The input is linear light. Its 1.0 is stored below the largest value, so that highlights that
white-balance gains lift above white are kept. The target is the camera's JPEG. Their pixels are not
on one grid: the finished picture is turned, zoomed and cropped. The part of the input that it shows
is found (align.py) and cut out, and both are averaged to one size. A pair that does not fit is left
out, with what was measured.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...color import srgb_to_linear
from ...data.manifest import SPLITS, Split
from ...errors import DataError, StorageError, UsageError
from ...files import json_line, read_bytes, sha256_text
from ...images import camera
from ...images.photo import CHECKED, read_photo
from ...images.resize import Matrix, SizeRule, average_picture, curve, encode_srgb, linear_16
from ..build import PreparedPair, RejectedPair
from ..choosing import check_name, choose_ids, dataset_name
from ..protocol_models import HdrplusProtocol
from ..protocols import pinned_lists, splits
from ..source_models import BurstFiles, HdrplusSource
from ..staging import Plan, Task, without_versions
from . import align
from .checks import check_depth, check_development, check_profile
from .source_files import readable, reading

# The files that every pair needs, as BurstFiles names them. Lens shading is not among them: the DNG
# may have it.
ROLES = ("merged", "final", "reference_frame", "rgb2rgb")
_MOST_FRAME_BYTES = 1 << 16  # of a file that holds one number
PartName = Literal["subset", "full"]
_ENCODINGS: dict[str, Literal["camera", "linear"]] = {"camera": "camera", "linear-srgb": "linear"}


class HdrplusChoice(NamedTuple):
    """What a dataset has of a protocol.

    size: one of the names in protocol.sizes.
    splits: the split of each chosen burst.
    subset: a name for the chosen bursts; None for all of the part's.
    """

    protocol: HdrplusProtocol
    part: PartName
    size: str
    splits: dict[str, Split]
    subset: str | None

    @property
    def name(self) -> str:
        return dataset_name("hdrplus", self.protocol, self.part, self.size, self.subset)

    @property
    def rule(self) -> SizeRule:
        return self.protocol.sizes[self.size]


class HdrplusJob(NamedTuple):
    """What a worker gets: a burst, the folder that its part lies in, what is to be made of it."""

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
        bursts: the ids that there are; None where the protocol's lists decide alone.

    Raises UsageError where the protocol has no such thing, DataError where there are more bursts
    than the part has.
    """
    check_name(protocol.name, "size", size, list(protocol.sizes))
    count = source.parts[part].bursts
    if bursts is not None and len(bursts) > count:
        raise DataError(
            f"{len(bursts)} bursts are there, and the {part} has {count}: --full takes "
            f"{source.parts['full'].prefix}"
        )
    numbers = None if bursts is None else {id_: n for n, id_ in enumerate(sorted(bursts), 1)}
    split_of, subset = choose_ids(splits(protocol, source, numbers, part), limit, ids, id_of)
    return HdrplusChoice(protocol, part, size or next(iter(protocol.sizes)), split_of, subset)


def needs_bursts(protocol: HdrplusProtocol, source: HdrplusSource, part: PartName) -> bool:
    """Whether some split of the part is no list, so that `choose` needs the ids that there are."""
    return len(pinned_lists(protocol, source, part)) < len(protocol.rules(part))


def plan(choice: HdrplusChoice, source: HdrplusSource) -> Plan:
    """What the dataset is."""
    protocol, part = choice.protocol, choice.part
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
        "development": without_versions(camera.settings()),
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
    """One for each chosen burst, whose files lie below the folder, or will once fetched."""
    return [
        Task(
            id_,
            split,
            HdrplusJob(id_, folder, source.files, source.licence, choice.protocol, choice.rule),
        )
        for id_, split in sorted(choice.splits.items())
    ]


def problem(job: HdrplusJob) -> tuple[str, str] | None:
    """The stage and the reason where files of a burst are missing, once they are to be there.
    Raises StorageError where a whole folder of them has gone."""
    places = required_places(job.files, job.id)
    missing = [place for place in places if not (job.folder / place).is_file()]
    for place in missing:
        if not (top := job.folder / Path(place).parts[0]).is_dir():
            raise StorageError(f"{top} is no longer there")
    return ("pairing", f"{', '.join(missing)}: not there") if missing else None


def make(job: HdrplusJob) -> PreparedPair:
    """Develop, align, crop and resize one pair.

    Raises RejectedPair for what the files hold, StorageError where they cannot be read: a disk that
    is gone is no reason to leave a picture out.
    """
    if found := problem(job):
        raise RejectedPair(*found)
    places = dict(zip(ROLES, required_places(job.files, job.id), strict=True))
    with reading(path := job.folder / places["reference_frame"]):
        frame = read_reference_frame(path)
    shading = job.files.shading.format(id=job.id, frame=frame)
    if (job.folder / shading).is_file():
        places["shading"] = shading
    paths = [job.folder / place for place in places.values()]
    with reading(*paths) as hashes:
        return _make_pair(job, places, dict(zip(places, hashes, strict=True)), shading)


def _make_pair(
    job: HdrplusJob, places: dict[str, str], hashes: dict[str, str], shading_place: str
) -> PreparedPair:
    """places, hashes: of the files that are there, by their role; places below the folder of the
    part, as the row names them. shading_place: where the lens shading is, or would be."""
    paths = {role: job.folder / place for role, place in places.items()}
    shading = camera.read_shading(paths["shading"]) if "shading" in paths else None
    developed = camera.develop_camera(paths["merged"], shading)
    check_development(paths["merged"], developed.pixels)
    if developed.shading == "none":
        raise RejectedPair(
            "shading", f"neither {shading_place} nor merged.dng has the lens shading"
        )
    target, notes = _read_target(paths["final"])
    # In camera colour whatever the protocol, so that all protocols have the same pairs.
    alignment = align.align(developed.pixels, target)
    if problem := align.problem(alignment):
        raise RejectedPair("alignment", problem)
    source = align.apply(developed.pixels, alignment)
    roles, matrix = ["merged", "final"], None
    if job.protocol.input.space == "linear-srgb":
        matrix = _as_matrix(camera.read_rgb2rgb(paths["rgb2rgb"]))
        roles.append("rgb2rgb")
    if developed.shading == "map":
        roles += ["reference_frame", "shading"]
    source_size = source.shape[1], source.shape[0]
    target_size = target.shape[1], target.shape[0]
    size = _common_size(job.rule, source_size, target_size, job.protocol.aspect_tolerance)
    if size != target_size:
        target = encode_srgb(average_picture(target, size, curve(srgb_to_linear, 8)))
    return PreparedPair(
        input=linear_16(average_picture(source, size, curve(), matrix)),
        target=target,
        source_names=[places[role] for role in roles],
        source_sha256=[hashes[role] for role in roles],
        licence=job.licence,
        measured={
            "alignment": {
                "orientation": alignment.orientation,
                "zoom": round(alignment.zoom, 6),
                "correlation": round(alignment.correlation, 4),
                "shift": [round(value, 3) for value in alignment.shift],
                "crop": list(alignment.crop),
            },
            "shown_size": list(source_size),
            "target_size": list(target_size),
            "resampled": {"input": size != source_size, "target": size != target_size},
            "shading": developed.shading,
            "orientation": developed.orientation,
            "multipliers": [round(value, 6) for value in developed.multipliers],
            "black": developed.black,
            "white": developed.white,
            "camera": developed.camera,
            "notes": {"input": developed.notes, "target": notes},
        },
    )


def _read_target(path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """The finished picture, upright by its EXIF, and what reading it had to do."""
    picture = read_photo(path, CHECKED)
    check_depth(path, picture, 8)
    check_profile(path, picture, "srgb")
    return picture.pixels.astype(np.uint8, copy=False), list(picture.notes)


def _common_size(
    rule: SizeRule, source: tuple[int, int], target: tuple[int, int], tolerance: float
) -> tuple[int, int]:
    """The (width, height) that both pictures are averaged to: the target's by the rule, or the
    cropped input's where that is smaller, since nothing is enlarged.

    Raises RejectedPair where their shapes differ by more than the tolerance and a pixel of
    rounding.
    """
    # The height that the input would have in the target's shape.
    height_of_shape = source[0] * target[1] / target[0]
    if abs(height_of_shape - source[1]) > 1 + tolerance * source[1]:
        sizes = f"input {source[0]}x{source[1]}, target {target[0]}x{target[1]}"
        raise RejectedPair("size", f"{sizes}: their shapes differ")
    width, height = rule.target(*target)
    return min(width, source[0]), min(height, source[1])


def _as_matrix(matrix: NDArray[np.float64]) -> Matrix:
    first, second, third = ((float(a), float(b), float(c)) for a, b, c in matrix)
    return first, second, third


def required_places(files: BurstFiles, id_: str) -> list[str]:
    """Where the files of ROLES lie, below the folder of a part."""
    return [getattr(files, role).format(id=id_) for role in ROLES]


def burst_files(job: HdrplusJob) -> list[Path]:
    """The files of a burst that are on this machine: all that lie in its own folders, unfinished
    downloads too."""
    folders = {(job.folder / place).parent for place in required_places(job.files, job.id)}
    return sorted(path for folder in folders for path in folder.glob("*"))


def read_reference_frame(path: Path) -> int:
    """The number of the frame that the others were merged onto. Raises DataError."""
    with readable(path):
        content = read_bytes(path, _MOST_FRAME_BYTES)
    return reference_frame(content.decode(errors="replace"), str(path))


def reference_frame(text: str, origin: str) -> int:
    """The number in such a file's text. Raises DataError that names where it is from."""
    match = re.fullmatch(r"\s*(\d{1,3})\s*", text)
    if not match:
        raise DataError(f"{origin} holds no frame's number: {text.strip()[:40]!r}")
    return int(match[1])


def burst_id(name: str) -> str:
    """A burst's name, which is its id. Raises DataError for one that could not be a file name."""
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise DataError(f"{name!r} is no burst's name")
    return name


def id_of(name: str) -> str | None:
    """The id that a file's or folder's name begins with."""
    match = re.match(r"[A-Za-z0-9_]+", name)
    return match[0] if match else None


def local_folder(folder: Path, source: HdrplusSource, part: PartName) -> Path:
    """The folder of a copy that has a part's bursts and results: `folder` itself, the folder of the
    part's name in it, or the one above, where `folder` is that of the bursts or of the results.

    Raises DataError where there is none, UsageError where it is another part's.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    folder = folder.resolve()
    prefix = source.parts[part].prefix
    bursts, results = (Path(p).parts[0] for p in (source.files.rgb2rgb, source.files.merged))
    candidates = [folder / prefix, folder]
    if folder.name in (bursts, results):
        candidates.append(folder.parent)
    for candidate in candidates:
        if not all((candidate / name).is_dir() for name in (bursts, results)):
            continue
        others = {other.prefix: name for name, other in source.parts.items() if name != part}
        if candidate.name in others:
            raise UsageError(f"{candidate} is the {others[candidate.name]} set, not the {part}")
        return candidate
    raise DataError(f"{folder} holds no {prefix}, nor {bursts}/ and {results}/ of it")


def local_bursts(folder: Path, source: HdrplusSource) -> list[str]:
    """The ids of the bursts in a copy of a part."""
    bursts = folder / Path(source.files.rgb2rgb).parts[0]
    names = (path.name for path in bursts.iterdir() if path.is_dir())
    return sorted(burst_id(name) for name in names if not name.startswith("."))
