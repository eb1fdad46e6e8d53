"""LPIPS: the weights cannot be assumed to be there, so loading is tested with files of the right
form (random weights), under names that state their hash as torchvision's do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import lpips as package
import pytest
import torch
import torchvision
from torch import Tensor

import hdrnet_bench.metrics.lpips  # noqa: F401  (the name in the package is the function)
from hdrnet_bench.errors import CapabilityError, DataError
from hdrnet_bench.files import sha256_file
from hdrnet_bench.metrics import lpips, lpips_squeeze, lpips_vgg
from tests.conftest import Workspace

module = sys.modules["hdrnet_bench.metrics.lpips"]
FILES = {net: backbone.file for net, backbone in module.BACKBONES.items()}
MAKERS = {
    "alex": torchvision.models.alexnet,
    "vgg": torchvision.models.vgg16,
    "squeeze": torchvision.models.squeezenet1_1,
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of torch hub, and nothing to download from."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    nowhere = property(lambda self: f"http://127.0.0.1:9/{self.file}")
    monkeypatch.setattr(module.Backbone, "url", nowhere)
    module._network.cache_clear()
    yield tmp_path / "hub" / "checkpoints"
    module._network.cache_clear()


def weights(net: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of random weights, and a name to match its hash in the place of torchvision's."""
    torch.manual_seed(0)
    state = MAKERS[net](weights=None).features.state_dict()  # VGG's classifier is half a gigabyte
    file = folder / f"given-{net}.pth"
    torch.save({f"features.{name}": value for name, value in state.items()}, file)
    named = module.Backbone(net, f"{net}-{sha256_file(file)[:8]}.pth")
    monkeypatch.setitem(module.BACKBONES, net, named)
    return file


def pair() -> tuple[Tensor, Tensor]:
    x = torch.rand(3, 32, 40, generator=torch.Generator().manual_seed(1))
    return x, (x * 0.8).clamp(0, 1)


def test_torchvisions_files_are_the_ones_that_are_named() -> None:
    official = {
        "alex": torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url,
        "vgg": torchvision.models.VGG16_Weights.IMAGENET1K_V1.url,
        "squeeze": torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url,
    }
    assert {net: backbone.url for net, backbone in module.BACKBONES.items()} == official
    assert [b.sha256_start for b in module.BACKBONES.values()] == [
        "7be5be79",
        "397923af",
        "b8a52dc0",
    ]


@pytest.mark.parametrize("metric", [lpips, lpips_vgg, lpips_squeeze])
def test_without_its_weights_it_is_a_missing_capability(metric, hub: Path) -> None:
    with pytest.raises(CapabilityError, match=r"is not on this machine \(hdrbench doctor"):
        metric(*pair())
    assert not list(hub.iterdir())


def test_a_file_that_is_not_the_weights_is_never_used(hub: Path) -> None:
    hub.mkdir(parents=True)
    (hub / FILES["alex"]).write_bytes(b"no weights")
    with pytest.raises(CapabilityError, match="is not the file its name says"):
        lpips(*pair())


@pytest.mark.parametrize("net", MAKERS)
@pytest.mark.filterwarnings("ignore:.*pretrained", "ignore:Arguments other than a weight enum")
def test_installed_weights_are_what_it_computes_with(
    net: str, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the package with the same backbone put in by its own names."""
    file = weights(net, tmp_path, monkeypatch)
    before = torch.random.get_rng_state()
    place = module.install_backbone(file)
    x, y = pair()
    value = float(lpips(x, y, net))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert place.parent == hub
    assert place.read_bytes() == file.read_bytes()
    assert [path.name for path in hub.iterdir()] == [place.name]

    reference = package.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    features = torch.load(file, weights_only=True)
    with torch.no_grad():
        for name, parameter in reference.net.named_parameters():
            parameter.copy_(features["features." + name.split(".", 1)[1]])
        expected = float(reference(x[None], y[None], normalize=True))
    assert value == pytest.approx(expected, rel=1e-5)
    assert value > 0
    assert float(lpips(x, x, net)) == 0
    batch = lpips(torch.stack([x, y]), torch.stack([y, y]), net)
    assert batch.tolist() == pytest.approx([value, 0], rel=1e-4, abs=1e-7)


def test_out_of_range_is_clamped(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module.install_backbone(weights("alex", tmp_path, monkeypatch))
    x, y = pair()
    assert float(lpips(x * 3 - 1, y)) == float(lpips((x * 3 - 1).clamp(0, 1), y))


def test_installing_mends_a_broken_file_and_leaves_a_whole_one(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = weights("alex", tmp_path, monkeypatch)
    place = hub / module.BACKBONES["alex"].file
    hub.mkdir(parents=True)
    place.write_bytes(b"half of a download")
    module.install_backbone(file)
    assert module.check_backbone() is None
    written = place.stat().st_mtime_ns
    module.install_backbone(file)
    assert place.stat().st_mtime_ns == written


def test_wrong_files_are_refused_with_the_reason(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="there is no file"):
        module.install_backbone(tmp_path / "nothing.pth")
    other = tmp_path / FILES["alex"]  # the right name does not make it the right file
    torch.save(MAKERS["alex"](weights=None).features.state_dict(), other)
    with pytest.raises(DataError, match=r"none of the weights.*alexnet-owt-7be5be79.pth \(7be5be"):
        module.install_backbone(other)

    class Runs:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    for name, content in (("pickle", Runs()), ("part", {"features.0.weight": torch.zeros(1)})):
        file = tmp_path / f"{name}.pth"
        torch.save(content, file)
        named = module.Backbone("AlexNet", f"alex-{sha256_file(file)[:8]}.pth")
        monkeypatch.setitem(module.BACKBONES, "alex", named)
        with pytest.raises(DataError, match="does not hold the weights of AlexNet"):
            module.install_backbone(file)
    assert not (tmp_path / "ran").exists()
    assert not hub.exists()


def test_eval_takes_weights_by_hand(
    trained: Workspace, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = weights("alex", tmp_path, monkeypatch)
    refused = tmp_path / "other.pth"
    refused.write_bytes(b"other")
    assert "none of the weights" in trained.fails(3, "eval", "--lpips-weights", str(refused))
    assert trained.run("eval", "--dry-run", "--lpips-weights", str(file)).returncode == 0
    assert not hub.exists()
    done = trained.run("eval", "--lpips-weights", str(file))
    assert done.returncode == 0, done.stderr
    assert f"LPIPS weights are in {hub}" in done.stderr.replace("\n", "")
    assert module.check_backbone() is None
