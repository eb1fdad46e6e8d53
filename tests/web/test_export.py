"""`hdrbench export --format web`: one file that says what it is, asks for nothing, and replaces
nothing unasked."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path

import pytest

from hdrnet_bench.config import HDRNetConfig
from hdrnet_bench.errors import UsageError
from hdrnet_bench.model.file import ModelHeader, save_model
from hdrnet_bench.model.hdrnet import HDRNet
from hdrnet_bench.recipe import load_recipe
from hdrnet_bench.results import Evaluation, cell, read_result
from hdrnet_bench.web import write_page
from hdrnet_bench.web.page import describe, render
from tests.conftest import ROOT, Workspace
from tests.web.models import SMALL, random_model

COMMAND = ("export", "m.safetensors", "--format", "web")


def save(recipe: str | None = "tiny", dataset: str = "demo-tiny", **settings) -> HDRNet:
    model = random_model(**(SMALL | settings))
    header = ModelHeader(config=model.config, recipe=recipe, dataset=dataset, seed=0)
    save_model(Path("m.safetensors"), model, header)
    model.header = header
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
    elements = re.sub(r"<a [^>]*>", "", elements)  # a link is followed by whoever presses it
    loaded = re.findall(r"""(?:src|href|poster|action)\s*=\s*["']?([^"'\s>]+)""", elements)
    assert all(address.startswith(("data:", "#", "blob:")) for address in loaded), loaded
    assert not re.search(r"\b(?:fetch|XMLHttpRequest|eval|importScripts)\s*\(", page)
    again = workspace.json(*COMMAND, "other.html")
    assert again["wrote"] == "other.html"
    assert Path("other.html").read_text() == page


def test_its_policy_lets_its_own_script_run_and_nothing_else(workspace: Workspace) -> None:
    save()
    workspace.json(*COMMAND)
    page = Path("m.html").read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert page.index("Content-Security-Policy") < page.index("<style>"), "it comes before the rest"
    assert dict(part.split(" ", 1) for part in html.unescape(policy).split("; ")) == {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}'",
        "worker-src": "blob:",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


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
@pytest.mark.parametrize("transfer", ["none", "srgb"])
def test_a_model_of_other_pictures_is_refused(
    workspace: Workspace, encoding: str, transfer: str
) -> None:
    model = save(input_encoding=encoding, input_transfer=transfer)
    for options in ([], ["--dry-run"]):
        line = workspace.fails(2, *COMMAND, *options)
        assert "linear" in line
        assert "a browser has pictures in sRGB alone" in line
        assert "--format onnx" in line
    with pytest.raises(UsageError, match="a browser has pictures in sRGB alone"):
        write_page(model, Path("m.safetensors"), Path("m.html"))
    assert not Path("m.html").exists()


@pytest.mark.parametrize("recipe", ["/tmp", "/dev/null", "a" * 5000, "../x", "a.yaml"])
def test_the_name_of_a_recipe_is_never_a_path(workspace: Workspace, recipe: str) -> None:
    # Each of them is there, and none is looked at.
    (workspace.path.parent / "x").write_text("summary: no recipe's\n")
    Path("a.yaml").write_text("summary: no recipe's\n")
    model = save(recipe)
    assert workspace.json(*COMMAND)["title"] == f"HDRNet: {recipe}"
    assert describe(model, Path("m.safetensors"))["summary"] is None


def test_a_recipes_summary_is_told_of_the_model_that_it_made(workspace: Workspace) -> None:
    recipe = load_recipe("demo-retouch")
    model = random_model(**SMALL)
    for digest, summary in ((recipe.digest, recipe.summary), ("0" * 64, None)):
        header = ModelHeader(config=model.config, recipe=recipe.name, recipe_digest=digest)
        save_model(Path("m.safetensors"), model, header)
        model.header = header
        assert describe(model, Path("m.safetensors"))["summary"] == summary


def test_marks_that_turn_the_direction_of_writing_are_spelt_out(workspace: Workspace) -> None:
    save("tiny\u202egnp", dataset="data\u2066\x1b[2J")
    workspace.json(*COMMAND)
    page = Path("m.html").read_text()
    assert not any(mark in page for mark in "\u202e\u2066\x1b")
    assert page.count(r"HDRNet: tiny\u202egnp") == 2, "as title and as heading"
    assert r"data\u2066\x1b[2J" in page


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
    # The unchanged inputs of other data are no measure of it.
    beside = next(Path("results").glob("*/identity/*/eval-test-full.json"))
    other = json.loads(beside.read_text())
    other["dataset"]["digest"] = "0" * 64
    beside.write_text(json.dumps(other))
    told = tiny.json("export", "tiny/seed-0", "--format", "web", "--overwrite")["scores"]
    assert [text.endswith(", identity –.") for text in told if "full size" in text] == [True]
    broken = next(Path("results").glob("*/hdrnet-*/seed-0/eval-test-full.json"))
    broken.write_text(broken.read_text().replace('"psnr"', '"psn"', 1))
    assert str(broken) in tiny.fails(3, "export", "tiny/seed-0", "--format", "web", "--overwrite")


def test_the_committed_page_is_todays() -> None:
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


def test_the_committed_page_is_of_the_committed_results() -> None:
    page = (ROOT / "results" / "try-it.html").read_text()
    path = ROOT / "results/demo-retouch/hdrnet-curves/seed-0/eval-test-full.json"
    result = read_result(path)
    assert isinstance(result, Evaluation)
    for text in (cell("psnr", result.metrics["psnr"]), result.recipe.digest[:12]):
        assert text in page
    row = f"<dt>model file</dt><dd>SHA-256 {result.method.model_sha256[:12]}</dd>"
    assert row in page, "of another model file: `make results` writes it"
