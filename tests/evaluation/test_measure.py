"""Evaluations on their way: sizes, stopped and gone on with, and what is left behind."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.evaluation.gallery import ERROR_WHITE, choose, error_map
from hdrnet_bench.evaluation.partial_rows import PartialRows
from hdrnet_bench.prepare.build import build
from hdrnet_bench.prepare.staging import Plan, Task
from tests import running
from tests.conftest import Workspace, in_a_thread, make_tiny


def own(*ids: str) -> set[str]:
    """What lies in a method's folder, whose output is its own."""
    return {f"{id_}-{role}.webp" for id_ in ids for role in ("output", "error")}


def shared(*ids: str, identity: bool = False) -> set[str]:
    """What lies in a dataset's, where the identity was evaluated or was not."""
    roles = ("input", "target", "error") if identity else ("input", "target")
    return {f"{id_}-{role}.webp" for id_ in ids for role in roles}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def of_data(workspace: Workspace, name: str = "demo-tiny") -> Path:
    """The folder of the pictures that every method on a dataset shares."""
    digest = Dataset(workspace.path / "data" / name).header.digest
    return workspace.path / f"results/pictures/{name}-{digest[:12]}"


def prepare(workspace: Workspace, name: str, sizes: list[tuple[int, int]]) -> Dataset:
    """A dataset of test pictures (height, width) beside the tiny one."""
    tasks = [Task(f"p{i:02}", "test", (50 + i, *size)) for i, size in enumerate(sizes)]
    plan = Plan(f"demo-{name}", "demo", name, 1, "CC0-1.0", {})
    build(plan, tasks, make_tiny, workspace.path / "data", open_pool=in_a_thread)
    return Dataset(workspace.path / f"data/demo-{name}")


def test_both_sizes_where_they_differ(trained: Workspace) -> None:
    from hdrnet_bench import load_model
    from hdrnet_bench.data.sizes import load_pair_at
    from hdrnet_bench.metrics import psnr

    dataset = prepare(trained, "big", [(500, 610), (60, 50)])
    results = trained.json("eval", "tiny/seed-0", "--dataset", "demo-big")
    assert [(r["method"]["name"], r["size"]) for r in results] == [
        ("identity", "full"),
        ("hdrnet-curves", "full"),
        ("identity", "480p"),
        ("hdrnet-curves", "480p"),
    ]
    full, small = results[1], results[3]
    assert [(r["width"], r["height"]) for r in full["rows"]] == [(610, 500), (50, 60)]
    assert [(r["width"], r["height"]) for r in small["rows"]] == [(586, 480), (50, 60)]
    assert small["rows"][0]["psnr"] != full["rows"][0]["psnr"]
    assert small["rows"][1] == full["rows"][1]
    # The model is given the small input; its large output is not made smaller.
    pair = load_pair_at(dataset, dataset.split("test")[0], "480p")
    output = load_model(trained.path / "runs/tiny/seed-0").enhance(pair.input)
    assert small["rows"][0]["psnr"] == pytest.approx(float(psnr(output, pair.target)))
    folder = trained.path / "results/tiny-on-demo-big/hdrnet-curves/seed-0"
    for size, longest in (("full", 480), ("480p", 480)):
        assert (folder / f"eval-test-{size}.csv").exists()
        assert names(folder / f"pictures/test-{size}") == own("p00", "p01")
        data = of_data(trained, "demo-big") / f"test-{size}"
        assert names(data) == shared("p00", "p01", identity=True)
        for path in (*data.glob("p00-*"), *(folder / f"pictures/test-{size}").glob("p00-*")):
            with Image.open(path) as picture:
                assert picture.format == "WEBP"
                assert max(picture.size) == longest
    assert trained.json("eval", "tiny/seed-0", "--dataset", "demo-big", "--dry-run") == {
        "would measure": []
    }


def test_one_size_is_asked_for_or_would_be_the_same(trained: Workspace) -> None:
    (result,) = trained.json("eval", "./tiny.yaml", "--baseline", "identity", "--size", "full")
    assert result["size"] == "full"
    command = ("eval", "./tiny.yaml", "--baseline", "identity", "--size")
    assert "480p would be the full size again" in trained.fails(3, *command, "480p")
    done = trained.run(*command, "both")
    assert done.returncode == 0
    assert "measured at full size alone" in done.stderr
    prepare(trained, "big", [(500, 610)])
    (result,) = trained.json(*command, "480p", "--dataset", "demo-big")
    assert result["size"] == "480p"


