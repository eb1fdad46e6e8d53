"""`hdrbench push`: what is brought to a Hub, what is printed of it, what is refused."""

import hashlib
import json
import re
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from hdrnet_bench import HDRNet, load_model
from hdrnet_bench.model.file import ModelHeader, save_model
from hdrnet_bench.pretrained import pretrained_models
from tests.conftest import ROOT, Workspace, clean_environment
from tests.hub_server import COMMIT, hub

RESULT = ROOT / "results/demo-retouch/hdrnet-curves/seed-0/eval-test-full.json"
FILES = ["README.md", "config.json", "model.safetensors"]


def push(workspace: Workspace, address: str, *arguments: str) -> CompletedProcess[str]:
    settings = {"HF_ENDPOINT": address, "HF_HOME": "home", "HF_HUB_DISABLE_XET": "1"}
    environment = clean_environment() | settings | {"HF_TOKEN": "made-up"}
    return workspace.process("push", *arguments, env=environment)


def test_a_model_its_card_and_the_entry_that_knows_it(workspace: Workspace) -> None:
    repositories: dict[str, dict[str, bytes]] = {}
    card = ("--result", str(RESULT), "--licence", "cc0-1.0", "--summary", "For a test.")
    with hub(repositories) as address:
        done = push(workspace, address, "demo-retouch", "owner/My_Net.v2", *card)
    assert done.returncode == 0, done.stderr
    pushed = repositories["owner/My_Net.v2"]
    assert sorted(pushed) == FILES
    content = pushed["model.safetensors"]
    assert content == (ROOT / "pretrained/demo-retouch/model.safetensors").read_bytes()
    text = pushed["README.md"].decode()
    for words in ("\nFor a test.\n", "cc0-1.0", "26.35", 'load_model("owner/My_Net.v2")'):
        assert words in text
    assert "model: pretrained model demo-retouch: " in done.stderr
    assert "next: with these lines below `models:`" in done.stderr
    entry = yaml.safe_load(re.search(r"^  my-net-v2:\n(    .*\n)+", done.stdout, re.M)[0])
    assert entry == {
        "my-net-v2": {
            "sha256": hashlib.sha256(content).hexdigest(),
            "summary": "For a test.",
            "licence": "cc0-1.0",
            "hub": "owner/My_Net.v2",
            "revision": COMMIT,
        }
    }
    # As it stands, the entry makes the model known.
    Path("pretrained").mkdir()
    Path("pretrained/models.yaml").write_text(yaml.safe_dump({"models": entry}))
    settings = {"HF_ENDPOINT": "", "HF_HOME": "home2", "HF_HUB_DISABLE_XET": "1"}
    with hub(repositories) as address:
        environment = clean_environment() | settings | {"HF_ENDPOINT": address}
        done = workspace.process("export", "my-net-v2", "--format", "torch", env=environment)
    assert done.returncode == 0, done.stderr
    assert "model: pretrained model my-net-v2: " in done.stderr
    assert "wrote: my-net-v2.pt2" in done.stdout


def test_a_dry_run_shows_all_and_asks_nothing(workspace: Workspace) -> None:
    nobody = "http://127.0.0.1:9"
    done = push(workspace, nobody, "demo-retouch", "owner/name", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "model.safetensors 1,932,168 bytes" in done.stdout
    assert "# HDRNet, curves: demo-retouch" in done.stdout
    assert "None are stated." in done.stdout
    report = json.loads(
        push(workspace, nobody, "demo-retouch", "owner/name", "--dry-run", "--json").stdout
    )
    assert report["sha256"].startswith("4e617f066e78")
    assert sorted(report["files"]) == FILES
    assert report["files"]["model.safetensors"] == 1932168
    assert report["card"] in done.stdout
    line = workspace.fails(2, "push", "owner/other", "owner/name", "--dry-run")
    assert "owner/other is on the Hub, which --dry-run asks nothing" in line


def test_json_has_the_entry_and_nothing_is_said_beside_it(workspace: Workspace) -> None:
    save_model(Path("m.safetensors"), HDRNet(), ModelHeader(config=HDRNet().config))
    repositories: dict[str, dict[str, bytes]] = {}
    with hub(repositories) as address:
        done = push(workspace, address, "m.safetensors", "owner/name", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["wrote"].endswith(f"/owner/name/commit/{COMMIT}")
    entry = report["entry"]["name"]
    assert entry["summary"] == "HDRNet, curves"
    assert entry["licence"] == "unknown"
    assert entry["sha256"] == report["sha256"]


def test_private_is_private_or_nothing_is_uploaded(workspace: Workspace) -> None:
    repositories: dict[str, dict[str, bytes]] = {"owner/public": {}}
    with hub(repositories) as address:
        done = push(workspace, address, "demo-retouch", "owner/secret", "--private")
        assert done.returncode == 0, done.stderr
        done = push(workspace, address, "demo-retouch", "owner/public", "--private")
    assert done.returncode == 3
    assert "owner/public is there already, and public: nothing was uploaded" in done.stderr
    assert sorted(repositories["owner/secret"]) == FILES
    assert repositories["owner/public"] == {}


def test_what_cannot_be_pushed_is_one_line(workspace: Workspace) -> None:
    done = push(workspace, "http://127.0.0.1:9", "demo-retouch", "owner/name", "--quiet")
    (line,) = done.stderr.splitlines()
    assert (done.returncode, line.startswith("hdrbench: owner/name cannot be brought")) == (3, True)
    for name in ("name", "owner/name/x", "owner/", "a b/c"):
        assert "write OWNER/NAME" in workspace.fails(2, "push", "demo-retouch", name)
    other = ("push", "demo-hdrplus", "owner/name", "--dry-run", "--result", str(RESULT))
    assert "another recipe, dataset or seed" in workspace.fails(3, *other)
    assert "did you mean" in workspace.fails(2, "push", "demo-retuch", "owner/name", "--dry-run")


def test_an_unfinished_training_is_said(trained: Workspace) -> None:
    run = "runs/tiny/seed-0/last.safetensors"
    model = load_model(run)
    assert model.header is not None
    save_model(Path(run), model, model.header.model_copy(update={"step": 3}))
    done = trained.run("push", "tiny/seed-0", "owner/name", "--dry-run")
    assert f"{run}: of a training that stands at step 3 of 6" in done.stderr


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_known_is_told_what_to_do(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from hdrnet_bench.errors import DataError
    from hdrnet_bench.hub_files import upload

    def refuses(*_: object, **__: object) -> None:
        error = RuntimeError("who are you?")
        error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", refuses)
    with pytest.raises(DataError, match=r"who are you\?; `hf auth login`, or HF_TOKEN"):
        upload(Path(), "owner/name", message="")


def test_a_pretrained_model_keeps_its_licence_and_summary(workspace: Workspace) -> None:
    entry = pretrained_models()["demo-retouch"].entry
    card = workspace.json("push", "demo-retouch", "me/look", "--dry-run")["card"]
    assert f'license: "{entry.licence}"' in card
    assert entry.summary.split(";")[0] in card
    card = workspace.json("push", "demo-retouch", "me/look", "--dry-run", "--licence", "mit")[
        "card"
    ]
    assert 'license: "mit"' in card
