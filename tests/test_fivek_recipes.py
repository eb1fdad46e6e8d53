"""The recipes of FiveK as papers prepare it: their data, their metrics, and one from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from hdrnet_bench.images.files import write_png
from hdrnet_bench.prepare.protocols import load_protocol
from hdrnet_bench.recipe import PROSE, Recipe, parse_recipe
from hdrnet_bench.recipe_page import groups, markdown_list
from hdrnet_bench.report.published import metrics_as_published, read_published
from tests.conftest import ROOT, Workspace, no_network, smooth_picture
from tests.file_server import serve
from tests.fivek_server import TEST, TRAIN, make_fivek, write_source

pytestmark = pytest.mark.usefixtures("prepares_in_a_thread")

NAMES = ("zeng-srgb", "zeng-srgb-full", "zeng-xyz", "upe", "dpe", "uegan", "ltmnet")
TUNED = [f"fivek-{name}" for name in NAMES]
BOTH = [*TUNED, *(f"{name}-as-published" for name in TUNED)]
FIGURES = read_published(ROOT / "results")


def recipe(name: str) -> Recipe:
    return parse_recipe(ROOT / f"recipes/{name}.yaml")


@pytest.mark.parametrize("name", BOTH)
def test_its_protocol_can_be_prepared_and_its_metrics_are_the_papers(name: str) -> None:
    of = recipe(name)
    protocol = load_protocol("fivek", of.dataset.protocol)
    assert of.dataset.expert in protocol.experts
    assert (of.dataset.size or next(iter(protocol.sizes))) in protocol.sizes
    assert (of.model.input_encoding, of.model.input_white) == ("srgb", 65535)
    metrics = set(of.evaluation.metrics)
    assert {"psnr", "ssim", "lpips", "delta_e_76", "delta_e_2000"} <= metrics
    published = [row for row in FIGURES if row.dataset == of.dataset.name]
    if published or protocol.name == "uegan":
        assert set(metrics_as_published(protocol.name).values()) <= metrics
    if "zeng" in name:
        assert {"zeng.psnr", "zeng.ssim", "zeng.delta_e"} <= metrics
    for key in PROSE:
        assert getattr(of, key), key


@pytest.mark.parametrize("name", TUNED)
def test_both_trainings_are_of_the_same_data(name: str) -> None:
    tuned, published = recipe(name), recipe(f"{name}-as-published")
    for key in ("dataset", "evaluation", "by_hand"):
        assert getattr(tuned, key) == getattr(published, key)
    assert tuned.digest != published.digest


@pytest.mark.parametrize("name", TUNED)
def test_as_published_is_the_training_of_the_reference(name: str) -> None:
    reference, published = recipe("fivek-expert-c"), recipe(f"{name}-as-published")
    assert published.model == reference.model
    assert published.training == reference.training


@pytest.mark.parametrize("name", BOTH)
def test_what_is_expected_is_what_the_table_of_published_figures_says(name: str) -> None:
    of = recipe(name)
    figures = [
        row for row in FIGURES if row.dataset == of.dataset.name and row.method.startswith("HDRNet")
    ]
    assert of.expected is not None
    for row in figures:
        assert f"{row.psnr:.2f}" in of.expected, row
    if not figures:
        assert "No figure of HDRNet is known" in of.expected


def test_prose_is_no_part_of_the_digest_and_absent_where_nothing_is_said() -> None:
    of = recipe("fivek-zeng-srgb")
    bare = of.model_copy(update=dict.fromkeys(("expected", "cost", "by_hand")))
    assert bare.digest == of.model_copy(update={"published": "other"}).digest == of.digest
    assert not {"expected", "cost", "by_hand"} & set(bare.model_dump())
    assert of.model_dump()["by_hand"] == of.by_hand


def test_the_page_says_what_a_recipe_takes_in_its_group_once() -> None:
    recipes = [recipe(name) for name in [*BOTH, "fivek-expert-c"]]
    headed = {title: [r.name for r in of] for title, of in groups(recipes).items() if of}
    assert headed == {
        "FiveK": ["fivek-expert-c"],
        "FiveK, as papers prepare it": TUNED,
        "FiveK, as papers prepare it, trained as in 2017": BOTH[len(TUNED) :],
    }
    page = markdown_list(recipes)
    section = page.split("## FiveK, as papers prepare it\n")[1].split("\n## ")[0]
    assert "| recipe | expected | cost | by hand |" in section
    assert section.count("24.66 dB") == 1
    assert section.count("BSDS500") == 1, "what all say stands once, under the table"
    assert "| published experiment |" not in section, "there is none, for any of them"
    libraw = page.split("## FiveK\n")[1].split("\n## ")[0]
    assert "by hand" not in libraw


@pytest.fixture
def prepared(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with a made fivek-zeng-srgb-c, in which a short edge of 48 px is 480p."""
    monkeypatch.setenv("HDRBENCH_CACHE", str(workspace.path / "cache"))
    make_fivek(tmp_path / "server")
    inputs, targets = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    targets.mkdir()
    for seed, id_ in enumerate([*TRAIN, *TEST]):
        picture = smooth_picture(seed, 48, 72)
        write_png(inputs / f"{id_}.png", picture // 2)
        Image.fromarray(picture).save(targets / f"{id_}.jpg", quality=100)
    with serve(tmp_path / "server") as server:
        write_source(tmp_path / "server", server.url, workspace.path)
        folders = ("--input-dir", str(inputs), "--target-dir", str(targets))
        done = workspace.run("prepare", "fivek", "--protocol", "zeng-srgb", *folders)
    assert done.returncode == 0, done.stderr
    return workspace


SMALL = ("training.steps=2", "training.crop=48", "training.batch_size=2", "training.ema=null")


def test_a_number_stands_beside_the_published_one(prepared: Workspace) -> None:
    offline = no_network(prepared)
    settings = [word for setting in SMALL for word in ("--set", setting)]
    done = prepared.run("train", "fivek-zeng-srgb", *settings, "--workers", "0", "-q")
    assert done.returncode == 0, done.stderr
    (run,) = (prepared.path / "runs").glob("*/*")
    shown = prepared.run("eval", str(run), "-q", env=offline)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    start = lines.index("published on zeng-srgb, 480p:")
    head, measured, first, rerun = lines[start + 1 : start + 5]
    assert head.startswith("method")
    assert measured.startswith("hdrnet-")
    assert "  480p " in measured.partition("(changed by --set)")[2], "and of all test pictures"
    assert measured.split()[-3:] == ["this", "project", "measured"]
    assert "24.32" in first
    assert "24.66" in rerun
    rest = " ".join(lines[start + 5 :])
    assert "measured as these papers did (zeng.psnr, zeng.ssim, zeng.delta_e)" in rest
    assert "9 more of other methods: `hdrbench protocols zeng-srgb`" in rest
    identity, result = json.loads(prepared.run("eval", str(run), "--json", env=offline).stdout)
    assert result["published"]["metrics"]["delta_e76"] == "zeng.delta_e"
    assert (result["published"]["pictures"], result["published"]["is_whole_split"]) == (2, True)
    assert {row["method"] for row in result["published"]["figures"]} >= {
        "HDRNet (re-run)",
        "AdaInt",
    }
    assert len(identity["published"]["figures"]) == 11
    psnr = result["metrics"]["zeng.psnr"]["mean"]
    assert f"  {psnr:.2f}  " in measured
    assert prepared.run("report").returncode == 0
    page = (prepared.path / "results/README.md").read_text()
    table = page.split("**Published on zeng-srgb**")[1]
    assert f"| {psnr:.2f} |" in table.split("| HDRNet |")[0]
    assert "| HDRNet (re-run) | 480p | 24.66 | 0.915 | 8.06 |" in table


def test_predictions_are_compared_too_and_other_splits_are_not(prepared: Workspace) -> None:
    theirs = prepared.path / "theirs"
    theirs.mkdir()
    for id_ in TEST:
        source = prepared.path / f"data/fivek-zeng-srgb-c/test/target/{id_}.jpg"
        (theirs / f"{id_}.jpg").write_bytes(source.read_bytes())
    dataset = ("--dataset", "fivek-zeng-srgb-c", "-q")
    command = ("eval", "fivek-zeng-srgb", "--predictions", "theirs", "--name", "ours", *dataset)
    done = prepared.run(*command, env=no_network(prepared))
    assert done.returncode == 0, done.stderr
    assert "published on zeng-srgb, 480p:" in done.stdout
    (theirs / f"{TEST[0]}.jpg").unlink()
    done = prepared.run(*command, "--allow-missing", "--overwrite", env=no_network(prepared))
    assert "ours, predictions (1 of 2 pictures)" in done.stdout
    assert "does not compare" in done.stdout
    done = prepared.run(*command, "--allow-missing", "--json", env=no_network(prepared))
    whole = {r["method"]["name"]: r["published"]["is_whole_split"] for r in json.loads(done.stdout)}
    assert whole == {"identity": True, "ours": False}
    broken = prepared.path / "results/published"
    broken.mkdir()
    (broken / "fivek.csv").write_text("protocol\nzeng-srgb,1\n")
    done = prepared.run(*command, "--allow-missing", env=no_network(prepared))
    assert done.returncode == 0
    assert "published figures are not shown: " in done.stderr
    assert "published on" not in done.stdout
    other = ("eval", "fivek-zeng-srgb", "--baseline", "identity", "--split", "validation", "-q")
    (broken / "fivek.csv").unlink()
    broken.rmdir()
    done = prepared.run(*other, env=no_network(prepared))
    assert done.returncode == 0, done.stderr
    assert "published on" not in done.stdout


def test_protocols_shows_the_figures_of_each_size(workspace: Workspace) -> None:
    text = workspace.run("protocols", "zeng-srgb").stdout
    small, full = text.split("published, 480p:")[1].split("published, full:")
    assert "24.66" in small
    assert "24.52" not in small
    assert "24.52" in full
    assert "Here: transcription." in full
    figures = workspace.json("protocols", "zeng-srgb")["published figures"]
    assert len(figures) == 16
    assert {row["resolution"] for row in figures} == {"480p", "full"}
    broken = workspace.path / "results/published"
    broken.mkdir(parents=True)
    (broken / "fivek.csv").write_text("protocol\nzeng-srgb,1\n")
    done = workspace.run("protocols", "zeng-srgb")
    assert done.returncode == 0
    assert done.stdout == text.split("published, 480p:")[0]
    assert done.stderr.startswith("published figures are not shown: ")
    assert done.stderr.count("\n") == 1
    (broken / "fivek.csv").unlink()
    broken.rmdir()
    assert "published figures" not in workspace.json("protocols", "libraw")
    assert "published, " not in workspace.run("protocols", "libraw").stdout
