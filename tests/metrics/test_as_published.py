"""Each published way to measure against a slow, literal computation of what is said of it."""

from __future__ import annotations

import math

import colour
import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from skimage.color import deltaE_cie76, deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio as torchmetrics_psnr,
)
from torchmetrics.functional.image import (
    structural_similarity_index_measure as torchmetrics_ssim,
)

from hdrnet_bench.metric_specs import PUBLISHED
from hdrnet_bench.metrics.as_published import MODES, opencv_lab
from tests.conftest import smooth_picture

SMALLEST = {
    "zeng": (11, 4),
    "llf-lut": (7, 7),
    "csrnet": (11, 11),
    "deeplpf": (11, 11),
    "namedcurves": (11, 11),
    "hdrnet": (1, 1),
}


@pytest.fixture(autouse=True)
def no_lpips_weights(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))


def pair(height: int = 44, width: int = 52, seed: int = 0) -> tuple[Tensor, Tensor]:
    """An output, not of 8 bits and partly out of range, and a target of 8 bits: (3, H, W)."""
    target = torch.from_numpy(smooth_picture(seed, height, width)).permute(2, 0, 1) / 255
    noise = torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed))
    output = target.double() ** 0.9 + 0.03 * noise
    output[:, 0, 0] = torch.tensor([-0.1, 1.2, 0.5])
    return output, target.double()


def last(x: Tensor) -> np.ndarray:
    """(H, W, 3) as NumPy has pictures."""
    return x.numpy().transpose(1, 2, 0)


def saved(x: Tensor) -> np.ndarray:
    """(H, W, 3) uint8."""
    return np.floor(np.clip(last(x), 0, 1) * 255 + 0.5).astype(np.uint8)


def check(mode: str, pictures: tuple[Tensor, Tensor], expected: dict[str, float]) -> None:
    values = MODES[mode](*pictures)
    got = {name: float(value) for name, value in values.items() if value is not None}
    assert got == pytest.approx(expected, abs=1e-9)


def matlab_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """ssim.m, line by line, of (H, W, 3) arrays of 0 to 255; imfilter by its definition."""
    rows, columns = a.shape[0], a.shape[1] * a.shape[2]  # [M N] = size(img1)
    f = max(1, math.floor(min(rows, columns) / 256 + 0.5))
    centre = math.floor((f + 1) / 2)  # of the kernel, counted from 1

    def prepared(image: np.ndarray) -> np.ndarray:
        image = image.astype(np.float64)
        filtered = np.zeros_like(image)
        padded = np.pad(image, ((f, f), (f, f), (0, 0)), mode="symmetric")
        for i in range(1, f + 1):
            for j in range(1, f + 1):
                top, left = f + i - centre, f + j - centre
                filtered += padded[top : top + rows, left : left + image.shape[1]] / f**2
        flat = filtered.reshape(rows, columns, order="F")  # what img(:, :) is of three dimensions
        return flat[::f, ::f]

    x, y = prepared(a), prepared(b)
    axis = np.arange(-5, 6)
    window = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def filter2(image: np.ndarray) -> np.ndarray:
        return convolve2d(image, np.rot90(window, 2), mode="valid")

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mu1, mu2 = filter2(x), filter2(y)
    sigma1, sigma2 = filter2(x * x) - mu1 * mu1, filter2(y * y) - mu2 * mu2
    sigma12 = filter2(x * y) - mu1 * mu2
    top = (2 * mu1 * mu2 + c1) * (2 * sigma12 + c2)
    return float((top / ((mu1**2 + mu2**2 + c1) * (sigma1 + sigma2 + c2))).mean())


# 384 rows are the first that are subsampled, by 2; by 3 with 640, both of odd width; by 4 the width
# decides.
@pytest.mark.parametrize(
    ("height", "width"), [(44, 52), (383, 140), (384, 141), (641, 215), (903, 299), (11, 4)]
)
def test_zeng(height: int, width: int) -> None:
    x, y = pair(height, width)
    a, b = saved(x), saved(y)
    white = np.array([0.9504, 1.0, 1.0889])
    matrix = colour.RGB_COLOURSPACES["sRGB"].primaries
    matrix = colour.models.normalised_primary_matrix(matrix, colour.XYZ_to_xy(white))

    def lab(picture: np.ndarray) -> np.ndarray:
        linear = colour.models.eotf_sRGB(picture / 255)
        return colour.XYZ_to_Lab(linear @ matrix.T, colour.XYZ_to_xy(white))

    check(
        "zeng",
        (x, y),
        {
            "psnr": peak_signal_noise_ratio(a, b),
            "ssim": matlab_ssim(a, b),
            "delta_e": np.linalg.norm(lab(a) - lab(b), axis=2).mean(),
        },
    )


