import ast
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.model import hdrnet
from hdrnet_bench.model.lowres import make_lowres
from hdrnet_bench.tf1 import state_dict_from_tf1
from tests.conftest import GOLDEN

VARIANTS = {
    "HDRNetCurves": "curves",
    "HDRNetPointwiseNNGuide": "pointwise",
    "HDRNetGaussianPyrNN": "pyramid",
}


def golden(name: str) -> tuple[dict[str, np.ndarray], HDRNetConfig]:
    arrays = dict(np.load(GOLDEN / f"{name}.npz", allow_pickle=False))
    stated = ast.literal_eval(str(arrays.pop("config")))
    return arrays, HDRNetConfig(variant=VARIANTS[stated.pop("model")], **stated)


@pytest.mark.parametrize("name", ["curves", "curves_bn", "pointwise_bn", "pyramid_bn"])
def test_agrees_with_the_reference_implementation(name: str) -> None:
    arrays, config = golden(name)
    weights = {k.removeprefix("w/"): v for k, v in arrays.items() if k.startswith("w/")}
    model = HDRNet(config)
    model.load_state_dict(state_dict_from_tf1(weights, config))
    model.eval()

    def picture(key: str) -> torch.Tensor:
        return torch.tensor(arrays[f"io/{key}"]).permute(0, 3, 1, 2)

    with torch.no_grad():
        grid = model.coefficients(picture("lowres"))
        guides = model.guide(picture("fullres"))
        output = model(picture("lowres"), picture("fullres"))
    expected = torch.tensor(arrays["io/coeffs"])  # [b, gh, gw, gd, n_out, n_in]
    expected = expected.permute(0, 4, 5, 3, 1, 2).flatten(1, 2)
    assert (grid - expected).abs().max() <= 1e-4
    guides = guides if isinstance(guides, list) else [guides]
    for level, guide in enumerate(guides):
        assert (guide - torch.tensor(arrays[f"io/guide{level}"])).abs().max() <= 1e-4
    assert (output - picture("output")).abs().max() <= 5e-4


def test_tf1_names_may_end_in_0_and_bring_slots() -> None:
    arrays, config = golden("curves")
    weights = {k.removeprefix("w/"): v for k, v in arrays.items() if k.startswith("w/")}
    plain = state_dict_from_tf1(weights, config)
    noisy = {f"{name}:0": value for name, value in weights.items()} | {
        "inference/guide/ccm/Adam": np.zeros((3, 3)),
        "inference/guide/ccm/Adam_1": np.zeros((3, 3)),
        "beta1_power": np.zeros(()),
        "global_step": np.zeros(()),
    }
    assert all(torch.equal(v, plain[k]) for k, v in state_dict_from_tf1(noisy, config).items())


def test_tf1_says_what_does_not_fit() -> None:
    arrays, config = golden("curves")
    weights = {k.removeprefix("w/"): v for k, v in arrays.items() if k.startswith("w/")}
    with pytest.raises(KeyError, match="guide/conv1/weights"):
        state_dict_from_tf1(weights, config.model_copy(update={"variant": "pointwise"}))
    with pytest.raises(ValueError, match="local/conv3"):
        state_dict_from_tf1(
            weights | {"inference/coefficients/local/conv3/weights": np.zeros(1)}, config
        )


def test_default_is_the_paper_network() -> None:
    model = HDRNet()
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 482_080
    grid = model.coefficients(torch.rand(2, 3, 256, 256))
    assert grid.shape == (2, 12, 8, 16, 16)
    guide = model.guide(torch.rand(2, 3, 20, 30))
    assert isinstance(guide, torch.Tensor)
    assert guide.shape == (2, 20, 30)


@pytest.mark.parametrize("variant", ["curves", "pointwise", "pyramid"])
@pytest.mark.parametrize("size", [(37, 53), (64, 64), (4, 91)])
def test_forward_shapes_and_gradients(variant, size: tuple[int, int]) -> None:
    config = HDRNetConfig(variant=variant, net_input_size=32, spatial_bin=8, luma_bins=4)
    model = HDRNet(config)
    output = model(torch.rand(2, 3, 32, 32), torch.rand(2, 3, *size))
    assert output.shape == (2, 3, *size)
    output.square().mean().backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    assert missing == []


def test_guide_stays_in_range() -> None:
    torch.manual_seed(0)
    for variant in ("curves", "pointwise"):
        guide = HDRNet(HDRNetConfig(variant=variant)).guide(torch.randn(1, 3, 16, 16) * 5)
        assert isinstance(guide, torch.Tensor)
        assert 0 <= guide.min() <= guide.max() <= 1


def test_untrained_curves_guide_is_the_mean_of_the_channels() -> None:
    x = torch.rand(1, 3, 9, 9)
    guide = HDRNet().guide(x)
    assert isinstance(guide, torch.Tensor)
    assert (guide - x.mean(1)).abs().max() < 2e-3


def test_initialisation() -> None:
    """Truncated at two sigma, variance 1.3 * 2 / fan_in before truncation; biases zero."""
    torch.manual_seed(0)
    network = HDRNet().coefficient_network
    dense = network.global_dense[0].dense
    sigma = math.sqrt(2.6 / dense.weight.shape[1])
    assert dense.weight.abs().max() <= 2 * sigma
    # A normal cut at two sigma keeps 0.88 of its standard deviation.
    assert abs(dense.weight.std() / sigma - 0.8796) < 0.01
    assert (dense.bias == 0).all()
    assert network.local[-1].conv.bias is None


