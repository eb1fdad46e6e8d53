"""Masks and groups in an evaluation: the human-centred metrics of pictures, and GLC of groups."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.data.sizes import load_pair_at
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.evaluation.compare import check, compare
from hdrnet_bench.evaluation.score import summarise_rows
from hdrnet_bench.files import json_text, read_json
from hdrnet_bench.images.files import read_picture, write_png
from hdrnet_bench.metric_specs import METRICS
from hdrnet_bench.prepare.build import PreparedPair, build
from hdrnet_bench.prepare.staging import Plan, Task
from hdrnet_bench.report import contents
from hdrnet_bench.report.groups import group_results
from hdrnet_bench.report.table import csv_text, latex_text
from hdrnet_bench.report.tables import over_seeds
from hdrnet_bench.results import Evaluation, read_result
from hdrnet_bench.statistics import mean_interval
from tests.conftest import Workspace, in_a_thread, make_tiny, write_recipe
from tests.metrics import ppr10k

# Six groups of two and one of a single picture, in an order that keeps none together.
GROUPS = [f"scene {i % 7}" for i in range(13)]
UNMASKED = "p03"
NAMES = ["psnr", "psnr_hc", "delta_e_hc", "glc"]
ALONE = (
    "GLC: not defined for 1 of 7 groups, of which one picture alone is here; the mean is over the "
    "other 6"
)
NO_GROUPS = "the dataset says of no picture which others it belongs with"


def make(payload: tuple[tuple[int, int, int], str | None, bool]) -> PreparedPair:
    """A tiny picture, in a group, and a mask of its left half with a border of 1."""
    picture, group, masked = payload
    mask = np.zeros(picture[1:], np.uint8)
    mask[:, : picture[2] // 2] = 255
    mask[:, picture[2] // 2] = 1
    return make_tiny(picture)._replace(group=group, mask=mask if masked else None)


def prepare(
    workspace: Workspace,
    groups: list[str | None],
    size: tuple[int, int] = (24, 30),
    masked: Callable[[str], bool] = lambda id_: id_ != UNMASKED,
) -> Dataset:
    ids = [f"p{i:02}" for i in range(len(groups))]
    pictures = [(80 + i, *size) for i in range(len(groups))]
    tasks = [
        Task(id_, "test", (picture, group, masked(id_)))
        for id_, picture, group in zip(ids, pictures, groups, strict=True)
    ]
    plan = Plan("demo-scenes", "demo", "scenes", 1, "CC0-1.0", {})
    build(plan, tasks, make, workspace.path / "data", open_pool=in_a_thread)

    def recipe(content: dict[str, Any]) -> None:
        content["name"] = content["dataset"]["protocol"] = "scenes"
        content["evaluation"]["metrics"] = NAMES

    write_recipe(workspace.path / "scenes.yaml", recipe)
    return Dataset(workspace.path / "data/demo-scenes")


EVAL = ("eval", "./scenes.yaml", "--baseline", "identity")
RESULT = Path("results/scenes/identity/baseline/eval-test-full")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the dataset has been prepared and evaluated once."""
    path = tmp_path_factory.mktemp("scenes")
    prepare(Workspace(path), list(GROUPS))
    Workspace(path).json(*EVAL)
    return path


@pytest.fixture
def scenes(workspace: Workspace, made: Path) -> Dataset:
    """The dataset, not evaluated yet."""
    ignored = shutil.ignore_patterns("results")
    shutil.copytree(made, workspace.path, dirs_exist_ok=True, ignore=ignored)
    return Dataset(workspace.path / "data/demo-scenes")


@pytest.fixture
def evaluated(workspace: Workspace, scenes: Dataset, made: Path) -> dict[str, Any]:
    shutil.copytree(made / "results", workspace.path / "results")
    content: dict[str, Any] = read_json(workspace.path / f"{RESULT}.json")
    return content