def test_llf_lut() -> None:
    x, y = pair()
    a, b = (np.clip(last(picture) * 255, 0, 255) for picture in (x, y))
    check(
        "llf-lut",
        (x, y),
        {
            "psnr": peak_signal_noise_ratio(b, a, data_range=255),
            "ssim": structural_similarity(b, a, data_range=255, channel_axis=2),
        },
    )
    assert MODES["llf-lut"](x, y)["lpips"] is None


# What cvtColor(…, COLOR_RGB2Lab) of OpenCV 5.0 gives for 8-bit colours.
OPENCV = [
    ((0, 0, 0), (0, 128, 128)),
    ((255, 255, 255), (255, 128, 128)),
    ((255, 0, 0), (136, 208, 195)),
    ((0, 255, 0), (224, 42, 211)),
    ((0, 0, 255), (82, 207, 20)),
    ((186, 161, 139), (173, 134, 143)),
    ((143, 239, 71), (220, 73, 197)),
    ((208, 171, 0), (182, 128, 202)),
    ((100, 219, 141), (202, 77, 156)),
    ((8, 195, 186), (182, 86, 121)),
    ((216, 44, 22), (121, 192, 182)),
    ((220, 5, 138), (124, 206, 116)),
]


def test_opencv_lab_is_opencvs() -> None:
    colours = torch.tensor([rgb for rgb, _ in OPENCV]).T[None, :, None]
    expected = torch.tensor([lab for _, lab in OPENCV]).T[None, :, None]
    assert torch.equal(opencv_lab(colours), expected)


def test_opencv_lab_is_its_documented_formula_but_for_rounding() -> None:
    """L 255 / 100, a + 128, b + 128; fixed point is off by up to two levels near black."""
    steps = np.arange(0, 256, 15)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    exact = rgb2lab(cube / 255.0) * [2.55, 1, 1] + [0, 128, 128]
    ours = opencv_lab(torch.from_numpy(cube).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - exact).max() < 2
    assert (np.abs(ours - exact) < 0.51).mean() > 0.9


def test_csrnet() -> None:
    random = np.random.default_rng(0)
    first, second = random.integers(0, len(OPENCV), (2, 20, 24))
    colours, labs = (np.array(table) for table in zip(*OPENCV, strict=True))
    a, b = colours[first].astype(np.uint8), colours[second].astype(np.uint8)
    x, y = (torch.from_numpy(p).permute(2, 0, 1).double() / 255 for p in (a, b))
    x = x + 0.4 / 255 * torch.sign(torch.rand_like(x) - 0.5)  # rounds to the same levels
    ssim = structural_similarity(
        a.astype(np.float64),
        b.astype(np.float64),
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        use_sample_covariance=False,
    )
    distances = [
        math.sqrt(sum(int(d) ** 2 for d in labs[i] - labs[j]))
        for i, j in zip(first.flat, second.flat, strict=True)
    ]
    expected = {
        "psnr": peak_signal_noise_ratio(a, b),
        "ssim": ssim,
        "l2_lab": sum(distances) / len(distances),
    }
    check("csrnet", (x, y), expected)


def test_deeplpf() -> None:
    x, y = pair()
    y = y * 0.7  # so that the two ranges differ
    a, b = (np.clip(last(picture), 0, 1) for picture in (x, y))
    ssim = structural_similarity(
        a, b, data_range=a.max() - a.min(), channel_axis=2, gaussian_weights=True, win_size=11
    )
    check("deeplpf", (x, y), {"psnr": 10 * np.log10(1 / ((a - b) ** 2).mean()), "ssim": ssim})


