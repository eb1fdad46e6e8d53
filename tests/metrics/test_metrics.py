import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import deltaE_cie76, deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from hdrnet_bench.metric_specs import CANONICAL, PUBLISHED
from hdrnet_bench.metrics import METRICS, delta_e_76, delta_e_2000, lpips, psnr, ssim
from hdrnet_bench.metrics import lpips as lpips_function
from hdrnet_bench.metrics.delta_e import ciede2000_of, delta_e_both
from hdrnet_bench.metrics.lpips import NETS
from tests.memory_use import takes_at_most

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


def skimage_ssim(a: np.ndarray, b: np.ndarray) -> float:
    return structural_similarity(
        a,
        b,
        channel_axis=2,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(11, 40), st.integers(11, 40))
def test_agrees_with_scikit_image(seed: int, height: int, width: int) -> None:
    x, y = pair(seed, height, width)
    a, b = channels_last(x), channels_last(y)
    bytes_a, bytes_b = ((p * 255).round().astype(np.uint8) for p in (a, b))
    assert float(psnr(x, y)) == pytest.approx(peak_signal_noise_ratio(bytes_a, bytes_b), abs=1e-9)
    assert float(ssim(x, y)) == pytest.approx(skimage_ssim(a, b), abs=1e-9)
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
    def lab(values: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
        return torch.tensor(values, dtype=torch.float64).unbind()

    assert float(ciede2000_of(lab(first), lab(second))) == pytest.approx(expected, abs=1e-4)
    assert float(ciede2000_of(lab(second), lab(first))) == pytest.approx(expected, abs=1e-4)


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


@pytest.mark.parametrize("level", [0.0, 0.3, 128 / 255, 1.0])
@pytest.mark.parametrize("step", [0.0, 1 / 255, 1e-6])
def test_ssim_of_flat_pictures_is_that_of_float64(level: float, step: float) -> None:
    """Variances are differences of nearly equal numbers there, which float32 would get wrong by
    1e-4 of SSIM; a few pixels differ, on an otherwise flat ground."""
    x = torch.full((3, 30, 70), level)
    y = x.clone()
    y[:, 5::11, 3::7] -= step
    a, b = (channels_last(picture.double()) for picture in (x, y))
    expected = skimage_ssim(a, b)
    assert float(ssim(x, y)) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize(("height", "width"), [(41, 43), (42, 44), (43, 59), (44, 60), (75, 58)])
def test_strips_join_without_a_seam(
    name: str, height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around whole strips and tiles of windows (32 rows and 16 columns of 11), whatever the size
    of a strip."""
    from hdrnet_bench.metrics import _pairs

    x, y = (torch.stack([p, p.flip(-1)]) for p in pair(3, height, width))
    whole = COMPUTED[name](x, y)
    for size in (1, 1000, 3 * width):
        monkeypatch.setitem(_pairs._STRIP, "cpu", size)
        assert COMPUTED[name](x, y).tolist() == pytest.approx(whole.tolist(), abs=1e-11)
    if name == "ssim":
        a, b = (channels_last(picture[0]) for picture in (x, y))
        assert float(whole[0]) == pytest.approx(skimage_ssim(a, b), abs=1e-11)


@pytest.mark.parametrize("name", COMPUTED)
def test_any_layout_and_precision_is_taken(name: str) -> None:
    """Channels last, slices of a larger picture, half precision; and nothing is written to."""
    x, y = (p.half() for p in pair(5))
    expected = float(COMPUTED[name](x.double(), y.double()))
    turned = [p.permute(1, 2, 0).contiguous().permute(2, 0, 1) for p in (x, y)]
    inside = [torch.nn.functional.pad(p, (2, 3, 4, 5))[:, 4:-5, 2:-3] for p in (x, y)]
    kept = [p.clone() for p in (x, y)]
    for first, second in ((x, y), turned, inside, (x.float(), y.double())):
        assert float(COMPUTED[name](first, second)) == pytest.approx(expected, abs=1e-11)
    assert torch.equal(x, kept[0])
    assert torch.equal(y, kept[1])
    needs_gradient = x.float().requires_grad_()
    assert not COMPUTED[name](needs_gradient, y).requires_grad


def test_large_pictures_are_not_copied_whole() -> None:
    """One float64 copy of these would be 69 MiB."""
    x, y = torch.rand(2, 3, 1500, 2000)
    for metric in (psnr, ssim, delta_e_both):
        metric(x[:, :20, :20], y[:, :20, :20])
        with takes_at_most(50):
            metric(x, y)


def test_both_colour_differences_at_once() -> None:
    x, y = (torch.stack([p, p * 0.5]) for p in pair(4))
    both = delta_e_both(x, y)
    assert torch.equal(both[0], delta_e_76(x, y))
    assert torch.equal(both[1], delta_e_2000(x, y))


def test_colour_differences_of_single_colours_are_colour_sciences() -> None:
    """Every pair of a few colours of all kinds: greys, primaries, nearly black, nearly alike."""
    import colour

    colours = np.array(
        [[0, 0, 0], [0.5, 0.5, 0.5], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]  # noqa: RUF005
        + [[0.5, 0.5, 0.501], [0.9, 0.2, 0.7], [0.2, 0.9, 0.3], [0.04, 0.0405, 0.041]]
    )
    first, second = (g.ravel() for g in np.meshgrid(*[np.arange(len(colours))] * 2))
    labs = [rgb2lab(colours[i]) for i in (first, second)]
    images = [torch.from_numpy(colours[i])[:, :, None, None] for i in (first, second)]
    for metric, method in ((delta_e_76, "CIE 1976"), (delta_e_2000, "CIE 2000")):
        expected = colour.delta_E(*labs, method=method)
        assert metric(*images).numpy() == pytest.approx(expected, abs=1e-4)


def test_out_of_range() -> None:
    """PSNR and the colour differences are of the clamped picture; SSIM takes it as it is."""
    x, y = pair(6)
    wild = x * 1.6 - 0.3
    for metric in (psnr, delta_e_76, delta_e_2000):
        assert float(metric(wild, y)) == float(metric(wild.clamp(0, 1), y))
    a, b = (channels_last(picture) for picture in (wild, y))
    assert float(ssim(wild, y)) == pytest.approx(skimage_ssim(a, b), abs=1e-11)


def test_psnr_is_of_the_8_bit_picture() -> None:
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
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(torch.rand(3, 40, 10), torch.rand(3, 40, 10))
    for size in ((1, 1), (1, 500), (500, 1)):  # and a pixel wide is wide enough for the others
        for metric in (psnr, delta_e_76, delta_e_2000):
            assert torch.isfinite(metric(torch.rand(3, *size), torch.rand(3, *size)))


def test_every_metric_has_its_specification() -> None:
    published = {f"{mode}.{name}" for mode, of in PUBLISHED.items() for name in of.values}
    elsewhere = {"grid_artefact", "inversions", "psnr_hc", "delta_e_hc", "glc"}
    assert set(METRICS) == {*COMPUTED, *NETS, *elsewhere, *published} - {"hdrnet.psnr"}
    assert set(CANONICAL) == {*COMPUTED, "lpips"}