def test_pictures_and_groups_are_scored(
    workspace: Workspace, scenes: Dataset, evaluated: dict[str, Any]
) -> None:
    outputs: dict[str, list[np.ndarray]] = {}
    for row in evaluated["rows"]:
        folder = scenes.directory / "test"
        output, target = (
            read_picture(folder / f"{role}/{row['id']}.png").pixels for role in ("input", "target")
        )
        outputs.setdefault(row["group"], []).append(output)
        if row["id"] == UNMASKED:
            reason = "the dataset has no mask of it"
            assert row["undefined"]["psnr_hc"] == row["undefined"]["delta_e_hc"] == reason
            assert row["psnr_hc"] is row["delta_e_hc"] is None
            continue
        mask = read_picture(folder / f"mask/{row['id']}.png").pixels[:, :, 0]
        assert row["psnr_hc"] == pytest.approx(ppr10k.psnr_hc(output, target, mask), abs=1e-9)
        assert row["delta_e_hc"] == pytest.approx(ppr10k.delta_e_hc(output, target, mask), abs=1e-9)
    assert [row["group"] for row in evaluated["rows"]] == GROUPS
    values = [ppr10k.glc(of) for of in outputs.values() if len(of) > 1]
    expected = mean_interval(values, METRICS["glc"].bounds)
    summary = evaluated["metrics"]["glc"]
    assert summary["mean"] == pytest.approx(expected.mean)
    assert summary["interval"] == pytest.approx(expected.interval)
    assert (summary["n"], summary["undefined"], summary["reason"]) == (6, 1, None)
    assert (summary["min"], summary["max"]) == pytest.approx((min(values), max(values)))
    masked = evaluated["metrics"]["psnr_hc"]
    assert (masked["n"], masked["undefined"]) == (12, 1)
    assert workspace.json(*EVAL) == [evaluated]


def test_what_is_there_is_not_measured_again(
    workspace: Workspace, evaluated: dict[str, Any]
) -> None:
    assert workspace.json(*EVAL, "--dry-run") == {"would measure": []}


