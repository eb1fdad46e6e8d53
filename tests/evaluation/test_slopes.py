"""Slopes and inversions: by hand, beside float64's derivatives, and where they are shown."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from hdrnet_bench import HDRNet, HDRNetConfig, load_model
from hdrnet_bench.color import linear_to_srgb, srgb_to_linear
from hdrnet_bench.data.manifest import Dataset, Row
from hdrnet_bench.data.pairs import Pair
from hdrnet_bench.data.sizes import load_pair_at
from hdrnet_bench.evaluation import baselines
from hdrnet_bench.evaluation.score import measure, score_pair
from hdrnet_bench.evaluation.slopes import FLAT, STEP, Slopes, of_model, slopes
from hdrnet_bench.model.lowres import make_lowres
from hdrnet_bench.results import ResultRow, slopes_text
from tests.conftest import Workspace, write_recipe

DEPTH, SIDE = 4, 4
SMALL = {"net_input_size": 32, "spatial_bin": SIDE, "luma_bins": DEPTH}
NONE_THERE = "inversions are of coefficients, and the method has none"


def of_curves(values: Tensor) -> Slopes:
    """Of a picture whose slopes are given."""
    return slopes(lambda shift: values * shift)


def pair_of(image: Tensor, target: Tensor | None = None) -> Pair:
    row = Row.model_construct(id="a", split="test", licence="CC0-1.0", group=None)
    return Pair(row, image, image if target is None else target)


def with_grid(monkeypatch: pytest.MonkeyPatch, grid: Tensor, **config: Any) -> HDRNet:
    """A model with curves at the identity, mean of red, green and blue, that predicts this grid."""
    model = HDRNet(HDRNetConfig(**SMALL, **config)).eval()
    with torch.no_grad():
        model.guides[0].ccm.copy_(torch.eye(3))
    monkeypatch.setattr(model, "coefficients", lambda lowres: grid)
    return model


def grid_of(matrices: list[Tensor]) -> Tensor:
    """(1, 12, D, GH, GW) with a matrix (3, 4) in all cells of a bin."""
    return torch.stack([m.flatten() for m in matrices], 1)[None, :, :, None, None].repeat(
        1, 1, 1, SIDE, SIDE
    )


def transform(linear: float, offset: float = 0.0) -> Tensor:
    return torch.cat([linear * torch.eye(3), torch.full((3, 1), offset)], 1)


def greys(low: float, high: float) -> Tensor:
    """A ramp (3, 20, 30) in which all channels are alike."""
    return torch.linspace(low, high, 600).reshape(1, 20, 30).repeat(3, 1, 1)


def test_slopes_by_hand() -> None:
    image = torch.rand(3, 10, 12)
    assert slopes(lambda shift: image + shift) == pytest.approx((0, 1, 1), abs=1e-4)
    assert slopes(lambda shift: 1 - 2 * (image + shift)) == pytest.approx((1, -2, -2), abs=1e-4)
    assert slopes(lambda shift: image) == (0, 0, 0)
    one_channel = torch.tensor([1.0, -1.0, 3.0])[:, None, None]
    found = slopes(lambda shift: one_channel * (image + shift))
    assert found == pytest.approx((1 / 3, -1, 3), abs=1e-4)


def test_a_fall_that_no_level_shows_is_flat() -> None:
    assert of_curves(torch.full((3, 8, 8), FLAT * 0.9)).inversions == 0
    assert of_curves(torch.full((3, 8, 8), FLAT * 1.1)).inversions == 1


@pytest.mark.parametrize("size", [(1, 1), (10, 33), (25, 40), (20, 50)])
def test_the_extremes_are_of_one_in_a_thousand(size: tuple[int, int]) -> None:
    values = torch.randn(3, *size)
    n = values.numel()
    found = of_curves(values.double())
    ordered = np.sort(values.double().numpy().ravel())
    beyond = math.ceil(n / 1000)
    assert found.low == pytest.approx(ordered[beyond - 1])
    assert found.high == pytest.approx(ordered[n - beyond])
    assert found.inversions == (ordered < FLAT).mean()


def test_a_single_pixel_does_not_make_the_range() -> None:
    values = torch.ones(3, 40, 40)
    values[0, 0, 0], values[1, 5, 5] = -50, 3667
    assert of_curves(values) == pytest.approx((1 / 4800, 1, 1), abs=1e-5)
    values[0, 0, :5] = -50  # five of 4,800
    assert of_curves(values).low == pytest.approx(-50)


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        slopes(lambda shift: torch.full((3, 4, 4), math.inf if shift > 0 else 0.0))


def test_an_inverted_cell_counts_where_pixels_fall_into_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The brightest bin is inverted: its centre is at 7/8, that of the one below at 5/8."""
    grid = grid_of([transform(1)] * 3 + [transform(-1, 2.0)])
    model = with_grid(monkeypatch, grid)
    assert measured(model, greys(0.0, 0.62))[0] == pytest.approx((0, 1, 1), abs=1e-3)
    assert measured(model, greys(0.9, 0.98))[0] == pytest.approx((1, -1, -1), abs=1e-3)
    # Of a ramp the eighth beyond 7/8. Between the two centres 2 - x comes in as x goes out: the
    # slope is 4 at the one, and 0 at the other.
    found, _ = measured(model, greys(0.0, 1.0))
    assert found.inversions == pytest.approx(1 / 8, abs=0.01)
    assert (found.low, found.high) == pytest.approx((-1, 4), abs=0.05)


