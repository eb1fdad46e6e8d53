"""Models that are known by name: the shipped ones, lists of one's own, and what is refused."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from hdrnet_bench import HDRNet, load_model
from hdrnet_bench.config import HDRNetConfig
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.files import sha256_file
from hdrnet_bench.model_names import find_model
from hdrnet_bench.pretrained import pretrained_models
from hdrnet_bench.results import Evaluation, read_result
from tests.conftest import ROOT, Workspace, clean_environment, smooth_picture
from tests.hub_server import COMMIT, hub

HERE = ROOT / "pretrained"
NAMES = sorted(yaml.safe_load((HERE / "models.yaml").read_text())["models"])


def test_the_page_and_the_list_name_the_same_models() -> None:
    rows = re.findall(
        r"^\| \[(.*?)\]\((.*?)/README\.md\) \|", (HERE / "README.md").read_text(), re.M
    )
    assert sorted(name for name, _ in rows) == NAMES == sorted(pretrained_models())
    assert all(name == folder for name, folder in rows)
    assert {path.name for path in HERE.iterdir() if path.is_dir()} == set(NAMES)


def result_of(name: str, method: str = "hdrnet-*/seed-0") -> tuple[Path, Evaluation]:
    (path,) = (ROOT / "results" / name).glob(f"{method}/eval-test-full.json")
    result = read_result(path)
    assert isinstance(result, Evaluation)
    return path, result


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_what_its_model_is(workspace: Workspace, name: str) -> None:
    """Generated from the file and the committed result of the same weights; its first paragraph is
    written by hand."""
    entry = pretrained_models()[name].entry
    path, result = result_of(name)
    assert (
        result.method.model_sha256 == entry.sha256 == sha256_file(HERE / name / "model.safetensors")
    )
    model = load_model(name)
    assert (
        model.origin
        == f"pretrained model {name}: {HERE / name / 'model.safetensors'}, SHA-256 "
        + (entry.sha256[:12])
    )
    text = (HERE / name / "README.md").read_text()
    summary = re.search(r"^# .*\n\n(.*)\n", text, re.M)[1]
    card = {"results": [path], "licence": entry.licence, "summary": summary, "name": name}
    model.save_pretrained("again", model_card_kwargs=card)
    for file in ("README.md", "config.json", "model.safetensors"):
        assert (HERE / name / file).read_bytes() == Path("again", file).read_bytes()
    assert summary.startswith(entry.summary)
    own, identity = (r.metrics["psnr"].mean for r in (result, result_of(name, "identity/*")[1]))
    scores = [f"{own:.2f} dB", f"{identity:.2f} dB"]
    said = ["six photographs", "two minutes", "not for production", f"`hdrbench train {name}`"]
    for words in [*said, *scores]:
        assert words in summary
    (row,) = re.findall(rf"^\| \[{name}\].*$", (HERE / "README.md").read_text(), re.M)
    assert row.endswith(f"| {own:.2f} | {identity:.2f} |")


def a_photograph(name: str) -> None:
    Image.fromarray(smooth_picture(4, 66, 50)).save(name)


def test_a_fresh_checkout_enhances_with_nothing_trained(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HDRBENCH_RUNS", "empty")
    a_photograph("a.jpg")
    done = workspace.run("enhance", "demo-retouch", "a.jpg", "b.jpg")
    assert done.returncode == 0, done.stderr
    assert Path("b.jpg").stat().st_size
    assert "model: pretrained model demo-retouch: " in done.stderr
    assert "SHA-256 4e617f066e78" in done.stderr
    for option in ("--quiet", "--json"):
        done = workspace.run("enhance", "demo-retouch", "a.jpg", f"c{option}.jpg", option)
        assert (done.returncode, "model:" in done.stderr) == (0, False)
    assert load_model("demo-retouch").header.recipe == "demo-retouch"
    dry = workspace.json("export", "demo-retouch", "--format", "torch", "--dry-run")
    assert dry["would write"] == "demo-retouch.pt2"


SMALL = HDRNetConfig(net_input_size=16, spatial_bin=4, luma_bins=2)


def listed(change: dict | None = None, name: str = "mine", folder: str = "pretrained") -> str:
    """A list in the current folder with one model beside it; the SHA-256 of that."""
    HDRNet(SMALL).save_pretrained(f"{folder}/{name}", overwrite=True)
    digest = sha256_file(Path(folder, name, "model.safetensors"))
    entry = {"sha256": digest, "summary": "made up", "licence": "cc0-1.0"} | (change or {})
    entry = {key: value for key, value in entry.items() if value is not None}
    Path(folder, "models.yaml").write_text(yaml.safe_dump({"models": {name: entry}}))
    return digest


def test_a_list_of_ones_own_comes_first_and_the_project_s_models_stay(workspace: Workspace) -> None:
    listed()
    assert load_model("mine").config == SMALL
    assert {"mine", "demo-retouch"} <= set(pretrained_models())
    digest = listed(name="demo-retouch")
    assert find_model("demo-retouch").fetched()[1] == (
        "pretrained model demo-retouch: pretrained/demo-retouch/model.safetensors, "
        f"SHA-256 {digest[:12]}"
    )
    Path("pretrained/models.yaml").unlink()  # a folder of that name alone is no list
    assert load_model("demo-retouch").config == HDRNetConfig()


def test_another_file_than_the_list_means_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed({"sha256": "0" * 64})
    a_photograph("a.jpg")
    line = workspace.fails(3, "enhance", "mine", "a.jpg", "b.jpg")
    assert "is not the model mine of pretrained/models.yaml: its SHA-256 begins" in line
    assert "not 000000000000" in line
    with pytest.raises(DataError, match="is not the model mine of"):
        load_model("mine")
    size = Path("pretrained/mine/model.safetensors").stat().st_size
    monkeypatch.setattr("hdrnet_bench.model_names.MOST_BYTES", size)
    with pytest.raises(DataError, match="is not the model mine of"):
        load_model("mine")
    monkeypatch.setattr("hdrnet_bench.model_names.MOST_BYTES", size - 1)
    with pytest.raises(DataError, match=f"has {size:,} bytes, which no HDRNet has"):
        load_model("mine")
    Path("pretrained/mine/model.safetensors").unlink()
    with pytest.raises(DataError, match=r"pretrained/mine/model\.safetensors is missing"):
        load_model("mine")
    os.mkfifo("pretrained/mine/model.safetensors")
    with pytest.raises(DataError, match="is not a regular file"):
        load_model("mine")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"sha256": "0" * 63}, "sha256: it must be 64 hexadecimal digits"),
        ({"sha256": "F" * 64}, "sha256: it must be 64 hexadecimal digits"),
        ({"summary": None}, "summary: Field required"),
        ({"summary": ""}, "summary: "),
        ({"licence": None}, "licence: Field required"),
        ({"hub": "owner/name"}, "hub and revision go together"),
        ({"revision": "a" * 40}, "hub and revision go together"),
        ({"hub": "owner", "revision": "a" * 40}, "hub: it must be OWNER/NAME"),
        ({"hub": "owner/name", "revision": "main"}, "revision: it must be a whole commit"),
        ({"hub": "owner/name", "revision": "a" * 41}, "revision: it must be a whole commit"),
        ({"url": "x"}, "url: unknown key"),
    ],
)
def test_a_list_is_read_strictly(workspace: Workspace, change: dict, fault: str) -> None:
    listed(change)
    line = workspace.fails(2, "export", "mine")
    assert "pretrained/models.yaml: models.mine" in line
    assert fault in line


def test_a_name_in_a_list_is_as_names_are(workspace: Workspace) -> None:
    listed(name="Mine")
    assert "small letters" in workspace.fails(2, "export", "zzz")
    Path("pretrained/models.yaml").write_text("- a list")
    assert "is not a list of models" in workspace.fails(2, "export", "zzz")


def test_a_run_of_the_user_wins_over_the_pretrained_model(trained: Workspace) -> None:
    listed(name="tiny")
    last = Path("runs/tiny/seed-0/last.safetensors")
    assert find_model("tiny").path == last
    assert load_model("tiny").origin == f"run: {last}, SHA-256 {sha256_file(last)[:12]}"
    shutil.rmtree("runs/tiny")
    assert find_model("tiny").kind == "pretrained"


HUB_SCRIPT = """
import json, sys
from pathlib import Path
from hdrnet_bench.errors import HdrbenchError
from hdrnet_bench.model_names import find_model
found = []
for name in sys.argv[1:]:
    try:
        found.append(list(map(str, find_model(name).fetched())))
    except HdrbenchError as error:
        found.append([type(error).__name__, str(error)])
