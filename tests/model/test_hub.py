import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from hdrnet_bench import HDRNet, HDRNetConfig, load_model
from hdrnet_bench.errors import CapabilityError, DataError, UsageError
from hdrnet_bench.model.file import ModelHeader, save_model
from tests.conftest import ROOT, Workspace, clean_environment
from tests.hub_server import hub

CONFIG = HDRNetConfig(net_input_size=16, spatial_bin=4, luma_bins=2, variant="pointwise")
HEADER = ModelHeader(
    config=CONFIG,
    recipe="tiny",
    recipe_digest="1" * 64,
    dataset="demo-tiny",
    dataset_digest="2" * 64,
    seed=3,
    step=6,
    steps=6,
)


def made() -> HDRNet:
    save_model(Path("m.safetensors"), HDRNet(CONFIG), HEADER)
    return load_model("m.safetensors")


def test_a_folder_there_and_back(workspace: Workspace) -> None:
    model = made()
    model.save_pretrained("folder")
    names = sorted(path.name for path in Path("folder").iterdir())
    assert names == ["README.md", "config.json", "model.safetensors"]
    assert HDRNetConfig.model_validate_json(Path("folder/config.json").read_text()) == CONFIG
    for name in ("folder", Path("folder")):
        back = HDRNet.from_pretrained(name)
        assert isinstance(back, HDRNet)
        assert not back.training
        assert back.header == HEADER
        assert back.origin == load_model(name).origin
        assert back.origin is not None
        assert back.origin.startswith("folder: folder/model.safetensors, SHA-256 ")
        state = back.state_dict()
        assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    assert load_model("folder/model.safetensors").header == HEADER
    assert HDRNet(CONFIG).config == CONFIG  # the constructor is as it was
    assert HDRNet().config == HDRNetConfig()
    assert HDRNet().origin is None


