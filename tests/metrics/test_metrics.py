from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import deltaE_cie76, deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from hdrnet_bench.errors import CapabilityError
from hdrnet_bench.metrics import METRICS, delta_e_76, delta_e_2000, lpips, psnr, ssim
from hdrnet_bench.metrics import lpips as lpips_function
from hdrnet_bench.metrics.delta_e import ciede2000

COMPUTED = {"psnr": psnr, "ssim": ssim, "delta_e_76": delta_e_76, "delta_e_2000": delta_e_2000}


def pair(
    seed: int, height: int = 40, width: int = 50, noise: float = 0.08
) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    x = random.random((3, height, width))
    y = np.clip(x + random.normal(0, noise, x.shape), 0, 1)
    return torch.from_numpy(x), torch.from_numpy(y)


def channels_last(x: Tensor) -> np.ndarray:
    return x.numpy().transpose(1, 2, 0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(11, 40), st.integers(11, 40))
def test_agrees_with_scikit_image(seed: int, height: int, width: int) -> None:
    x, y = pair(seed, height, width)
    a, b = channels_last(x), channels_last(y)
    bytes_a, bytes_b = ((p * 255).round().astype(np.uint8) for p in (a, b))
    assert float(psnr(x, y)) == pytest.approx(peak_signal_noise_ratio(bytes_a, bytes_b), abs=1e-9)
    expected = structural_similarity(
        a,
        b,
        channel_axis=2,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert float(ssim(x, y)) == pytest.approx(expected, abs=1e-9)
    lab_a, lab_b = rgb2lab(a), rgb2lab(b)
    assert float(delta_e_76(x, y)) == pytest.approx(deltaE_cie76(lab_a, lab_b).mean(), abs=1e-4)
    assert float(delta_e_2000(x, y)) == pytest.approx(
        deltaE_ciede2000(lab_a, lab_b).mean(), abs=1e-4
    )


# Sharma, Wu, Dalal (2005), table 1: pairs that catch wrong hue means and sign errors.
SHARMA = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0009), 7.1792),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0011), 7.2195),
    ((50.0, -0.0010, 2.4900), (50.0, 0.0011, -2.4900), 4.7461),
    # Mirrored hues, whose sum is a full turn: not in the table, by scikit-image.
    ((50.0, 60.0, 55.0), (50.0, 60.0, -55.0), 42.11439),
    ((50.0, 20.0, 10.0), (50.0, 20.0, -10.0), 13.13952),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("first", "second", "expected"), SHARMA)
def test_ciede2000_of_the_published_pairs(first, second, expected: float) -> None:
    def lab(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64).reshape(1, 3, 1, 1)

    assert float(ciede2000(lab(first), lab(second))) == pytest.approx(expected, abs=1e-4)
    assert float(ciede2000(lab(second), lab(first))) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", COMPUTED)
def test_batches_are_their_pictures(name: str) -> None:
    metric = COMPUTED[name]
    pairs = [pair(seed) for seed in range(3)]
    batch = metric(torch.stack([x for x, _ in pairs]), torch.stack([y for _, y in pairs]))
    assert batch.shape == (3,)
    for value, (x, y) in zip(batch, pairs, strict=True):
        assert metric(x, y).shape == ()
        assert float(metric(x, y)) == pytest.approx(float(value), abs=1e-12)


@pytest.mark.parametrize("name", COMPUTED)
def test_more_noise_is_worse_in_the_stated_direction(name: str) -> None:
    metric = COMPUTED[name]
    little, much = (float(metric(*pair(7, noise=n))) for n in (0.02, 0.2))
    assert (little > much) == METRICS[name].higher_is_better


def test_identical_pictures() -> None:
    x, _ = pair(0)
    assert float(psnr(x, x)) == float("inf")
    assert float(ssim(x, x)) == pytest.approx(1, abs=1e-12)
    assert float(delta_e_76(x, x)) == float(delta_e_2000(x, x)) == 0


