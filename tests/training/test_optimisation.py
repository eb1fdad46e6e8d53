import copy

import pytest
import torch

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.recipe import TrainingSpec
from hdrnet_bench.training.optimisation import (
    DIVERGED,
    TrainingForward,
    diverged,
    loss_of,
    optimiser_of,
    rate,
    update_average,
)

CONFIG = HDRNetConfig(net_input_size=32, spatial_bin=4, luma_bins=4)


def spec(**changes: object) -> TrainingSpec:
    values = {"steps": 100, "batch_size": 1, "crop": 32, "learning_rate": 0.1, "validate_every": 1}
    return TrainingSpec.model_validate(values | changes)


def test_schedule() -> None:
    def factors(**changes: object) -> list[float]:
        return [rate(spec(**changes), step, 100) for step in range(100)]

    assert set(factors()) == {1.0}
    warm = factors(warmup_steps=4)
    assert warm[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    cosine = factors(schedule="cosine")
    assert cosine[0] == 1
    assert cosine[50] == pytest.approx(0.5)
    assert 0 < cosine[-1] < 1e-3


def test_losses_by_hand() -> None:
    output, target = torch.tensor([0.0, 0.5, 2.0]), torch.tensor([0.0, 0.0, 1.0])
    assert loss_of(spec(), output, target) == pytest.approx((0.25 + 1) / 3)
    assert loss_of(spec(loss="l1"), output, target) == pytest.approx(0.5)
    smooth = ((1e-6) ** 0.5 + (0.25 + 1e-6) ** 0.5 + (1 + 1e-6) ** 0.5) / 3
    assert loss_of(spec(loss="charbonnier"), output, target) == pytest.approx(smooth)


@pytest.mark.parametrize("loss", DIVERGED)
def test_what_counts_as_diverged(loss: str) -> None:
    limit = DIVERGED[loss]
    assert not diverged(spec(loss=loss), limit)
    for value in (limit * 1.001, float("nan"), float("inf")):
        assert diverged(spec(loss=loss), value)


@pytest.mark.parametrize("variant", ["curves", "pointwise", "pyramid"])
def test_weight_decay_is_on_convolutions_and_dense_layers_alone(variant: str) -> None:
    model = HDRNet(CONFIG.model_copy(update={"variant": variant, "batch_norm": True}))
    groups = optimiser_of(spec(weight_decay=0.5), model).param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] == 0.5 for p in group["params"]}
    others = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in decayed}
    assert names == {
        name
        for name, _ in model.named_parameters()
        if name.endswith((".conv.weight", ".dense.weight"))
    }
    assert len(decayed) + len(others) == len(list(model.parameters()))


@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
def test_weight_decay_is_the_penalty_or_decoupled(optimiser: str) -> None:
    """adam: as if weight_decay * sum(w^2) / 2 stood in the loss; adamw: w shrinks by lr * decay."""
    torch.manual_seed(0)
    lowres, full = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 40, 40)
    one = HDRNet(CONFIG)
    two = copy.deepcopy(one)
    decay = 0.3
    stepper = optimiser_of(spec(weight_decay=decay, optimiser=optimiser), one)
    plain = optimiser_of(spec(optimiser=optimiser), two)
    name = "coefficient_network.prediction.conv.weight"
    before = two.get_parameter(name).detach().clone()
    for model, step, by_hand in ((one, stepper, False), (two, plain, True)):
        loss = model(lowres, full).square().mean()
        if by_hand and optimiser == "adam":
            weights = [p for n, p in model.named_parameters() if n.endswith("v.weight")]
            weights += [p for n, p in model.named_parameters() if n.endswith("e.weight")]
            loss = loss + decay / 2 * sum(w.square().sum() for w in weights)
        loss.backward()
        step.step()
    expected = two.get_parameter(name).detach()
    if optimiser == "adamw":
        expected = expected - 0.1 * decay * before
    assert torch.allclose(one.get_parameter(name), expected, atol=1e-5)
    for key in ("guides.0.slopes", "coefficient_network.prediction.conv.bias"):
        assert torch.allclose(one.get_parameter(key), two.get_parameter(key), atol=1e-5)


def test_average_forgets_its_start_and_copies_statistics() -> None:
    config = CONFIG.model_copy(update={"variant": "pointwise"})
    model, average = HDRNet(config), HDRNet(config)
    start = {name: p.detach().clone() for name, p in average.named_parameters()}
    model.guides[0].conv1.norm.running_mean.fill_(7)
    update_average(average, model, 0.999, step=1)
    decay = 2 / 11  # (1 + step) / (10 + step)
    for (name, slow), fast in zip(average.named_parameters(), model.parameters(), strict=True):
        assert torch.allclose(slow, decay * start[name] + (1 - decay) * fast, atol=1e-6)
    assert (average.guides[0].conv1.norm.running_mean == 7).all()
    before = next(average.parameters()).detach().clone()
    update_average(average, model, 0.5, step=10**6)
    assert torch.allclose(
        next(average.parameters()), 0.5 * before + 0.5 * next(model.parameters()), atol=1e-6
    )


def test_half_precision_reaches_the_coefficients_and_not_the_guide() -> None:
    """On a CPU too torch can do it, though training there is refused: what is cast is the same."""
    torch.manual_seed(0)
    model = HDRNet(CONFIG)
    lowres, full = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 40, 40)
    exact = TrainingForward(model, "float32")(lowres, full)
    seen = {}
    model.guides[0].register_forward_hook(lambda m, i, o: seen.update(guide=o.dtype))
    model.coefficient_network.register_forward_hook(lambda m, i, o: seen.update(grid=o.dtype))
    mixed = TrainingForward(model, "bfloat16")(lowres, full)
    assert seen == {"guide": torch.float32, "grid": torch.bfloat16}
    assert mixed.dtype == torch.float32
    assert 0 < (mixed - exact).abs().max() < 0.1
    assert torch.equal(exact, model(lowres, full))
