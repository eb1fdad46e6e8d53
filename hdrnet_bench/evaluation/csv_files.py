"""What lies beside a result as CSV: its rows, and its run's training curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ..cleaning import clean
from ..errors import DataError
from ..files import json_value, read_text, unreadable
from ..metric_specs import METRICS


def rows_csv(measured: list[dict[str, Any]], names: list[str]) -> str:
    # By name: the rows of a stopped evaluation have their metrics in another order.
    columns = [
        "id",
        "width",
        "height",
        "licence",
        *[name for name in names if not METRICS[name].of_groups],
    ]
    rows = pd.DataFrame(measured, columns=columns)
    rows["licence"] = [clean(text, "csv") for text in rows["licence"]]
    if any("group" in row for row in measured):
        rows["group"] = [clean(row.get("group") or "", "csv") for row in measured]
        colours = [row.get("mean_ab") or (None, None) for row in measured]
        rows["mean_a"], rows["mean_b"] = zip(*colours, strict=True)
    if any("slopes" in row for row in measured):
        ranges = [row.get("slopes") or (None, None) for row in measured]
        rows["slope_low"], rows["slope_high"] = zip(*ranges, strict=True)
    return _csv(rows)


def training_curve(log: Path) -> str:
    """A run's log as CSV, without its times. Raises DataError where it is missing or broken."""
    columns = ["step", "loss", "psnr", "learning_rate", "validation_psnr"]
    try:
        lines = [json_value(line) for line in read_text(log).split("\n") if line]
        if not all(isinstance(line, dict) for line in lines):
            raise ValueError("a line is no object")
        table = pd.DataFrame(lines)[columns]
        if text := [name for name in columns if not pd.api.types.is_numeric_dtype(table[name])]:
            raise ValueError(f"{text[0]} is not a number everywhere")
        return _csv(table)
    except FileNotFoundError:
        raise DataError(f"{log} is missing: it is part of a whole run") from None
    except OSError as error:
        raise unreadable(log, error) from None
    except (ValueError, KeyError) as error:
        raise DataError(f"{log} is not a whole training log: {error}") from None


def _csv(table: pd.DataFrame) -> str:
    """With all digits: by default pandas writes as many as NumPy prints, and libraries that a
    process has imported change that."""

    def all_digits(value: Any) -> str:
        return repr(float(value))

    return table.to_csv(index=False, float_format=all_digits)
