"""Pairing, verdicts, regressions, and which results a name means."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdrnet_bench.environment import Environment
from hdrnet_bench.errors import DataError, RegressionError, UsageError
from hdrnet_bench.evaluation.compare import (
    Comparison,
    MetricComparison,
    Regression,
    check,
    compare,
)
from hdrnet_bench.metric_specs import METRICS
from hdrnet_bench.result_ids import DatasetId, MethodId, RecipeId
from hdrnet_bench.results import (
    Evaluation,
    MetricSummary,
    ResultRow,
    evaluation_path,
    result_folder,
    write_result,
)
from hdrnet_bench.statistics import mean_interval
from tests.conftest import Workspace, write_recipe

PSNR = [20.0, 21.5, 19.0, 24.0, 22.0, 20.5]
NO_WEIGHTS = "not computed: no weights"


def result(
    psnr: Sequence[float | None] = PSNR,
    *,
    ids: Sequence[str] | None = None,
    method: str = "hdrnet-curves",
    run: str = "seed-0",
    seed: int | None = 0,
    recipe: str = "tiny",
    dataset: str = "demo-tiny",
    digest: str = "d" * 64,
    split: str = "test",
    size: str = "full",
    versions: dict[str, int] | None = None,
    leaked: int = 0,
    **others: Sequence[float | None],
) -> Evaluation:
    """An evaluation with these values; those of `others` by metric, all null: no weights."""
    columns = {"psnr": psnr, **others}
    ids = ids or [f"p{number}" for number in range(len(psnr))]
    metrics = {}
    for name, values in columns.items():
        version = (versions or {}).get(name, METRICS[name].version if name in METRICS else 1)
        if all(value is None for value in values):
            metrics[name] = MetricSummary(
                version=version, n=0, mean=None, interval=None, reason=NO_WEIGHTS
            )
            continue
        found = mean_interval([np.inf if value is None else value for value in values])
        metrics[name] = MetricSummary(version=version, **found._asdict())
    return Evaluation(
        recipe=RecipeId(name=recipe, version=1, digest="r" * 64),
        method=MethodId(
            name=method,
            run=run,
            parameters=None,
            model_sha256=None if seed is None else "m" * 64,
            seed=seed,
        ),
        dataset=DatasetId(name=dataset, protocol="tiny", split=split, digest=digest),
        size=size,
        metrics=metrics,
        rows=[
            ResultRow(
                id=id_,
                width=8,
                height=8,
                licence="CC0-1.0",
                **{name: values[number] for name, values in columns.items()},
            )
            for number, id_ in enumerate(ids)
        ],
        leaked=leaked,
        environment=Environment(
            package="0.1.0",
            commit=None,
            python="3.11",
            torch="2",
            platform="Linux",
            cpu="a processor",
            cores=2,
            threads=2,
            memory_gib=4,
            gpu=None,
            load=None,
        ),
    )


def shifted(by: Sequence[float] | float, n: int = 6) -> list[float]:
    return list(np.array(PSNR[:n]) + by)


def of(comparison: Comparison, metric: str = "psnr") -> MetricComparison:
    (one,) = [one for one in comparison.metrics if one.metric == metric]
    return one


def regressions(now: Evaluation, before: Evaluation) -> list[Regression]:
    return check(now, before).regressions


def test_a_steady_gain_is_better_and_says_by_how_much() -> None:
    gains = [1.0, 1.2, 0.8, 1.1, 0.9, 1.3]
    found = compare(result(shifted(gains)), result(run="seed-1"))
    psnr = of(found)
    assert psnr.verdict == "A better"
    assert psnr.paired.difference == pytest.approx(1.05)
    assert psnr.paired.interval[0] > 0.8
    assert (psnr.paired.wins, psnr.paired.ties, psnr.paired.losses, psnr.paired.win_rate) == (
        6,
        0,
        0,
        1,
    )
    assert psnr.paired.p == 2 / 64
    assert psnr.paired.a.mean - psnr.paired.b.mean == pytest.approx(1.05)
    assert psnr.paired.a.interval == pytest.approx(mean_interval(shifted(gains)).interval)
    assert [p.id for p in psnr.paired.pictures[:2]] == ["p5", "p1"]
    assert psnr.paired.pictures[0].difference == pytest.approx(1.3)
    assert (psnr.paired.pictures[0].a, psnr.paired.pictures[0].b) == (pytest.approx(21.8), 20.5)
    assert (found.a, found.b) == ("tiny, hdrnet-curves, seed-0", "tiny, hdrnet-curves, seed-1")


def test_each_sides_interval_stays_within_what_the_metric_can_be() -> None:
    values = [0.99, 0.995, 0.999, 1.0, 0.93, 0.998]
    assert mean_interval(values).interval[1] > 1
    found = of(compare(result(ssim=values), result(run="seed-1", ssim=values)), "ssim")
    assert found.paired.a.interval == mean_interval(values, METRICS["ssim"].bounds).interval
    assert found.paired.b.interval[1] < 1


def test_pairing_sees_what_the_intervals_of_the_means_do_not() -> None:
    """Pictures differ by decibels, methods by 0.1 dB on each: the means' intervals overlap."""
    found = of(compare(result(shifted([0.1, 0.12, 0.08, 0.1, 0.11, 0.09])), result()))
    assert found.paired.a.interval[0] < found.paired.b.mean < found.paired.a.interval[1]
    assert found.verdict == "A better"


