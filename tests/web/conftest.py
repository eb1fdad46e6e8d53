from collections.abc import Iterator
from pathlib import Path

import pytest

from hdrnet_bench.web.samples import samples
from tests.web import browser
from tests.web.pages import ABOUT, make_page


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Driver]:
    with browser.chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    return make_page(folder, "page.html", samples())


@pytest.fixture(scope="module")
def bare(folder: Path) -> Path:
    return make_page(folder, "bare.html", [])


@pytest.fixture
def page(driver: browser.Driver, bare: Path) -> Iterator[browser.Driver]:
    """Opened without samples, and without a fault at the end."""
    browser.open_page(driver, bare)
    yield driver
    assert browser.complaints(driver) == []
    assert browser.requested(driver) == {bare.as_uri()}
    assert driver.title == ABOUT["title"], "no text was run"