def measured(model: HDRNet, image: Tensor) -> tuple[Slopes, Tensor]:
    output, held = of_model(model).both(pair_of(image))
    return slopes(held), output


def test_a_matrix_and_an_offset_may_share_a_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """All linear coefficients are -1, and the offset rises by 2 along the depth: the identity, in
    which nothing is inverted."""
    grid = grid_of([transform(-1, 2 * (z + 0.5) / DEPTH) for z in range(DEPTH)])
    image = greys(0.2, 0.8)
    found, output = measured(with_grid(monkeypatch, grid), image)
    torch.testing.assert_close(output, image, atol=1e-5, rtol=0)
    assert found == pytest.approx((0, 1, 1), abs=1e-3)


@pytest.mark.parametrize("variant", ["curves", "pointwise", "pyramid"])
def test_a_models_slopes_are_its_derivatives(
    variant: Literal["curves", "pointwise", "pyramid"],
) -> None:
    """Beside derivatives in float64 of the reference: by autograd where a pixel is treated by
    itself, and for the pyramid by a step so small that it is one."""
    torch.manual_seed(3)
    model = HDRNet(HDRNetConfig(**SMALL, variant=variant)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    image = torch.rand(3, 48, 40)
    found, _ = measured(model, image)

    exact = HDRNet(model.config).double().eval()
    exact.load_state_dict(model.state_dict())
    x = image.double()[None]
    grid = exact.coefficients(make_lowres(x, 32, "area")).detach()

    def render(picture: Tensor) -> Tensor:
        return exact.render(grid, picture, backend="reference")

    if variant == "pyramid":
        with torch.no_grad():
            values = (render(x + 1e-7) - render(x - 1e-7)) / 2e-7
    else:
        x.requires_grad_()
        outputs = render(x)
        rises = [
            torch.autograd.grad(outputs[:, c].sum(), x, retain_graph=True)[0] for c in range(3)
        ]
        values = torch.cat([rise.sum(1) for rise in rises])
    ordered = np.sort(values.detach().numpy().ravel())
    assert 0.02 < (share := (ordered < FLAT).mean()) < 0.98
    # Kinks within half a level of a pixel part the two; they are at a few per cent of the pixels.
    assert found.inversions == pytest.approx(share, abs=0.003)
    beyond = math.ceil(len(ordered) / 1000)
    spread = ordered[-1] - ordered[0]
    assert found.low == pytest.approx(ordered[beyond - 1], abs=0.01 * spread)
    assert found.high == pytest.approx(ordered[-beyond], abs=0.01 * spread)


def test_linear_light_gets_lighter_on_srgbs_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = grid_of([transform(1)] * DEPTH)
    dark = torch.full((3, 8, 8), 0.001)  # in the toe: linear light is 1 / 12.92 of sRGB
    given = with_grid(monkeypatch, grid, input_encoding="linear")
    assert measured(given, dark)[0] == pytest.approx((0, 1 / 12.92, 1 / 12.92), abs=1e-4)
    grey = torch.full((3, 8, 8), float(srgb_to_linear(np.array([0.5]))[0]))
    ends = srgb_to_linear(np.array([0.5 - STEP / 2, 0.5 + STEP / 2]))
    slope = (ends[1] - ends[0]) / STEP
    assert measured(given, grey)[0] == pytest.approx((0, slope, slope), abs=1e-3)
    encoded = with_grid(monkeypatch, grid, input_encoding="linear", input_transfer="srgb")
    found, output = measured(encoded, grey)
    assert found == pytest.approx((0, 1, 1), abs=1e-3)
    torch.testing.assert_close(output, linear_to_srgb(grey), atol=1e-4, rtol=0)


def test_oracles_have_slopes_of_one_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    config = HDRNetConfig(**SMALL)
    image = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(1))
    fits: list[int] = []
    for name in ("fit_grid", "fit_transform"):
        fit: Callable[..., Any] = getattr(baselines, name)
        monkeypatch.setattr(
            baselines, name, lambda *a, fit=fit, **k: (fits.append(1), fit(*a, **k))[1]
        )
    for method in (baselines.affine(config), baselines.grid(config, baselines.luma)):
        for target, expected in ((0.7 * image + 0.1, (0, 0.7)), (1 - image, (1, -1))):
            fits.clear()
            row = score_pair(method, pair_of(image, target), ["psnr", "inversions"], 3)
            assert row["inversions"] == expected[0]
            assert row["slopes"] == pytest.approx([expected[1]] * 2, abs=0.01)
            assert "undefined" not in row
            assert fits == [1]


