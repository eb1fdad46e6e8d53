"""Faults of disks, of folders and of other programs while a dataset is prepared: nothing is lost,
nothing is left out for what may pass, and the next run goes on."""

import contextlib
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from hdrnet_bench import stopping
from hdrnet_bench.data.manifest import Dataset, read_rows, write_rows
from hdrnet_bench.data.verify import verify
from hdrnet_bench.errors import DataError, StorageError, UsageError
from hdrnet_bench.images.files import write_png
from hdrnet_bench.prepare.build import RejectedPair, build
from hdrnet_bench.prepare.fetch.download import NotFound, Unreachable
from hdrnet_bench.prepare.fetch.fetching import fetching
from hdrnet_bench.prepare.schedule import MAX_CONSECUTIVE_FAILURES, Fetching, fetch_and_make
from hdrnet_bench.prepare.sources import (
    demo,
    filelist,
    folder,
    hdrplus,
    source_files,
    synthetic_hdrplus,
)
from hdrnet_bench.prepare.staging import Plan, Task
from tests.conftest import (
    TINY,
    Workspace,
    clean_environment,
    in_a_thread,
    make_tiny,
    smooth_picture,
    tiny_plan,
)

NAME = tiny_plan().name
OTHER = tiny_plan()._replace(settings={"made": "otherwise"})


