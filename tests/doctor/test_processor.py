"""Cores, threads and load: what follows from what was read."""

import pytest

from hdrnet_bench.doctor.finding import Finding
from hdrnet_bench.doctor.processor import Processor, findings

QUIET = Processor("a processor", 8, 8, None, 8, 0.0, {})


def found(what: str, **changed: object) -> Finding:
    return next(f for f in findings(QUIET._replace(**changed)) if f.what == what)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, "all 8 cores"),
        ({"machine": 1, "allowed": 1}, "its one core"),
        ({"allowed": 7}, "7 of the machine's 8 cores (affinity)"),
        ({"quota": 2.5}, "the time of 2.5 of the machine's 8 cores"),
        ({"quota": 8.0}, "all 8 cores"),
        ({"quota": 7.5, "allowed": 4}, "4 of the machine's 8 cores (affinity)"),
    ],
)
def test_what_limits_the_cores_is_said(changed: dict[str, object], says: str) -> None:
    assert says in found("cores", **changed).text


@pytest.mark.parametrize(
    ("changed", "fair"),
    [
        ({"threads": 9}, 8),
        ({"allowed": 4, "threads": 5}, 4),
        ({"quota": 2.5, "threads": 3}, 2),
        ({"quota": 0.5, "threads": 2}, 1),
    ],
)
def test_more_threads_than_cores_are_a_warning(changed: dict[str, object], fair: int) -> None:
    finding = found("threads", **changed)
    assert finding.state == "warning"
    assert finding.advice == f"`export OMP_NUM_THREADS={fair}`"
    assert found("threads", **{**changed, "threads": fair}).state == "ok"


def test_a_busy_machine_is_a_warning() -> None:
    assert found("load", load=2.0).state == "ok"
    assert found("load", load=2.01).state == "warning"
    assert not [f for f in findings(QUIET._replace(load=None)) if f.what == "load"]


@pytest.mark.parametrize(
    ("variables", "state"),
    [
        ({}, "ok"),
        ({"OMP_NUM_THREADS": "8", "OMP_WAIT_POLICY": "active"}, "ok"),
        ({"OMP_NUM_THREADS": "9"}, "warning"),
        ({"OMP_NUM_THREADS": "4, 2"}, "ok"),
        ({"OMP_NUM_THREADS": "4,x"}, "warning"),
        ({"MKL_NUM_THREADS": "0"}, "warning"),
        ({"OPENBLAS_NUM_THREADS": ""}, "warning"),
        ({"GOMP_SPINCOUNT": "infinity"}, "ok"),
    ],
)
def test_variables_are_named_and_wrong_ones_warned_of(
    variables: dict[str, str], state: str
) -> None:
    finding = found("OpenMP and MKL", variables=variables)
    assert finding.state == state
    assert all(f"{name}={value}" in finding.text for name, value in variables.items())
    assert bool(finding.advice) == (state == "warning")
