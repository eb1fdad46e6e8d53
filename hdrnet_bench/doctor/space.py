"""Memory and disk: what there is, and what a recipe needs of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .. import memory
from ..data.manifest import find_lock, open_dataset, pixel_bytes
from ..errors import CapabilityError, HdrbenchError
from ..paths import cache_dir, data_dir, results_dir, runs_dir
from ..prepare import protocols
from ..prepare.protocol_models import ByGroup, ByHash, ById, ByList
from ..recipe import DatasetSpec, Recipe
from ..training.distributed import World
from ..training.memory import check_memory, estimate, shares, size_text, workers_for
from .finding import Finding

SHARED = Path("/dev/shm")  # where workers put their batches
# Free space under which something is bound to fail: of a dataset that is not known, a run's
# checkpoints, the weights of LPIPS.
LEAST = 10**9
LEAST_FILES = 10_000
_ASPECT = 1.5  # of the pictures of a size that names one edge


class Memory(NamedTuple):
    """In bytes; None where nothing tells, limit also where there is none."""

    total: int | None
    limit: int | None
    available: int


class Folder(NamedTuple):
    """there: whether it exists, and else is made when it is needed. problem: why no file could be
    made in it, or in the folder that it would be made in; "" where one could. free: bytes; files:
    how many more may be made; None where the file system does not tell. variable: what moves it."""

    what: str
    path: Path
    variable: str
    there: bool
    problem: str
    free: int | None
    files: int | None


def read_memory(root: Path = Path("/")) -> Memory:
    return Memory(memory.total(root), memory.limit(root), memory.available(root))


def read_folders() -> list[Folder]:
    import torch

    return [
        read_folder("data", data_dir(), "HDRBENCH_DATA"),
        read_folder("runs", runs_dir(), "HDRBENCH_RUNS"),
        read_folder("results", results_dir(), "HDRBENCH_RESULTS"),
        read_folder("downloaded files", cache_dir(), "HDRBENCH_CACHE"),
        read_folder("torch's files", Path(torch.hub.get_dir()), "TORCH_HOME"),
        read_folder("temporary files", Path(tempfile.gettempdir()), "TMPDIR"),
    ]


def read_folder(what: str, path: Path, variable: str) -> Folder:
    """A file without a name is made in it, or in the nearest folder above that there is."""
    there, problem, nearest = False, "", path
    free = files = None
    try:
        there = path.is_dir()
        if not there and (path.exists() or path.is_symlink()):
            kind = "a link that leads nowhere" if path.is_symlink() else "a file"
            problem = f"is {kind}, where a folder must be"
        nearest = next(p for p in (path, *path.absolute().parents) if p.is_dir())
        free = shutil.disk_usage(nearest).free
        if hasattr(os, "statvfs"):
            counts = os.statvfs(nearest)
            files = counts.f_favail if counts.f_files else None
        if not problem:
            # Through a link it would have a name for a moment.
            with tempfile.TemporaryFile(dir=nearest.resolve()) as file:
                file.write(b"0")
                file.flush()
    except OSError as error:
        above = "" if nearest == path else f" (it would be made below {nearest})"
        problem = f"cannot be written{above}: {error.strerror or error}"
    return Folder(what, path, variable, there, problem, free, files)


def memory_finding(found: Memory) -> Finding:
    said = f"{size_text(found.available)} free"
    if found.total is not None:
        said += f" of {size_text(found.total)}"
    if found.limit is not None and (found.total is None or found.limit < found.total):
        said += f"; this process's control group may have {size_text(found.limit)}"
    return Finding("memory", "ok", said)


def training_findings(recipe: Recipe, device: str, shared: int | None) -> Iterator[Finding]:
    """What a step of training a recipe needs. shared: free bytes where workers put batches; None
    where there is no such place."""
    world = World()
    workers = workers_for(None, True, device, world)
    what = f"training {recipe.name}"
    try:
        notes = check_memory(recipe, device, workers, world)
    except CapabilityError as error:
        notes = [str(error)]
    need = estimate(recipe, workers)
    if notes:
        yield Finding(what, "warning", "; ".join(notes))
    else:
        yield Finding(what, "ok", "; ".join(map(str, shares(need, device, world))))
    if shared is not None:
        yield shared_finding(workers and need.batches, shared)


def shared_finding(needed: int, free: int) -> Finding:
    """needed, free: bytes of shared memory."""
    said = f"{size_text(free)} free in {SHARED}, and batches take {size_text(needed)}"
    if needed <= free:
        return Finding("shared memory", "ok", said)
    return Finding(
        "shared memory",
        "warning",
        said,
        "train with fewer --workers, or none; a container gets more by docker's --shm-size",
    )


def shared_free() -> int | None:
    try:
        return shutil.disk_usage(SHARED).free
    except OSError:
        return None


def folder_finding(folder: Folder, needed: int = 0) -> Finding:
    """needed: bytes that are yet to be written there, as far as it is known."""
    moves = f"set {folder.variable} to another folder"
    if folder.problem:
        return Finding(
            folder.what, "warning", f"{folder.path} {folder.problem}", f"mend that, or {moves}"
        )
    said = f"{folder.path}{'' if folder.there else ' (not there yet: made when it is needed)'}"
    if folder.free is not None:
        said += f", {size_text(folder.free)} free"
    if folder.free is not None and folder.free < max(LEAST, needed):
        reason = f", and about {size_text(needed)} may be written" if needed > folder.free else ""
        return Finding(folder.what, "warning", f"{said}{reason}", f"make room, or {moves}")
    if folder.files is not None and folder.files < LEAST_FILES:
        return Finding(
            folder.what,
            "warning",
            f"{said}, but only {folder.files:,} more files may be made (inodes)",
            f"remove small files, or {moves}",
        )
    return Finding(folder.what, "ok", said)


def dataset_finding(spec: DatasetSpec) -> tuple[Finding, int]:
    """The dataset of a recipe, and how many bytes preparing it may write."""
    what = f"dataset {spec.name}"
    folder = data_dir() / spec.name
    if folder.is_dir():
        try:
            rows = open_dataset(spec.name).rows
        except HdrbenchError as error:
            return Finding(what, "warning", str(error), spec.advice), 0
        return Finding(what, "ok", f"prepared, {len(rows):,} pairs"), 0
    size = dataset_bytes(spec)
    said = f", at most about {size_text(size)}" if size else ""
    return Finding(what, "missing", f"not prepared{said}", spec.advice), size or 0


def dataset_bytes(spec: DatasetSpec) -> int | None:
    """What its pixels take without compression, by its lock or by its protocol: no less than its
    PNGs do. None where nothing tells."""
    try:
        if (lock := find_lock(spec.name)) is not None:
            return pixel_bytes(lock[1])
        if spec.source not in protocols.SOURCES:
            return None
        protocol = protocols.load_protocol(spec.source, spec.protocol)
        source = protocols.load_source(spec.source)
    except HdrbenchError:
        return None
    rule = protocol.sizes.get(spec.size or next(iter(protocol.sizes)))
    if rule is None or rule.pixels is None:
        return None
    other = rule.pixels * _ASPECT if rule.edge == "short" else rule.pixels / _ASPECT
    pairs = 0
    for split in protocol.rules(spec.part).values():
        if isinstance(split, ByList):
            pairs += source.lists[split.list].count
        elif isinstance(split, ById):
            pairs += split.last - split.first + 1
        elif isinstance(split, ByGroup):
            pairs += split.pairs
        elif isinstance(split, ByHash):
            return None
    bits = protocol.input.bit_depth + protocol.target.bit_depth
    return int(pairs * rule.pixels * other * 3 * bits / 8)