def test_lower_is_better_where_the_metric_says_so() -> None:
    low, high = [1.0, 1.1, 1.2, 1.0, 0.9, 1.1], [2.0, 2.2, 2.1, 2.0, 1.9, 2.3]
    found = of(compare(result(delta_e_2000=low), result(delta_e_2000=high)), "delta_e_2000")
    assert (found.verdict, found.paired.wins) == ("A better", 6)
    assert found.paired.difference < 0
    back = of(compare(result(delta_e_2000=high), result(delta_e_2000=low)), "delta_e_2000")
    assert (back.verdict, back.paired.losses) == ("B better", 6)


def test_differences_both_ways_are_noise() -> None:
    found = of(compare(result(shifted([1, -1, 0.5, -0.4, 0.2, 0])), result()))
    assert found.verdict == "within noise"
    assert found.paired.interval[0] < 0 < found.paired.interval[1]
    assert (found.paired.wins, found.paired.ties, found.paired.losses) == (3, 1, 2)
    assert found.paired.win_rate == 0.5
    assert found.paired.p > 0.5
    # One gain among ties: zero is the end of the interval, and in it.
    touching = of(compare(result(shifted([1, 0, 0, 0, 0, 0])), result()))
    assert touching.paired.interval[0] == 0
    assert touching.verdict == "within noise"


def test_equal_results_are_noise_and_what_is_rounded_away_too() -> None:
    same = of(compare(result(), result()))
    assert (same.verdict, same.paired.difference, same.paired.interval, same.paired.p) == (
        "within noise",
        0,
        (0, 0),
        1,
    )
    assert (same.paired.wins, same.paired.ties, same.paired.losses) == (0, 6, 0)
    below = of(compare(result(shifted(0.0049)), result()))
    assert below.paired.interval[0] > 0
    assert below.verdict == "within noise"  # shown as +0.00 dB
    assert of(compare(result(shifted(0.0051)), result())).verdict == "A better"
    assert of(compare(result(shifted(-0.0051)), result())).verdict == "B better"


def test_under_six_pictures_there_is_no_verdict() -> None:
    found = of(compare(result(shifted(1.0)[:5]), result(PSNR[:5])))
    assert (found.n, found.verdict, found.paired.interval) == (5, "too few pictures", None)
    assert found.reason == "no interval: fewer than 6 pictures"
    assert found.paired.difference == pytest.approx(1)
    assert found.paired.p == 2 / 32
    assert found.paired.a.interval is None


def test_pictures_are_paired_by_id_and_the_others_named() -> None:
    ids = [f"p{number}" for number in range(6)]
    a = result([*shifted(1.0), 99.0], ids=[*ids, "only-a"])
    b = result([10.0, *reversed(PSNR)], ids=["only-b", *reversed(ids)])
    found = compare(a, b)
    assert (found.common, found.only_a, found.only_b) == (6, ["only-a"], ["only-b"])
    assert of(found).paired.difference == pytest.approx(1)
    assert of(found).paired.b.mean == pytest.approx(np.mean(PSNR))