def test_saving_may_push_as_well(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """As huggingface_hub's own mixin does: by default to a repository of the folder's name."""
    asked: list[tuple[object, ...]] = []

    def upload(folder: Path, repository: str, **options: object) -> str:
        asked.append(
            (sorted(path.name for path in folder.iterdir()), repository, options["branch"])
        )
        return "address"

    monkeypatch.setattr("hdrnet_bench.model.hub.upload", upload)
    model = made()
    assert model.save_pretrained("a/net", push_to_hub=True, branch="b") == "address"
    assert model.save_pretrained("c", push_to_hub=True, repo_id="owner/d") == "address"
    assert model.save_pretrained("e") is None
    files = ["README.md", "config.json", "model.safetensors"]
    assert asked == [(files, "net", "b"), (files, "owner/d", None)]
    with pytest.raises(TypeError, match="brunch"):
        model.save_pretrained("f", push_to_hub=True, brunch="b")


def test_nothing_is_replaced_unasked(workspace: Workspace) -> None:
    model = made()
    Path("folder").mkdir()
    Path("folder/README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"README\.md is there already"):
        model.save_pretrained("folder")
    assert [path.name for path in Path("folder").iterdir()] == ["README.md"]
    assert Path("folder/README.md").read_text() == "mine"
    model.save_pretrained("folder", overwrite=True)
    assert "tiny" in Path("folder/README.md").read_text()


def test_the_card_says_what_is_known_and_what_is_not(workspace: Workspace) -> None:
    card = made().generate_model_card(licence="cc0-1.0")
    assert card.data.license == "cc0-1.0"
    assert card.data.library_name == "hdrnet-bench"
    assert "| recipe | tiny, digest 111111111111 |" in card.text
    assert "| data | demo-tiny, digest 222222222222 |" in card.text
    assert "| steps | 6 of 6 |" in card.text
    assert "None are stated." in card.text
    assert 'load_model("owner/name")  # or this folder' in card.text
    told = made().generate_model_card(summary="Made up *here*.", name="mine").text
    assert "\n\nMade up \\*here\\*.\n\n" in told
    assert 'load_model("mine")  # or this folder' in told

    bare = HDRNet(CONFIG).generate_model_card()
    assert bare.data.license == "unknown"
    assert "| recipe | not stated |" in bare.text
    assert "| source | not stated |" in bare.text
    assert "Not stated by whoever made this model." in bare.text
    imported = HDRNet(CONFIG)
    imported.header = ModelHeader(config=CONFIG, source="imported from x")
    assert "| source | imported from x |" in imported.generate_model_card().text


def test_the_card_takes_scores_of_this_model_alone(workspace: Workspace) -> None:
    path = ROOT / "results/demo-retouch/hdrnet-curves/seed-0/eval-test-full.json"
    stated = json.loads(path.read_text())
    model = made()
    assert model.header is not None
    model.header = HEADER.model_copy(
        update={
            "recipe_digest": stated["recipe"]["digest"],
            "dataset_digest": stated["dataset"]["digest"],
            "seed": stated["method"]["seed"],
        }
    )
    model.save_pretrained("folder", model_card_kwargs={"results": [path]})
    card = ModelCard.load("folder/README.md")
    assert f"| {stated['metrics']['psnr']['mean']:.2f} [" in card.text
    assert "PSNR" in card.text
    with pytest.raises(DataError, match="another recipe, dataset or seed"):
        made().generate_model_card(results=[path])


def test_a_folder_of_pickles_is_refused(workspace: Workspace) -> None:
    Path("folder").mkdir()
    torch.save(HDRNet(CONFIG).state_dict(), "folder/pytorch_model.bin")
    with pytest.raises(
        DataError, match=r"no model\.safetensors; other files, pickles like pytorch"
    ):
        HDRNet.from_pretrained("folder")
    with pytest.raises(DataError, match="neither a folder nor the name of a repository"):
        HDRNet.from_pretrained("no/such/folder")
    torch.save(HDRNet(CONFIG).state_dict(), "folder/model.safetensors")
    with pytest.raises(DataError, match="not a model file of this project"):
        HDRNet.from_pretrained("folder")


SCRIPT = """
import json, torch
from hdrnet_bench import HDRNet, load_model
from hdrnet_bench.errors import DataError

model = load_model("m.safetensors")
report = {"url": str(model.push_to_hub("owner/name", token="made-up"))}
back = HDRNet.from_pretrained("owner/name")
report["equal"] = all(
    torch.equal(back.state_dict()[k], v) for k, v in model.state_dict().items()
)
report["recipe"] = back.header.recipe
report["origins"] = [back.origin, load_model("owner/name").origin, model.origin]
for name in (
    "owner/pickles", "owner/nothing", "owner/other", "owner/deep", "owner/huge",
    "owner/unsized",
    "../..", "owner/\x1b]0;", "owner/name/../../x",
):
    try:
        HDRNet.from_pretrained(name)
    except DataError as error:
        report[name] = str(error)
again = HDRNet.from_pretrained("owner/name", local_files_only=True)
report["from the cache"] = again.config == model.config
print(json.dumps(report))
"""


def deep_header() -> bytes:
    """A safetensors file whose header is nested deeper than a parser can go."""
    header = b'{"__metadata__": ' + b"[" * 100_000
    return struct.pack("<Q", len(header)) + header


@pytest.mark.fault("hostile recipes and models")
def test_pushed_to_a_hub_and_had_from_it(
    workspace: Workspace, record_property: Callable[[str, object], None]
) -> None:
    record_property("faults", 9)
    made()
    repositories = {
        "owner/pickles": {"pytorch_model.bin": b"a pickle", "config.json": b"{}"},
        "owner/other": {"model.safetensors": b"no such file", "config.json": b"{}"},
        "owner/deep": {"model.safetensors": deep_header(), "config.json": b"[" * 100_000},
        "owner/huge": {"model.safetensors": b"x"},
        "owner/unsized": {"model.safetensors": b"x"},
    }
    with hub(repositories, lies={"owner/huge": 10**15, "owner/unsized": None}) as address:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=clean_environment()
            | {"HF_ENDPOINT": address, "HF_HOME": "home", "HF_HUB_DISABLE_XET": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["equal"]
    assert report["recipe"] == "tiny"
    assert report["from the cache"]
    first, second, local = report["origins"]
    assert first == second
    assert re.fullmatch(r"owner/name on the Hub: .*home/hub/.*, SHA-256 [0-9a-f]{12}", first)
    assert local == f"model file m.safetensors, SHA-256 {first[-12:]}"
    assert "no model.safetensors; other files, pickles" in report["owner/pickles"]
    assert "cannot be had from the Hub" in report["owner/nothing"]
    assert "not a model file of this project" in report["owner/other"]
    assert "not a model file of this project" in report["owner/deep"]
    assert "has 1,000,000,000,000,000 bytes, which no HDRNet has" in report["owner/huge"]
    assert "does not say how large" in report["owner/unsized"]
    for name in ("../..", "owner/\x1b]0;", "owner/name/../../x"):
        assert "nor the name of a repository" in report[name] or "no model.safet" in report[name]
    assert all("\n" not in report[name] and len(report[name]) < 500 for name in list(report)[4:-1])
    pushed = repositories["owner/name"]
    assert sorted(pushed) == ["README.md", "config.json", "model.safetensors"]
    assert pushed["model.safetensors"] == Path("m.safetensors").read_bytes()


def test_without_the_hub_it_says_so(workspace: Workspace) -> None:
    script = """
from hdrnet_bench import HDRNet
from hdrnet_bench.errors import DataError
try:
    HDRNet.from_pretrained("owner/name")
except DataError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environment() | {"HF_HUB_OFFLINE": "1", "HF_HOME": "home"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "owner/name cannot be had from the Hub" in done.stdout
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.fault("servers")
@pytest.mark.parametrize("force", [False, True])
def test_a_silent_hub_is_waited_for_once(
    workspace: Workspace, force: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def silent(url: str, **options: object) -> None:
        asked.append(url)
        raise TimeoutError("nobody answers")

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", silent)
    monkeypatch.setattr("huggingface_hub.file_download.get_hf_file_metadata", silent)
    with pytest.raises(DataError, match="cannot be had from the Hub: nobody answers"):
        HDRNet.from_pretrained("owner/name", cache_dir="cache", force_download=force)
    assert len(asked) == 1


@pytest.mark.fault("hostile recipes and models")
@pytest.mark.parametrize(
    "config", [b"[" * 100_000, b"[]", b"null", b"\xff", b'{"config": {"x": 1}}', None], ids=range(6)
)
def test_config_json_is_nothing_to_go_by(workspace: Workspace, config: bytes | None) -> None:
    """The configuration is the model file's own: a hostile config.json, or a pipe, is not read."""
    made().save_pretrained("folder")
    path = Path("folder/config.json")
    path.unlink()
    if config is None:
        os.mkfifo(path)
    else:
        path.write_bytes(config)
    assert HDRNet.from_pretrained("folder").header == HEADER


@pytest.mark.fault("hostile recipes and models")
@pytest.mark.parametrize("content", [b"", b"x" * 100, deep_header(), None], ids=range(4))
def test_a_folder_with_a_hostile_model(workspace: Workspace, content: bytes | None) -> None:
    Path("folder").mkdir()
    path = Path("folder/model.safetensors")
    if content is None:
        os.mkfifo(path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"folder/model\.safetensors") as caught:
        HDRNet.from_pretrained("folder")
    assert len(str(caught.value).splitlines()) == 1


NAMES = [
    "two\nlines",
    "tiny\n---\nlicense: mit\n---\n# Other",
    "<script>alert(1)</script>",
    "a | b | c",
    "[click](https://example.com)",
    "![](https://example.com/seen.png)",
    "`code` <img src=x>",
    "\x1b]0;title\x07",
    "\u202egnp.exe",
    "'\"#: {}%@&*!",
]


@pytest.mark.fault("names and texts")
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_the_card_is_made_of_texts_alone(workspace: Workspace, name: str) -> None:
    model = HDRNet(CONFIG)
    texts = dict.fromkeys(("recipe", "dataset", "recipe_digest", "dataset_digest", "source"), name)
    model.header = HEADER.model_copy(update=texts)
    card = model.generate_model_card(licence=name)
    front = str(card).split("---\n")[1]
    assert yaml.safe_load(front).keys() == {"license", "library_name", "pipeline_tag", "tags"}
    assert set(card.data.to_dict()) == set(yaml.safe_load(front))
    honest = HDRNet(CONFIG)
    honest.header = HEADER.model_copy(update={"source": "x"})
    expected = str(honest.generate_model_card(licence="mit")).splitlines()
    lines = str(card).splitlines()
    assert len(lines) == len(expected)  # nothing began a line of its own
    body = lines.index("---", 1)
    for line, other in zip(lines[body:], expected[body:], strict=True):
        assert line.replace(r"\|", "").count("|") == other.count("|")
    text = card.text
    assert "<script" not in text
    assert "<img" not in text
    assert "](https" not in text
    assert not any(mark in str(card) for mark in "\x1b\x07\u202e")


def test_pretrained_models_are_known_by_name() -> None:
    model = HDRNet.from_pretrained("demo-retouch")
    assert model.origin is not None
    assert model.origin.startswith("pretrained model demo-retouch: ")


def test_a_file_is_no_folder_to_save_in(workspace: Workspace) -> None:
    Path("there").write_text("mine")
    with pytest.raises(UsageError, match="there is a file: name a folder"):
        made().save_pretrained("there")
    assert Path("there").read_text() == "mine"


def test_a_gpu_that_is_not_there(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    made()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CapabilityError, match="no CUDA device"):
        load_model("m.safetensors", "cuda")


@pytest.mark.parametrize(
    ("config", "fields", "error", "says"),
    [
        ("pointwise", {}, TypeError, r"config is 'pointwise'.*HDRNet\(variant='pointwise'\)"),
        (None, {"variant": "pontwise"}, ValueError, "variant: "),
        (None, {"luma_bins": 0}, ValueError, "luma_bins: "),
    ],
)
def test_a_wrong_configuration_is_one_line(
    config: object, fields: dict, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as raised:
        HDRNet(config, **fields)
    assert "\n" not in str(raised.value)
