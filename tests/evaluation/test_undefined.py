"""A metric that is not defined for a picture: null with its reason, and no part of the mean."""

import csv
import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.errors import DataError
from hdrnet_bench.evaluation.compare import check, compare
from hdrnet_bench.evaluation.score import measure, score, summarise_rows
from hdrnet_bench.files import json_text, read_json
from hdrnet_bench.metric_specs import METRICS
from hdrnet_bench.metrics import Undefined, ssim
from hdrnet_bench.prepare.build import build
from hdrnet_bench.prepare.staging import Plan, Task
from hdrnet_bench.results import Evaluation, read_result
from hdrnet_bench.statistics import mean_interval
from tests.conftest import Workspace, in_a_thread, make_tiny, write_recipe

SSIM_REASON = "SSIM needs 11 x 11 pixels, not 9 x 8"
CELLS_REASON = "its cells are too small: all neighbouring pixels are of one kind"
SIZES = [(50, 61), (8, 9), (60, 50), (52, 52), (54, 51), (8, 9), (50, 50), (50, 55)]
SMALL = ["p1", "p5"]


def prepare(workspace: Workspace, sizes: list[tuple[int, int]]) -> Dataset:
    tasks = [Task(f"p{i}", "test", (50 + i, *size)) for i, size in enumerate(sizes)]
    plan = Plan("demo-small", "demo", "small", 1, "CC0-1.0", {})
    build(plan, tasks, make_tiny, workspace.path / "data", open_pool=in_a_thread)
    return Dataset(workspace.path / "data/demo-small")


EVAL = ("eval", "./tiny.yaml", "--baseline", "identity", "--dataset", "demo-small")
IDENTITY = "results/tiny-on-demo-small/identity/baseline/eval-test-full"


@pytest.fixture
def evaluated(tiny: Workspace) -> dict[str, Any]:
    """The identity's result on eight pictures, of which two are 9 x 8."""
    prepare(tiny, SIZES)
    (result,) = tiny.json(*EVAL)
    return result


def test_a_small_picture_does_not_stop_the_others(
    tiny: Workspace, evaluated: dict[str, Any]
) -> None:
    rows = {row["id"]: row for row in evaluated["rows"]}
    assert list(rows) == [f"p{i}" for i in range(8)]
    for id_, row in rows.items():
        assert math.isfinite(row["psnr"])
        assert math.isfinite(row["delta_e_2000"])
        # The identity has no inversions of any picture.
        others = {name: why for name, why in row["undefined"].items() if name != "inversions"}
        if id_ in SMALL:
            assert row["ssim"] is None
            assert others == {"ssim": SSIM_REASON, "grid_artefact": CELLS_REASON}
        else:
            assert others == {}
    of_the_others = [row["ssim"] for id_, row in rows.items() if id_ not in SMALL]
    expected = mean_interval(of_the_others, METRICS["ssim"].bounds)
    summary = evaluated["metrics"]["ssim"]
    assert summary["mean"] == pytest.approx(expected.mean)
    assert summary["interval"] == pytest.approx(expected.interval)
    assert (summary["n"], summary["undefined"], summary["reason"]) == (6, 2, None)
    assert evaluated["metrics"]["psnr"]["n"] == 8
    assert "undefined" not in evaluated["metrics"]["psnr"]
    assert evaluated == read_json(tiny.path / f"{IDENTITY}.json")
    with (tiny.path / f"{IDENTITY}.csv").open() as stream:
        columns = {row["id"]: row["ssim"] for row in csv.DictReader(stream)}
    assert [id_ for id_, value in columns.items() if not value] == SMALL
    assert tiny.json(*EVAL, "--dry-run") == {"would measure": []}