def test_one_value_that_is_none_leaves_no_mean() -> None:
    found = of(compare(result([None, *PSNR[1:]]), result()))
    assert (found.verdict, found.paired) == ("no value", None)
    assert found.reason == "no finite value for 1 of 6 pictures"


def test_what_one_side_has_not_measured_says_so() -> None:
    measured = result(lpips=[0.1] * 6, ssim=[0.9] * 6)
    found = compare(result(lpips=[None] * 6), measured)
    assert of(found, "lpips").verdict == "no value"
    assert of(found, "lpips").reason == f"tiny, hdrnet-curves, seed-0: {NO_WEIGHTS}"
    assert of(found, "ssim").reason == "not measured for tiny, hdrnet-curves, seed-0"
    assert of(found).verdict == "within noise"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"dataset": "demo-other"}, "datasets demo-tiny and demo-other"),
        ({"digest": "e" * 64}, "versions of demo-tiny dddddddddddd and eeeeeeeeeeee"),
        ({"split": "validation"}, "splits test and validation"),
        ({"size": "480p"}, "sizes full and 480p"),
        ({"ids": list("abcdef")}, "share no picture"),
        ({"versions": {"psnr": 7}}, "psnr was measured by its versions 1 and 7"),
    ],
)
def test_what_cannot_be_compared_is_refused(other: dict, why: str) -> None:
    for question in (compare, check):
        with pytest.raises(DataError, match=why):
            question(result(), result(**other))


def test_chosen_metrics_alone_must_have_one_version() -> None:
    a, b = result(ssim=[0.9] * 6), result(ssim=[0.9] * 6, versions={"ssim": 7})
    with pytest.raises(DataError, match="ssim was measured by its versions 1 and 7"):
        compare(a, b)
    assert [one.metric for one in compare(a, b, ["psnr"]).metrics] == ["psnr"]


def test_metric_names_are_checked() -> None:
    with pytest.raises(UsageError, match="unknown metric 'psrn': did you mean psnr"):
        compare(result(), result(), ["psrn"])
    with pytest.raises(UsageError, match="ssim is not in either result"):
        compare(result(), result(), ["ssim"])


def test_seeds_are_averaged_picture_by_picture_with_their_spread() -> None:
    seeds = [result(shifted(by), run=f"seed-{k}", seed=k) for k, by in enumerate((0.5, 1.0, 1.5))]
    found = compare(seeds, result(method="identity", run="baseline", seed=None))
    psnr = of(found)
    assert found.a == "tiny, hdrnet-curves, 3 seeds"
    assert psnr.paired.difference == pytest.approx(1)
    assert psnr.paired.a.seeds == pytest.approx([np.mean(PSNR) + by for by in (0.5, 1.0, 1.5)])
    assert psnr.paired.a.deviation == pytest.approx(0.5)
    assert psnr.paired.b.deviation is None
    assert psnr.n == 6  # pictures, not pictures times seeds
    assert any("mean over 3 seeds is compared" in note for note in found.notes)
    with pytest.raises(DataError, match="not seeds of one method"):
        compare([seeds[0], result(method="hdrnet-pyramid")], result())


def test_notes_say_what_the_figures_do_not() -> None:
    base = {"method": "identity", "run": "baseline", "seed": None}
    notes = compare(result(ssim=[0.9] * 6, leaked=2), result(ssim=[0.9] * 6, **base)).notes
    assert any("not corrected" in note for note in notes)
    assert "A is one training: the variation between seeds is not included" in notes
    assert "A was trained with 2 of these pictures: its scores mean nothing" in notes
    bound = result(method="oracle-grid-16x16x8-curves")
    assert compare(result(**base), bound).notes == [
        "B is fitted to each picture's target: a bound, not a method"
    ]
    old = {"versions": {"psnr": 7}}
    assert compare(result(**base, **old), result(**base, **old)).notes == [
        "A: measured by an older version: PSNR",
        "B: measured by an older version: PSNR",
    ]
    assert compare(result(**base), result(**base, made_up=[1.0] * 6)).notes == [
        "made_up is not a metric of this version: left out"
    ]
    # An interval from the one large gain's side of zero, which flips of signs do not bear out.
    skewed = of(doubt := compare(result(shifted([0.05, 0.06, 0.05, 0.4, 0.01, -0.001])), result()))
    assert (skewed.verdict, skewed.paired.p >= 0.05) == ("A better", True)
    assert any("does not confirm it" in note for note in doubt.notes)