@pytest.mark.parametrize("wider", [0, 1])
def test_namedcurves(wider: int) -> None:
    pictures = pair()
    x, y = (p * (1 if i == wider else 0.6) for i, p in enumerate(pictures))
    labs = [rgb2lab(np.clip(last(picture), 0, 1)) for picture in (x, y)]
    # The paper's torchmetrics (before 1.5) left the reflected border out; later ones take it in.
    _, similarity = torchmetrics_ssim(x[None], y[None], kernel_size=11, return_full_image=True)
    expected = {
        "ssim": float(similarity[..., 5:-5, 5:-5].mean()),
        "delta_e_76": deltaE_cie76(*labs).mean(),
        "delta_e_2000": deltaE_ciede2000(*labs).mean(),
    }
    values = {name: float(value) for name, value in MODES["namedcurves"](x, y).items()}
    # torchmetrics converts to decibels in float32.
    psnr = float(torchmetrics_psnr(x[None], y[None], data_range=1.0))
    assert values.pop("psnr") == pytest.approx(psnr, rel=1e-7)
    assert values == pytest.approx(expected, abs=1e-8)


def test_hdrnet() -> None:
    (x, y), (x2, y2) = pair(), pair(seed=1)
    x2 = (x2 + 0.2).clamp(max=1.5)
    squares = [((last(a) - last(b)) ** 2).mean() for a, b in ((x, y), (x2, y2))]
    values = MODES["hdrnet"](torch.stack([x, x2]), torch.stack([y, y2]))
    assert values["mse"].tolist() == pytest.approx(squares)
    assert values["psnr"].shape == ()
    assert float(values["psnr"]) == pytest.approx(-10 * math.log10(sum(squares) / 2))
    decibels = [float(MODES["hdrnet"](*p)["psnr"]) for p in ((x, y), (x2, y2))]
    assert decibels == pytest.approx([-10 * math.log10(s) for s in squares])
    assert abs(float(values["psnr"]) - sum(decibels) / 2) > 0.1
    labs = [rgb2lab(np.clip(last(picture), 0, 1)) for picture in (x, y)]
    assert float(values["l2_lab"][0]) == pytest.approx(deltaE_cie76(*labs).mean(), abs=1e-7)


def test_every_mode_gives_what_is_said_of_it() -> None:
    assert list(MODES) == list(PUBLISHED)
    for name, mode in MODES.items():
        assert list(mode(*pair())) == list(PUBLISHED[name].values)
        assert PUBLISHED[name].source


@pytest.mark.parametrize("name", MODES)
def test_batches_are_their_pictures(name: str) -> None:
    pairs = [pair(seed=seed) for seed in range(3)]
    batch = MODES[name](*(torch.stack(pictures) for pictures in zip(*pairs, strict=True)))
    for i, pictures in enumerate(pairs):
        for value, alone in MODES[name](*pictures).items():
            if alone is None or (name, value) == ("hdrnet", "psnr"):
                continue
            assert float(batch[value][i]) == pytest.approx(float(alone), abs=1e-11)


@pytest.mark.parametrize("name", MODES)
def test_identical_pictures(name: str) -> None:
    x, _ = pair()
    for value, number in MODES[name](x, x).items():
        if number is not None:
            best = {"psnr": math.inf, "ssim": 1.0}.get(value, 0.0)
            assert float(number) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("name", MODES)
def test_constant_pictures_are_defined(name: str) -> None:
    grey, white = torch.full((3, 16, 16), 0.5), torch.ones(3, 16, 16)
    values = MODES[name](grey, white)
    undefined = {"deeplpf": ["ssim"], "namedcurves": ["ssim"]}.get(name, [])
    assert [n for n, v in values.items() if v is not None and torch.isnan(v)] == undefined
    textured = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    for pictures in ((textured, white), (white, textured)):
        constant_output = name == "deeplpf" and pictures[0] is white
        ssim = MODES[name](*pictures).get("ssim")
        assert ssim is None or bool(torch.isnan(ssim)) == constant_output


@pytest.mark.parametrize("name", MODES)
def test_the_smallest_pictures(name: str) -> None:
    height, width = SMALLEST[name]
    x, y = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    for value in MODES[name](x, y).values():
        assert value is None or torch.isfinite(value)
    if name != "hdrnet":
        for smaller in (x[:, 1:], x[..., 1:]):
            with pytest.raises(ValueError, match="SSIM needs"):
                MODES[name](smaller, smaller)


@pytest.mark.parametrize("name", MODES)
def test_what_has_no_value_is_refused(name: str) -> None:
    x, y = pair()
    for bad, message in (
        (y[..., 1:], "differ in shape"),
        (y * math.nan, "NaN"),
        ((y * 255).byte(), "uint8"),
    ):
        with pytest.raises(ValueError, match=message):
            MODES[name](x, bad)
