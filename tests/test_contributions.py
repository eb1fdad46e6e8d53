"""Contributed results: what is accepted, what is refused and why, and the committed ones."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hdrnet_bench import files
from hdrnet_bench.contributions import (
    FOLDER,
    SCHEMA,
    Pictures,
    _what,
    check,
    check_before,
    contribute,
    faults,
    file_name,
    held,
    machine,
    outdated,
    read_contribution,
    schema_text,
)
from hdrnet_bench.data.manifest import find_lock
from hdrnet_bench.environment import Environment
from hdrnet_bench.errors import DataError
from hdrnet_bench.files import json_text
from hdrnet_bench.metric_specs import METRICS
from hdrnet_bench.result_ids import DatasetId
from hdrnet_bench.results import Evaluation, Unpaired
from tests.conftest import ROOT, Workspace

HERE = ROOT / FOLDER
COMMITTED = sorted(path for path in HERE.glob("*") if path.name not in (SCHEMA, "README.md"))
RESULTS = sorted(
    path for path in (ROOT / "results").rglob("*.json") if not path.name.startswith("report")
)
OF_KINDS = {
    "eval": "demo-retouch/identity/baseline/eval-test-full.json",
    "timing": "demo-retouch/hdrnet-curves/seed-0/timing-cpu-*.json",
    "kernels": "kernels-cuda-*.json",
    "network": "network-cuda-*.json",
    "training": "training-cuda-*.json",
}
SCHEMA_OF_ALL = jsonschema.Draft202012Validator(json.loads(schema_text()))
Change = Callable[[dict[str, Any]], Any]


def result_file(tmp_path: Path, kind: str = "eval", change: Change = lambda content: None) -> Path:
    """A committed result of a kind as if it had been measured now, changed."""
    source = next(iter(sorted((ROOT / "results").glob(OF_KINDS[kind]))))
    content = json.loads(source.read_text())
    content["environment"] |= {"date": "2026-01-31", "commit": "0123456789ab"}
    if kind == "eval":
        lock = find_lock("demo-retouch")
        assert lock is not None
        content["dataset"]["digest"] = lock[0].digest
        for name, summary in content["metrics"].items():
            summary["version"] = METRICS[name].version
    change(content)
    path = tmp_path / "result.json"
    path.write_text(json_text(content))
    return path


def test_committed_ones_are_acceptable() -> None:
    for path in COMMITTED:
        check(path)
        SCHEMA_OF_ALL.validate(json.loads(path.read_text()))


def test_the_committed_schema_is_this_versions() -> None:
    """`hdrbench contributions --schema > contributions/schema.json` writes it."""
    assert (HERE / SCHEMA).read_text() == schema_text()


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: str(path.relative_to(ROOT / "results")))
def test_every_result_file_fits_the_schema(path: Path) -> None:
    SCHEMA_OF_ALL.validate(json.loads(path.read_text()))
    read_contribution(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("rows"),
        lambda content: content.update(kind="other"),
        lambda content: content.update(mine=1),
        lambda content: content["environment"].update(user="me"),
        lambda content: content["rows"][0].update(width="wide"),
        lambda content: content["dataset"].update(split="holdout"),
    ],
)
def test_the_schema_and_the_reader_refuse_the_same(tmp_path: Path, change: Change) -> None:
    path = result_file(tmp_path, change=change)
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA_OF_ALL.validate(json.loads(path.read_text()))
    with pytest.raises(DataError):
        read_contribution(path)


@pytest.mark.parametrize("kind", OF_KINDS)
def test_each_kind_is_copied_as_it_is_under_a_name_of_machine_and_device(
    tmp_path: Path, kind: str
) -> None:
    path = result_file(tmp_path, kind)
    place, copied = contribute(path, tmp_path / "there")
    assert place.read_bytes() == path.read_bytes()
    result = check(place)
    assert result == copied
    assert place.name.startswith(f"{kind}-")
    assert machine(result) in place.name
    assert machine(result).split("-c")[0] == {"eval": "amd-epyc", "timing": "amd-epyc"}.get(
        kind, "intel-xeon"
    )
    assert ("cuda-nvidia-h100" in place.name) == (kind in ("kernels", "network", "training"))
    assert contribute(path, tmp_path / "there").path == place  # again: the same file


def test_machines_and_devices_are_told_apart(tmp_path: Path) -> None:
    def on(device: str, gpu: str | None) -> str:
        def change(content: dict[str, Any]) -> None:
            content["device"] = device
            content["environment"] |= {"cpu": "Intel(R) Core(TM) i7 CPU @ 3 GHz", "gpu": gpu}

        return machine(read_contribution(result_file(tmp_path, "timing", change))[0])

    assert on("cpu", None) == "intel-core-i7-cpu"
    assert on("cpu", "NVIDIA H100") == "intel-core-i7-cpu"
    assert on("cuda", "NVIDIA H100") == on("cuda:1", "NVIDIA H100")
    assert on("cuda", "NVIDIA H100") == "intel-core-i7-cuda-nvidia-h100"


def test_two_of_one_kind_of_machine_do_not_meet(tmp_path: Path) -> None:
    first = contribute(result_file(tmp_path), tmp_path).path
    other = result_file(tmp_path, change=lambda c: c["environment"].update(load=9.5))
    second = contribute(other, tmp_path).path
    assert first != second
    assert first.name[:-14] == second.name[:-14]


def test_names_that_are_too_long_are_cut(tmp_path: Path) -> None:
    long = "x" * 240
    path = result_file(tmp_path, change=lambda c: c["method"].update(name=long, run=long) or None)
    result, content = read_contribution(path)
    assert content == path.read_bytes()
    assert long in _what(result)
    assert len(file_name(result, content).encode()) < 255


def changed(tmp_path: Path, place: str, value: Any) -> list[str]:
    def change(content: dict[str, Any]) -> None:
        *way, last = place.split(".")
        for key in way:
            content = content[int(key) if key.isdigit() else key]
        content[last] = value

    result, _ = read_contribution(result_file(tmp_path, change=change))
    return faults(result) + outdated(result)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("environment.commit", "0123456789ab-dirty", "changed sources"),
        ("environment.commit", None, None),
        ("environment.date", None, "when it was measured"),
        ("dataset.name", "folder-mine", "called as files of yours"),
        ("dataset.name", "mine-x", "called as files of yours"),
        ("dataset.name", "synthetic-hdrplus-mine", "called as files of yours"),
        ("dataset.name", "synthetic-hdrplus-local-tone-map", "not those of the lock"),
        ("dataset.name", "fivek-libraw-c-480p", None),
        ("dataset.name", "demo-", "called as files of yours"),
        ("dataset.digest", "0" * 64, "not those of the lock manifests/demo-retouch.json"),
        ("metrics.psnr.version", 99, "psnr: measured by another definition"),
        ("leaked", 2, "trained with 2 of its pictures"),
        ("unpaired", {"extra": ["me.png"]}, "not of all pictures"),
        ("unpaired", {}, None),
        ("environment.cpu", "/home/me/cpu", "tells of a place on a machine"),
        ("rows.0.notes", ["read from /tmp/x.png"], "rows[0].notes[0] tells of a place"),
        ("rows.0.notes", ["it is at (~/pictures)"], "tells of a place"),
        ("rows.0.notes", ["C:\\Users\\me"], "tells of a place"),
        ("rows.0.notes", ["C:/Users/me"], "tells of a place"),
        ("rows.0.notes", ["\\\\server\\me"], "tells of a place"),
        ("rows.0.notes", ["/nfs/alice/x"], "tells of a place"),
        ("rows.0.notes", ["cannot open '/work/alice/m'"], "tells of a place"),
        ("rows.0.notes", ["path=/gpfs/u/bob"], "tells of a place"),
        ("rows.0.notes", ["read:/workspace/bob/x"], "tells of a place"),
        ("rows.0.notes", ["/My Disk/bob"], "tells of a place"),
        ("rows.0.notes", ["~bob/x"], "tells of a place"),
        ("rows.0.notes", ["file:///nfs/alice"], "tells of a place"),
        ("rows.0.notes", ["https://example.org/a, /nfs/alice"], "tells of a place"),
        ("rows.0.notes", ["https:///nfs/alice"], "tells of a place"),
        ("rows.0.notes", ["grey repeated into three channels; skimage/data/brick.png"], None),
        ("rows.0.notes", ["see https://example.org/home/x and a/tmp/b"], None),
        (
            "rows.0.notes",
            ["./a/b, ../a/b, 3 dB/octave, sRGB / linear, /x, ~5/6 of it"],
            None,
        ),
    ],
)
def test_what_is_refused_and_why(tmp_path: Path, place: str, value: Any, says: str | None) -> None:
    before = changed(tmp_path, "environment.commit", "0123456789ab")
    found = [text for text in changed(tmp_path, place, value) if text not in before]
    assert len(found) == (says is not None), found
    assert says is None or says in found[0]


def test_a_refused_one_is_not_written(tmp_path: Path) -> None:
    path = result_file(tmp_path, change=lambda c: c["dataset"].update(name="folder-mine"))
    with pytest.raises(DataError, match=r"result\.json cannot be contributed: dataset folder-mine"):
        contribute(path, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_a_file_that_was_changed_or_renamed_is_seen(tmp_path: Path) -> None:
    place = contribute(result_file(tmp_path), tmp_path / "there").path
    text = place.read_text()
    place.write_text(text.replace('"load": ', '"load":  '))
    with pytest.raises(DataError, match="name does not fit what it holds: it would be eval-"):
        check(place)
    place.write_text(text)
    with pytest.raises(DataError, match=f"it would be {place.name}"):
        check(place.rename(place.with_name("mine.json")))


@pytest.mark.fault("hostile results")
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": 5}', "[" * 100_000, '{"kind": "x"}'])
def test_what_is_no_result_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"x\.json") as raised:
        check(path)
    assert "\n" not in str(raised.value)


def test_what_could_not_be_accepted_is_said_before_measuring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def of(name: str, digest: str = "0", **others: Any) -> Pictures:
        return Pictures(DatasetId(name=name, protocol="x", split="test", digest=digest), **others)

    lock = find_lock("demo-retouch")
    assert lock is not None
    good = [of("demo-retouch", lock[0].digest), of("fivek-x", unpaired=Unpaired())]
    monkeypatch.setattr("hdrnet_bench.contributions.commit", lambda: "0123456789ab")
    check_before()
    check_before(good)
    for bad, says in (
        (of("folder-mine"), "dataset folder-mine"),
        (of("demo-retouch", "0"), "not those of the lock manifests/demo-retouch.json"),
        (of("fivek-x", leaked=1), "trained with 1 of its pictures"),
        (of("fivek-x", unpaired=Unpaired(missing=["a"])), "not of all pictures"),
    ):
        with pytest.raises(DataError, match=says) as raised:
            check_before([*good, bad, bad])
        assert str(raised.value).count(says) == 1
    monkeypatch.setattr("hdrnet_bench.contributions.commit", lambda: "0123456789ab-dirty")
    check_before(measures=False)
    with pytest.raises(DataError, match="changed sources"):
        check_before()


def test_a_result_that_stays_is_looked_at_before_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdrnet_bench.contributions.commit", lambda: None)
    check_before(there=[result_file(tmp_path)])
    dirty = result_file(tmp_path, change=lambda c: c["environment"].update(commit="01-dirty"))
    with pytest.raises(DataError, match=r"result\.json cannot be contributed: .* 01-dirty"):
        check_before(there=[dirty])


def test_what_is_checked_is_what_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the file is replaced meanwhile: it is read once."""
    path = result_file(tmp_path)
    good = path.read_bytes()
    place, read = contribute(path, tmp_path / "there").path, files.read_bytes

    def replaced_after(where: Path, most: int = files.MOST_BYTES) -> bytes:
        content = read(where, most)
        if where == path:  # and never the lock, which is read by the same
            path.write_bytes(b"{}")
        return content

    monkeypatch.setattr(files, "read_bytes", replaced_after)
    assert contribute(path, tmp_path / "other").path.read_bytes() == good
    assert path.read_bytes() == b"{}"
    path = place
    check(place)
    assert place.read_bytes() == b"{}"