def test_the_best_grids_guide_follows_the_picture() -> None:
    """The target x², of which a grid can have every value: its slope is 2 x."""
    image = greys(0.2, 0.8)
    method = baselines.grid(HDRNetConfig(**SMALL), baselines.luma)
    row = score_pair(method, pair_of(image, image**2), ["psnr", "inversions"], SIDE)
    assert row["psnr"] is None  # the same, as saved
    assert row["slopes"] == pytest.approx([0.4, 1.6], abs=0.01)


def test_what_has_no_coefficients_has_no_inversions() -> None:
    image = torch.rand(3, 16, 16)
    row = score_pair(lambda pair: pair.input, pair_of(image), ["psnr", "inversions"], 4)
    assert row["inversions"] is None
    assert "slopes" not in row
    assert row["undefined"] == {"inversions": NONE_THERE}
    # And where nobody asks, none are looked for.
    held = pytest.fail
    assert measure(image, image, ["psnr"], held=held).slopes is None  # type: ignore[arg-type]


def test_slopes_and_inversions_stand_together_in_a_row() -> None:
    head = {"id": "a", "width": 4, "height": 4, "licence": "CC0-1.0", "psnr": 20.0}
    assert "slopes" not in ResultRow.model_validate(head).model_dump()
    whole = head | {"inversions": 0.0, "slopes": [0.5, 1.5]}
    assert ResultRow.model_validate(whole).model_dump(mode="json")["slopes"] == [0.5, 1.5]
    for broken in (
        head | {"slopes": [0.5, 1.5]},
        head | {"inversions": 0.0},
        whole | {"slopes": [1.5, 0.5]},
        whole | {"slopes": [0.5, math.inf]},
    ):
        with pytest.raises(ValidationError, match="slopes"):
            ResultRow.model_validate(broken)


def test_they_stand_beside_psnr(trained: Workspace) -> None:
    identity, run = trained.json("eval", "tiny/seed-0")
    summary = run["metrics"]["inversions"]
    shares = [row["inversions"] for row in run["rows"]]
    assert summary["n"] == len(shares) == 2
    assert summary["mean"] == pytest.approx(sum(shares) / 2)
    lows, highs = zip(*(row["slopes"] for row in run["rows"]), strict=True)
    assert all(low < high for low, high in zip(lows, highs, strict=True))
    reason = f"not defined for any of 2 pictures: {NONE_THERE}"
    assert identity["metrics"]["inversions"]["reason"] == reason

    model = load_model(trained.path / "runs/tiny/seed-0")
    dataset = Dataset(trained.path / "data/demo-tiny")
    for picture, row in zip(dataset.split("test"), run["rows"], strict=True):
        _, held = of_model(model).both(load_pair_at(dataset, picture, "full"))
        assert slopes(held) == pytest.approx((row["inversions"], *row["slopes"]), abs=1e-3)

    text = trained.run("eval", "tiny/seed-0", "--wide").stdout
    assert slopes_text((min(lows), max(highs))) in text
    (rows,) = trained.path.glob("results/tiny/hdrnet-curves/seed-0/eval-test-full.csv")
    assert rows.read_text().split("\n")[0].endswith("inversions,slope_low,slope_high")


def test_a_result_from_before_is_measured_again(trained: Workspace) -> None:
    trained.json("eval", "tiny/seed-0")
    (path,) = trained.path.glob("results/tiny/hdrnet-curves/seed-0/eval-test-full.json")
    before = path.read_text()
    path.write_text(json.dumps(without_slopes(json.loads(before))))
    trained.json("eval", "tiny/seed-0")
    after = json.loads(path.read_text())
    assert after["rows"] == json.loads(before)["rows"]


def test_training_can_choose_by_them(tiny: Workspace) -> None:
    write_recipe(
        tiny.path / "by-inversions.yaml",
        lambda recipe: recipe["training"].update(best_metric="inversions", steps=3),
    )
    done = tiny.run("train", "./by-inversions.yaml")
    assert done.returncode == 0, done.stderr


def test_tables_show_the_range_and_dashes_where_there_is_none(trained: Workspace) -> None:
    trained.json("eval", "tiny/seed-0")
    trained.json("report")
    (table,) = trained.path.glob("results/tables/quality-demo-tiny-test.csv")
    identity, run = csv.DictReader(io.StringIO(table.read_text()))
    assert (identity["slope_low"], identity["slope_high"], identity["inversions"]) == ("", "", "")
    assert float(run["slope_low"]) < float(run["slope_high"])
    text = slopes_text((float(run["slope_low"]), float(run["slope_high"])))
    page = (trained.path / "results/README.md").read_text()
    assert f" {text} |" in page
    assert f"inversions: not defined for any of 2 pictures: {NONE_THERE}." in page
    # Results from before have no column for it.
    for path in trained.path.glob("results/tiny/*/*/eval-test-full.json"):
        path.write_text(json.dumps(without_slopes(json.loads(path.read_text()))))
    trained.json("report")
    assert "slope" not in table.read_text()
    assert "slopes" not in (trained.path / "results/README.md").read_text()


def without_slopes(result: dict[str, Any]) -> dict[str, Any]:
    """A result as older versions wrote it."""
    del result["metrics"]["inversions"]
    for row in result["rows"]:
        del row["inversions"]
        row.pop("slopes", None)
        row.pop("undefined", None)
    return result
