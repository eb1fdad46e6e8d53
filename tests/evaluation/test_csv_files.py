"""Rows and training curves as CSV keep every digit, whatever else a process has imported."""

import csv
import io
import json
from pathlib import Path

import numpy as np

from hdrnet_bench.evaluation.csv_files import rows_csv, training_curve

VALUES = [14.261937877419475, 1e-7 / 3, 30.0, None]


def test_all_digits_are_written_however_numpy_prints(tmp_path: Path) -> None:
    rows = [
        {"id": f"p{i}", "width": 4, "height": 3, "licence": "CC0-1.0", "psnr": value}
        for i, value in enumerate(VALUES)
    ]
    log = tmp_path / "log.jsonl"
    step = {"step": 1, "psnr": 20.5, "learning_rate": 1e-3, "validation_psnr": None}
    steps = [step | {"loss": value or 0.5} for value in VALUES] + [
        step | {"loss": 0.5, "validation_psnr": 20.0}
    ]
    log.write_text("".join(json.dumps(one) + "\n" for one in steps))
    with np.printoptions(precision=4, legacy="1.13"):  # as colour-science sets it
        written, curve = rows_csv(rows, ["psnr"]), training_curve(log)
    found = [row["psnr"] for row in csv.DictReader(io.StringIO(written))]
    assert [float(text) if text else None for text in found] == VALUES
    losses = [float(row["loss"]) for row in csv.DictReader(io.StringIO(curve))]
    assert losses == [one["loss"] for one in steps]
