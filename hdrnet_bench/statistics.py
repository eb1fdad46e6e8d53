"""Statistics of per-picture values: intervals of means, paired intervals, a paired test (no torch).

With fewer than six pictures nothing here gives an interval. The smallest p that the exact sign-flip
test of n differences can give is 2^(1 - n), which is below 0.05 only from n = 6 on: fewer pictures
cannot show a difference at the level that a 95 % interval stands for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

MIN_FOR_INTERVAL = 6
CONFIDENCE = 0.95
RESAMPLES = 10_000
EXACT_UP_TO = 12  # differences whose 2^n sign flips, at most 4096, are all tried
ROUNDING = 1e-9  # what sums in float64 may put a value beyond a bound that it lies on
_BATCH = 2**20  # random numbers drawn at once, so that memory does not grow with the pictures


# The least value that can be, and the greatest, or None where there is none; None for neither.
Bounds = tuple[float, float | None] | None


class Mean(NamedTuple):
    """The mean of n values with its 95 % interval; either is None where `reason` says why."""

    n: int
    mean: float | None
    interval: tuple[float, float] | None
    reason: str | None = None


class Wins(NamedTuple):
    """How many differences are above, exactly at and below zero. A tie is not half a win: the win
    rate is the share of wins among all differences."""

    wins: int
    ties: int
    losses: int

    @property
    def rate(self) -> float:
        """NaN where there is no difference."""
        return self.wins / sum(self) if any(self) else math.nan


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation of at least two values, as over a recipe's seeds."""
    return fmean(values), stdev(values)


def mean_variance(points: Sequence[Sequence[float]]) -> float:
    """Of at least two points, the sample variance of each coordinate, and their mean."""
    return float(np.var(np.asarray(points, dtype=np.float64), axis=0, ddof=1).mean())


def variances_within(
    points: Iterable[tuple[str | None, Sequence[float] | None]],
) -> dict[str, float | None]:
    """By group, in the order in which they come, the `mean_variance` of its points; None for a
    group of one. What has no group or no point is left out."""
    groups: dict[str, list[Sequence[float]]] = {}
    for group, point in points:
        if group is not None and point is not None:
            groups.setdefault(group, []).append(point)
    return {g: mean_variance(of) if len(of) > 1 else None for g, of in groups.items()}


def mean_interval(values: ArrayLike, bounds: Bounds = None) -> Mean:
    """Mean of at least six values with its 95 % interval; of fewer only the mean, and not even that
    where a value is not finite.

    Student's t. Of a quantity with bounds, on a scale that has them at infinity, so that the
    interval lies within them: g(m) ± t s g'(m) taken back, for the mean m and its standard error s,
    where g is the logarithm of the distance to the one bound, or of the ratio of the distances to
    both (the logit). So R's survey::svyciprop (method "xlogit") and Stata's svy: tabulate do it for
    proportions, and Meeker and Escobar (Statistical Methods for Reliability Data, 1998, chapters 7
    and 8) for what is positive. The mean stays the plain one, of the values cut at the bounds;
    where all are within `ROUNDING` of a bound, mean and interval are that bound.

    Of 100 such intervals so many hold the true mean (20 000 simulations each of n values; in turn
    plain t, t cut at the bounds, the expanded bootstrap of `paired_bootstraps`, and this):

        n = 6    0.9 + 0.02 normal                    SSIM   95.1  95.1  94.0  95.1
        n = 6    1 - exponential of mean 0.02         SSIM   88.6  88.6  89.1  93.1
        n = 6    exponential of mean 0.05             LPIPS  88.6  88.6  89.1  93.1
        n = 6    log-normal, sigma 0.6                ΔE     90.3  90.3  90.0  92.8
        n = 6    8 - exponential: skewed from 0 away  ΔE     88.6  88.6  89.1  88.2
        n = 100  0.9 + 0.02 normal                    SSIM   94.7  94.7  94.5  94.9
        n = 100  1 - exponential of mean 0.02         SSIM   94.0  94.0  94.0  94.4
        n = 100  exponential of mean 0.05             LPIPS  94.0  94.0  94.0  94.4

    Plain t ends beyond the bound in 36 of 100 cases of the six exponential values.
    (tests/test_statistics.py simulates it.)

    Args:
        bounds: that no value can lie beyond. Where one does, by more than rounding, there is no
            interval.
    """
    array = np.asarray(values, dtype=np.float64)
    mean = _mean_alone(array)
    if mean.mean is None or mean.reason:
        return mean
    if bounds is None:
        half_width = _half_width(array)
        return mean._replace(interval=(mean.mean - half_width, mean.mean + half_width))
    least, greatest = bounds
    highest = math.inf if greatest is None else greatest
    beyond = (array < least - ROUNDING) | (array > highest + ROUNDING)
    if outside := int(beyond.sum()):
        reason = f"no interval: beyond the metric's bounds for {outside} of {mean.n} pictures"
        return mean._replace(reason=reason)
    # Deviation, distances and mean are all of the same values: what rounding put beyond a bound
    # would add to the one and not to the others.
    array = array.clip(least, highest)
    for bound in (least, highest):
        if (np.abs(array - bound) <= ROUNDING).all():
            return Mean(mean.n, bound, (bound, bound))
    middle = min(max(float(array.mean()), least), highest)
    low, high = _bounded(array, least, greatest)
    # A mean, and an end that is all but the mean, are rounded each by itself.
    return Mean(mean.n, middle, (max(min(low, middle), least), min(max(high, middle), highest)))