@given(st.lists(st.floats(-5, 5), min_size=6, max_size=14))
@settings(max_examples=25)
def test_turned_around_everything_turns_around(differences: list[float]) -> None:
    base = list(np.linspace(20, 30, len(differences)))
    a, b = result(list(np.array(base) + differences)), result(base)
    here, there = of(compare(a, b)), of(compare(b, a))
    assert there.paired.difference == pytest.approx(-here.paired.difference, abs=1e-12)
    assert there.paired.interval == pytest.approx(
        [-here.paired.interval[1], -here.paired.interval[0]], abs=1e-9
    )
    assert (there.paired.wins, there.paired.ties, there.paired.losses) == (
        here.paired.losses,
        here.paired.ties,
        here.paired.wins,
    )
    assert there.paired.p == here.paired.p
    assert here.paired.wins + here.paired.ties + here.paired.losses == len(differences)
    assert [p.id for p in here.paired.pictures] == [p.id for p in there.paired.pictures]


def test_a_regression_is_worse_than_the_interval_allows() -> None:
    worse = [-0.1, -0.2, -0.15, -0.12, -0.11, -0.3]
    (found,) = regressions(result(shifted(worse)), result())
    assert (found.metric, found.n) == ("psnr", 6)
    assert found.difference == pytest.approx(np.mean(worse))
    assert found.interval[1] < 0
    assert str(found).startswith("PSNR 21.167 -> 21.003 dB (-0.163, 95 % interval [-0.2")
    assert regressions(result(shifted([-0.1, 0.2, -0.15, 0.12, -0.11, 0.1])), result()) == []
    assert regressions(result(shifted(1.0)), result()) == []
    assert regressions(result(), result()) == []
    assert RegressionError.exit_code == 5


def test_rounding_is_no_regression() -> None:
    assert regressions(result(shifted(-0.0049)), result()) == []
    assert len(regressions(result(shifted(-0.0051)), result())) == 1


def test_lower_is_better_regresses_upwards() -> None:
    before, now = result(delta_e_76=[5.0] * 6), result(delta_e_76=[5.5] * 6)
    assert [r.metric for r in regressions(now, before)] == ["delta_e_76"]
    assert regressions(before, now) == []


def test_few_pictures_regress_where_each_is_worse() -> None:
    before = result(PSNR[:3])
    (found,) = regressions(result(shifted([-0.1, -0.2, -0.3], 3)), before)
    assert (found.n, found.interval) == (3, None)
    assert str(found).endswith(
        "(-0.200, worse on each of 3 pictures; no interval: fewer than 6 pictures)"
    )

    mixed = check(result(shifted([-0.1, -0.2, 0.01], 3)), before)
    assert (mixed.regressions, mixed.undecided) == ([], {"psnr": "cannot be told (n = 3)"})
    tied = check(result(shifted([-0.1, -0.2, 0], 3)), before)
    assert (tied.regressions, tied.undecided) == ([], {"psnr": "cannot be told (n = 3)"})
    for harmless in (0.0, -0.0049, 0.3, [0.2, 0.1, 0.0], [0.2, 0.1, -0.0049]):
        assert check(result(shifted(harmless, 3)), before) == ([], {}, [])


def test_the_rule_changes_between_five_and_six_pictures() -> None:
    """One picture of six slightly better: an interval can tell, without one nothing can."""
    change = [-0.5, -0.5, -0.4, -0.6, -0.5, 0.01]
    five = check(result(shifted(change[1:], 5)), result(PSNR[:5]))
    assert five.undecided == {"psnr": "cannot be told (n = 5)"}
    six = check(result(shifted(change)), result())
    assert [r.metric for r in six.regressions] == ["psnr"]
    assert six.undecided == {}


