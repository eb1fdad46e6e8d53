"""Known answers, agreement with SciPy, and what intervals and p-values promise, simulated."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy import stats

from hdrnet_bench import statistics
from hdrnet_bench.statistics import (
    EXACT_UP_TO,
    ROUNDING,
    Bounds,
    Mean,
    count_wins,
    expanded_tail,
    mean_interval,
    paired_bootstraps,
    permutation_tests,
)

SIX = [20.0, 21.5, 19.0, 24.0, 22.0, 20.5]
values = st.lists(st.floats(-100, 100), min_size=6, max_size=30)


def paired_bootstrap(differences: ArrayLike, *options: int) -> Mean:
    """Of one metric alone."""
    (mean,) = paired_bootstraps([differences], *options)
    return mean


def permutation_test(differences: ArrayLike, *options: int) -> float:
    """Of one metric alone."""
    (p,) = permutation_tests([differences], *options)
    return p


@pytest.mark.parametrize("interval_of", [mean_interval, paired_bootstrap])
def test_an_interval_needs_six_finite_values(interval_of) -> None:
    five, six = interval_of(SIX[:5]), interval_of(SIX)
    assert (five.n, five.interval) == (5, None)
    assert five.mean == pytest.approx(np.mean(SIX[:5]))
    assert five.reason == "no interval: fewer than 6 pictures"
    assert (six.n, six.reason) == (6, None)
    assert six.mean == pytest.approx(np.mean(SIX))
    assert six.interval[0] < six.mean < six.interval[1]
    for bad in (math.nan, math.inf, -math.inf):
        broken = interval_of([*SIX, bad])
        assert (broken.mean, broken.interval) == (None, None)
        assert broken.reason == "not finite for 1 of 7 pictures"
    assert interval_of([]) == (0, None, None, "no picture")


def test_mean_interval_is_students() -> None:
    low, high = stats.ttest_1samp(SIX, 0).confidence_interval(0.95)
    assert mean_interval(SIX).interval == pytest.approx([low, high])


def test_a_bounded_interval_is_students_on_a_scale_without_bounds() -> None:
    similarities = np.array([0.99, 0.9, 0.97, 0.995, 0.8, 0.98])
    mean = similarities.mean()
    deviation = stats.t(5).ppf(0.975) * stats.sem(similarities)
    found = mean_interval(similarities, (-1, 1))
    # Of the inverse hyperbolic tangent, which is half the logit of what lies between -1 and 1.
    ends = np.tanh(np.arctanh(mean) + np.array([-1, 1]) * deviation / (1 - mean**2))
    assert found.interval == pytest.approx(list(ends), rel=1e-12)
    assert found.mean == mean
    distances = 1 - similarities
    factor = math.exp(deviation / distances.mean())
    ends = distances.mean() / factor, distances.mean() * factor
    assert mean_interval(distances, (0, None)).interval == pytest.approx(ends, rel=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=6, max_size=20), st.sampled_from([1.0, None]))
def test_a_bounded_interval_holds_the_mean_and_no_impossible_value(
    sample: list[float], greatest: float | None
) -> None:
    found = mean_interval(sample, (-1, greatest))
    assert found.mean == mean_interval(sample).mean
    low, high = found.interval
    assert -1 <= low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= high <= (greatest or math.inf)


_within_rounding = st.floats(-ROUNDING, ROUNDING)
_beside_a_bound = _within_rounding | st.sampled_from([-1e-9, 1e-9, 1e-12, 5e-324])


@given(st.lists(_beside_a_bound | st.floats(0, 1e300), min_size=6, max_size=20))
def test_above_one_bound_rounding_and_huge_spreads_end_within_it(sample: list[float]) -> None:
    found = mean_interval(sample, (0, None))
    low, high = found.interval
    assert 0 <= low <= found.mean <= high
    assert found.mean == pytest.approx(float(np.mean(sample)), rel=1e-12, abs=ROUNDING)


@given(
    st.lists(
        _beside_a_bound.map(lambda value: 1 + value)
        | _within_rounding.map(lambda value: value - 1)
        | st.floats(-1, 1),
        min_size=6,
        max_size=20,
    ).filter(lambda sample: -1 - ROUNDING <= min(sample) <= max(sample) <= 1 + ROUNDING)
)
def test_between_two_bounds_what_rounding_put_beyond_ends_within_them(sample: list[float]) -> None:
    found = mean_interval(sample, (-1, 1))
    low, high = found.interval
    assert -1 <= low <= found.mean <= high <= 1
    assert found.mean == pytest.approx(float(np.mean(sample)), abs=ROUNDING)


@pytest.mark.parametrize(
    ("sample", "bounds", "bound"),
    [
        ([-1e-9] * 5 + [1e-12], (0, None), 0),
        ([-1e-9] * 4 + [1e-9] * 4, (0, None), 0),
        ([1 + 5e-10] * 5 + [1 - 1e-13], (-1, 1), 1),
        ([-1 - 5e-10] * 5 + [-1 + 5e-10], (-1, 1), -1),
    ],
)
def test_within_rounding_of_a_bound_mean_and_interval_are_it(
    sample: list[float], bounds: Bounds, bound: float
) -> None:
    assert mean_interval(sample, bounds) == (len(sample), bound, (bound, bound), None)


def test_what_lies_beyond_by_rounding_counts_as_on_the_bound() -> None:
    others = [0.5, 0.25, 0.75, 0.5]
    for bounds in ((0, 1), (0, None)):
        found = mean_interval([*others, -ROUNDING / 2, -ROUNDING / 4], bounds)
        assert found == mean_interval([*others, 0, 0], bounds)


def test_squares_that_overflow_leave_no_bound_to_the_interval() -> None:
    assert mean_interval([0.0] * 5 + [1e200], (0, None)).interval == (0, math.inf)
    assert mean_interval([0.0] * 5 + [1e200], (0, 1e200)).interval == (0, 1e200)


@pytest.mark.parametrize(("bound", "inwards"), [(-1.0, 1), (1.0, -1)])
def test_where_all_lie_on_a_bound_the_interval_does_too(bound: float, inwards: int) -> None:
    assert mean_interval([bound] * 6, (-1, 1)).interval == (bound, bound)
    # Rounding is no value of its own; the least that is one is.
    by_rounding = [bound] * 5 + [bound - inwards * ROUNDING / 2]
    assert mean_interval(by_rounding, (-1, 1)).interval == (bound, bound)
    low, high = mean_interval([bound] * 5 + [bound + inwards * 1e-6], (-1, 1)).interval
    assert -1 <= low < high <= 1


@pytest.mark.parametrize("beyond", [1 + 2 * ROUNDING, 3.0, -1 - 2 * ROUNDING])
def test_values_beyond_the_bounds_leave_the_mean_alone(beyond: float) -> None:
    found = mean_interval([0.5, 0.25, 0.75, 0.5, 0.5, beyond], (-1, 1))
    assert found.interval is None
    assert found.mean == pytest.approx((2.5 + beyond) / 6)
    assert found.reason == "no interval: beyond the metric's bounds for 1 of 6 pictures"


@pytest.mark.parametrize("interval_of", [mean_interval, paired_bootstrap])
@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
def test_equal_values_have_an_interval_of_no_width(interval_of, value: float) -> None:
    found = interval_of([value] * 6)
    assert found.mean == value
    assert found.interval == (value, value)


def test_bootstrap_agrees_with_scipys_at_the_expanded_level() -> None:
    differences = np.random.default_rng(3).exponential(1, 25) - 0.5
    theirs = stats.bootstrap(
        (differences,),
        np.mean,
        confidence_level=1 - 2 * expanded_tail(25),
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    ours = paired_bootstrap(differences, 5, 20_000).interval
    width = theirs.high - theirs.low
    assert ours == pytest.approx([theirs.low, theirs.high], abs=0.03 * width)


def test_expanded_tail_is_wider_for_few_pictures_and_the_plain_one_for_many() -> None:
    # From tables: t(0.975, 5) = 2.5706, times sqrt(6 / 5): normal tail 0.0024.
    assert expanded_tail(6) == pytest.approx(0.00243, abs=1e-5)
    assert expanded_tail(6) < expanded_tail(7) < expanded_tail(100) < 0.025
    assert expanded_tail(10**6) == pytest.approx(0.025, abs=1e-6)


@given(values, st.integers(0, 5))
@settings(max_examples=30)
def test_bootstrap_is_the_same_again_within_the_values_and_mirrored(
    differences: list[float], seed: int
) -> None:
    found = paired_bootstrap(differences, seed, 500)
    assert found == paired_bootstrap(differences, seed, 500)
    low, high = found.interval
    assert min(differences) - 1e-9 <= low <= high <= max(differences) + 1e-9
    mirrored = paired_bootstrap([-d for d in differences], seed, 500)
    assert mirrored.interval == pytest.approx([-high, -low], abs=1e-9)


def test_drawing_in_batches_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(0).normal(0.2, 1, 40)
    whole = paired_bootstrap(differences, 1), permutation_test(differences, 1)
    monkeypatch.setattr(statistics, "_BATCH", 1000)
    assert (paired_bootstrap(differences, 1), permutation_test(differences, 1)) == whole


@pytest.mark.parametrize(
    ("n", "draw", "least", "most"),
    [
        # 400 simulations: the share that covers has a standard error of 1.1 %.
        (6, lambda rng, n: rng.normal(0.3, 1, n), 0.91, 0.98),
        (30, lambda rng, n: rng.normal(0.3, 1, n), 0.92, 0.98),
        # Few pictures of a long tail are covered too rarely, as the docstring says.
        (6, lambda rng, n: rng.exponential(1, n) - 0.7, 0.83, 0.93),
        (30, lambda rng, n: rng.exponential(1, n) - 0.7, 0.90, 0.98),
    ],
)
@pytest.mark.parametrize("interval_of", ["t", "bootstrap"])
def test_intervals_cover_the_true_mean_as_often_as_said(
    n: int, draw, least: float, most: float, interval_of: str
) -> None:
    rng = np.random.default_rng(11)
    covered = 0
    for number in range(400):
        sample = draw(rng, n)
        found = mean_interval(sample) if interval_of == "t" else None
        found = found or paired_bootstrap(sample, number, 1000)
        low, high = found.interval
        covered += low <= 0.3 <= high
    assert least <= covered / 400 <= most


SSIM, LPIPS = (-1.0, 1.0), (0.0, None)


@pytest.mark.parametrize(
    ("n", "bounds", "draw", "mean", "plain", "kept_within"),
    [
        # How many of 100 intervals hold the mean: the figures of mean_interval's docstring.
        (6, SSIM, lambda rng, size: rng.normal(0.9, 0.02, size), 0.9, 95.1, 95.1),
        (6, SSIM, lambda rng, size: 1 - rng.exponential(0.02, size), 0.98, 88.6, 93.1),
        (6, LPIPS, lambda rng, size: rng.exponential(0.05, size), 0.05, 88.6, 93.1),
        (6, LPIPS, lambda rng, size: rng.lognormal(1, 0.6, size), math.exp(1.18), 90.3, 92.8),
        (6, LPIPS, lambda rng, size: 8 - rng.exponential(1, size), 7, 88.6, 88.2),
        (100, SSIM, lambda rng, size: rng.normal(0.9, 0.02, size), 0.9, 94.7, 94.9),
        (100, SSIM, lambda rng, size: 1 - rng.exponential(0.02, size), 0.98, 94.0, 94.4),
        (100, LPIPS, lambda rng, size: rng.exponential(0.05, size), 0.05, 94.0, 94.4),
    ],
)
def test_of_the_intervals_of_bounded_metrics_the_one_in_use_covers_best(
    n: int, bounds: Bounds, draw, mean: float, plain: float, kept_within: float
) -> None:
    """Against plain t, t cut at the bounds, and the expanded bootstrap."""
    simulations = 4000  # a share that covers has a standard error of 0.5 %
    samples = draw(np.random.default_rng(5), (simulations, n)).clip(*bounds)
    students = np.array([mean_interval(sample).interval for sample in samples])
    cut = students.clip(*bounds)
    # All draw the same pictures, which makes it one product of matrices.
    resampled = np.array([found.interval for found in paired_bootstraps(samples, 2, 2000)])
    ours = np.array([mean_interval(sample, bounds).interval for sample in samples])
    t, of_cut, bootstrap, covered = (
        100 * ((ends[:, 0] <= mean) & (mean <= ends[:, 1])).mean()
        for ends in (students, cut, resampled, ours)
    )
    assert t == pytest.approx(plain, abs=1.5)
    assert of_cut == t
    assert bootstrap == pytest.approx(plain, abs=2.5)
    assert covered == pytest.approx(kept_within, abs=1.5)
    assert covered >= max(t, bootstrap) - 1.5
    assert ours.min() >= bounds[0]
    assert ours.max() <= (bounds[1] or math.inf)


def test_few_sign_flips_are_all_tried() -> None:
    assert permutation_test([0.5]) == 1
    assert permutation_test([1.0, 2.0]) == 2 / 4
    # Of the 8 sums of ±1 ±2 ±4, |1 + 2 - 4| = 1 is the least: all are as far out.
    assert permutation_test([1.0, 2.0, -4.0]) == 1
    assert permutation_test([1.0, -2.0, 4.0]) == 6 / 8
    # Below six, p cannot be below 0.05.
    assert permutation_test([1.0] * 5) == 2 / 32
    assert permutation_test([1.0] * 6) == 2 / 64


def test_no_difference_is_no_evidence_and_no_number_no_p() -> None:
    assert permutation_test([0.0] * 7) == 1
    assert permutation_test([0.0] * 50) == 1
    assert math.isnan(permutation_test([1.0, math.nan]))
    assert math.isnan(permutation_test([math.inf]))
    assert math.isnan(permutation_test([]))


def test_sums_that_differ_by_their_order_alone_are_ties() -> None:
    # 0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1; with signs all equal only two of eight are as far out.
    assert permutation_test([0.1, 0.2, 0.3]) == 2 / 8
    assert permutation_test([0.1, 0.2, -0.3, 1e-30]) == 1


@pytest.mark.parametrize("n", [EXACT_UP_TO - 5, EXACT_UP_TO])
def test_exact_p_is_scipys(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.5, 1, n)
    theirs = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert permutation_test(differences) == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize("n", [EXACT_UP_TO + 1, 40])
def test_drawn_p_is_near_scipys(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.35, 1, n)
    theirs = stats.permutation_test(
        (differences,),
        np.sum,
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    )
    assert permutation_test(differences) == pytest.approx(theirs.pvalue, abs=0.015)


def test_drawn_p_is_never_zero() -> None:
    assert permutation_test([1.0] * 40, 0, 999) == 1 / 1000
    assert permutation_test([1.0] * 40, 0, 0) == 1


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=10))
@settings(max_examples=50)
def test_exact_p_has_its_bounds_and_no_direction(differences: list[float]) -> None:
    p = permutation_test(differences)
    assert 2.0 ** (1 - len(differences)) <= p <= 1
    assert p == permutation_test([-d for d in differences])
    assert p == permutation_test([8 * d for d in differences])


@pytest.mark.parametrize("n", [EXACT_UP_TO, 20])
def test_p_is_uniform_where_there_is_nothing(n: int) -> None:
    rng = np.random.default_rng(7)
    ps = [permutation_test(rng.standard_t(4, n), k, 499) for k in range(400)]
    assert stats.kstest(ps, "uniform").pvalue > 0.01


def test_wins_ties_and_losses() -> None:
    wins = count_wins([0.5, 0.0, -0.1, 2.0])
    assert wins == (2, 1, 1)
    assert wins.rate == 0.5
    assert count_wins([0.0] * 3).rate == 0
    assert math.isnan(count_wins([]).rate)