def _bounded(array: np.ndarray, least: float, greatest: float | None) -> tuple[float, float]:
    """The interval of `mean_interval` of values within the bounds, not all of them on one.

    No exponent is large: the standard error of values that have one sign is at most their mean, so
    that each of its terms is at most t. Where squares overflow it is infinite, and the ends are the
    bounds.
    """
    half_width = _half_width(array)
    # Means of the distances, not the distances of the mean: near a bound they keep their digits.
    above = float((array - least).mean())
    if greatest is None:
        ratio = math.exp(half_width / above)
        return least + above / ratio, least + above * ratio
    below = float((greatest - array).mean())
    ratio = math.exp(half_width * (1 / above + 1 / below))
    odds, width = above / below, greatest - least
    low, high = odds / ratio, odds * ratio
    return least + width * low / (1 + low), greatest - width / (1 + high)


def _half_width(array: np.ndarray) -> float:
    """Of Student's interval of the mean; infinite where squares overflow."""
    with np.errstate(over="ignore"):
        deviation = float(array.std(ddof=1))
    return _t_quantile(len(array)) * deviation / math.sqrt(len(array))


def paired_bootstraps(
    columns: Sequence[ArrayLike], seed: int = 0, resamples: int = RESAMPLES
) -> list[Mean]:
    """Mean of per-picture differences with its 95 % interval from resampled pictures.

    The expanded percentile interval (Hesterberg, What Teachers Should Know About the Bootstrap,
    The American Statistician 69(4), 2015, pages 371-386). Pictures, not the two methods, are
    resampled, so that what is hard for both cancels. The plain percentile and the BCa interval
    are too narrow for few pictures: from six normal differences both cover the true mean in 86 of
    100 cases, this one in 93 and Student's t in 95; from ten, this one in 95. No interval can allow
    for a long tail that the pictures do not show: from six exponential differences the plain one
    covers the mean in 81 of 100 cases, this one and Student's t in 88 (tests/test_statistics.py
    simulates it).

    Args:
        columns: the differences of one metric each, all of the same pictures in the same order.
        seed: of the resampling, which is one for all columns: the same pictures are drawn for each.
        resamples: how many means the interval's ends are quantiles of.

    Returns:
        One Mean a column; without an interval where `mean_interval` would give none either.
    """
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    means = [_mean_alone(array) for array in arrays]
    usable = [k for k, mean in enumerate(means) if mean.mean is not None and not mean.reason]
    if not usable:
        return means
    n = means[usable[0]].n
    differences = np.stack([arrays[k] for k in usable], axis=1)
    rng = np.random.default_rng(seed)
    # How often each picture was drawn, times its difference: one matrix product for all metrics,
    # where indexing would copy (resamples, pictures, metrics) values.
    resampled_means = np.concatenate(
        [_counts(rng.integers(0, n, (r, n))) @ differences / n for r in _batches(resamples, n)]
    )
    tail = expanded_tail(n)
    ends = np.quantile(resampled_means, [tail, 1 - tail], axis=0)
    for k, (low, high) in zip(usable, ends.T, strict=True):
        means[k] = means[k]._replace(interval=(float(low), float(high)))
    return means