def test_the_tables_say_over_how_many(tiny: Workspace, evaluated: dict[str, Any]) -> None:
    note = (
        f"SSIM: not defined for 2 of 8 pictures (p1: {SSIM_REASON}), the mean is over the other 6"
    )
    shown = tiny.run(*EVAL).stdout
    assert note in shown
    assert "(n 6)" in shown
    tiny.json("report")
    page = (tiny.path / "results/README.md").read_text()
    assert f"{note}." in page
    assert "(n 6)" in page
    with (tiny.path / "results/tables/quality-demo-small-test.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["n"], row["ssim_n"], row["psnr_n"]) == ("8", "6", "8")


def test_a_stopped_evaluation_keeps_the_reasons(tiny: Workspace) -> None:
    from hdrnet_bench.evaluation.job import baseline_job, dataset_spec
    from hdrnet_bench.evaluation.measure import evaluate_job

    job = baseline_job(dataset_spec(prepare(tiny, SIZES), "test"), "identity")
    job = job._replace(spec=job.spec._replace(metrics=("psnr", "ssim")))

    class Stop(Exception):
        pass

    def stop_after(count: int) -> Any:
        steps = iter(range(count))

        def step() -> None:
            if next(steps, None) is None:
                raise Stop

        return step

    with pytest.raises(Stop):
        evaluate_job(job, step=stop_after(3))
    result = evaluate_job(job)
    assert [row.id for row in result.rows if "ssim" in row.undefined] == SMALL
    assert result.metrics["ssim"].undefined == 2


def test_where_it_is_defined_for_none_the_mean_is_null(tiny: Workspace) -> None:
    prepare(tiny, [(8, 9)] * 6)
    (result,) = tiny.json(*EVAL)
    summary = result["metrics"]["ssim"]
    assert (summary["mean"], summary["n"], summary["undefined"]) == (None, 0, 6)
    assert summary["reason"] == f"not defined for any of 6 pictures: {SSIM_REASON}"
    assert summary["reason"] in tiny.run(*EVAL).stdout
    tiny.json("report")
    assert summary["reason"] in (tiny.path / "results/README.md").read_text()


def test_infinite_values_still_leave_no_mean() -> None:
    """They are values, and the best there can be: the mean of the others would not be of the
    pictures."""
    rows = [{"psnr": None}, {"psnr": 30.0}, {"psnr": None, "undefined": {"psnr": "too small"}}]
    summary = summarise_rows(rows, "psnr")
    assert summary["mean"] is None
    assert summary["reason"] == "not finite for 1 of 2 pictures"
    assert summary["undefined"] == 1


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("metrics", "ssim", "undefined"), 1),
        (("metrics", "ssim", "n"), 8),
        (("rows", 1, "undefined"), {}),
        (("rows", 1, "ssim"), 0.5),
        (("rows", 0, "undefined"), {"ssim": "so"}),
        (("rows", 1, "undefined", "guess"), "so"),
    ],
)
def test_edited_reasons_are_refused(
    tiny: Workspace, evaluated: dict[str, Any], where: tuple[Any, ...], value: Any
) -> None:
    *path, last = where
    place: Any = evaluated
    for key in path:
        place = place[key]
    place[last] = value
    file = tiny.path / "eval-x.json"
    file.write_text(json_text(evaluated))
    with pytest.raises(DataError, match=r"eval-x\.json"):
        read_result(file)


def test_two_methods_are_compared_on_the_others(tiny: Workspace, evaluated: dict[str, Any]) -> None:
    tiny.json("eval", "./tiny.yaml", "--baseline", "affine", "--dataset", "demo-small")
    found = tiny.json("compare", "oracle-affine", "identity")
    by_metric = {entry["metric"]: entry for entry in found["metrics"]}
    assert found["common"] == 8
    assert (by_metric["psnr"]["n"], by_metric["psnr"]["left_out"]) == (8, [])
    one = by_metric["ssim"]
    assert (one["n"], one["left_out"]) == (6, SMALL)
    assert one["verdict"] == "A better"
    note = "SSIM: not defined for 2 of 8 pictures, which are left out (p1, p5)"
    assert note in found["notes"]
    assert note in tiny.run("compare", "oracle-affine", "identity").stdout

    # As if the small pictures had not been there.
    first, second = (
        json.loads((tiny.path / path).read_text())
        for path in (IDENTITY.replace("identity", "oracle-affine") + ".json", f"{IDENTITY}.json")
    )
    whole = compare(*(Evaluation.model_validate(r) for r in (first, second)), ["ssim"])
    for result in (first, second):
        result["rows"] = [row for row in result["rows"] if row["id"] not in SMALL]
        result["shown"] = []
        del result["metrics"]["inversions"]  # which the identity has for no picture
        for name, summary in result["metrics"].items():
            values = [row[name] for row in result["rows"]]
            fresh = mean_interval(values)._asdict()
            result["metrics"][name] = fresh | {"version": summary["version"]}
    without = compare(*(Evaluation.model_validate(r) for r in (first, second)), ["ssim"])
    assert whole.metrics[0].paired == without.metrics[0].paired


def test_against_an_earlier_result_they_are_left_out(
    tiny: Workspace, evaluated: dict[str, Any]
) -> None:
    before = json.loads(json.dumps(evaluated))
    for row in before["rows"]:
        row["ssim"] = None if row["ssim"] is None else row["ssim"] + 0.01
    summary = before["metrics"]["ssim"]
    values = [row["ssim"] for row in before["rows"] if row["ssim"] is not None]
    found = mean_interval(values, METRICS["ssim"].bounds)
    before["metrics"]["ssim"] = summary | found._asdict() | {
        "min": min(values), "max": max(values),
    }  # fmt: skip
    found = check(Evaluation.model_validate(evaluated), Evaluation.model_validate(before))
    assert [(r.metric, r.n) for r in found.regressions] == [("ssim", 6)]
    assert any("SSIM: not defined for 2 of 8" in note for note in found.notes)
    (tiny.path / "before.json").write_text(json_text(before))
    done = tiny.run(*EVAL, "--against", "before.json")
    assert done.returncode == 5
    assert "SSIM: not defined for 2 of 8" in done.stderr


