import pytest
import yaml

from hdrnet_bench.errors import UsageError
from hdrnet_bench.files import read_json
from hdrnet_bench.recipe import load_recipe, parse_recipe
from hdrnet_bench.training.overrides import override
from tests.conftest import ROOT, Workspace


def test_values_are_yaml_and_are_validated_as_in_a_file() -> None:
    recipe = load_recipe("demo-retouch")
    changed = override(
        recipe,
        [
            "training.steps=10",
            "model.variant=pyramid",
            "training.learning_rate=1e-4",
            "training.seeds=[1, 2]",
            "training.gradient_clip=null",
            "evaluation.metrics=[psnr]",
        ],
    )
    spec = changed.training
    assert (spec.steps, spec.learning_rate, spec.seeds) == (10, 1e-4, (1, 2))
    assert spec.gradient_clip is None
    assert changed.model.variant == "pyramid"
    assert changed.evaluation.metrics == ("psnr",)
    assert changed.training.crop == recipe.training.crop


def test_steps_and_epochs_replace_each_other() -> None:
    recipe = load_recipe("demo-retouch")
    epochs = override(recipe, ["training.epochs=7"])
    assert (epochs.training.steps, epochs.training.epochs) == (None, 7)
    assert epochs.training.total_steps(pictures=6) == 11  # 42 of 44 draws, in batches of 4
    again = override(epochs, ["training.steps=1200"])
    assert again.training == recipe.training
    with pytest.raises(UsageError, match="one of them, not both"):
        override(recipe, ["training.steps=null"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.stepps=3", r"training.stepps: unknown key; did you mean steps"),
        ("trainin.steps=3", r"trainin: unknown key; did you mean training"),
        ("training.steps=many", r"training.steps: .*got 'many'"),
        ("training.steps", "write KEY=VALUE"),
        ("=3", "write KEY=VALUE"),
        ("training.steps.more=3", "steps has no keys of its own"),
        ("training.steps=[", "the value is not YAML"),
        ("name=other", "name cannot be set"),
        ("changed=[]", "changed cannot be set"),
        ("training.best_metric=psrn", "unknown metric 'psrn'"),
        ("training.ema=1", "training.ema"),
        ("training.loss=l3", "training.loss"),
    ],
)
def test_faults_are_named(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        override(load_recipe("demo-retouch"), [setting])
    assert "--set" in str(caught.value)


def test_a_changed_recipe_carries_a_name_of_its_own() -> None:
    recipe = load_recipe("demo-retouch")
    changed = override(recipe, ["training.steps=10"])
    assert changed.name == recipe.name
    assert changed.digest != recipe.digest
    assert changed.changed == ("training.steps=10",)
    assert changed.label == f"demo-retouch-set-{changed.digest[:8]}"
    assert recipe.label == "demo-retouch"
    # In another order the same; to the value that it has, no change at all.
    both = ["training.steps=10", "training.crop=64"]
    assert override(recipe, both).label == override(recipe, both[::-1]).label
    assert override(recipe, ["training.steps=1200"]) == recipe


def test_a_run_of_a_changed_recipe_does_not_pass_for_the_recipe(tiny: Workspace) -> None:
    plan = tiny.json("train", "tiny.yaml", "--set", "training.steps=2", "--dry-run")
    assert plan["steps"] == 2
    assert plan["changed"] == ["training.steps=2"]
    assert not (tiny.path / "runs").exists()

    assert tiny.run("train", "tiny.yaml", "--set", "training.steps=2").returncode == 0
    assert tiny.run("train", "tiny.yaml", "--run", "whole").returncode == 0
    stored = parse_recipe(tiny.path / "runs/tiny/seed-0/recipe.yaml")
    assert stored.training.steps == 2
    assert stored.changed == ("training.steps=2",)
    results = tiny.json("eval")
    labels = {r["recipe"]["name"] for r in results if r["method"]["name"] != "identity"}
    assert labels == {"tiny", stored.label}
    files = {p.relative_to(tiny.path / "results").parts[0] for p in tiny.path.glob("results/*/*")}
    assert files == {*labels, "pictures"}
    assert tiny.json("eval", "--dry-run") == {"would measure": []}
    assert tiny.run("report").returncode == 0
    assert stored.label in (tiny.path / "results/README.md").read_text()


def test_a_changed_run_is_resumed_by_the_same_settings_or_its_own_recipe(tiny: Workspace) -> None:
    arguments = ["train", "tiny.yaml", "--set", "training.steps=2"]
    assert tiny.run(*arguments).returncode == 0
    assert "nothing to do" in tiny.run(*arguments, "--resume").stdout
    assert "nothing to do" in tiny.run("train", "runs/tiny/seed-0/recipe.yaml", "--resume").stdout
    assert "with another tiny" in tiny.fails(2, "train", "tiny.yaml", "--resume")


def test_the_digest_knows_new_keys_only_where_they_are_used(tiny: Workspace) -> None:
    """The digests under results/ were taken before there were such keys."""
    recipe = parse_recipe(tiny.path / "tiny.yaml")
    content = yaml.safe_load(recipe.yaml())
    content["training"].update(loss="l2", rot90=False, ema=None)
    (tiny.path / "full.yaml").write_text(yaml.safe_dump(content))
    assert parse_recipe(tiny.path / "full.yaml").digest == recipe.digest
    for setting in ("training.loss=l1", "training.rot90=true", "dataset.expert=c"):
        assert override(recipe, [setting]).digest != recipe.digest
    baseline = ROOT / "results/demo-retouch/identity/baseline/eval-test-full.json"
    assert read_json(baseline)["recipe"]["digest"] == load_recipe("demo-retouch").digest