# Of a dataset of nine pictures, which `begin` makes.
MANY = ["eval", "./tiny.yaml", "--baseline", "grid", "--dataset", "demo-many"]
# So many that whoever waits for the first of them, on a busy machine, comes before the last.
PICTURES = 30


def begin(tiny: Workspace) -> tuple[subprocess.Popen[str], Path]:
    """An evaluation in mid-work: its process, and the folder of its result, in which some rows
    are."""
    prepare(tiny, "many", [(200, 220)] * PICTURES)
    folder = tiny.path / "results/tiny-on-demo-many/oracle-grid-4x4x4-luma/baseline"
    partial = folder / ".eval-test-full.partial.jsonl"
    process = running.start(tiny.path, *MANY)
    deadline = time.monotonic() + 120
    while not partial.exists() or len(partial.read_text().splitlines()) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    return process, folder


def test_a_killed_evaluation_goes_on(tiny: Workspace) -> None:
    command, (process, folder) = MANY, begin(tiny)
    partial, result = folder / ".eval-test-full.partial.jsonl", folder / "eval-test-full.json"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not result.exists()
    lines = partial.read_text().splitlines()
    assert 3 <= len(lines) <= PICTURES

    # What is there is taken over: a row that says so, and one that a kill cut short is made again.
    first = json.loads(lines[1])
    marked = json.dumps(first | {"psnr": 12.5})
    partial.write_text("\n".join([lines[0], marked, *lines[2:], '{"id": "p29", "psn']))
    (evaluation,) = tiny.json(*command)
    assert [row["id"] for row in evaluation["rows"]] == [f"p{i:02}" for i in range(PICTURES)]
    assert evaluation["rows"][0]["psnr"] == 12.5
    assert evaluation["shown"][0] == {"id": "p00", "why": ["worst"]}
    head = result.with_suffix(".csv").read_text().splitlines()[0]
    assert head.startswith("id,width,height,licence,psnr,"), "as of one that was not stopped"
    assert not partial.exists()
    assert {p.name for p in folder.iterdir()} == {
        "eval-test-full.json",
        "eval-test-full.csv",
        "pictures",
    }

    # The same file is of no use to another grid, dataset or environment: none has its key.
    fresh = tiny.json(*command, "--overwrite")[0]["rows"]
    assert fresh[0]["psnr"] == pytest.approx(first["psnr"])
    expected = evaluation["rows"][1:]
    assert [row.pop("slopes") for row in fresh[1:]] == [
        pytest.approx(row.pop("slopes")) for row in expected
    ]
    assert fresh[1:] == [pytest.approx(row) for row in expected]


def test_rows_of_anything_else_are_not_taken_over(tmp_path: Path) -> None:
    result = tmp_path / "eval-test-full.json"
    there = {"width": 2, "height": 3, "licence": "CC0-1.0"}
    a, b = {"id": "a", "psnr": 1.0, **there}, {"id": "b", "psnr": None, **there}

    def kept(key: str = "one") -> dict:
        return PartialRows(result, key, ["psnr"]).rows

    rows = PartialRows(result, "one", ["psnr"])
    rows.add(a)
    rows.add(b)
    assert kept() == {"a": a, "b": b}
    whole = rows.path.read_text()
    for damaged in ("{}", '{"id": "b"}', json.dumps(b | {"id": ["b"]}), "[1]",
                    json.dumps(b | {"psnr": "x"}), json.dumps({"id": "b", **there})):  # fmt: skip
        head = whole.splitlines()[:2]
        rows.path.write_text("\n".join([*head, damaged, ""]))
        assert list(kept()) == ["a"], damaged
    rows.path.write_text(whole[:-5])
    assert list(kept()) == ["a"]
    assert kept("another") == {}
    assert kept() == {}, "they are gone, not hidden"
    rows.path.write_text("nonsense")
    assert kept() == {}
    rows.remove()
    rows.remove()


