import csv
import json
import math
import shutil

import numpy as np
import pytest
import torch
from scipy import stats

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.evaluation.score import saved_levels, score, summarise
from hdrnet_bench.images.files import read_picture, write_png
from tests.conftest import Workspace, no_network, write_recipe


def test_summary_has_an_interval_from_six_pictures_on() -> None:
    values = [20.0, 21.5, 19.0, 24.0, 22.0, 20.5]
    five, six = summarise(values[:5]), summarise(values)
    assert five["interval"] is None
    assert five["reason"] == "no interval: fewer than 6 pictures"
    assert five["mean"] == pytest.approx(np.mean(values[:5]))
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert six["interval"] == pytest.approx([low, high])
    assert six["reason"] is None
    assert (six["n"], six["min"], six["max"]) == (6, 19.0, 24.0)


def test_summary_of_what_has_no_mean_says_why() -> None:
    infinite = summarise([30.0, math.inf, math.inf])
    assert infinite["mean"] is None
    assert infinite["reason"] == "not finite for 2 of 3 pictures"
    assert summarise([])["reason"] == "no picture"


def test_output_is_judged_as_it_would_be_saved() -> None:
    x = torch.tensor([-0.2, 0.5, 0.501, 1.7])
    assert saved_levels(x).tolist() == pytest.approx([0, 128 / 255, 128 / 255, 1])


def test_scorer_uses_the_metrics(tiny: Workspace) -> None:
    from hdrnet_bench.data.pairs import load_pair
    from hdrnet_bench.metrics import psnr

    dataset = Dataset(tiny.path / "data/demo-tiny")
    pair = load_pair(dataset, dataset.split("test")[0])
    values = score(pair.input, pair.target, ["psnr", "ssim"])
    assert set(values) == {"psnr", "ssim"}
    assert values["psnr"] == float(psnr(pair.input, pair.target))


def test_eval_writes_all_it_should(trained: Workspace) -> None:
    results = trained.json("eval")
    assert [r["method"]["name"] for r in results] == ["identity", "hdrnet-curves"]
    folder = trained.path / "results/tiny/hdrnet-curves/seed-0"
    names = {p.name for p in folder.iterdir()}
    assert names == {"eval-test-full.json", "eval-test-full.csv", "train.csv", "pictures"}
    roles = ("input", "output", "target", "error")
    for of in ("hdrnet-curves/seed-0", "identity/baseline"):
        pictures = {p.name for p in (trained.path / f"results/tiny/{of}/pictures/full").iterdir()}
        assert pictures == {f"{i}-{r}.jpg" for i in "de" for r in roles}

    result = json.loads((folder / "eval-test-full.json").read_text())
    assert result == results[1]
    rows = list(csv.DictReader((folder / "eval-test-full.csv").open()))
    assert [row["id"] for row in rows] == ["d", "e"]
    for name in ("psnr", "ssim", "delta_e_76", "delta_e_2000"):
        mean = np.mean([float(row[name]) for row in rows])
        assert result["metrics"][name]["mean"] == pytest.approx(mean)
        assert result["metrics"][name]["reason"] == "no interval: fewer than 6 pictures"
    dataset = Dataset(trained.path / "data/demo-tiny")
    assert result["dataset"]["digest"] == dataset.header.digest
    curve = list(csv.DictReader((folder / "train.csv").open()))
    assert [int(row["step"]) for row in curve] == [1, 2, 3, 4, 5, 6]
    assert "/tmp" not in json.dumps(result)


def test_eval_numbers_are_those_of_the_saved_pictures(trained: Workspace) -> None:
    """Enhance with the public API, save, read back, and compute PSNR by hand."""
    from hdrnet_bench import load_model

    (_, result) = trained.json("eval")
    model = load_model(trained.path / "runs/tiny/seed-0")
    dataset = Dataset(trained.path / "data/demo-tiny")
    for row, measured in zip(dataset.split("test"), result["rows"], strict=True):
        levels = read_picture(dataset.input_path(row)).pixels.copy()
        output = model.enhance(torch.from_numpy(levels).permute(2, 0, 1)).permute(1, 2, 0)
        write_png(trained.path / "out.png", output.contiguous().numpy())
        saved = read_picture(trained.path / "out.png").pixels.astype(float)
        target = read_picture(dataset.target_path(row)).pixels.astype(float)
        psnr = 10 * np.log10(255**2 / ((saved - target) ** 2).mean())
        assert measured["psnr"] == pytest.approx(psnr, abs=1e-6)


def test_eval_measures_only_what_is_not_up_to_date(trained: Workspace) -> None:
    trained.json("eval")
    path = trained.path / "results/tiny/hdrnet-curves/seed-0/eval-test-full.json"
    before = path.stat().st_mtime_ns
    assert trained.json("eval", "--dry-run") == {"would measure": []}
    trained.json("eval")
    assert path.stat().st_mtime_ns == before
    trained.json("eval", "--overwrite")
    assert path.stat().st_mtime_ns != before

    # Another model, another metric version, a broken file: each is measured again.
    original = path.read_text()
    for old, new in (
        ('"model_sha256": "', '"model_sha256": "0'),
        ('"version": 1\n    }\n  },', '"version": 0\n    }\n  },'),
        ('"kind"', '"kin'),
    ):
        assert old in original
        path.write_text(original.replace(old, new, 1))
        plan = trained.json("eval", "--dry-run")["would measure"]
        assert plan == ["results/tiny/hdrnet-curves/seed-0/eval-test-full.json"], old
    trained.json("eval")
    assert json.loads(path.read_text())["metrics"] == json.loads(original)["metrics"]