def test_a_check_says_what_it_could_not_see() -> None:
    before = result([*PSNR, 20.0], ssim=[0.9] * 7, lpips=[0.1] * 7, made_up=[1.0] * 7)
    now = result(PSNR, lpips=[None] * 6)
    found = check(now, before)
    assert found.regressions == []
    assert found.undecided == {
        "lpips": f"tiny, hdrnet-curves, seed-0: {NO_WEIGHTS}",
        "made_up": "not a metric of this version",
        "ssim": "not measured now",
    }
    assert found.notes == ["not evaluated now: p6"]
    assert check(before, now).notes == ["not evaluated before: p6"]


# Which results a name means


def store(one: Evaluation) -> None:
    """Below the current directory."""
    folder = result_folder(one.recipe.name, one.method.name, one.method.run)
    write_result(evaluation_path(folder, one.dataset.split, one.size), one)


@pytest.fixture
def stored(workspace: Workspace) -> Workspace:
    """Two recipes with two and one trainings, each beside the identity, on one dataset; and one on
    another."""

    identity = {"method": "identity", "run": "baseline", "seed": None}
    for recipe, dataset in (("tiny", "demo-tiny"), ("big", "demo-tiny"), ("far", "demo-far")):
        digest = dataset[-1] * 64
        store(result(recipe=recipe, dataset=dataset, digest=digest, **identity))
    for seed in (0, 1):
        psnr = shifted([1 + seed, 1.1, 1.2, 0.9, 1, 1.3])
        store(result(psnr, digest="y" * 64, run=f"seed-{seed}", seed=seed))
    big = {"recipe": "big", "digest": "y" * 64, "method": "hdrnet-pyramid"}
    store(result(shifted([0.5, -0.5, 0.1, 0.1, 0, 0.2]), **big))
    store(result(shifted(0.5), **big, size="480p"))
    return workspace


