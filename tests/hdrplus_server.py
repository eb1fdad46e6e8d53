"""A small HDR+ dataset in the layout of the real bucket, and a server of its two interfaces."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
import yaml
from PIL import Image

from hdrnet_bench.color import linear_to_srgb
from hdrnet_bench.images.pixels import quantise
from tests.conftest import ROOT
from tests.dng import sensor, write_dng
from tests.file_server import FileServer, serve

BUCKET, PREFIX = "hdrplusdata", "20171106_subset"
RESULTS = "results_20171023"
ZOOM = 1.02**12
SIZE = (150, 200)  # height, width
GAIN = 1.25  # what the lens shading takes away
PAGE = 3  # objects on a page of the listing


def _percent(id_: str) -> int:
    return int(hashlib.sha256(id_.encode()).hexdigest()[:8], 16) % 100


def _ids(first: int, end: int, count: int) -> list[str]:
    """Burst ids that the subset's split puts into that range of its hash."""
    names = (f"0006_20160722_{n:06}_431" for n in range(10**6))
    return list(itertools.islice((i for i in names if first <= _percent(i) < end), count))


TEST, VALIDATION = _ids(0, 10, 1), _ids(10, 20, 1)
# What is peculiar about each is in `make_hdrplus`.
PLAIN, TURNED, ZOOMED, SIDEWAYS, UNFINISHED, UNRELATED, PLAIN_TOO = TRAIN = _ids(20, 100, 7)
ALL = sorted([*TRAIN, *VALIDATION, *TEST])
REJECTED = {UNFINISHED: "download", UNRELATED: "alignment"}


def scene(seed: int, height: int = SIZE[0], width: int = SIZE[1]) -> np.ndarray:
    """Linear light with structure at several scales, (H, W, 3)."""
    random = np.random.default_rng(seed)
    light = np.full((height, width, 3), 0.02)
    for cell in (40, 17, 8):
        cells = random.uniform(0, 0.3, (height // cell + 1, width // cell + 1, 3))
        light += cells.repeat(cell, 0).repeat(cell, 1)[:height, :width]
    return light


def finish(light: np.ndarray) -> np.ndarray:
    """A finished picture of a scene, (H, W, 3) uint8: brighter and flatter."""
    return quantise(linear_to_srgb(np.clip(light, 0, 1) ** 0.8).transpose(2, 0, 1))


def make_hdrplus(root: Path) -> None:
    """The bucket's objects below `root`."""
    for seed, id_ in enumerate(ALL):
        burst, results = place(root, "bursts", id_), place(root, RESULTS, id_)
        burst.mkdir(parents=True)
        results.mkdir(parents=True)
        seen = scene(seed)
        # The merged frame lies on its side and its tag says so.
        write_dng(results / "merged.dng", seen / GAIN, orientation=6 if id_ == TURNED else 1)
        picture = Image.fromarray(finish(scene(99) if id_ == UNRELATED else seen))
        exif = Image.Exif()
        if id_ == ZOOMED:
            cut = [side * (1 - 1 / ZOOM) / 2 for side in picture.size]
            box = (cut[0], cut[1], picture.width - cut[0], picture.height - cut[1])
            picture = picture.resize(picture.size, Image.Resampling.BICUBIC, box)
        if id_ == SIDEWAYS:
            picture = Image.fromarray(sensor(np.asarray(picture), 6))
            exif[0x0112] = 6
        if id_ != UNFINISHED:
            picture.save(results / "final.jpg", quality=95, exif=exif)
        (results / "reference_frame.txt").write_text("1\n")
        (burst / "rgb2rgb.txt").write_text("0.5 0.25 0.25\n0.25 0.5 0.25\n0.25 0.25 0.5\n")
        for frame in (0, 1):
            (burst / f"payload_N{frame:03}.dng").write_bytes(b"a frame that no pair needs" * 1000)
            # Only the reference frame's map undoes what the lens did.
            gains = np.full((3, 5, 4), GAIN if frame == 1 else 1, np.float32)
            path = burst / f"lens_shading_map_N{frame:03}.tiff"
            kind = {"photometric": "minisblack", "planarconfig": "contig"}
            tifffile.imwrite(path, gains, metadata=None, **kind)


def place(root: Path, kind: str, id_: str) -> Path:
    return root / BUCKET / PREFIX / kind / id_


def fetched_of(root: Path, id_: str) -> list[Path]:
    """The files of a burst that a pair needs."""
    results, burst = place(root, RESULTS, id_), place(root, "bursts", id_)
    files = [results / name for name in ("merged.dng", "final.jpg", "reference_frame.txt")]
    return [*files, burst / "rgb2rgb.txt", burst / "lens_shading_map_N001.tiff"]


def generation(name: str) -> str:
    return str(1500000000000000 + len(name))


@contextmanager
def serve_bucket(root: Path) -> Iterator[FileServer]:
    """Objects below /hdrplusdata/, and the JSON listing of them in pages."""
    base = root / BUCKET

    def listing(query: dict[str, str]) -> bytes:
        assert query["delimiter"] == "/"
        names = (p.relative_to(base).as_posix() for p in sorted(base.rglob("*")) if p.is_file())
        below = [name for name in names if name.startswith(query["prefix"])]
        here, folders = [], []
        for name in below:
            head, slash, _ = name.removeprefix(query["prefix"]).partition("/")
            folder = f"{query['prefix']}{head}/"
            if not slash:
                here.append(name)
            elif folder not in folders:
                folders.append(folder)
        start = int(query.get("pageToken", "0"))
        page = sorted([*here, *folders])[start : start + PAGE]
        answer: dict[str, object] = {"kind": "storage#objects"}
        if items := [item(name) for name in page if not name.endswith("/")]:
            answer["items"] = items
        if prefixes := [name for name in page if name.endswith("/")]:
            answer["prefixes"] = prefixes
        if start + PAGE < len(here) + len(folders):
            answer["nextPageToken"] = str(start + PAGE)
        return json.dumps(answer).encode()

    def item(name: str) -> dict[str, str]:
        content = (base / name).read_bytes()
        return {
            "kind": "storage#object",
            "name": name,
            "size": str(len(content)),
            "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
            "generation": generation(name),
        }

    with serve(root) as files:
        files.answers[LISTING] = listing
        yield files


LISTING = f"storage/v1/b/{BUCKET}/o"


def write_protocols(workspace: Path) -> None:
    """recipes/protocols/hdrplus/ of the workspace: the real files with a size that fits the small
    pictures."""
    shipped = ROOT / "recipes/protocols/hdrplus"
    folder = workspace / "recipes/protocols/hdrplus"
    folder.mkdir(parents=True)
    source = yaml.safe_load((shipped / "source.yaml").read_text())
    (folder / "source.yaml").write_text(yaml.safe_dump(source))
    for name in ("hdrnet", "linear-srgb"):
        text = (shipped / f"{name}.yaml").read_text()
        assert "pixels: 480" in text
        (folder / f"{name}.yaml").write_text(text.replace("pixels: 480", "pixels: 96"))
