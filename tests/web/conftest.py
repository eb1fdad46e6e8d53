from collections.abc import Iterator

import pytest

from tests.web import browser


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Driver]:
    with browser.chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running
