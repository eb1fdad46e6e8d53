"""This package, the others, and the weights of LPIPS."""

from pathlib import Path

import pytest

from hdrnet_bench.doctor import packages, weights
from hdrnet_bench.environment import Revision
from hdrnet_bench.install import install_advice
from hdrnet_bench.metrics.lpips import Backbone


@pytest.mark.parametrize(
    ("revision", "state", "says"),
    [
        (Revision("abc-dirty"), "ok", "commit abc-dirty"),
        (Revision(None, "no checkout"), "ok", "; no checkout"),
        (Revision(None, "git fails", wrong=True), "warning", "results are of no known commit"),
    ],
)
def test_a_commit_is_missed_where_there_should_be_one(
    revision: Revision, state: str, says: str
) -> None:
    finding = packages.package_finding(revision)
    assert (finding.state, says in finding.text) == (state, True)


def test_what_a_package_needs_and_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"numpy": "2.0", "PyYAML": "6.0"}
    monkeypatch.setattr(packages, "version_of", there.get)
    needs = ["numpy>=1.26", "PyYAML>=6.0.4", "torch>=2.6", 'onnx>=1; extra == "onnx"', "a[b]"]
    assert packages.missing_requirements(needs) == ["torch>=2.6", "a[b]"]


def test_versions_tell_what_torch_is_built_for() -> None:
    import torch

    found = packages.versions()
    assert found["torch"] == torch.__version__
    assert {"Python", "numpy", "rawpy", "LibRaw"} <= found.keys()


def test_an_extra_is_there_whole_or_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"onnx": "1.17", "pillow-heif": "1.4"}
    monkeypatch.setattr(packages, "version_of", there.get)
    found = {finding.what: finding for finding in packages.extra_findings("12.6")}
    assert found["HEIC pictures"][1:3] == ("ok", "pillow-heif 1.4")
    assert found["ONNX files"][1:] == ("missing", "onnxruntime", install_advice("onnx"))
    cuda = found["slicing on an NVIDIA GPU"]
    assert cuda.advice == install_advice("cuda", "cuda-core[cu12]")
    found = {finding.what: finding for finding in packages.extra_findings(None)}
    assert found["slicing on an NVIDIA GPU"].advice == install_advice("cuda")


def test_weights_are_missing_there_or_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    backbone = Backbone("AlexNet", "made-up-ba7816bf.pth")

    def state() -> str:
        finding = weights.backbone_finding(backbone, "lpips")
        assert str(backbone.path) in finding.text
        assert (backbone.url in finding.advice) == (finding.state != "ok")
        return finding.state

    assert state() == "missing"
    backbone.path.parent.mkdir(parents=True)
    backbone.path.write_text("abd")
    assert state() == "warning"
    backbone.path.write_text("abc")  # whose SHA-256 begins so
    assert state() == "ok"
    backbone.path.unlink()
    backbone.path.mkdir()
    assert state() == "warning"
