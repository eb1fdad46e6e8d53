import csv
import json
import math
import shutil
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats

from hdrnet_bench import metrics
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.evaluation.score import saved_levels, score, summarise, summarise_rows
from hdrnet_bench.images.files import read_picture, write_png
from hdrnet_bench.metric_specs import METRICS, PUBLISHED
from hdrnet_bench.metrics.as_published import MODES
from tests.conftest import Workspace, in_a_thread, no_network, smooth_picture, write_recipe


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


def test_summary_of_a_bounded_metric_stays_within_and_says_so() -> None:
    rows = [{"ssim": value} for value in (0.99, 0.995, 0.999, 1.0, 0.93, 0.998)]
    summary = summarise_rows(rows, "ssim")
    assert summary["bounds"] == METRICS["ssim"].bounds == (-1, 1)
    assert summary["interval"][1] < 1 < summarise([row["ssim"] for row in rows])["interval"][1]
    assert summary["mean"] == pytest.approx(np.mean([row["ssim"] for row in rows]))
    assert "bounds" not in summarise_rows([{"psnr": 20.0 + i} for i in range(6)], "psnr")


def test_summary_of_what_has_no_mean_says_why() -> None:
    infinite = summarise([30.0, math.inf, math.inf])
    assert infinite["mean"] is None
    assert infinite["reason"] == "not finite for 2 of 3 pictures"
    assert summarise([])["reason"] == "no picture"


def test_output_is_scored_as_it_would_be_saved() -> None:
    x = torch.tensor([-0.2, 0.5, 0.501, 1.7])
    assert saved_levels(x).tolist() == pytest.approx([0, 128 / 255, 128 / 255, 1])


class Unsaved(NamedTuple):
    """An output that is no 8-bit picture, what it is once saved, and a target: (3, H, W)."""

    output: torch.Tensor
    saved: torch.Tensor
    target: torch.Tensor


def unsaved() -> Unsaved:
    """Made of the saved levels: in the output each is up to 0.45 of a level beside itself, and
    those at both ends up to 90 levels beyond."""
    random = np.random.default_rng(0)
    levels, target = (smooth_picture(seed, 40, 48).transpose(2, 0, 1) / 1.0 for seed in (1, 2))
    levels = np.clip(2 * levels - 128, 0, 255)
    ends = (levels == 255) * 1.0 - (levels == 0)
    assert set(np.unique(ends)) == {-1, 0, 1}
    output = levels + random.uniform(-0.45, 0.45, levels.shape)
    output += ends * random.uniform(0, 90, levels.shape)
    return Unsaved(*(torch.from_numpy(np.float32(x / 255)) for x in (output, levels, target)))


METRIC_NAMES = ["psnr", "ssim", "delta_e_76", "delta_e_2000", "grid_artefact"]


@pytest.mark.parametrize("name", METRIC_NAMES[1:])
def test_every_metric_is_of_the_saved_picture(name: str) -> None:
    """Alone and among others: both colour differences together go another way."""
    output, saved, target = unsaved()
    metric = getattr(metrics, name)
    expected = float(metric(saved, target))
    assert abs(float(metric(output, target)) - expected) > 1e-4, "rounding would not be noticed"
    assert abs(float(metric(output.clamp(0, 1), target)) - expected) > 1e-6
    assert score(output, target, [name])[name] == pytest.approx(expected, abs=1e-9)
    assert score(output, target, METRIC_NAMES)[name] == pytest.approx(expected, abs=1e-9)


def test_psnr_is_of_the_saved_picture() -> None:
    """By hand, as the metric rounds by itself whatever it is given."""
    output, saved, target = unsaved()

    def psnr(picture: torch.Tensor) -> float:
        return -10 * math.log10(((picture.double() - target.double()) ** 2).mean())

    assert abs(psnr(output) - psnr(saved)) > 0.1
    assert abs(psnr(output.clamp(0, 1)) - psnr(saved)) > 1e-4
    assert score(output, target, ["psnr"])["psnr"] == pytest.approx(psnr(saved), abs=1e-6)


@pytest.mark.parametrize("name", ["lpips", "lpips_vgg", "lpips_squeeze"])
def test_lpips_is_given_the_saved_picture(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output, saved, target = unsaved()
    monkeypatch.setattr(metrics, name, lambda x, y: (x * 7 - y).square().sum())
    value = score(output, target, [name])[name]
    assert value == pytest.approx(float((saved * 7 - target).square().sum()), rel=1e-6)
    assert abs(value / float((output.clamp(0, 1) * 7 - target).square().sum()) - 1) > 1e-5


@pytest.mark.parametrize("mode", MODES)
def test_metrics_of_papers_take_the_output_as_it_is(mode: str) -> None:
    """Those that round say so, and do it themselves."""
    output, saved, target = unsaved()
    values = {"llf-lut": {"psnr", "ssim"}, "hdrnet": {"mse", "l2_lab"}}
    names = values.get(mode, set(PUBLISHED[mode].values))
    measured = score(output, target, ["ssim", *(f"{mode}.{name}" for name in names)])
    expected, of_saved = MODES[mode](output, target), MODES[mode](saved, target)
    for name in names:
        assert measured[f"{mode}.{name}"] == float(expected[name])
    matters = any(float(expected[n]) != pytest.approx(float(of_saved[n])) for n in names)
    assert matters == (mode not in ("zeng", "csrnet"))


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
    pictures = {path.name for path in (folder / "pictures/test-full").iterdir()}
    assert pictures == {f"{id_}-{role}.webp" for id_ in "de" for role in ("output", "error")}

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

    build(
        tiny_plan(),
        TINY[1:],
        make_tiny,
        trained.path / "data",
        open_pool=in_a_thread,
        overwrite=True,
    )
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
    assert set(theirs["metrics"]) == {*metrics, "grid_artefact", "inversions"}
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
