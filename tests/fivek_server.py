"""A small FiveK in the layout of the real one: files that LibRaw decodes, lists, a place to run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import yaml

from tests.conftest import ROOT
from tests.dng import write_dng, write_romm_tiff

# Id and name; what is peculiar about each is in `make_fivek`.
NAMES = {
    "a0001": "a0001-jmac_DSC1459",
    "a0002": "a0002-portrait",
    "a0003": "a0003-no white balance",
    "a0004": "a0004-odd sizes (1)",
    "a0005": "a0005-truncated",
    "a0006": "a0006-cropped by the expert",
    "a0007": "a0007-no target",
    "a0008": "a0008-plain",
    "a0009": "a0009-plain",
    "a0010": "a0010-plain",
    "a0011": "a0011-in no list",
}
TRAIN = ["a0001", "a0002", "a0003", "a0004", "a0005", "a0006", "a0007", "a0008"]
TEST = ["a0009", "a0010"]
REJECTED = {"a0005": "decode", "a0006": "size", "a0007": "download"}


def scene(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth linear light, (H, W, 3)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 60.0
    waves = [np.sin(random.uniform(0.2, 1) * x + random.uniform(0.2, 1) * y + p) for p in (0, 2, 4)]
    return np.stack(waves, axis=2) * 0.2 + 0.4


def make_fivek(root: Path) -> None:
    """The files as the server has them, below `root`."""
    for folder in ("img/dng", "img/tiff16_c", "img/tiff16_a", "legal", "lists"):
        (root / folder).mkdir(parents=True)
    for seed, (id_, name) in enumerate(NAMES.items()):
        size = {"a0002": (150, 100), "a0004": (101, 151)}.get(id_, (100, 150))
        seen = scene(seed, *size)
        dng, tiff = root / f"img/dng/{name}.dng", root / f"img/tiff16_c/{name}.tif"
        write_dng(
            dng,
            seen,
            orientation=6 if id_ == "a0002" else 1,
            white_balance=id_ != "a0003",
            border=(2, 2, 2, 2),
        )
        if id_ == "a0005":
            dng.write_bytes(dng.read_bytes()[:-2000])
        target = seen[:-2] if id_ == "a0006" else seen
        if id_ != "a0007":
            write_romm_tiff(tiff, target)
        write_romm_tiff(root / f"img/tiff16_a/{name}.tif", target * 0.9)
    (root / "lists/train.txt").write_text("".join(f"{id_}\n" for id_ in TRAIN))
    (root / "lists/test.txt").write_text("".join(f"{id_}\n" for id_ in TEST))
    for licence in ("LicenseAdobe", "LicenseAdobeMIT"):
        (root / f"legal/{licence}.txt").write_text(f"The terms of {licence}.\n")
    names = sorted(NAMES.values())
    # A mirror may end its lines as it likes.
    (root / "legal/filesAdobe.txt").write_text("\r\n".join(names[:6]))
    (root / "legal/filesAdobeMIT.txt").write_text("\n".join(names[6:]))


def write_source(root: Path, url: str, workspace: Path) -> None:
    """recipes/protocols/fivek/ of the workspace: the real files, with this server's addresses and
    hashes, and a size that fits the small pictures."""
    shipped = ROOT / "recipes/protocols/fivek"
    source = yaml.safe_load((shipped / "source.yaml").read_text())
    source["base_url"] = f"{url}/"
    for licence in source["licences"]:
        listed = (root / licence["names"]).read_bytes()
        names = sorted(listed.decode().split("\n"))
        names = [name.strip() for name in names]
        text = "".join(f"{name}\n" for name in names)
        licence["names_sha256"] = hashlib.sha256(text.encode()).hexdigest()
        licence["text_sha256"] = sha256(root / licence["text"])
        licence["count"] = len(names)
    for name, split, count in (("adaint-train", "train", 8), ("adaint-test", "test", 2)):
        source["lists"][name] = {
            "url": f"{url}/lists/{split}.txt",
            "sha256": sha256(root / f"lists/{split}.txt"),
            "count": count,
        }
    folder = workspace / "recipes/protocols/fivek"
    folder.mkdir(parents=True)
    (folder / "source.yaml").write_text(yaml.safe_dump(source))
    for name in ("libraw", "as-shot-zeroed", "zeng-srgb", "zeng-xyz"):
        text = (shipped / f"{name}.yaml").read_text()
        assert "pixels: 480" in text
        (folder / f"{name}.yaml").write_text(text.replace("pixels: 480", "pixels: 48"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