assert "torch" not in sys.modules
print(json.dumps(found))
"""


def fetched(address: str, *names: str) -> list[list[str]]:
    home = str(Path("home").resolve())
    done = subprocess.run(
        [sys.executable, "-c", HUB_SCRIPT, *names],
        env=clean_environment()
        | {"HF_ENDPOINT": address, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_model_on_the_hub_is_had_at_its_commit_and_checked(workspace: Workspace) -> None:
    digest = listed({"hub": "owner/net", "revision": COMMIT})
    content = Path("pretrained/mine/model.safetensors").read_bytes()
    shutil.rmtree("pretrained/mine")
    repositories = {"owner/net": {"model.safetensors": content}}
    with hub(repositories) as address:
        ((path, origin), (other, from_hub)) = fetched(address, "mine", "owner/net")
    assert "home/hub/models--owner--net/snapshots/" in path
    assert origin == f"pretrained model mine: {path}, SHA-256 {digest[:12]}"
    assert (other, from_hub) == (path, f"owner/net on the Hub: {path}, SHA-256 {digest[:12]}")
    nobody = "http://127.0.0.1:9"
    assert fetched(nobody, "mine") == [[path, origin]]
    with hub(repositories, lies={"owner/net": 10**15}) as address:
        assert fetched(address, "mine") == [
            [path, origin]
        ]  # of a commit that is here it is not asked
        assert "which no HDRNet has" in fetched(address, "owner/net")[0][1]
    shutil.rmtree("home")
    ((kind, says),) = fetched(nobody, "mine")
    assert (kind, "owner/net cannot be had from the Hub" in says) == ("DataError", True)
    repositories["owner/net"]["model.safetensors"] = content[:-1] + b"x"
    with hub(repositories) as address:
        ((kind, says),) = fetched(address, "mine")
    assert (kind, "is not the model mine of pretrained/models.yaml" in says) == ("DataError", True)


def test_the_hub_is_asked_last_and_not_for_what_is_spoken_of_here(trained: Workspace) -> None:
    for name in ("owner/name", "owner/demo-retouch", "A.b-c/d_e"):
        assert find_model(name) == ("hub", None, name, None)
    shutil.copytree("runs/tiny/seed-0", "owner/name")
    assert find_model("owner/name").kind == "run"
    Path("owner/name/recipe.yaml").unlink()
    assert find_model("owner/name").kind == "folder"
    shutil.copytree("runs/tiny/seed-0", "runs/other/mine")
    mistyped = [
        "tiny/seed0", "tiny/x", "demo-retouch/mine", "demo-retuch/seed-0", "data/x", "runs/x",
        "results/x", "pretrained/demo", "owner/other", "othr/mine", "a/b.safetensors", "a/b.yaml",
        "a/b/c", "/a/b", "./a", "../a", "a/", "a b/c", "\u00e4/b",
    ]  # fmt: skip
    for name in mistyped:
        with pytest.raises(UsageError):
            find_model(name)


def test_what_cannot_be_had_from_the_hub_is_said_to_be_nothing_here(workspace: Workspace) -> None:
    with hub({}) as address:
        ((kind, says),) = fetched(address, "owner/nothing")
    assert kind == "DataError"
    assert "owner/nothing cannot be had from the Hub" in says
    assert says.endswith("(here is no file, folder or run of that name)")
    assert "\n" not in says


@pytest.mark.parametrize(
    "arguments",
    [
        ("enhance", "in.png", "out.png"),
        ("export", "out.onnx"),
        ("time", "--resolution", "64x64", "--budget", "1"),
    ],
)
def test_a_dry_run_asks_the_hub_nothing(workspace: Workspace, arguments: tuple[str, ...]) -> None:
    Image.fromarray(smooth_picture(1, 20, 30)).save("in.png")
    command, *rest = arguments
    nobody = clean_environment() | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    done = workspace.process(command, "owner/name", *rest, "--dry-run", env=nobody)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert workspace.process(command, "owner/name", *rest, env=nobody).returncode == 3


def test_a_list_of_another_program_is_told_from_ours(workspace: Workspace) -> None:
    Path("pretrained").mkdir()
    Path("pretrained/models.yaml").write_text("resnet: {url: elsewhere}\n")
    line = workspace.fails(2, "export", "demo-retouch")
    assert "pretrained/models.yaml is read as hdrnet-bench's list of pretrained models" in line


def test_what_a_list_names_and_is_not_there(workspace: Workspace) -> None:
    Path("pretrained").mkdir()
    entry = {"sha256": "0" * 64, "summary": "s", "licence": "cc0-1.0"}
    Path("pretrained/models.yaml").write_text(yaml.safe_dump({"models": {"mine": entry}}))
    line = workspace.fails(3, "export", "mine")
    assert "mine/model.safetensors is missing, which pretrained/models.yaml names" in line