def _counts(draws: np.ndarray) -> np.ndarray:
    """(r, n) indices of n pictures, drawn with replacement -> how often each was drawn, (r, n)."""
    rows, n = draws.shape
    # Each row gets numbers of its own, so that one bincount counts all rows.
    flat = (draws + n * np.arange(rows)[:, None]).reshape(-1)
    return np.bincount(flat, minlength=rows * n).reshape(rows, n)


def expanded_tail(n: int) -> float:
    """The share of resampled means that lies outside an expanded 95 % percentile interval on
    either side (Hesterberg 2015, as in `paired_bootstraps`).

    Resampled means scatter too little: their standard deviation is the standard error of the mean
    times sqrt((n - 1) / n). And their quantiles are about those of a normal distribution, where
    those of Student's t are needed. Both are made good by quantiles further out: the tail is the
    normal distribution's beyond t's quantile times sqrt(n / (n - 1)).
    """
    from scipy import special

    return float(special.ndtr(-math.sqrt(n / (n - 1)) * _t_quantile(n)))


def permutation_tests(
    columns: Sequence[ArrayLike], seed: int = 0, resamples: int = RESAMPLES
) -> list[float]:
    """Two-sided p of the hypothesis that each per-picture difference is as likely as its negative.

    The share of sign flips whose sum is at least as far from zero as the differences' own. All
    flips where there are at most twelve differences, else m = `resamples` random ones, of which k
    are as far out: p = (k + 1) / (m + 1), which is never zero and never too small on average
    (Phipson and Smyth, Permutation P-values Should Never Be Zero, 2010).

    Args:
        columns: the differences of one metric each, all of the same pictures in the same order.
        seed: of the random flips, which are the same for all columns.
        resamples: how many random flips.

    Returns:
        One p a column; NaN where a difference is not finite, or there is none.
    """
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    usable = [k for k, array in enumerate(arrays) if len(array) and np.isfinite(array).all()]
    if not usable:
        return [math.nan] * len(arrays)
    differences = np.stack([arrays[k] for k in usable], axis=1)
    n = len(differences)
    # Sums of the same numbers in another order differ in their last digits. Without this slack, a
    # flip that gives the same sum would count as as far out on one processor and not on another.
    threshold = np.abs(differences.sum(axis=0)) - 1e-12 * np.abs(differences).sum(axis=0)

    def count_as_far(flips: np.ndarray) -> np.ndarray:
        """flips: (rows, n) of 0 and 1, which is a negative sign -> how many rows, by column."""
        return (np.abs((1 - 2 * flips) @ differences) >= threshold).sum(axis=0)

    if n <= EXACT_UP_TO:
        # The bits of 0 to 2^n - 1 are all flips.
        p = count_as_far((np.arange(2**n)[:, None] >> np.arange(n)) & 1) / 2**n
    else:
        rng = np.random.default_rng(seed)
        counts = (count_as_far(rng.integers(0, 2, (rows, n))) for rows in _batches(resamples, n))
        p = (sum(counts, np.zeros(len(usable))) + 1) / (resamples + 1)
    by_column = dict(zip(usable, p.tolist(), strict=True))
    return [by_column.get(k, math.nan) for k in range(len(arrays))]


def count_wins(gains: ArrayLike) -> Wins:
    """gains: differences with their sign turned so that above zero the first is better."""
    signs = np.sign(np.asarray(gains, dtype=np.float64))
    return Wins(int((signs > 0).sum()), int((signs == 0).sum()), int((signs < 0).sum()))


def _mean_alone(array: np.ndarray) -> Mean:
    """Without an interval; with a reason where there can be none."""
    n = len(array)
    if n == 0:
        return Mean(0, None, None, "no picture")
    not_finite = int((~np.isfinite(array)).sum())
    if not_finite:
        return Mean(n, None, None, f"not finite for {not_finite} of {n} pictures")
    reason = None
    if n < MIN_FOR_INTERVAL:
        reason = f"no interval: fewer than {MIN_FOR_INTERVAL} pictures"
    return Mean(n, float(array.mean()), None, reason)


def _t_quantile(n: int) -> float:
    """Student's t for a two-sided interval of the mean of n values."""
    # Here, since a model's card knows results, and loading a model needs none of their statistics.
    from scipy import special

    return float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))


def _batches(rows: int, columns: int) -> Iterator[int]:
    """Counts of rows that add up to `rows`, each few enough to be drawn at once."""
    limit = max(1, _BATCH // columns)
    for start in range(0, rows, limit):
        yield min(limit, rows - start)
