"""`hdrbench export --format web`: one file that says what it is, asks for nothing, and replaces
nothing unasked."""

import re
from pathlib import Path

import pytest

from hdrnet_bench.config import HDRNetConfig
from hdrnet_bench.model.file import ModelHeader, save_model
from hdrnet_bench.model.hdrnet import HDRNet
from hdrnet_bench.results import Evaluation, cell, read_result
from hdrnet_bench.web.page import describe, render
from tests.conftest import ROOT, Workspace
from tests.web.models import random_model

SMALL = {"net_input_size": 32, "spatial_bin": 4, "luma_bins": 4}
COMMAND = ("export", "m.safetensors", "--format", "web")


def save(recipe: str | None = "tiny", **settings) -> HDRNet:
    model = random_model(**(SMALL | settings))
    header = ModelHeader(config=model.config, recipe=recipe, dataset="demo-tiny", seed=0)
    save_model(Path("m.safetensors"), model, header)
    return model


def test_one_file_that_asks_for_nothing(workspace: Workspace) -> None:
    save()
    report = workspace.json(*COMMAND)
    assert report["wrote"] == "m.html"
    assert report["title"] == "HDRNet: tiny"
    assert report["scores"] == []
    page = Path("m.html").read_text()
    assert report["bytes"] == Path("m.html").stat().st_size
    # Nothing that a browser would load, and a policy that would not let it.
    elements = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    loaded = re.findall(r"""(?:src|href|poster|action)\s*=\s*["']?([^"'\s>]+)""", elements)
    assert all(address.startswith(("data:", "#", "blob:")) for address in loaded), loaded
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert not re.search(r"\b(?:fetch|XMLHttpRequest|eval|importScripts)\s*\(", page)
    again = workspace.json(*COMMAND, "other.html")
    assert again["wrote"] == "other.html"
    assert Path("other.html").read_text() == page


def test_the_papers_network_is_a_page_under_two_megabytes(workspace: Workspace) -> None:
    save_model(Path("m.safetensors"), HDRNet(), ModelHeader(config=HDRNetConfig()))
    assert workspace.json(*COMMAND)["bytes"] < 2_000_000


def test_it_asks_before_it_replaces(workspace: Workspace) -> None:
    save()
    Path("m.html").write_text("mine")
    assert "--overwrite" in workspace.fails(2, *COMMAND)
    assert Path("m.html").read_text() == "mine"
    assert workspace.json(*COMMAND, "n.html", "--dry-run")["would write"] == "n.html"
    assert not Path("n.html").exists()
    assert "ends in .html" in workspace.fails(2, *COMMAND, "n.onnx")
    workspace.json(*COMMAND, "--overwrite")
    assert Path("m.html").read_text().startswith("<!doctype html>")


def test_what_comes_next_is_named(workspace: Workspace) -> None:
    save()
    done = workspace.run(*COMMAND, "a page.html")
    assert done.returncode == 0, done.stderr
    assert "next: open 'a page.html' in a browser" in " ".join(done.stderr.split())


@pytest.mark.parametrize("encoding", ["linear", "camera"])
def test_a_model_of_other_pictures_is_refused(workspace: Workspace, encoding: str) -> None:
    save(input_encoding=encoding)
    line = workspace.fails(2, *COMMAND)
    assert "linear" in line
    assert "a browser has pictures in sRGB alone" in line
    assert "--format onnx" in line
    assert not Path("m.html").exists()


def test_scores_are_those_of_this_very_file(tiny: Workspace) -> None:
    for seed in ("0", "1"):
        done = tiny.run("train", "tiny.yaml", "--seed", seed, "--quiet")
        assert done.returncode == 0, done.stderr
    evaluated = tiny.run("eval", "tiny/seed-0")
    assert evaluated.returncode == 0, evaluated.stderr
    (score,) = [
        text
        for text in tiny.json("export", "tiny/seed-0", "--format", "web")["scores"]
        if "full size" in text
    ]
    psnr = re.search(r"full: PSNR ([\d.]+) dB, identity ([\d.]+) dB", evaluated.stdout)
    assert psnr, evaluated.stdout
    assert score.startswith(f"PSNR {psnr[1]} ")
    assert re.search(rf" dB on demo-tiny \(test, full size\), identity {psnr[2]}\b", score)
    page = Path("runs/tiny/seed-0/last.html").read_text()
    assert psnr[1] in page
    # Of another seed's file nothing was measured.
    assert tiny.json("export", "tiny/seed-1", "--format", "web")["scores"] == []
    broken = next(Path("results").glob("*/hdrnet-*/seed-0/eval-test-full.json"))
    broken.write_text(broken.read_text().replace('"psnr"', '"psn"', 1))
    assert str(broken) in tiny.fails(3, "export", "tiny/seed-0", "--format", "web", "--overwrite")


def test_the_committed_page_is_todays_and_of_the_committed_results() -> None:
    page = (ROOT / "results" / "try-it.html").read_text()
    assert len(page.encode()) < 2_000_000
    model = random_model(**SMALL)
    today = render(model, describe(model, ROOT / "README.md"), [])
    # Styles, scripts and worker: all but the model, what is said of it, and the pictures.
    pattern = r"<style>.*?</style>|<script>.*?</script>|<script[^>]*id=.worker.*?</script>"
    parts = re.findall(pattern, today, flags=re.DOTALL)
    assert len(parts) == 3
    old = [part[:40] for part in parts if part not in page]
    assert not old, f"of older sources, `make results` writes it: {old}"
    path = ROOT / "results/demo-retouch/hdrnet-curves/seed-0/eval-test-full.json"
    result = read_result(path)
    assert isinstance(result, Evaluation)
    for text in (cell("psnr", result.metrics["psnr"]), result.recipe.digest[:12]):
        assert text in page