@pytest.mark.parametrize("what", ["model", "dataset", "metric", "device"])
def test_the_key_is_of_all_that_decides_the_rows(
    trained: Workspace, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation is stopped after a row; then something else decides, and no row is reused."""
    from hdrnet_bench import metrics
    from hdrnet_bench.evaluation import measure as measure_module
    from hdrnet_bench.evaluation.job import recipe_spec, run_job
    from hdrnet_bench.runs import open_run

    run = open_run(Path("runs/tiny/seed-0"))
    spec = recipe_spec(run.recipe, Dataset(Path("data/demo-tiny")), "test")
    job = run_job(spec, run, allow_leak=False)

    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        measure_module.evaluate_job(job, step=stop)
    scored: list[str] = []
    score_pair = measure_module.score_pair

    def counted(method, pair, *rest):
        scored.append(pair.row.id)
        return score_pair(method, pair, *rest)

    monkeypatch.setattr(measure_module, "score_pair", counted)
    with pytest.raises(Stop):
        measure_module.evaluate_job(job, step=stop)
    assert scored == [], "the row that is there was made again"
    device = "cpu"
    if what == "model":
        job = job._replace(method=job.method.model_copy(update={"model_sha256": "0" * 64}))
    elif what == "dataset":
        header = spec.dataset.header.model_copy(update={"digest": "0" * 64})
        monkeypatch.setattr(spec.dataset, "header", header)
    elif what == "metric":
        changed = metrics.METRICS["ssim"]._replace(version=99)
        monkeypatch.setitem(metrics.METRICS, "ssim", changed)
    else:
        device = "cpu:0"
    measure_module.evaluate_job(job, device)
    assert scored == ["d", "e"]


def test_worst_median_and_best() -> None:
    def rows(*values: float | None) -> list[dict]:
        return [{"id": f"p{i}", "psnr": value} for i, value in enumerate(values)]

    def chosen(*values: float | None) -> dict[str, list[str]]:
        return {shown.id: list(shown.why) for shown in choose(rows(*values))}

    assert chosen(3.0, 1.0, 2.0, 5.0, 4.0) == {"p1": ["worst"], "p0": ["median"], "p3": ["best"]}
    assert chosen(3.0, 1.0) == {"p1": ["worst", "median"], "p0": ["best"]}
    assert chosen(3.0) == {"p0": ["worst", "median", "best"]}
    assert chosen(3.0, None, 2.0) == {"p2": ["worst"], "p0": ["median"], "p1": ["best"]}


def test_error_map_is_its_scale() -> None:
    from matplotlib import colormaps

    target = torch.full((3, 4, 5), 0.2)
    output = target.clone()
    output[:, 0, 0] += 2 * ERROR_WHITE
    output[0, 1, 1] += 38 / 255
    found = error_map(output, target)
    assert found.shape == (3, 4, 5)
    mapped = colormaps["inferno"]
    np.testing.assert_allclose(found[:, 3, 3], mapped(0.0)[:3])
    np.testing.assert_allclose(found[:, 0, 0], mapped(1.0)[:3])
    np.testing.assert_allclose(found[:, 1, 1], mapped(38 / 255 / 3 / ERROR_WHITE)[:3], atol=0.01)
    wide = error_map(torch.rand(3, 10, 960), torch.rand(3, 10, 960))
    assert wide.shape == (3, 5, 480)


def test_pictures_of_before_do_not_stay_and_other_files_do(trained: Workspace) -> None:
    trained.json("eval")
    folder = trained.path / "results/tiny/hdrnet-curves/seed-0/pictures/test-full"
    path = folder.parents[1] / "eval-test-full.json"
    shown_before = json.loads(path.read_text())
    shown_before["shown"] += [{"id": id_, "why": ["best"]} for id_ in ("of-an-older-dataset", "c")]
    path.write_text(json.dumps(shown_before))
    # An older version kept all splits' in one folder: "c" is of another one.
    jpegs = folder.parent / "full"
    jpegs.mkdir()
    gone = [folder / name for name in own("of-an-older-dataset")]
    gone += [jpegs / f"of-an-older-dataset-{role}.jpg" for role in ("input", "error")]
    for old in gone:
        old.write_bytes(b"shown before")
    mine = [folder / "zz-output.webp", folder / "d-output-mine.webp"]
    mine.append(folder.parent / "d-error.webp")
    # A picture of the data that no method shows: another one may.
    mine.append(of_data(trained) / "test-full/old-input.webp")
    mine += [jpegs / "c-input.jpg", jpegs / "zz-input.jpg"]
    for other in mine:
        other.write_bytes(b"somebody's own")
    trained.json("eval", "--overwrite")
    assert not [old for old in gone if old.exists()]
    assert {other.read_bytes() for other in mine} == {b"somebody's own"}
    assert names(folder) - {"zz-output.webp", "d-output-mine.webp"} == own("d", "e")
    (folder / "d-error.webp").unlink()
    path = "results/tiny/hdrnet-curves/seed-0/eval-test-full.json"
    plan = trained.json("eval", "--dry-run")
    assert plan == {"would measure": [], "would make the pictures of": [path]}
    assert trained.run("eval", "--dry-run").stdout.splitlines() == [
        "would measure: nothing",
        f"would make the pictures of: {path}",
    ]
    identity = "results/tiny/identity/baseline/eval-test-full.json"
    # Measuring anew makes the pictures too.
    assert trained.json("eval", "--overwrite", "--dry-run") == {"would measure": [identity, path]}
    (trained.path / identity).unlink()
    plan = trained.json("eval", "--dry-run")
    assert plan == {"would measure": [identity], "would make the pictures of": [path]}


def test_pictures_that_are_missing_are_made_and_nothing_is_measured(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of results that came without them, or with those of an older version."""
    trained.json("eval")
    results = trained.path / "results"
    documents = {path: path.read_bytes() for path in results.rglob("eval-*")}
    pictures = {path: path.read_bytes() for path in results.rglob("*.webp")}
    assert {path.name for path in pictures} == {*own("d", "e"), *shared("d", "e", identity=True)}
    for path in pictures:
        path.unlink()
    kept = []
    for method in ("identity/baseline", "hdrnet-curves/seed-0"):
        folder = results / "tiny" / method / "pictures/full"
        folder.mkdir(parents=True)
        for role in ("input", "output", "target", "error"):
            (folder / f"d-{role}.jpg").write_bytes(b"of an older version")
        # "c" is of the validation split, which an older version kept in the same folder.
        kept += [folder / "c-output.jpg", folder / "d-holiday.jpg"]
    for path in kept:
        path.write_bytes(b"not this result's")
    monkeypatch.setattr("hdrnet_bench.evaluation.measure.score_pair", None)
    trained.json("eval")
    assert {path: path.read_bytes() for path in results.rglob("eval-*")} == documents
    assert {path: path.read_bytes() for path in results.rglob("*.webp")} == pictures
    assert set(results.rglob("*.jpg")) == set(kept)
    assert trained.json("eval", "--dry-run") == {"would measure": []}


def test_a_result_that_shows_what_the_data_lacks_is_measured_again(tiny: Workspace) -> None:
    (result,) = tiny.json("eval", "./tiny.yaml", "--baseline", "identity")
    path = tiny.path / "results/tiny/identity/baseline/eval-test-full.json"
    path.write_text(json.dumps(result | {"shown": [{"id": "gone", "why": ["best"]}]}))
    (again,) = tiny.json("eval", "./tiny.yaml", "--baseline", "identity")
    assert again["shown"] == result["shown"]


def test_the_identity_has_no_pictures_of_its_own(tiny: Workspace) -> None:
    tiny.json("eval", "./tiny.yaml", "--baseline", "affine")
    data = of_data(tiny) / "test-full"
    assert names(data) == shared("d", "e")
    before = {path: path.read_bytes() for path in data.iterdir()}
    tiny.json("eval", "./tiny.yaml", "--baseline", "identity")
    assert names(data) == shared("d", "e", identity=True)
    assert {path: path.read_bytes() for path in before} == before, "input and target are the same"
    assert names(tiny.path / "results/tiny/identity/baseline") == {
        "eval-test-full.json", "eval-test-full.csv"}  # fmt: skip


def test_splits_keep_their_pictures(tiny: Workspace) -> None:
    command = ("eval", "./tiny.yaml", "--baseline", "affine")
    for split in ("test", "validation", "test"):
        tiny.json(*command, "--split", split, "--overwrite")
    for split, ids in (("test", "de"), ("validation", "c")):
        folder = tiny.path / f"results/tiny/oracle-affine/baseline/pictures/{split}-full"
        assert names(folder) == own(*ids)
        assert names(of_data(tiny) / f"{split}-full") == shared(*ids)
        assert tiny.json(*command, "--split", split, "--dry-run") == {"would measure": []}


def test_tables_in_the_terminal(trained: Workspace) -> None:
    for seed in ("1", "2"):
        done = trained.run("train", "./tiny.yaml", "--seed", seed, "--set", "training.steps=1")
        assert done.returncode == 0, done.stderr
    done = trained.run("eval")
    assert done.returncode == 0, done.stderr
    header, *lines = done.stdout.splitlines()
    for column in (
        "size",
        "parameters",
        "MACs",
        "MACs/pixel",
        "n",
        "PSNR",
        "ΔE00",
        "grid artefact",
    ):
        assert f" {column}" in header, header
    assert any("2 seeds, n 2: PSNR" in line and "±" in line for line in lines), done.stdout
    (row,) = [line for line in lines if "hdrnet-curves  seed-1" in line]
    from hdrnet_bench import HDRNetConfig
    from hdrnet_bench.model.complexity import complexity

    costs = complexity(HDRNetConfig(net_input_size=32, spatial_bin=4, luma_bins=4))
    assert [f"{value:,}" for value in costs] == row.split()[4:7]