def test_rows_as_csv(workspace: Workspace, evaluated: dict[str, Any]) -> None:
    with (workspace.path / f"{RESULT}.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["group"] for row in rows] == GROUPS
    colours = [[float(row["mean_a"]), float(row["mean_b"])] for row in rows]
    assert colours == [row["mean_ab"] for row in evaluated["rows"]]
    assert "glc" not in rows[0]


def test_the_terminal_shows_them(workspace: Workspace, evaluated: dict[str, Any]) -> None:
    shown = " ".join(workspace.run(*EVAL, "--wide").stdout.split())
    mean, (low, high) = (evaluated["metrics"]["glc"][key] for key in ("mean", "interval"))
    assert f"{mean:.2f} [{low:.2f}, {high:.2f}] (6 groups)" in shown
    assert ALONE in shown
    for name in NAMES[1:]:
        assert f"{METRICS[name].label}: {METRICS[name].meaning}" in shown
    plain = prepare_plain(workspace)
    assert "GLC" not in plain
    assert METRICS["psnr_hc"].meaning not in plain


def prepare_plain(workspace: Workspace) -> str:
    """What eval shows of a recipe that asks for neither."""

    def recipe(content: dict[str, Any]) -> None:
        content["name"], content["dataset"]["protocol"] = "plain", "scenes"
        content["evaluation"]["metrics"] = ["psnr"]

    write_recipe(workspace.path / "plain.yaml", recipe)
    return workspace.run("eval", "./plain.yaml", "--baseline", "identity").stdout


def test_rows_hold_no_groups_where_nobody_asks(workspace: Workspace, scenes: Dataset) -> None:
    prepare_plain(workspace)
    path = workspace.path / "results/plain/identity/baseline/eval-test-full"
    assert not {"group", "mean_ab"} & set(read_json(path.with_suffix(".json"))["rows"][0])
    assert "group" not in path.with_suffix(".csv").read_text()


def test_the_report_shows_them(workspace: Workspace, evaluated: dict[str, Any]) -> None:
    (part,) = contents.read(workspace.path / "results").groups
    (row,) = csv.DictReader(csv_text(part.quality).splitlines())
    glc = evaluated["metrics"]["glc"]
    assert float(row["glc"]) == glc["mean"]
    assert [float(row["glc_low"]), float(row["glc_high"])] == glc["interval"]
    assert (row["glc_n"], row["psnr_hc_n"], row["psnr_n"]) == ("6", "12", "13")
    assert f"{ALONE}." in part.quality.notes
    assert f"GLC: {METRICS['glc'].meaning}." in part.quality.notes
    assert "(6 groups)" in latex_text(part.quality)
    assert workspace.json("report") is not None
    page = (workspace.path / "results/README.md").read_text()
    assert "(6 groups)" in page
    assert f"{ALONE}." in page


def rescored(path: Path, change: Callable[[dict[str, Any]], None], **method: Any) -> Evaluation:
    """A result with its rows changed, and its summaries as they follow from them."""
    content = read_json(path)
    for row in content["rows"]:
        change(row)
    content["method"] |= method
    for name in content["metrics"]:
        version = content["metrics"][name]["version"]
        found = summarise_rows(content["rows"], name)
        content["metrics"][name] = {"version": version} | found
    return Evaluation.model_validate_json(json_text(content))


def test_seeds_are_averaged_by_group(
    workspace: Workspace, evaluated: dict[str, Any], tmp_path: Path
) -> None:
    root = tmp_path / "seeds"
    for seed in (0, 1):

        def change(row: dict[str, Any], factor: float = 1 + seed) -> None:
            row["mean_ab"] = [factor * value for value in row["mean_ab"]]

        named = {"name": "hdrnet-curves", "run": f"seed-{seed}", "seed": seed}
        result = rescored(workspace.path / f"{RESULT}.json", change, **named)
        path = root / f"scenes/hdrnet-curves/seed-{seed}/eval-test-full.json"
        path.parent.mkdir(parents=True)
        path.write_text(json_text(result.model_dump(mode="json")))
    (part,) = contents.read(root).groups
    row = list(csv.DictReader(csv_text(part.quality).splitlines()))[-1]
    base = evaluated["metrics"]["glc"]["mean"]
    assert row["run"] == "2 seeds"
    assert float(row["glc"]) == pytest.approx(base * (1 + 4) / 2)  # variances go by squares
    assert float(row["glc_seeds_sd"]) == pytest.approx(np.std([base, 4 * base], ddof=1))
    assert row["glc_n"] == "6"
    by_group = read_result(path).groups()  # type: ignore[union-attr]
    middle = [value * 5 / 8 for value in by_group.values() if value is not None]
    expected = mean_interval(middle, METRICS["glc"].bounds).interval
    assert [float(row["glc_low"]), float(row["glc_high"])] == pytest.approx(expected)


def test_one_group_is_no_plural(workspace: Workspace, evaluated: dict[str, Any]) -> None:
    def change(row: dict[str, Any]) -> None:
        row["group"] = "1"

    result = rescored(workspace.path / f"{RESULT}.json", change)
    (group,) = group_results([(workspace.path / RESULT, result)])
    texts = [cell.text for cell in over_seeds(group, [result, result])]
    assert any(text.endswith(" (1 group)") for text in texts), texts


def _move(content: dict[str, Any]) -> None:
    content["rows"][0]["mean_ab"][1] += 0.5


def _regroup(content: dict[str, Any]) -> None:
    content["rows"][0]["group"] = "scene 1"


def _leave(content: dict[str, Any]) -> None:
    del content["rows"][0]["group"], content["rows"][0]["mean_ab"]


def _half(content: dict[str, Any]) -> None:
    del content["rows"][0]["mean_ab"]


def _none(content: dict[str, Any]) -> None:
    for row in content["rows"]:
        del row["group"], row["mean_ab"]


def _mean(content: dict[str, Any]) -> None:
    content["metrics"]["glc"]["mean"] *= 0.99


def _count(content: dict[str, Any]) -> None:
    content["metrics"]["glc"]["n"] = 13


def _all_are_defined(content: dict[str, Any]) -> None:
    del content["metrics"]["glc"]["undefined"]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (_move, r"metrics\.glc\.mean"),
        (_regroup, r"metrics\.glc"),
        (_leave, r"metrics\.glc\.undefined"),
        (_half, "group and mean_ab stand together"),
        (_none, r"metrics\.glc\.undefined"),
        (_mean, r"metrics\.glc\.mean"),
        (_count, r"metrics\.glc\.n "),
        (_all_are_defined, r"metrics\.glc\.undefined"),
    ],
)
def test_what_was_edited_by_hand_is_refused(
    workspace: Workspace,
    evaluated: dict[str, Any],
    change: Callable[[dict[str, Any]], None],
    where: str,
) -> None:
    path = workspace.path / f"{RESULT}.json"
    assert isinstance(read_result(path), Evaluation)
    content = read_json(path)
    change(content)
    path.write_text(json_text(content))
    with pytest.raises(DataError, match=where):
        read_result(path)


