"""The dataset that has its name, and the one that it replaces.

.<dataset>.old/     the dataset that was there before, until the new one has its name

At every moment one of the two has all its pictures. Where a preparation was killed between the two
renames, the next one puts the old dataset back; where it was killed later, it removes what is left.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..data import card, croissant
from ..data.manifest import SPLITS, Dataset, Header, read_header, read_rows
from ..errors import DataError, StorageError, UsageError
from ..files import read_text, sync, unreadable
from ..stopping import asked_to_stop
from .staging import Plan, is_by_the_way

HEADER, REJECTED, METADATA = "dataset.json", "rejected.jsonl", "metadata.jsonl"
# Beside them for others, each with what tells whether somebody has edited it.
DESCRIPTIONS = {card.CARD: card.is_unedited, croissant.CROISSANT: croissant.is_unedited}


def replaced(final: Path) -> Path:
    """Where a dataset lies while another one takes its name."""
    return final.with_name(f".{final.name}.old")


def existing_dataset(plan: Plan, root: Path, *, overwrite: bool) -> Header | None:
    """The header of the plan's dataset where it exists already, None where it has to be made.

    Raises:
        UsageError: something that is no dataset has the plan's name, or a dataset of another plan
            has it and `overwrite` does not allow replacing it, or replacing it would remove files
            that are no part of it.
        DataError: the dataset lacks some of its pictures.
    """
    final = root / plan.name
    if not os.path.lexists(final):
        return None
    if not (final / HEADER).exists():
        raise UsageError(f"{final} exists and is no dataset: move it away")
    header = read_header(final / HEADER)
    if header.name != plan.name:
        raise UsageError(f"{final} holds dataset {header.name}: move it away")
    if overwrite:
        if foreign := foreign_files(final):
            raise UsageError(
                f"{final} holds what is no part of the dataset, {foreign[0].relative_to(final)}: "
                "move it away, --overwrite would remove it"
            )
        return None
    if not is_of(plan, header):
        raise UsageError(
            f"{final} was prepared with other settings; --overwrite replaces it, "
            "HDRBENCH_DATA puts the new one elsewhere"
        )
    dataset = Dataset(final)
    pictures = [path for row in dataset.rows for path in dataset.paths(row)]
    if lacking := [path for path in pictures if not path.is_file()]:
        raise DataError(
            f"{final} lacks {len(lacking)} of its {len(pictures)} pictures, as "
            f"{lacking[0].relative_to(final)}: --overwrite makes it again"
        )
    return header


def is_of(plan: Plan, header: Header) -> bool:
    """Whether a dataset was made from the plan."""
    names = ("settings", "version", "input_encoding", "input_white")
    return all(getattr(header, name) == getattr(plan, name) for name in names)


def has_leftovers(final: Path) -> bool:
    """Whether a preparation was killed after the first of its renames."""
    return os.path.lexists(replaced(final))


def put_back(final: Path) -> None:
    """Give the replaced dataset its name again where nothing else has it. A rest of one, which was
    being removed, has no header any more."""
    if not os.path.lexists(final) and (replaced(final) / HEADER).exists():
        replaced(final).rename(final)
        sync(final.parent)


def give_name(new: Path, final: Path) -> None:
    """Give the new dataset its name, once all of it is on the disk. What has the name is moved to
    `replaced(final)`, where nothing may be.

    Raises Stopped, or KeyboardInterrupt, where a signal came meanwhile, once it is done.
    """
    old = replaced(final)
    with asked_to_stop() as request:
        if os.path.lexists(final):
            final.rename(old)
        try:
            new.rename(final)
        except BaseException:
            put_back(final)
            raise
        sync(final.parent)
    if request:
        raise request.stop()


def remove_replaced(final: Path) -> None:
    """Remove the dataset that was replaced, once another one has its name.

    Raises UsageError where there are files in it that are no part of a dataset, and OSError where
    it cannot be removed.
    """
    old = replaced(final)
    if old.is_symlink():  # the link alone had the dataset's name
        old.unlink()
    if not old.is_dir():
        return
    if foreign := foreign_files(old):
        raise UsageError(f"{foreign[0]} is no part of a dataset: move it away")
    # First of all what the rest would be taken for a dataset by.
    (old / HEADER).unlink(missing_ok=True)
    shutil.rmtree(old)


def foreign_files(folder: Path) -> list[Path]:
    """The files in a dataset's folder that are somebody's and no part of it, in order: neither its
    own lists, nor pictures that its rows name, nor its descriptions as they were written. Where a
    split's rows are broken or missing, all that lies where pictures lie counts as a picture. Raises
    StorageError where they cannot be read."""
    known = {folder / HEADER, folder / REJECTED}
    known |= {folder / name for name in DESCRIPTIONS if is_own_description(folder / name)}
    unknown_rows = []
    for split in SPLITS:
        known.add(folder / split / METADATA)
        try:
            rows = read_rows(folder / split / METADATA)
        except StorageError:
            raise
        except DataError:
            unknown_rows += [folder / split / role for role in ("input", "target", "mask")]
        else:
            known |= {folder / split / name for row in rows for name in row.file_names}
    return sorted(
        path
        for path in folder.rglob("*")
        if (path.is_symlink() or not path.is_dir())
        and path not in known
        and path.parent not in unknown_rows
        and not is_by_the_way(path)
    )


def is_own_description(path: Path) -> bool:
    """Whether it is a description of a dataset that nobody has edited. Raises StorageError where
    the system does not give it."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        return DESCRIPTIONS[path.name](read_text(path, card.MOST_BYTES))
    except OSError as error:
        raise unreadable(path, error) from None
    except (DataError, UnicodeDecodeError):
        return False