@pytest.mark.parametrize(
    ("first", "second", "a", "b"),
    [
        ("tiny", "big", "tiny, hdrnet-curves, 2 seeds", "big, hdrnet-pyramid, seed-0"),
        ("tiny/seed-1", "big", "tiny, hdrnet-curves, seed-1", "big, hdrnet-pyramid, seed-0"),
        (
            "tiny/seed-0",
            "tiny/seed-1",
            "tiny, hdrnet-curves, seed-0",
            "tiny, hdrnet-curves, seed-1",
        ),
        ("hdrnet-pyramid", "hdrnet-curves/seed-0", "big, hdrnet-pyramid, seed-0", None),
        # identity means that of the other's recipe
        ("tiny", "identity", "tiny, hdrnet-curves, 2 seeds", "tiny, identity, baseline"),
        ("identity", "big", "big, identity, baseline", "big, hdrnet-pyramid, seed-0"),
        ("big", "far/identity", None, None),
        (
            "results/tiny/hdrnet-curves/seed-1",
            "results/big/hdrnet-pyramid/",
            "tiny, hdrnet-curves, seed-1",
            "big, hdrnet-pyramid, seed-0",
        ),
        (
            "results/tiny/identity/baseline/eval-test-full.json",
            "tiny/hdrnet-curves",
            "tiny, identity, baseline",
            "tiny, hdrnet-curves, 2 seeds",
        ),
    ],
)
def test_names_mean_results(
    stored: Workspace, first: str, second: str, a: str | None, b: str | None
) -> None:
    if a is None:
        assert "datasets demo-tiny and demo-far" in stored.fails(3, "compare", first, second)
        return
    found = stored.json("compare", first, second)
    assert found["a"] == a
    assert found["b"] == (b or "tiny, hdrnet-curves, seed-0")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("tiny", "huge"), 2, "'huge' names no result: "),
        (("tiny", "bih"), 2, "did you mean big"),
        (("tiny", ""), 2, "'' names no result"),
        (("tiny", "tiny"), 2, "are the same result"),
        (("identity", "hdrnet-pyramid", "--metric", "psrn"), 2, "did you mean psnr?"),
        (("far/identity", "hdrnet-curves/seed-0"), 3, "datasets demo-far and demo-tiny"),
        (("far", "identity"), 2, "no result of far (far/identity/baseline) is of the same data"),
        (
            ("big/seed-0", "results/tiny"),
            2,
            "results/tiny is ambiguous, it means tiny/hdrnet-curves or tiny/identity/baseline: say",
        ),
        (("tiny", "far/identity", "--split", "validation"), 3, "there are: eval-test-full"),
        (("tiny", "big", "--size", "480p"), 3, "tiny has no result of the test split, 480p size"),
        (("tiny", "hdrplus"), 3, "hdrplus has no result yet: `hdrbench eval hdrplus`"),
        (("tiny", "none.json"), 3, "none.json is missing"),
    ],
)
def test_names_that_mean_nothing_or_too_much(
    stored: Workspace, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert message in stored.fails(code, "compare", *arguments)


def test_a_recipe_named_like_a_method_means_either(stored: Workspace) -> None:
    of_identity = {"recipe": "identity", "digest": "y" * 64}
    store(result(shifted(0.5), **of_identity))
    store(result(**of_identity, method="identity", run="baseline", seed=None))
    found = stored.json("compare", "identity/seed-0", "identity")
    assert found["a"] == "identity, hdrnet-curves, seed-0"
    assert found["b"] == "identity, identity, baseline"


def test_a_bound_under_a_run_is_meant_by_its_own_name_alone(stored: Workspace) -> None:
    bound = {"method": "oracle-grid-16x16x8-curves", "digest": "y" * 64}
    store(result(shifted(9), **bound))
    for first, a in (
        ("tiny", "tiny, hdrnet-curves, 2 seeds"),
        ("tiny/seed-0", "tiny, hdrnet-curves, seed-0"),
        ("tiny/oracle-grid-16x16x8-curves", "tiny, oracle-grid-16x16x8-curves, seed-0"),
    ):
        assert stored.json("compare", first, "big")["a"] == a


def test_a_run_directory_and_a_recipe_file_mean_their_results(stored: Workspace) -> None:
    for run in ("seed-1", "seed-2"):
        path = stored.path / "runs/tiny" / run / "recipe.yaml"
        path.parent.mkdir(parents=True)
        write_recipe(path)
    found = stored.json("compare", "runs/tiny/seed-1", "runs/tiny/seed-1/recipe.yaml")
    assert (found["a"], found["b"]) == (
        "tiny, hdrnet-curves, seed-1",
        "tiny, hdrnet-curves, 2 seeds",
    )
    message = stored.fails(3, "compare", "runs/tiny/seed-2", "big")
    assert "has no result yet: `hdrbench eval runs/tiny/seed-2`" in message


def test_results_without_a_seed_are_not_averaged(stored: Workspace) -> None:
    for run in ("first", "second"):
        store(result(digest="y" * 64, method="elsewhere", run=run, seed=None))
    message = stored.fails(2, "compare", "tiny/elsewhere", "big")
    assert "means tiny/elsewhere/first or tiny/elsewhere/second: say which" in message
    assert stored.json("compare", "tiny/first", "elsewhere/second")["common"] == 6


def test_without_results_it_says_how_to_make_them(workspace: Workspace) -> None:
    assert "`hdrbench eval` makes them" in workspace.fails(3, "compare", "a", "b")


def test_the_table_says_it_plainly(stored: Workspace) -> None:
    done = stored.run("compare", "tiny", "identity", "--worst", "1")
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[2] == "demo-tiny, test split, full size: 6 pictures in both"
    (row,) = [line for line in lines if line.startswith("PSNR (dB) ↑  6")]
    assert "6 of 6 (100%)" in row
    assert "0.0312" in row
    assert row.endswith("A better")
    assert any(
        line.startswith("A, mean ± standard deviation over its seeds: PSNR") for line in lines
    )
    assert len([line for line in lines if line.startswith("PSNR   ")]) == 1
    noise = stored.run("compare", "big", "identity").stdout
    assert "within noise" in noise
    assert "1 tied" in noise


def test_json_has_all_of_it_and_the_pictures_asked_for(stored: Workspace) -> None:
    found = stored.json("compare", "tiny", "big", "--worst", "2", "--metric", "psnr")
    (psnr,) = found["metrics"]
    assert len(psnr["paired"]["pictures"]) == 2
    assert len(psnr["paired"]["a"]["seeds"]) == 2
    low, high = psnr["paired"]["interval"]
    assert low < psnr["paired"]["difference"] < high
    assert Comparison.model_validate(found)
    again = stored.json("compare", "tiny", "big", "--worst", "2", "--metric", "psnr")
    assert again == found