def test_without_masks_and_groups_they_are_null_with_their_reasons(workspace: Workspace) -> None:
    prepare(workspace, [None] * 7, masked=lambda id_: False)
    (result,) = workspace.json(*EVAL)
    for name, reason in {
        "psnr_hc": "not defined for any of 7 pictures: the dataset has no mask of it",
        "glc": NO_GROUPS,
    }.items():
        summary = result["metrics"][name]
        assert (summary["mean"], summary["interval"], summary["n"]) == (None, None, 0)
        assert summary["reason"] == reason
    assert "group" not in result["rows"][0]
    assert NO_GROUPS in workspace.run(*EVAL).stdout
    assert workspace.json(*EVAL, "--dry-run") == {"would measure": []}


@pytest.mark.parametrize(
    ("groups", "n", "reason"),
    [
        (["a", "b", "c"], 0, "no group has two of these pictures"),
        (["a", "b", "a", None], 1, "no interval: fewer than 6 groups"),
        ([f"g{i % 5}" for i in range(10)], 5, "no interval: fewer than 6 groups"),
        ([f"g{i % 6}" for i in range(12)], 6, None),
    ],
)
def test_few_groups(
    workspace: Workspace,
    evaluated: dict[str, Any],
    groups: list[str | None],
    n: int,
    reason: str | None,
) -> None:
    new = dict(zip((row["id"] for row in evaluated["rows"]), groups, strict=False))

    def regroup(row: dict[str, Any]) -> None:
        if (group := new.get(row["id"])) is None:
            del row["group"], row["mean_ab"]
        else:
            row["group"] = group

    result = rescored(workspace.path / f"{RESULT}.json", regroup)
    summary = result.metrics["glc"]
    assert (summary.n, summary.reason) == (n, reason)
    assert (summary.mean is None) == (n == 0)
    assert (summary.interval is None) == (n < 6)
    assert summary.undefined == len(set(groups) - {None}) - n
    result.metrics["glc"] = summary.model_copy(update={"undefined": summary.undefined + 1})
    with pytest.raises(ValueError, match=r"glc\.undefined"):
        Evaluation.model_validate_json(json_text(result.model_dump(mode="json")))


def test_a_stopped_evaluation_keeps_the_groups(workspace: Workspace, scenes: Dataset) -> None:
    from hdrnet_bench.evaluation.job import baseline_job, recipe_spec
    from hdrnet_bench.evaluation.measure import evaluate_job
    from hdrnet_bench.recipe import load_recipe

    recipe = load_recipe("./scenes.yaml")
    job = baseline_job(recipe_spec(recipe, scenes, "test"), "identity")

    class Stop(Exception):
        pass

    steps = iter(range(4))

    def step() -> None:
        if next(steps, None) is None:
            raise Stop

    with pytest.raises(Stop):
        evaluate_job(job, step=step)
    (kept,) = job.path.parent.glob(".*.partial.jsonl")
    assert kept.read_text().count("mean_ab") == 5
    result = evaluate_job(job)
    assert [row.group for row in result.rows] == GROUPS
    assert result.metrics["glc"].n == 6
    assert (result.metrics["psnr_hc"].n, result.metrics["psnr_hc"].undefined) == (12, 1)