def test_reports_compare_on_the_others_and_say_so(
    tiny: Workspace, evaluated: dict[str, Any]
) -> None:
    dataset = Dataset(tiny.path / "data/demo-small")
    (tiny.path / "theirs").mkdir()
    for row in dataset.rows:
        path = tiny.path / f"theirs/{row.id}.png"
        path.write_bytes(dataset.target_path(row).read_bytes())
        path.write_bytes(dataset.input_path(row).read_bytes())
    command = ("eval", "./tiny.yaml", "--dataset", "demo-small", "--predictions", "theirs")
    tiny.json(*command, "--name", "other")
    tiny.json("report")
    page = (tiny.path / "results/README.md").read_text()
    assert "SSIM: not defined for 2 of 8 pictures, which are left out (p1, p5)." in page


PAPERS = ["zeng.psnr", "zeng.ssim", "llf-lut.psnr", "llf-lut.ssim", "deeplpf.ssim", "hdrnet.mse"]


def test_a_metric_is_undefined_with_its_reason_and_the_others_are_measured() -> None:
    random = np.random.default_rng(0)
    x, y = (torch.from_numpy(random.random((3, 8, 9), np.float32)) for _ in range(2))
    names = ["psnr", "ssim", "delta_e_2000", "delta_e_76", "grid_artefact", *PAPERS]
    values, undefined, _ = measure(x, y, names)
    assert list(values) == names
    assert set(undefined) == {"ssim", "grid_artefact", "zeng.psnr", "zeng.ssim", "deeplpf.ssim"}
    assert undefined["ssim"] == SSIM_REASON
    assert {name for name, value in values.items() if math.isnan(value)} == set(undefined)
    assert score(x, y, ["psnr", "delta_e_76"]) == {n: values[n] for n in ("psnr", "delta_e_76")}
    # A finer grid's cells are a pixel each; of two cells a side, borders and insides are there.
    assert "grid_artefact" not in measure(x, y, ["grid_artefact"], cells=2).undefined


def test_lpips_too_small_leaves_its_papers_other_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    from hdrnet_bench.metrics import as_published

    monkeypatch.setattr(as_published, "_has_weights", lambda: True)
    x = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    values, undefined, _ = measure(x, x / 2, ["llf-lut.lpips", "llf-lut.ssim", "lpips"])
    assert math.isfinite(values["llf-lut.ssim"])
    reason = "LPIPS needs 32 x 32 pixels, not 20 x 20"
    assert undefined == {"llf-lut.lpips": reason, "lpips": reason}


def test_a_constant_picture_has_no_data_range() -> None:
    grey = torch.full((3, 16, 16), 0.5)
    reason = "its data range is 0, as the picture is constant"
    assert measure(grey, grey, ["deeplpf.ssim", "ssim"]).undefined == {"deeplpf.ssim": reason}


def test_what_is_wrong_is_no_undefined_metric() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        measure(torch.rand(3, 12, 12), torch.rand(3, 12, 13), ["psnr"])
    with pytest.raises(Undefined):
        ssim(torch.rand(3, 8, 8), torch.rand(3, 8, 8))


def test_training_validates_on_the_pictures_that_a_metric_is_defined_for(
    tiny: Workspace,
) -> None:
    tasks = [
        Task("a", "train", (1, 60, 72)),
        Task("b", "validation", (2, 8, 9)),
        Task("c", "validation", (3, 50, 60)),
        Task("d", "test", (4, 8, 9)),
    ]
    plan = Plan("demo-mixed", "demo", "mixed", 1, "CC0-1.0", {})

    def recipe(change: str) -> None:
        def apply(content: dict[str, Any]) -> None:
            content["name"] = content["dataset"]["protocol"] = change
            content["training"] |= {"best_metric": "ssim", "steps": 1, "validate_every": 1}

        write_recipe(tiny.path / f"{change}.yaml", apply)

    build(plan, tasks, make_tiny, tiny.path / "data", open_pool=in_a_thread)
    recipe("mixed")
    done = tiny.run("train", "./mixed.yaml")
    assert done.returncode == 0, done.stderr
    (_, result) = tiny.json("eval", "mixed/seed-0")
    assert result["metrics"]["ssim"]["undefined"] == 1

    build(plan._replace(name="demo-none"), [t for t in tasks if t.id != "c"], make_tiny,
          tiny.path / "data", open_pool=in_a_thread)  # fmt: skip
    recipe("none")
    message = tiny.fails(3, "train", "./none.yaml")
    assert "ssim is not defined for any validation picture" in message
