"""Group-level consistency against a literal computation, and what follows of its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdrnet_bench.metrics import Undefined, _pairs, glc, mean_ab
from hdrnet_bench.statistics import variances_within
from tests.metrics import ppr10k
from tests.metrics.test_human_centred import saved


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_agrees_with_the_literal_computation(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 20, (count, 2))
    pictures = [torch.from_numpy(random.uniform(-0.2, 1.2, (3, *size))) for size in sizes]
    assert glc(pictures) == pytest.approx(ppr10k.glc([saved(p) for p in pictures]), rel=1e-9)


def test_mean_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.rand(2, 3, 33, 20)
    expected = [ppr10k.lab(saved(p)).mean(axis=(0, 1))[1:] for p in pictures]
    assert mean_ab(pictures).numpy() == pytest.approx(np.array(expected), abs=1e-9)
    assert mean_ab(pictures[1]).tolist() == pytest.approx(expected[1].tolist(), abs=1e-9)
    monkeypatch.setitem(_pairs._STRIP, "cpu", 1)
    assert mean_ab(pictures).numpy() == pytest.approx(np.array(expected), abs=1e-9)


def test_how_light_a_picture_is_does_not_matter() -> None:
    greys = [torch.full((3, 4, 5), level / 255) for level in (10, 100, 250)]
    assert glc(greys) == pytest.approx(0, abs=1e-9)
    coloured = greys[0].clone()
    coloured[0] += 0.3
    assert glc([greys[0], coloured]) > 10


def test_more_apart_is_more() -> None:
    grey = torch.full((3, 4, 4), 0.5)
    shift = torch.tensor([0.1, 0.0, -0.1])[:, None, None]
    near, far = glc([grey, grey + shift]), glc([grey, grey + 2 * shift])
    assert 0 < near < far
    assert glc([grey + shift, grey + shift]) == 0


def test_one_picture_has_none() -> None:
    with pytest.raises(Undefined, match="two pictures of a group, not 1"):
        glc([torch.rand(3, 4, 4)])
    with pytest.raises(ValueError, match="holds NaN"):
        glc([torch.full((3, 4, 4), torch.nan)] * 2)


def test_variances_by_group() -> None:
    """Worked by hand: (1, 5), (3, 9) vary by 2 and 8, (0, 0), (3, 0), (6, 3) by 9 and 3."""
    points = [
        ("b", (1.0, 5.0)),
        ("a", (0.0, 0.0)),
        ("alone", (7.0, 7.0)),
        (None, (100.0, 100.0)),
        ("a", (3.0, 0.0)),
        ("b", (3.0, 9.0)),
        ("a", (6.0, 3.0)),
        ("a", None),
    ]
    assert variances_within(points) == pytest.approx({"b": 5.0, "a": 6.0, "alone": None})
    assert list(variances_within(points)) == ["b", "a", "alone"]
    assert variances_within([]) == {}
