"""Source `folder`: a user's own pictures, two folders of them, or one and an operator.

The protocol is a name of the user's own, or one of `COMPUTED_PROTOCOLS`: then targets are computed
from the inputs. The two files of a pair have the same name in both folders, whatever the suffix, or
are listed in a filelist.txt beside input/ and output/, as the reference implementation has it
(folder_pairs.py). Splits are folders where there are such, or published lists; or all pairs are for
testing; else they go by hash of the id: 10 % test, then 5 % of the rest validation
(folder_splits.py). What is left out is in rejected.jsonl with the reason: unpaired or ambiguous
names, kinds that are not read, broken files, differing sizes, what is on no list, and inputs with
the pixels of another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...data.manifest import SPLITS, Row, Split
from ...errors import UsageError
from ...files import json_line, sha256_text
from ...images.files import read_picture
from ...images.pixels import Pixels, white_level
from ..build import PreparedPair, RejectedPair
from ..choosing import check_own_name
from ..operators import OPERATORS, as_planar
from ..staging import Plan, Task
from . import folder_splits
from .folder_pairs import Folders, NamedPair, Problem, find_pairs, splits_of
from .folder_splits import SplitList
from .source_files import Counted, hash_all, reading, uncounted

VERSION = 3  # ids are the names of the files
COMPUTED_PROTOCOLS = ("identity", *OPERATORS)  # protocols whose targets are computed


class FolderJob(NamedTuple):
    """What a worker gets: a pair, how its row names the files and what they hashed to when the
    dataset was planned, or why it is no pair."""

    input: Path | None
    target: Path | None
    operator: str | None
    names: tuple[str, ...]
    problem: Problem | None
    sha256: tuple[str, ...]


def protocols() -> dict[str, str]:
    """Name and summary of each protocol of this source."""
    return {
        "NAME": "pairs of your own, by --input-dir and --target-dir, or --source-dir",
        "identity": "targets are the inputs, of --input-dir: a sanity check",
    } | {
        name: f"targets computed from --input-dir: {operator.summary}"
        for name, operator in OPERATORS.items()
    }


def plan_and_tasks(
    protocol: str | None,
    places: list[Folders],
    lists: Mapping[Split, SplitList] | None = None,
    *,
    all_test: bool = False,
    counted: Counted = uncounted,
) -> tuple[Plan, list[Task]]:
    """What is made of these folders.

    Args:
        lists: of the pairs of each split, as `folder_splits.read_lists` gives them.
        all_test: every pair is for testing.
        counted: told of the files that are hashed, which takes as long as reading them all.

    Raises UsageError for a missing protocol or one that does not fit, and as `find_pairs` and
    `folder_splits.place`; DataError for too few pairs.
    """
    if protocol is None:
        raise UsageError(
            "source folder needs --protocol NAME, a name of your own for what the pairs are: "
            "small letters, digits and '-'"
        )
    check_own_name(protocol)
    computes_targets = protocol in COMPUTED_PROTOCOLS
    if computes_targets and any(place.target for place in places):
        raise UsageError(
            f"protocol {protocol} computes its targets: leave the targets out (--input-dir alone), "
            "or name the protocol otherwise"
        )
    if not computes_targets and not all(place.target for place in places):
        raise UsageError(
            f"protocol {protocol} needs targets: --target-dir, or output/ in --source-dir; "
            f"only {', '.join(COMPUTED_PROTOCOLS)} compute them"
        )
    pairs = find_pairs(places)
    placed, splits = folder_splits.place(pairs, splits_of(places), lists or {}, all_test)
    operator = protocol if computes_targets else None
    files = [path for pair in pairs for path in pair.files]
    hashes = hash_all(files, counted)
    tasks = [
        Task(
            one.id,
            one.split,
            FolderJob(
                one.pair.input,
                one.pair.target,
                operator,
                one.pair.source_names,
                one.problem,
                tuple(hashes[path] for path in one.pair.files),
            ),
        )
        for one in placed
    ]
    pairing = "filelist" if places[0].filelist else "names"
    settings = {
        "pairing": "computed" if computes_targets else pairing,
        "operator_version": OPERATORS[protocol].version if protocol in OPERATORS else None,
        **splits,
        "colours": "sRGB, by each picture's profile",
        "files_sha256": sha256_text("".join(f"{line}\n" for line in _listing(pairs, hashes))),
    }
    plan = Plan(f"folder-{protocol}", "folder", protocol, VERSION, "not-stated", settings)
    return plan, tasks


def _listing(pairs: Sequence[NamedPair], hashes: Mapping[Path, str]) -> list[str]:
    """A line for each file with its content's SHA-256: other pictures are another dataset."""
    return sorted(
        json_line([pair.split, pair.name, path.suffix, hashes[path]])
        for pair in pairs
        for path in pair.files
    )


def make(job: FolderJob) -> PreparedPair:
    """Read one pair, or read its input and compute the target. Raises RejectedPair."""
    if job.problem is not None:
        raise RejectedPair(*job.problem)
    assert job.input is not None
    files = [path for path in (job.input, job.target) if path is not None]
    with reading(*files, expected=job.sha256) as hashes:
        pictures = [read_picture(path) for path in files]
    picture, target_picture = pictures[0], pictures[-1]
    notes = {"input": list(picture.notes)} if picture.notes else {}
    target = target_picture.pixels
    if job.operator not in (None, "identity"):
        target = _computed_target(job.operator, picture.pixels)
    elif job.operator is None and target_picture.notes:
        notes |= {"target": list(target_picture.notes)}
    return PreparedPair(
        input=picture.pixels,
        target=target,
        source_names=list(job.names),
        source_sha256=hashes,
        licence="not-stated",
        measured={"notes": notes} if notes else {},
    )


def _computed_target(operator: str, pixels: Pixels) -> Pixels:
    """The operator's target in the input's own depth: float64, rounded once."""
    target = OPERATORS[operator].apply(as_planar(pixels))
    result = np.clip(target, 0.0, 1.0) * white_level(pixels)
    return np.ascontiguousarray(np.rint(result).astype(pixels.dtype).transpose(1, 2, 0))


def duplicates(
    rows: list[Row], pixels: Callable[[Row], str] = lambda row: row.input_pixels_sha256
) -> dict[tuple[str, str], str]:
    """Rows to leave out since their input has the pixels of another row's, with the reason.

    Of such rows one stays: of the test split before validation before training, so that nothing is
    trained on that a model is measured by.
    """
    row_of_pixels: dict[str, Row] = {}
    reasons: dict[tuple[str, str], str] = {}
    for row in sorted(rows, key=lambda row: (-SPLITS.index(row.split), row.id)):
        first = row_of_pixels.setdefault(pixels(row), row)
        if first is not row:
            reasons[row.split, row.id] = f"its input has the pixels of {first.split}/{first.id}"
    return reasons