def test_flat_pictures_are_defined() -> None:
    white, black = torch.ones(3, 16, 16), torch.zeros(3, 16, 16)
    assert float(psnr(white, black)) == 0
    assert float(ssim(white, black)) == pytest.approx(1e-4 / (1 + 1e-4), rel=1e-6)
    assert float(delta_e_76(white, black)) == pytest.approx(100, abs=1e-3)


def test_psnr_judges_the_8_bit_picture() -> None:
    x = torch.full((3, 4, 4), 0.5)
    assert float(psnr(x, x + 0.4 / 255)) == float("inf")  # 127.5 and 127.9 both round to 128
    assert float(psnr(x + 9, torch.ones(3, 4, 4))) == float("inf")


@pytest.mark.parametrize("name", [*COMPUTED, "lpips"])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.rand(3, 40, 40), torch.rand(3, 40, 41), "differ in shape"),
        (torch.rand(1, 40, 40), torch.rand(1, 40, 40), "not \\(3, H, W\\)"),
        (torch.rand(3, 0, 40), torch.rand(3, 0, 40), "not \\(3, H, W\\)"),
        (torch.zeros(3, 40, 40, dtype=torch.uint8), torch.rand(3, 40, 40), "uint8"),
        (torch.full((3, 40, 40), torch.nan), torch.rand(3, 40, 40), "first picture holds NaN"),
        (torch.rand(3, 40, 40), torch.full((3, 40, 40), torch.inf), "second picture holds NaN"),
    ],
)
def test_what_has_no_value_is_refused(name: str, x: Tensor, y: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        {**COMPUTED, "lpips": lpips}[name](x, y)


def test_pictures_smaller_than_the_window_are_refused() -> None:
    assert torch.isfinite(ssim(torch.rand(3, 11, 11), torch.rand(3, 11, 11)))
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(torch.rand(3, 10, 40), torch.rand(3, 10, 40))
    with pytest.raises(ValueError, match="32 x 32"):
        lpips_function(torch.rand(3, 31, 40), torch.rand(3, 31, 40))
    assert torch.isfinite(psnr(torch.rand(3, 1, 1), torch.rand(3, 1, 1)))


# LPIPS: the weights cannot be assumed to be there, so the loading is tested with a file of the
# right form (random weights under the right name) whose hash the test states instead.


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch hub folder, and nothing to download from."""
    import sys

    import hdrnet_bench.metrics.lpips  # noqa: F401  (the name in the package is the function)

    module = sys.modules["hdrnet_bench.metrics.lpips"]
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(module, "BACKBONE_URL", "http://127.0.0.1:9/nothing-listens-here")
    module._network.cache_clear()
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints" / module.BACKBONE


def test_lpips_without_its_weights_is_a_missing_capability(hub: Path) -> None:
    with pytest.raises(CapabilityError, match=r"is not on this machine \(hdrbench doctor"):
        lpips(*pair(0))
    assert not list(hub.parent.iterdir())


def test_lpips_never_uses_a_file_that_is_not_the_weights(hub: Path) -> None:
    hub.write_bytes(b"no weights")
    with pytest.raises(CapabilityError, match="is not the file its name says"):
        lpips(*pair(0))


def test_lpips_loads_and_computes(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import torchvision

    from hdrnet_bench.files import sha256_file

    torch.manual_seed(0)
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), hub)
    module = sys.modules["hdrnet_bench.metrics.lpips"]
    monkeypatch.setattr(module, "_SHA256_START", sha256_file(hub)[:8])
    x, y = pair(0, 64, 64)
    assert float(lpips(x, x)) == 0
    assert float(lpips(x, y)) > 0
    batch = lpips(torch.stack([x, y]), torch.stack([y, y]))
    assert batch.shape == (2,)
    assert float(batch[0]) == pytest.approx(float(lpips(x, y)), rel=1e-4)
    assert float(batch[1]) == 0
    module._network.cache_clear()


def test_every_metric_has_its_specification() -> None:
    assert set(METRICS) == {*COMPUTED, "lpips", "grid_artefact"}