def test_what_it_holds_is_said_with_all_of_the_environment(tmp_path: Path) -> None:
    result, _ = read_contribution(result_file(tmp_path))
    said = held(result)
    optional = {"gpu", "onnxruntime"}
    for name in set(Environment.model_fields) - optional:
        assert str(getattr(result.environment, name)) in said, name
    assert isinstance(result, Evaluation)
    assert f"recipe {result.recipe.name}, method identity, run baseline" in said
    assert f"dataset {result.dataset.name}" in said
    timing, _ = read_contribution(result_file(tmp_path, "timing"))
    assert "method hdrnet-curves, run seed-0, named as they are" in held(timing)
    assert "recipe" not in held(read_contribution(result_file(tmp_path, "kernels"))[0])


def test_eval_contributes_and_the_list_shows_it(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("contributions", "environment"):
        monkeypatch.setattr(f"hdrnet_bench.{module}.commit", lambda: "0123456789ab")
    command = ["eval", "tiny.yaml", "--baseline", "identity", "--size", "full", "--contribute"]
    planned = tiny.run(*command, "--dry-run")
    assert "would copy what is written to contributions/" in planned.stderr
    assert not (tiny.path / "contributions").exists()
    done = tiny.run(*command)
    assert done.returncode == 0, done.stderr
    (path,) = (tiny.path / "contributions").iterdir()
    assert path.name.startswith("eval-tiny-identity-baseline-demo-tiny-test-full-")
    said = " ".join(done.stderr.split())
    assert "holds recipe tiny, method identity, run baseline, named as" in said
    assert f"copied to contributions/{path.name}" in said
    assert tiny.json("contributions")["accepted"][0]["file"] == f"contributions/{path.name}"
    shown = tiny.run("contributions").stdout
    assert path.name in shown
    assert "PSNR " in shown
    # What is there was measured on a clean commit, whatever was changed since.
    for module in ("contributions", "environment"):
        monkeypatch.setattr(f"hdrnet_bench.{module}.commit", lambda: "0123456789ab-dirty")
    again = tiny.run(*command)
    assert again.returncode == 0, again.stderr
    assert "changed sources" in tiny.fails(3, *command, "--overwrite")
    path.rename(path.with_name("mine.json"))
    assert "it would be eval-tiny" in tiny.fails(3, "contributions")
    assert "it would be eval-tiny" in tiny.fails(3, "contributions", "contributions/mine.json")


def test_those_that_are_named_must_be_of_what_is_committed_now(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = result_file(tmp_path, change=lambda c: c["dataset"].update(digest="0" * 64))
    result, _ = read_contribution(path)
    place = tmp_path / "contributions" / file_name(result, path.read_bytes())
    place.parent.mkdir()
    shutil.copy(path, place)
    (accepted,) = workspace.json("contributions")["accepted"]
    assert "not those of the lock" in accepted["outdated"][0]
    assert "not those of the lock" in workspace.fails(3, "contributions", str(place))


def test_time_needs_a_result_to_contribute(tiny: Workspace) -> None:
    assert "--contribute copies a result file" in tiny.fails(2, "time", "--contribute")
    assert "--contribute copies" in tiny.fails(2, "time", "--kernels", "--contribute")


def test_time_contributes_what_it_saved(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("contributions", "environment"):
        monkeypatch.setattr(f"hdrnet_bench.{module}.commit", lambda: "0123456789ab")
    command = ["time", "--kernels", "--resolution", "64x48", "--device", "cpu", "--save"]
    done = workspace.run(*command, "--contribute", "--quiet")
    assert done.returncode == 0, done.stderr
    (path,) = (workspace.path / "contributions").iterdir()
    assert path.name.startswith("kernels-")
    (saved,) = (workspace.path / "results").iterdir()
    assert path.read_bytes() == saved.read_bytes()


def test_the_list_without_any_and_the_schema(workspace: Workspace) -> None:
    assert "no contributions" in workspace.run("contributions").stdout
    assert workspace.run("contributions", "--schema").stdout == schema_text()
    workspace.fails(2, "contributions", "--schema", "--json")
    workspace.fails(3, "contributions", "nowhere.json")
