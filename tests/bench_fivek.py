"""What preparing costs, and how well it keeps its workers busy (parallel efficiency):
`.venv/bin/python -m tests.bench_fivek`, on pairs of 12 megapixels that it writes."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np

from tests.conftest import Workspace
from tests.dng import write_dng, write_romm_tiff
from tests.file_server import serve
from tests.fivek_server import NAMES, TEST, TRAIN, make_fivek, scene, write_source


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, place = Path(folder) / "files", Path(folder) / "work"
        place.mkdir()
        os.environ["HDRBENCH_CACHE"] = str(Path(folder) / "cache")
        make_fivek(root)
        noise = np.random.default_rng(0).normal(0, 0.01, (3000, 4000, 1))
        for seed, id_ in enumerate([*TRAIN, *TEST]):
            linear = (scene(seed, 3000, 4000) + noise).clip(0, 1)
            write_dng(root / f"img/dng/{NAMES[id_]}.dng", linear, compression="lossless-jpeg")
            write_romm_tiff(root / f"img/tiff16_c/{NAMES[id_]}.tif", linear)
        with serve(root) as server:
            write_source(root, server.url, place)
            for workers in (1, os.cpu_count() or 1):
                command = ["prepare", "fivek", "--source-dir", str(root / "img"), "--overwrite"]
                command += ["--source-dir", str(root / "legal"), "--workers", str(workers)]
                command += ["--json"]
                done = Workspace(place).process(*command)
                assert done.returncode == 0, done.stderr
                print(workers, json.loads(done.stdout)["cost"])


if __name__ == "__main__":
    main()
