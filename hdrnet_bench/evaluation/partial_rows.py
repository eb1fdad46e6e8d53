"""Rows of an evaluation on their way: a stopped one goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..files import json_line, write_text
from ..results import ResultRow


class PartialRows:
    """A hidden file beside the result: what decides the rows on its first line, then a row a line.

    Rows of anything else than `key` are dropped, and so is all from the first line on that is no
    row with these `metrics`, as one that a kill cut short.
    """

    def __init__(self, result: Path, key: str, metrics: Collection[str]) -> None:
        self.path = result.with_name(f".{result.stem}.partial.jsonl")
        self.key = key
        self.metrics = set(metrics)
        self.rows = {row["id"]: row for row in self._read()}
        lines = [json_line(line) for line in ({"key": key}, *self.rows.values())]
        write_text(self.path, "".join(f"{line}\n" for line in lines))

    def _read(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        try:
            first, *rest = self.path.read_text(encoding="utf-8").splitlines()
            if json.loads(first) != {"key": self.key}:
                return rows
            for line in rest:
                row = ResultRow.model_validate(json.loads(line)).model_dump()
                if not self.metrics <= set(row):
                    break
                rows.append(row)
        except (OSError, ValueError):
            pass  # none yet, or the end of it was not written
        return rows

    def add(self, row: dict[str, Any]) -> None:
        self.rows[row["id"]] = row
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json_line(row) + "\n")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
