"""Rows of an evaluation on their way: a stopped one goes on where it was."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..errors import DataError, StorageError
from ..files import json_line, json_value, read_text, unreadable, write_text
from ..results import ResultRow


class PartialRows:
    """A hidden file beside the result: what decides the rows on its first line, then a row a line.

    Rows of anything else than `key` are dropped, and so is all from the first line on that is no
    row with these `metrics`, as one that a kill cut short.

    Raises StorageError where the file cannot be read or written: what is in it is not given up.
    """

    def __init__(self, result: Path, key: str, metrics: Collection[str]) -> None:
        self.path = result.with_name(f".{result.stem}.partial.jsonl")
        self.key = key
        self.metrics = set(metrics)
        self.rows = {row["id"]: row for row in self._read()}
        lines = [json_line(line) for line in ({"key": key}, *self.rows.values())]
        try:
            write_text(self.path, "".join(f"{line}\n" for line in lines))
        except OSError as error:
            raise self._not_written(error) from None

    def _read(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        try:
            # Not by splitlines, for which a line may also end in the middle of a text.
            first, *rest = read_text(self.path).split("\n")
            if json_value(first) != {"key": self.key}:
                return rows
            for line in rest:
                row = ResultRow.model_validate(json_value(line)).model_dump()
                if not self.metrics <= set(row):
                    break
                rows.append(row)
        except (FileNotFoundError, ValueError, DataError):
            pass  # none yet, the end of it was not written, or it is none of ours
        except OSError as error:
            raise unreadable(self.path, error) from None
        return rows

    def add(self, row: dict[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json_line(row) + "\n")
        except OSError as error:
            raise self._not_written(error) from None
        self.rows[row["id"]] = row

    def _not_written(self, error: OSError) -> StorageError:
        return StorageError(
            f"{self.path} cannot be written: {error.strerror or error}; {len(self.rows)} pictures "
            "are measured and kept, and the same command goes on"
        )

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