def test_batch_norm_replaces_biases_and_has_no_scale() -> None:
    network = HDRNet(HDRNetConfig(batch_norm=True)).coefficient_network
    assert network.splat[0].norm is None
    assert bool((network.splat[1].norm.weight == 1).all())
    assert not any(name.endswith("norm.weight") for name in network.state_dict())
    assert not any(name.endswith("norm.weight") for name, _ in network.named_parameters())
    assert network.splat[1].conv.bias is None
    assert network.splat[1].norm.eps == 1e-3
    assert network.splat[1].norm.momentum == pytest.approx(1e-3)
    assert network.global_dense[2].norm is None
    assert network.global_dense[2].dense.bias is not None


@pytest.mark.parametrize(
    ("settings", "splat", "grid"),
    [
        ({"spatial_bin": 32, "luma_bins": 8}, 3, (12, 8, 32, 32)),
        ({"spatial_bin": 8, "luma_bins": 4}, 5, (12, 4, 8, 8)),
        ({"net_input_size": 96, "spatial_bin": 12, "local_layers": 3}, 3, (12, 8, 12, 12)),
        ({"variant": "pyramid"}, 4, (36, 8, 16, 16)),
    ],
)
def test_grid_follows_the_configuration(settings, splat: int, grid: tuple[int, ...]) -> None:
    config = HDRNetConfig(**settings)
    assert config.splat_layers == splat
    size = config.net_input_size
    assert HDRNet(config).coefficients(torch.rand(1, 3, size, size)).shape == (1, *grid)


@pytest.mark.parametrize(
    "settings",
    [
        {"net_input_size": 256, "spatial_bin": 24},
        {"net_input_size": 16, "spatial_bin": 16},
        {"net_input_size": 48, "spatial_bin": 16},
        {"luma_bins": 0},
        {"variant": "wavelet"},
        {"depth": 8},
    ],
)
def test_impossible_configurations_are_refused(settings) -> None:
    with pytest.raises(ValidationError):
        HDRNetConfig(**settings)


def test_lowres_input_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not \(B, 3, 256, 256\)"):
        HDRNet().coefficients(torch.rand(1, 3, 128, 128))


def test_enhance_keeps_shape_and_type() -> None:
    torch.manual_seed(0)
    model = HDRNet(HDRNetConfig(net_input_size=32, spatial_bin=8)).eval()
    picture = torch.rand(3, 21, 34)
    alone = model.enhance(picture)
    assert alone.shape == picture.shape
    batch = model.enhance(torch.stack([picture, picture]))
    assert torch.allclose(batch[1], alone, atol=1e-4)
    assert not alone.requires_grad
    double = model.enhance(picture.double())
    assert double.dtype == torch.float64

    levels = (picture * 255).round().to(torch.uint8)
    eight = model.enhance(levels)
    assert eight.dtype == torch.uint8
    exact = model.enhance(levels.float() / 255).clamp(0, 1) * 255
    assert (eight.float() - exact).abs().max() <= 0.5 + 1e-3

    for bad in (picture[0], torch.rand(1, 21, 34), torch.zeros(3, 4, 4, dtype=torch.int32)):
        with pytest.raises(ValueError, match="image is"):
            model.enhance(bad)


def test_lowres_area_averages_and_nearest_picks() -> None:
    x = torch.arange(64, dtype=torch.float32).reshape(1, 1, 8, 8).expand(1, 3, 8, 8)
    assert make_lowres(x, 2, "area")[0, 0, 0, 0] == x[0, 0, :4, :4].mean()
    assert make_lowres(x, 2, "nearest")[0, 0].tolist() == [[0, 4], [32, 36]]


@pytest.mark.parametrize("variant", ["curves", "pointwise", "pyramid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8, torch.uint16])
@pytest.mark.parametrize("transfer", ["none", "srgb"])
@pytest.mark.parametrize("too_large", [False, True])
def test_coefficients_are_predicted_once(
    variant, dtype: torch.dtype, transfer, too_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it shows late that the grid is too large for the fused kernel."""
    torch.manual_seed(0)
    encoding = "linear" if transfer == "srgb" else "srgb"
    config = HDRNetConfig(
        variant=variant, net_input_size=32, spatial_bin=8, luma_bins=4, input_encoding=encoding,
        input_transfer=transfer,
    )  # fmt: skip
    model = HDRNet(config).eval()
    picture = torch.rand(3, 40, 50)
    if not dtype.is_floating_point:
        picture = picture * torch.iinfo(dtype).max
    picture = picture.to(dtype)
    expected = model.enhance(picture)
    runs = []
    model.coefficient_network.register_forward_hook(lambda *_: runs.append(1))
    asked = []
    if too_large:
        monkeypatch.setattr(hdrnet, "fused_packed", lambda *_: asked.append(1))
    output = model.enhance(picture)
    assert len(runs) == 1
    assert len(asked) == (too_large and variant != "pyramid")
    assert output.dtype == dtype
    bound = 1e-4 if dtype.is_floating_point else 1 + 1e-4 * torch.iinfo(dtype).max
    assert (output.double() - expected.double()).abs().max() <= bound


def test_fields_in_place_of_a_configuration() -> None:
    model = HDRNet(variant="pointwise", luma_bins=4)
    assert model.config == HDRNetConfig(variant="pointwise", luma_bins=4)
    config = HDRNetConfig(luma_bins=2)
    assert HDRNet(config).config is HDRNet(config=config).config is config
    with pytest.raises(ValueError, match="an HDRNetConfig or its fields, not both: luma_bins"):
        HDRNet(config, luma_bins=4, variant="curves")
    with pytest.raises(ValueError, match="no field lume_bins, x: did you mean luma_bins"):
        HDRNet(lume_bins=4, x=1, variant="curves")
    with pytest.raises(ValueError, match="variant"):
        HDRNet(variant="curve")