def test_other_methods_pictures_and_smaller_sizes(workspace: Workspace) -> None:
    """Predictions are scored as everything; at 480p the mask is averaged as the pictures are."""
    scenes = prepare(workspace, ["a", "a"], size=(484, 500), masked=lambda id_: True)
    folder = workspace.path / "theirs"
    folder.mkdir()
    for row in scenes.rows:
        write_png(folder / f"{row.id}.png", read_picture(scenes.target_path(row)).pixels // 2)
    theirs = ("--predictions", "theirs", "--name", "darker")
    results = workspace.json("eval", "./scenes.yaml", *theirs, "--size", "full")
    darker = next(r for r in results if r["method"]["name"] == "darker")
    outputs = [read_picture(folder / f"p{i:02}.png").pixels for i in range(2)]
    assert darker["metrics"]["glc"]["mean"] == pytest.approx(ppr10k.glc(outputs))
    target = read_picture(scenes.target_path(scenes.rows[0])).pixels
    mask = read_picture(scenes.directory / "test/mask/p00.png").pixels[:, :, 0]
    assert darker["rows"][0]["psnr_hc"] == pytest.approx(ppr10k.psnr_hc(outputs[0], target, mask))
    (small,) = workspace.json(*EVAL, "--size", "480p")
    pair = load_pair_at(scenes, scenes.rows[0], "480p")
    assert pair.mask is not None
    assert pair.mask.shape == (480, small["rows"][0]["width"])
    levels = [np.rint(p.numpy().transpose(1, 2, 0) * 255).astype(np.uint8) for p in pair[1:3]]
    weights = np.rint(pair.mask.numpy() * 255).astype(np.uint8)
    assert small["rows"][0]["psnr_hc"] == pytest.approx(ppr10k.psnr_hc(*levels, weights))


def test_groups_are_not_paired(workspace: Workspace, evaluated: dict[str, Any]) -> None:
    path = workspace.path / f"{RESULT}.json"
    before = read_result(path)
    assert isinstance(before, Evaluation)

    def change(row: dict[str, Any]) -> None:
        row["psnr_hc"] = None if row["psnr_hc"] is None else row["psnr_hc"] + 1
        row["mean_ab"] = [2 * value for value in row["mean_ab"]]

    other = rescored(path, change, name="other")
    comparison = compare(other, before)
    by_name = {metric.metric: metric for metric in comparison.metrics}
    assert "glc" not in by_name
    assert by_name["psnr_hc"].verdict == "A better"
    assert by_name["psnr_hc"].left_out == [UNMASKED]
    assert any(note.startswith("GLC is of groups of pictures") for note in comparison.notes)
    with pytest.raises(UsageError, match="glc is of groups of pictures"):
        compare(other, before, ["psnr", "glc"])
    checked = check(before, other)
    assert [one.metric for one in checked.regressions] == ["psnr_hc"]
    assert checked.undecided["glc"].startswith("is of groups of pictures")
    del other.metrics["glc"]
    assert check(other, before).undecided["glc"] == "not measured now"


@pytest.mark.parametrize(("name", "needs"), [("psnr_hc", "masks"), ("glc", "groups")])
def test_training_goes_by_neither(tiny: Workspace, name: str, needs: str) -> None:
    setting = f"training.best_metric={name}"
    message = tiny.fails(2, "train", "tiny.yaml", "--set", setting)
    assert f"best_metric: {name} needs {needs}" in message
