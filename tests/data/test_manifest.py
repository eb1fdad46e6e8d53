import hashlib

import pytest

from hdrnet_bench.data.manifest import VALIDATION_SHARE, chosen_by_hash

IDS = [f"a{number:04}" for number in range(400)]


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@pytest.mark.parametrize(
    ("number", "share", "count"),
    [
        (1, 0.05, 1),  # at least one, of however few
        (2, 0.05, 1),
        (29, 0.05, 1),
        (31, 0.05, 2),
        (49, 0.05, 2),
        (50, 0.05, 2),  # halves go to the even count
        (51, 0.05, 3),
        (70, 0.05, 4),
        (400, 0.05, 20),
        (400, 0.5, 200),
        (5, 1.0, 5),
    ],
)
def test_ids_with_the_lowest_hashes_are_chosen(number: int, share: float, count: int) -> None:
    ids = IDS[:number]
    ranked = sorted((digest(name), name) for name in ids)
    chosen = chosen_by_hash(ids, share)
    assert chosen == {name for _, name in ranked[:count]}
    assert chosen_by_hash(ids[::-1], share) == chosen


def test_no_other_order_chooses_nearly_the_same() -> None:
    """Of these ids, so that the test above tells the orders apart."""
    chosen = chosen_by_hash(IDS, VALIDATION_SHARE)
    highest = sorted(IDS, key=digest)[-20:]
    backwards = sorted(IDS, key=lambda name: digest(name)[::-1])[:20]
    for others in (IDS[:20], IDS[-20:], highest, backwards):
        assert len(chosen.intersection(others)) < 10