def names_in(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def whole(place: Path) -> bool:
    """Whether a dataset lies there that has all its pictures."""
    if not (place / "dataset.json").exists():
        return False
    dataset = Dataset(place)
    paths = [p(row) for row in dataset.rows for p in (dataset.input_path, dataset.target_path)]
    return len(dataset.rows) == 5 and all(path.is_file() for path in paths)


# The end of a build, killed at each of its steps


@pytest.fixture(scope="module")
def at_the_end(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of one plan, and all pairs made of the same and of another plan, not yet named."""
    root = tmp_path_factory.mktemp("at-the-end")
    for name, plan in (("same", tiny_plan()), ("other", OTHER)):
        build(tiny_plan(), TINY, make_tiny, root / name, open_pool=in_a_thread)
        with contextlib.suppress(Killed), pytest.MonkeyPatch.context() as patch:
            patch.setattr("hdrnet_bench.prepare.build.finish", killed)
            build(plan, TINY, make_tiny, root / name, open_pool=in_a_thread, overwrite=True)
        assert (root / name / f".{NAME}.building").exists()
    return root


class Killed(BaseException):
    pass


def killed(*arguments: Any, **keywords: Any) -> None:
    raise Killed


def killed_at(step: int, plan: Plan, root: Path) -> bool:
    """Build in a process of its own that ends at once at that change of the file system; whether
    it came to that."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    code = 1
    try:
        left = [step]
        for name in ("rename", "replace", "unlink", "rmdir", "mkdir"):
            setattr(os, name, counted(getattr(os, name), left))
        build(plan, TINY, make_tiny, root, overwrite=True)
        code = 0
    finally:
        os._exit(code)


def counted(function: Callable, left: list[int]) -> Callable:
    def call(*arguments: Any, **keywords: Any) -> Any:
        if not left[0]:
            os._exit(9)
        left[0] -= 1
        return function(*arguments, **keywords)

    return call


@pytest.mark.fault("kills")
@pytest.mark.parametrize("name", ["same", "other"])
def test_killed_at_each_step_of_the_end_one_dataset_is_always_whole(
    at_the_end: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a kill does not ask for it
    digest = Dataset(at_the_end / name / NAME).header.digest
    plan = tiny_plan() if name == "same" else OTHER
    step = 0
    while True:
        root = tmp_path / str(step)
        shutil.copytree(at_the_end / name, root)
        if not killed_at(step, plan, root):
            break
        final, old = root / NAME, root / f".{NAME}.old"
        assert whole(final) or whole(old), step
        if step % 2:  # a plain run between: it never takes a half of anything for a dataset
            with contextlib.suppress(UsageError):
                header, cost = build(plan, TINY, make_tiny, root)
                assert cost is None, step
                assert header.settings == plan.settings
            assert whole(final), step
        elif whole(final) and step % 4 == 2:  # a rest of the old one never comes back for it
            shutil.rmtree(final)
            with contextlib.suppress(UsageError):
                build(plan, TINY, make_tiny, root, open_pool=in_a_thread)
            assert whole(final), step
        header, _ = build(plan, TINY, make_tiny, root, open_pool=in_a_thread, overwrite=True)
        assert (header.settings, header.digest) == (plan.settings, digest)
        assert whole(final), step
        assert names_in(root) == [NAME], step
        shutil.rmtree(root)
        step += 1
    assert whole(tmp_path / str(step) / NAME)
    assert step > 30


@pytest.fixture
def asked_to_stop() -> Iterator[Callable[[], None]]:
    """Sends this process a SIGTERM, handled as the command line does."""
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    stopping.raise_when_asked_to_stop()
    yield lambda: os.kill(os.getpid(), signal.SIGTERM)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.fault("signals")
def test_stopped_while_it_gets_its_name_it_says_what_is_left_over(
    at_the_end: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked_to_stop: Callable[[], None],
) -> None:
    shutil.copytree(at_the_end / "other", tmp_path, dirs_exist_ok=True)
    rename = Path.rename

    def rename_and_stop(path: Path, target: Path) -> None:
        rename(path, target)
        if target.name == f".{NAME}.old":
            asked_to_stop()

    monkeypatch.setattr(Path, "rename", rename_and_stop)
    with pytest.raises(stopping.Stopped) as stop:
        build(OTHER, TINY, make_tiny, tmp_path, overwrite=True)
    left = [tmp_path / f".{NAME}.old", tmp_path / f".{NAME}.building"]
    assert all(path.is_dir() for path in left)
    said = f"{tmp_path / NAME} is whole; the next run removes {left[0]} and {left[1]}"
    assert stop.value.__notes__ == [said]
    header, cost = build(OTHER, TINY, make_tiny, tmp_path, note=pytest.fail)
    assert (header.settings, cost) == (OTHER.settings, None)
    assert names_in(tmp_path) == [NAME]


@pytest.mark.fault("signals")
@pytest.mark.parametrize(
    ("plan", "lies_there", "has_dataset", "said"),
    [
        (tiny_plan(), "same", False, r"^5 of 5 pairs are kept; run the same command again"),
        (tiny_plan(), "other", False, r"^0 of 5 pairs are kept; run the same command again"),
        (OTHER, "same", True, r"^0 of 5 pairs are kept; run the same command again"),
        (tiny_plan(), "other", True, rf"{NAME} is whole$"),
    ],
)
def test_stopped_before_it_begins_it_counts_only_what_is_of_its_plan(
    at_the_end: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked_to_stop: Callable[[], None],
    plan: Plan,
    lies_there: str,
    has_dataset: bool,
    said: str,
) -> None:
    shutil.copytree(at_the_end / lies_there, tmp_path, dirs_exist_ok=True)
    if not has_dataset:
        shutil.rmtree(tmp_path / NAME)
    monkeypatch.setattr("hdrnet_bench.prepare.build.put_back", lambda final: asked_to_stop())
    with pytest.raises(stopping.Stopped) as stop:
        build(plan, TINY, make_tiny, tmp_path, overwrite=True)
    (note,) = stop.value.__notes__
    assert re.search(said, note), note


@pytest.mark.fault("kills")
def test_what_a_killed_clean_up_left_goes_with_the_next_run(
    at_the_end: Path, tmp_path: Path
) -> None:
    shutil.copytree(at_the_end / "same" / NAME, tmp_path / NAME)
    shutil.copytree(tmp_path / NAME, tmp_path / f".{NAME}.old")
    (tmp_path / f".{NAME}.old/dataset.json").unlink()
    spent = tmp_path / f".{NAME}.building"
    shutil.copytree(at_the_end / "same" / spent.name, spent)
    shutil.rmtree(spent / "dataset")
    _, cost = build(tiny_plan(), TINY, make_tiny, tmp_path)
    assert cost is None
    assert names_in(tmp_path) == [NAME]


@pytest.mark.fault("kills")
def test_rows_and_plans_half_written_when_the_power_went_are_made_again(
    at_the_end: Path, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    building = tmp_path / f".{NAME}.building"
    changes: list[Callable[[], Any]] = [
        lambda: (building / "rows/train/a.jsonl").write_bytes(b""),
        lambda: (building / "rows/test/d.jsonl").write_text('{"row":{},"sizes":[1,2]}\n'),
        lambda: (building / "dataset/train/input/b.png").write_bytes(b""),
        lambda: (building / "dataset/validation/target/c.png").unlink(),
        lambda: shutil.rmtree(building / "dataset/test"),
        lambda: (building / "plan.json").write_bytes(b""),
        lambda: (building / "tools.json").unlink(),
        lambda: shutil.rmtree(building / "dataset"),
    ]
    pairs = []
    for change in changes:
        shutil.copytree(at_the_end / "same" / building.name, building)
        change()
        _, cost = build(tiny_plan(), TINY, make_tiny, tmp_path, open_pool=in_a_thread)
        assert cost is not None
        pairs.append(cost.pairs)
        assert verify(Dataset(tmp_path / NAME)).status == "identical"
        shutil.rmtree(tmp_path / NAME)
    assert pairs == [1, 1, 1, 1, 2, 5, 5, 5]
    record_property("faults", len(changes))


@pytest.mark.fault("I/O errors")
def test_a_folder_that_vanishes_meanwhile_gives_no_empty_dataset(
    tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    building = tmp_path / f".{NAME}.building"
    for what in (building, building / "dataset", building / "dataset/train/input"):
        steps = []

        def vanish(what: Path = what, steps: list[int] = steps) -> None:
            steps.append(1)
            if len(steps) == 5:
                shutil.rmtree(what)

        with pytest.raises(DataError, match=r"have gone from .*same command again"):
            build(tiny_plan(), TINY, make_tiny, tmp_path, open_pool=in_a_thread, step=vanish)
        assert not (tmp_path / NAME).exists()
    header, _ = build(tiny_plan(), TINY, make_tiny, tmp_path, open_pool=in_a_thread)
    assert header.counts == {"train": 2, "validation": 1, "test": 2, "rejected": 0}
    assert verify(Dataset(tmp_path / NAME)).status == "identical"
    record_property("faults", 3)


@pytest.mark.fault("I/O errors")
def test_a_dataset_without_its_pictures_is_not_taken_for_one(
    at_the_end: Path, tmp_path: Path
) -> None:
    shutil.copytree(at_the_end / "same" / NAME, tmp_path / NAME)
    (tmp_path / NAME / "test/target/e.png").unlink()
    with pytest.raises(DataError, match=r"lacks 1 of its 10 pictures, as test/target/e.png: --ov"):
        build(tiny_plan(), TINY, make_tiny, tmp_path)
    build(tiny_plan(), TINY, make_tiny, tmp_path, open_pool=in_a_thread, overwrite=True)
    assert whole(tmp_path / NAME)


@pytest.mark.fault("I/O errors")
def test_a_clean_up_that_fails_is_a_note_and_the_dataset_complete(
    at_the_end: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, which keeps a folder while a file in it is open."""
    shutil.copytree(at_the_end / "same", tmp_path, dirs_exist_ok=True)
    notes: list[str] = []

    def not_empty(path: Path, *arguments: Any, **keywords: Any) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", not_empty)
        _, cost = build(tiny_plan(), TINY, make_tiny, tmp_path, overwrite=True, note=notes.append)
    assert cost is not None
    assert whole(tmp_path / NAME)
    assert [f".{NAME}.old is left over: Directory not empty" in note for note in notes] == [True]
    build(tiny_plan(), TINY, make_tiny, tmp_path, note=pytest.fail)
    assert names_in(tmp_path) == [NAME]


@pytest.mark.fault("hostile datasets")
@pytest.mark.parametrize(
    "place",
    [
        f"{NAME}/notes.txt",
        f"{NAME}/test/input/my-own.png",
        f"{NAME}/train/thumbnails/a.png",
        f".{NAME}.building/thesis.tex",
        f".{NAME}.old/letters/mother.txt",
    ],
)
def test_nothing_is_removed_that_is_not_ours(at_the_end: Path, tmp_path: Path, place: str) -> None:
    shutil.copytree(at_the_end / "other", tmp_path, dirs_exist_ok=True)
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    notes: list[str] = []
    with pytest.raises(DataError if ".old" in place else UsageError, match="move it away"):
        build(tiny_plan(), TINY, make_tiny, tmp_path, overwrite=True, note=notes.append)
    assert path.read_text() == "mine"
    assert whole(tmp_path / NAME)


@pytest.mark.fault("I/O errors")
def test_what_systems_leave_in_folders_is_in_nobodys_way(
    at_the_end: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(at_the_end / "same", tmp_path, dirs_exist_ok=True)
    building = f".{NAME}.building"
    busy = f"{building}/dataset/train/input/.nfs00000000000a1b2c00000001"
    for place in (f"{NAME}/.DS_Store", f"{NAME}/test/input/Thumbs.db", f"{NAME}/test/._input",
                  f"{building}/desktop.ini", busy):  # fmt: skip
        (tmp_path / place).write_bytes(b"\0")
    unlink = Path.unlink

    def unlink_what_nobody_has_open(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith(".nfs"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink_what_nobody_has_open)
    build(tiny_plan(), TINY, make_tiny, tmp_path, overwrite=True, note=pytest.fail)
    assert whole(tmp_path / NAME)
    assert names_in(tmp_path) == [NAME]
    assert not (tmp_path / NAME / ".DS_Store").exists()
    shutil.copytree(at_the_end / "other" / building, tmp_path / building)
    (tmp_path / building / ".DS_Store").write_bytes(b"\0")
    plan = tiny_plan()._replace(settings={"made": "in a third way"})
    build(plan, TINY, make_tiny, tmp_path, open_pool=in_a_thread, overwrite=True, note=pytest.fail)
    assert names_in(tmp_path) == [NAME]


@pytest.mark.fault("I/O errors")
def test_of_rows_that_the_disk_does_not_give_nothing_is_concluded(
    at_the_end: Path, tmp_path: Path
) -> None:
    """A picture of somebody's might lie among theirs."""
    shutil.copytree(at_the_end / "same", tmp_path, dirs_exist_ok=True)
    mine = tmp_path / NAME / "test/input/my-own.png"
    mine.write_text("mine")
    rows = tmp_path / NAME / "test/metadata.jsonl"
    rows.unlink()
    rows.symlink_to("/proc/self/mem")
    with pytest.raises(StorageError, match=r"metadata\.jsonl cannot be read: Input/output error"):
        build(tiny_plan(), TINY, make_tiny, tmp_path, overwrite=True)
    (tmp_path / NAME).rename(tmp_path / f".{NAME}.old")
    shutil.copytree(at_the_end / "same" / NAME, tmp_path / NAME)
    notes: list[str] = []
    build(tiny_plan(), TINY, make_tiny, tmp_path, note=notes.append)
    assert [note.endswith("cannot be read: Input/output error") for note in notes] == [True]
    assert (tmp_path / f".{NAME}.old/test/input/my-own.png").read_text() == "mine"


@pytest.mark.fault("several at once")
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_comes_to_have_the_name_meanwhile_is_left_alone(
    at_the_end: Path, tmp_path: Path, overwrite: bool
) -> None:
    def somebody_puts_pictures_there() -> None:
        (tmp_path / NAME).mkdir(exist_ok=True)
        (tmp_path / NAME / "holiday.jpg").write_text("mine")

    def somebody_copies_a_dataset_there() -> None:
        shutil.copytree(at_the_end / "same" / NAME, tmp_path / NAME, dirs_exist_ok=True)

    def made(step: Callable[[], None]) -> None:
        build(
            tiny_plan(), TINY, make_tiny, tmp_path,
            open_pool=in_a_thread, overwrite=overwrite, step=step,
        )  # fmt: skip

    with pytest.raises(UsageError, match="is no dataset: move it away"):
        made(somebody_puts_pictures_there)
    assert (tmp_path / NAME / "holiday.jpg").read_text() == "mine"
    shutil.rmtree(tmp_path / NAME)
    if overwrite:
        made(somebody_copies_a_dataset_there)
    else:
        with pytest.raises(DataError, match="has come to be meanwhile: --overwrite replaces it"):
            made(somebody_copies_a_dataset_there)
    assert whole(tmp_path / NAME)


@pytest.mark.fault("hostile datasets")
def test_a_link_in_the_place_of_a_dataset_is_all_that_goes(
    at_the_end: Path, tmp_path: Path
) -> None:
    shutil.copytree(at_the_end / "same" / NAME, tmp_path / "elsewhere")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / NAME).symlink_to(tmp_path / "elsewhere")
    build(OTHER, TINY, make_tiny, tmp_path / "data", open_pool=in_a_thread, overwrite=True)
    assert names_in(tmp_path / "data") == [NAME]
    assert whole(tmp_path / "elsewhere")


@pytest.mark.fault("hostile datasets")
@pytest.mark.parametrize("id_", ["", "..", "a/b", "..\\a", "a\0b", ".hidden", "a\nb", "\udcff"])
def test_ids_that_are_no_file_names_are_refused(tmp_path: Path, id_: str) -> None:
    with pytest.raises(DataError, match="cannot be a pair's id"):
        build(tiny_plan(), [Task(id_, "train", (1, 20, 20))], make_tiny, tmp_path)
    assert names_in(tmp_path) == []


@pytest.mark.fault("I/O errors")
def test_all_is_on_the_disk_before_the_header_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", note)
        build(tiny_plan(), TINY, make_tiny, tmp_path, open_pool=in_a_thread)
    header = max(n for n, name in enumerate(synced) if name.endswith(".json"))
    for path in (tmp_path / NAME).rglob("*"):
        if path.name != "dataset.json":
            assert path.name in synced[:header], path
    assert synced[-1] == tmp_path.name

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(DataError, match=r"stopped: Input/output error.*same command again"):
        build(tiny_plan(), TINY, make_tiny, tmp_path / "other", open_pool=in_a_thread)
    assert not (tmp_path / "other" / NAME).exists()


# What the system says of source files


def job_of(path: Path, sha256: str) -> folder.FolderJob:
    return folder.FolderJob(path, None, "identity", ("input/a.png",), None, (sha256,))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    write_png(path, smooth_picture(1, 24, 30))
    return path


MAKERS: dict[str, Callable[[Path, str], Any]] = {
    "folder": lambda path, sha256: folder.make(job_of(path, sha256)),
    "synthetic": lambda path, sha256: synthetic_hdrplus.make(
        synthetic_hdrplus.SyntheticJob("a", path=path, name="a", sha256=(sha256,))
    ),
    "demo": lambda path, sha256: demo.make(("retouch", demo.PHOTOGRAPHS[0])),
}


MODULES = {"folder": folder, "synthetic": synthetic_hdrplus, "demo": demo}


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize("source", MAKERS)
def test_what_the_system_says_of_a_picture_leaves_no_pair_out(
    picture: Path,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, Any], None],
) -> None:
    monkeypatch.setattr(demo, "path_of", lambda photo: picture)
    sha256 = source_files.hashed(picture)
    make = MAKERS[source]
    make(picture, sha256)
    hidden = picture.with_name("b.png")

    def gone() -> None:
        picture.rename(hidden)

    def failing() -> None:  # a regular file whose first bytes no one can read
        gone()
        picture.symlink_to("/proc/self/mem")

    def a_circle() -> None:
        gone()
        picture.symlink_to(picture)

    for fault in (gone, failing, a_circle):
        fault()
        with pytest.raises(StorageError, match=r"a\.png cannot be read"):
            make(picture, sha256)
        hidden.replace(picture)
    with few_open_files(), pytest.raises(StorageError, match="Too many open files"):
        make(picture, sha256)
    with monkeypatch.context() as patch:  # once it has been hashed
        patch.setattr(MODULES[source], "read_picture", lost)
        with pytest.raises(StorageError, match="lost"):
            make(picture, sha256)
    make(picture, sha256)
    record_property("faults", 5)


def lost(*arguments: Any) -> None:
    raise StorageError("lost")


@contextlib.contextmanager
def few_open_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize("source", MAKERS)
@pytest.mark.parametrize("decodes", [True, False])
def test_a_picture_that_changes_meanwhile_is_no_pair_and_no_rejection(
    picture: Path, source: str, decodes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it would be the old file's, half the new one's."""
    module = MODULES[source]
    monkeypatch.setattr(demo, "path_of", lambda photo: picture)
    sha256 = source_files.hashed(picture)
    read = module.read_picture

    def replaced(path: Path, *policy: Any) -> Any:
        decoded = read(path, *policy)
        write_png(picture, smooth_picture(2, 24, 30))
        if not decodes:
            raise DataError(f"{path} is damaged")
        return decoded

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_picture", replaced)
        with pytest.raises(StorageError, match=r"a\.png has changed while it was read"):
            MAKERS[source](picture, sha256)
    if source != "demo":
        with pytest.raises(StorageError, match="another file than when the dataset was planned"):
            MAKERS[source](picture, sha256)


@pytest.mark.fault("hostile pictures")
def test_what_the_bytes_say_leaves_a_pair_out(picture: Path) -> None:
    picture.write_bytes(picture.read_bytes()[:-400])
    with pytest.raises(RejectedPair, match="decode"):
        MAKERS["folder"](picture, source_files.hashed(picture))


@pytest.mark.fault("I/O errors")
def test_a_copy_that_is_unmounted_leaves_no_burst_out(tmp_path: Path) -> None:
    from tests.prepare.sources.test_hdrplus import facts

    source, protocol = facts()
    choice = hdrplus.choose(protocol, source, "subset", ["x"], size=None, limit=None, ids=None)
    job = hdrplus.tasks(choice, source, tmp_path)[0].payload
    tops = {Path(place).parts[0] for place in hdrplus.required_places(source.files, job.id)}
    with pytest.raises(StorageError, match="is no longer there"):
        hdrplus.make(job)
    for top in tops:
        (tmp_path / top).mkdir()
    with pytest.raises(RejectedPair, match="not there"):
        hdrplus.make(job)


@pytest.mark.fault("I/O errors")
def test_a_folder_that_cannot_be_listed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in/below").mkdir(parents=True)
    scandir = os.scandir

    def failing(path: Any) -> Any:
        if str(path).endswith("below"):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    for listed in (source_files.files_by_name, lambda path: source_files.files_below([path])):
        with pytest.raises(StorageError, match=r"below cannot be listed: Stale file handle"):
            listed(tmp_path / "in")


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize("name", ["lost+found", ".Trashes"])
def test_a_disks_own_folders_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """At its top; they are nobody's to read."""
    (tmp_path / name).mkdir()
    (tmp_path / "a.png").touch()
    scandir = os.scandir

    def denied(path: Any) -> Any:
        if str(path).endswith(name):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert source_files.files_by_name(tmp_path) == {"a": [tmp_path / "a.png"]}
    assert source_files.files_below([tmp_path]) == [tmp_path / "a.png"]


def fill(names: Sequence[str | bytes], size: int = 24) -> None:
    Path("in").mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        write_png("picture.png", smooth_picture(seed, size, size))
        os.replace("picture.png", os.path.join(b"in", os.fsencode(name)))  # noqa: PTH105, PTH118


PREPARE = ("prepare", "folder", "--protocol", "identity", "--input-dir", "in", "--workers", "1")


@pytest.mark.fault("full disks")
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(workspace: Workspace) -> None:
    fill([f"{n}.png" for n in range(4)], 60)
    command = [sys.executable, "-m", "hdrnet_bench", *PREPARE]
    environment = clean_environment()
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 2; exec "$@"', "bash", *command],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "preparing folder-identity stopped: File too large" in done.stderr
    assert not list(workspace.path.rglob(".tmp-*"))
    report = workspace.json(*PREPARE)
    assert report["pairs"]["rejected"] == 0
    assert workspace.run("verify", "folder-identity").returncode == 0


@pytest.mark.fault("names and texts")
def test_names_of_any_kind_are_read_left_out_or_refused(
    workspace: Workspace, record_property: Callable[[str, Any], None]
) -> None:
    names = ["a\u2028b.png", "c\x85d.png", "e\x0cf.png", "g\nh.png", "=1+1.png", "\x1b[2J.png"]
    fill([*names, "plain.png", b"\xff\xfe.png", b"good.\xe9", b"caf\xe9.png"])
    report = workspace.json(*PREPARE)
    dataset = Dataset(workspace.path / report["directory"])
    named = {row.source_names[0] for row in dataset.rows}
    assert named == {f"input/{name}" for name in (*names, "plain.png")}
    assert workspace.run("verify", "folder-identity").returncode == 0
    assert report["rejections"] == {"name": 3}
    lines = (dataset.directory / "rejected.jsonl").read_text().split("\n")
    assert all("rename" in json.loads(line)["reason"] for line in lines if line)
    assert "nothing to do" in workspace.json(*PREPARE)["prepared"]
    record_property("faults", len(names) + 3)


@pytest.mark.fault("names and texts")
def test_rows_are_split_at_line_feeds_alone(tmp_path: Path) -> None:
    build(tiny_plan(), TINY, make_tiny, tmp_path, open_pool=in_a_thread)
    row = Dataset(tmp_path / NAME).rows[0]
    odd = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"
    rows = [row.model_copy(update={"id": f"{n}", "source_names": [odd]}) for n in range(2)]
    write_rows(tmp_path / "rows.jsonl", rows)
    assert read_rows(tmp_path / "rows.jsonl") == rows
    write_rows(tmp_path / "rows.jsonl", [])
    assert read_rows(tmp_path / "rows.jsonl") == []


@pytest.mark.fault("hostile pictures")
def test_pipes_devices_and_broken_links_are_left_out_at_once(
    workspace: Workspace, record_property: Callable[[str, Any], None]
) -> None:
    fill([f"{n}.png" for n in range(3)])
    os.mkfifo("in/pipe.png")
    Path("in/device.png").symlink_to("/dev/zero")
    Path("in/nowhere.png").symlink_to("nowhere")
    Path("in/circle.png").symlink_to("circle.png")
    report = workspace.json(*PREPARE)
    assert sum(report["pairs"][s] for s in ("train", "validation", "test")) == 3
    assert report["rejections"] == {"kind": 4}
    text = (workspace.path / report["directory"] / "rejected.jsonl").read_text()
    assert text.count("no regular file") == 4
    record_property("faults", 4)


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("device", ["pipe", "/dev/zero"])
def test_lists_that_are_no_files_are_refused_at_once(workspace: Workspace, device: str) -> None:
    Path("split/input").mkdir(parents=True)
    if device == "pipe":
        os.mkfifo("list")
    else:
        Path("list").symlink_to(device)
    line = workspace.fails(3, "prepare", "hdrplus", "--ids", "list", "--source-dir", hdrplus_copy())
    assert "list is not a regular file" in line
    with pytest.raises(DataError, match="not a regular file"):
        filelist.entries(Path("list"), Path("split/input"))


def hdrplus_copy() -> str:
    """A copy of HDR+'s subset with nothing in it but a burst's folder."""
    from tests.prepare.sources.test_hdrplus import facts

    source, _ = facts()
    for place in (source.files.rgb2rgb, source.files.merged):
        Path("copy", Path(place).parts[0], "burst_1").mkdir(parents=True)
    return "copy"


# What servers send


def in_turn(results: list[Any]) -> Fetching:
    """What fetches item n gives or raises results[n]."""

    def bring(number: int) -> int:
        if isinstance(results[number], Exception):
            raise results[number]
        return number

    return Fetching(bring, lambda payload: None, lambda: None, 1)


def fetched(results: list[Any]) -> list[Any]:
    def make(task: Task, payload: int) -> Future:
        future: Future = Future()
        future.set_result(payload)
        return future

    tasks = [Task(str(n), "train", n) for n in range(len(results))]
    return sorted(
        fetch_and_make(tasks, make, lambda task, error: f"left out: {error}", 1, in_turn(results)),
        key=str,
    )


@pytest.mark.fault("servers")
def test_one_file_that_is_bad_for_good_keeps_no_other_from_being_made() -> None:
    results = [0, DataError("another file"), 2, NotFound("none"), 4]
    assert fetched(results) == [0, 2, 4, "left out: another file", "left out: none"]


@pytest.mark.fault("servers")
def test_what_sends_wrong_files_one_after_the_other_is_not_the_server() -> None:
    bad = [DataError("a login page")] * MAX_CONSECUTIVE_FAILURES
    with pytest.raises(Unreachable, match="10 fetches failed one after the other: a login page"):
        fetched(bad)
    mixed = [*bad[:5], Unreachable("no answer"), 1, *bad[:5]]
    with pytest.raises(Unreachable, match="1 of 12 could not be fetched: no answer"):
        fetched(mixed)


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize("error", [StorageError("disk"), OSError(errno.ENOSPC, "full")])
def test_a_disk_that_fails_leaves_out_nothing_that_is_fetched(error: Exception) -> None:
    with pytest.raises(type(error)):
        fetched([0, error, 2])


@pytest.mark.fault("several at once")
def test_locks_lie_outside_of_what_is_removed(tmp_path: Path) -> None:
    def opened(keep: bool) -> contextlib.AbstractContextManager[Fetching]:
        return fetching(tmp_path / "raw/x", 1, keep, lambda downloads, job: None, lambda job: [])

    with opened(False), opened(False):
        assert not list(tmp_path.rglob("*")), "what is being made has a lock of its own"
    with opened(True):
        assert not list((tmp_path / "raw").rglob("x/*"))
        with pytest.raises(DataError, match="another process is fetching into"), opened(True):
            pass
