"""What a result says of the machine and the day it was measured on."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from hdrnet_bench.environment import Environment, describe
from hdrnet_bench.result_timing import NetworkTiming, read_machines
from tests.report.fixtures import made_up


def test_the_day_is_noted() -> None:
    before = datetime.now(UTC).date().isoformat()
    assert before <= (describe().date or "") <= datetime.now(UTC).date().isoformat()


def test_files_without_a_day_are_read_and_no_other_text_is_one() -> None:
    content = made_up.environment().model_dump()
    del content["date"]
    assert Environment.model_validate(content).date is None
    assert Environment.model_validate(content | {"date": "2017-07-30"}).date == "2017-07-30"
    for text in ("yesterday", "2017-07-30T12:00", ""):
        with pytest.raises(ValidationError, match="date"):
            Environment.model_validate(content | {"date": text})


def test_another_day_and_load_go_on_with_a_file_another_commit_does_not(tmp_path: Path) -> None:
    made_up.network(tmp_path)
    ((_, timing),) = read_machines(tmp_path)
    assert isinstance(timing, NetworkTiming)

    def on(**changed: object) -> NetworkTiming:
        environment = timing.environment.model_copy(update=changed)
        return timing.model_copy(update={"environment": environment})

    assert on(date="2017-07-31", load=9.0).continues(timing)
    assert not on(commit="f" * 12).continues(timing)