def test_eval_of_data_other_than_trained_on_is_refused(trained: Workspace) -> None:
    from hdrnet_bench.prepare.build import build
    from tests.conftest import TINY, make_tiny, tiny_plan

    build(tiny_plan(), TINY[1:], make_tiny, trained.path / "data", workers=1, overwrite=True)
    assert "was trained on demo-tiny with digest" in trained.fails(3, "eval")


def test_baseline_and_split_of_a_recipe(trained: Workspace) -> None:
    (result,) = trained.json(
        "eval", "./tiny.yaml", "--baseline", "identity", "--split", "validation"
    )
    assert result["method"]["name"] == "identity"
    assert result["dataset"]["split"] == "validation"
    assert [row["id"] for row in result["rows"]] == ["c"]


def test_lpips_is_null_with_the_reason_where_its_weights_are_missing(trained: Workspace) -> None:
    from tests.conftest import write_recipe

    write_recipe(
        trained.path / "lpips.yaml", lambda r: r["evaluation"].update(metrics=["psnr", "lpips"])
    )
    done = trained.run(
        "eval", "./lpips.yaml", "--baseline", "identity", "--json", env=no_network(trained)
    )
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    lpips = result["metrics"]["lpips"]
    assert lpips["mean"] is None
    assert lpips["n"] == 0
    assert "is not on this machine" in lpips["reason"]
    assert str(trained.path) not in lpips["reason"]
    assert "lpips" not in result["rows"][0]


def test_identical_pictures_give_null_not_infinity(trained: Workspace) -> None:
    dataset = Dataset(trained.path / "data/demo-tiny")
    row = dataset.split("test")[0]
    write_png(dataset.input_path(row), read_picture(dataset.target_path(row)).pixels)
    (result,) = trained.json("eval", "./tiny.yaml", "--baseline", "identity")
    assert result["rows"][0]["psnr"] is None
    assert result["metrics"]["psnr"]["mean"] is None
    assert result["metrics"]["psnr"]["reason"] == "not finite for 1 of 2 pictures"
    assert result["metrics"]["ssim"]["mean"] is not None


def test_metrics_of_papers_are_measured_compared_and_reported(tiny: Workspace) -> None:
    """As a recipe names them, of what a model made before it was rounded, in columns of their
    own; the reference's PSNR, which no picture has one of, is refused."""
    from hdrnet_bench.data.pairs import load_pair
    from hdrnet_bench.metrics.as_published import MODES

    named = ["zeng.ssim", "csrnet.l2_lab", "hdrnet.mse"]
    metrics = ["psnr", "ssim", *named]
    write_recipe(tiny.path / "papers.yaml", lambda r: r["evaluation"].update(metrics=metrics))
    folder = tiny.path / "theirs"
    folder.mkdir()
    dataset = Dataset(tiny.path / "data/demo-tiny")
    rows = dataset.split("test")
    for row in rows:
        shutil.copy(dataset.target_path(row), folder / f"{row.id}.png")
    shutil.copy(dataset.input_path(rows[0]), folder / f"{rows[0].id}.png")
    command = ("eval", "./papers.yaml", "--predictions", "theirs", "--name", "other")
    identity, theirs = tiny.json(*command)
    assert set(theirs["metrics"]) == {*metrics, "grid_artefact"}
    for result in (identity, theirs):
        pair = load_pair(dataset, rows[0])
        for name in named:
            mode, value = name.split(".")
            assert result["rows"][0][name] == float(MODES[mode](pair.input, pair.target)[value])
    assert theirs["rows"][1]["zeng.ssim"] == 1
    assert theirs["rows"][1]["hdrnet.mse"] == 0

    (compared,) = tiny.json("compare", "other", "identity", "--metric", "zeng.ssim")["metrics"]
    assert compared["paired"]["wins"] == 1
    assert compared["paired"]["ties"] == 1
    tiny.json("report")
    with (tiny.path / "results/tables/quality-demo-tiny-test.csv").open() as stream:
        reported = {row["method"]: row for row in csv.DictReader(stream)}
    mean = theirs["metrics"]["zeng.ssim"]["mean"]
    assert float(reported["other"]["zeng.ssim"]) == mean
    assert reported["other"]["ssim"] != reported["other"]["zeng.ssim"]
    assert "| SSIM (zeng) ↑ |" in (tiny.path / "results/README.md").read_text()

    wrong = ["psnr", "hdrnet.psnr"]
    write_recipe(tiny.path / "papers.yaml", lambda r: r["evaluation"].update(metrics=wrong))
    assert "unknown metric 'hdrnet.psnr'" in tiny.fails(2, *command)


def test_llf_luts_lpips_is_computed_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs more than the rest together."""
    from hdrnet_bench.metrics import as_published

    asked = []
    monkeypatch.setattr(as_published, "_has_weights", lambda: True)
    monkeypatch.setattr(as_published, "lpips", lambda x, y: asked.append(x) or torch.tensor(0.25))
    grey, white = torch.full((3, 16, 16), 0.5), torch.ones(3, 16, 16)
    alone = score(grey, white, ["llf-lut.ssim"])
    assert not asked
    both = score(grey, white, ["llf-lut.lpips", "llf-lut.ssim"])
    assert both == {"llf-lut.lpips": 0.25, **alone}
