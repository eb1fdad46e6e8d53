"""The page in a real, headless Chromium: it asks for nothing, sorts, slides and zooms."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hdrnet_bench.report import build_report
from tests.report.fixtures import hostile, made_up

pytestmark = pytest.mark.browser

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is missing: make setup")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

Driver = Any
WIDTHS = {"desktop": 1200, "phone": 400}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not in PATH (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    profile = tmp_path_factory.mktemp("profile")
    arguments = ["headless=new", "disable-dev-shm-usage", "disable-gpu", f"user-data-dir={profile}"]
    arguments += ["no-sandbox"] if os.geteuid() == 0 else []
    for argument in arguments:
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(programs["chromedriver"])
    with webdriver.Chrome(options=options, service=service) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    made_up.evaluation(root, "identity", "baseline", seed=None, gain=0, kept=())
    made_up.evaluation(root)
    made_up.evaluation(root, "hdrnet-pyramid", gain=5)
    made_up.timing(root)
    build_report(root)
    return root / "report.html"


def look(driver: Driver, page: Path, width: int = 1200, scheme: str = "light") -> None:
    """Open a page as on a screen of that width, in that colour scheme."""
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    driver.get_log("browser")
    driver.get_log("performance")
    driver.get(page.as_uri())


def requested(driver: Driver) -> set[str]:
    """The addresses that the browser was made to ask for since the page was opened."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }


def slider(driver: Driver) -> tuple[Any, Any]:
    """The first picture's range and its stage."""
    picture = driver.find_element(By.CSS_SELECTOR, "details[open] .picture")
    return (
        picture.find_element(By.CSS_SELECTOR, "input[type=range]"),
        picture.find_element(By.CSS_SELECTOR, ".stage"),
    )


def at(stage: Any) -> str:
    return stage.parent.execute_script("return arguments[0].style.getPropertyValue('--at')", stage)


def overflow(driver: Driver) -> int:
    """By how many pixels the page is wider than the screen."""
    root = "document.documentElement"
    return driver.execute_script(f"return {root}.scrollWidth - {root}.clientWidth")


def rows(driver: Driver, column: int) -> list[str]:
    body = driver.find_elements(By.CSS_SELECTOR, "main table:first-of-type tbody")[0]
    return [
        tr.find_elements(By.CSS_SELECTOR, "td, th")[column].text
        for tr in body.find_elements(By.TAG_NAME, "tr")
    ]


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_without_an_error_or_a_request(
    driver: Driver, page: Path, width: int, scheme: str
) -> None:
    look(driver, page, width, scheme)
    for closed in driver.find_elements(By.CSS_SELECTOR, "details:not([open]) > summary"):
        closed.click()
    assert driver.find_elements(By.CSS_SELECTOR, ".compare")
    assert driver.get_log("browser") == []
    asked = requested(driver)
    assert page.as_uri() in asked
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    resources = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    assert all(name.startswith("data:") for name in driver.execute_script(resources))
    loaded = "return [...document.images].every(image => image.complete && image.naturalWidth)"
    assert driver.execute_script(loaded)
    # Nothing but tables and figures, each in its own frame, is wider than the screen.
    assert overflow(driver) == 0
    back = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 25, 31)"}[scheme]


def test_a_request_would_be_seen_and_is_refused(driver: Driver, page: Path, tmp_path: Path) -> None:
    """The two tests above can fail: a picture from elsewhere is blocked, and complained of."""
    other = tmp_path / "other.html"
    image = '<img src="http://127.0.0.1:9/x.png" alt="x">'
    other.write_text(page.read_text().replace("<main", f"{image}<main", 1))
    look(driver, other)
    assert "Content Security Policy" in driver.get_log("browser")[0]["message"]


@pytest.mark.fault("hostile results")
def test_nothing_that_results_hold_runs(
    driver: Driver, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("faults", hostile.results(tmp_path))
    build_report(tmp_path)
    look(driver, tmp_path / "report.html")
    for closed in driver.find_elements(By.CSS_SELECTOR, "details:not([open]) > summary"):
        closed.click()
    for heading in driver.find_elements(By.CSS_SELECTOR, "th button"):
        driver.execute_script("arguments[0].click()", heading)
    assert driver.title == "hdrnet-bench: results"
    assert len(driver.find_elements(By.TAG_NAME, "script")) == 1
    handlers = "return [...document.querySelectorAll('*')].filter(one => one.onerror || one.onload)"
    assert driver.execute_script(handlers) == []
    assert driver.execute_script("return document.body.innerText").count("onerror") > 20
    assert driver.get_log("browser") == []
    assert {url for url in requested(driver) if url.startswith("http")} == set()


@pytest.mark.fault("hostile results")
def test_a_script_that_got_in_all_the_same_does_not_run(
    driver: Driver, page: Path, tmp_path: Path
) -> None:
    """The page names its own script by its digest, and a browser runs no other."""
    other = tmp_path / "other.html"
    harm = f'<script>{hostile.RUNS}</script><svg onload="{hostile.RUNS}"></svg>'
    other.write_text(page.read_text().replace("<main", f"{harm}<main", 1))
    look(driver, other)
    assert driver.title == "hdrnet-bench: results"
    assert "Content Security Policy" in driver.get_log("browser")[0]["message"]
    assert driver.find_elements(By.CSS_SELECTOR, "th button"), "its own script ran"


def test_sorting_sorts(driver: Driver, page: Path) -> None:
    look(driver, page)
    methods, parameters, psnr = 1, 3, 7
    assert rows(driver, methods) == ["identity", "hdrnet-curves", "hdrnet-pyramid"]
    headings = driver.find_elements(By.CSS_SELECTOR, "main table:first-of-type thead th")
    button = headings[psnr].find_element(By.TAG_NAME, "button")
    button.click()
    assert rows(driver, methods) == ["identity", "hdrnet-curves", "hdrnet-pyramid"]
    assert headings[psnr].get_attribute("aria-sort") == "ascending"
    button.click()
    assert rows(driver, methods) == ["hdrnet-pyramid", "hdrnet-curves", "identity"]
    assert headings[psnr].get_attribute("aria-sort") == "descending"
    status = driver.find_element(By.ID, "status")
    assert status.get_attribute("textContent") == "Sorted by PSNR (dB) ↑, descending"
    # By key; names by their letters; and only one column is the sorted one.
    headings[methods].find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert rows(driver, methods) == ["hdrnet-curves", "hdrnet-pyramid", "identity"]
    assert headings[methods].get_attribute("aria-sort") == "ascending"
    assert headings[psnr].get_attribute("aria-sort") is None
    # What is missing stays last, either way.
    for direction in ("ascending", "descending"):
        headings[parameters].find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
        assert headings[parameters].get_attribute("aria-sort") == direction
        assert rows(driver, parameters)[-1] == "–"


def test_sorting_is_by_value_not_by_letter(driver: Driver, page: Path) -> None:
    look(driver, page)
    script = """
      const table = [...document.querySelectorAll("table")].find(t =>
        t.tHead.textContent.includes("median ms"));
      table.tHead.rows[0].cells[5].querySelector("button").click();
      return [...table.tBodies[0].rows].map(row => row.cells[5].dataset.value);
    """
    values = driver.execute_script(script)
    known = [float(value) for value in values if value]
    assert known == sorted(known)
    assert max(known) > 100 > min(known)
    assert values[: len(known)] == [value for value in values if value], "missing last"
    assert "" in values


def test_slider_moves_by_key(driver: Driver, page: Path) -> None:
    look(driver, page)
    range_, stage = slider(driver)
    assert at(stage) == "50%"
    for _ in range(3):
        range_.send_keys(Keys.ARROW_RIGHT)
    assert at(stage) == "53%"
    assert range_.get_attribute("aria-valuetext") == "53 % input, the rest output"
    range_.send_keys(Keys.HOME)
    assert at(stage) == "0%"
    range_.send_keys(Keys.END)
    assert at(stage) == "100%"
    left = stage.find_element(By.CSS_SELECTOR, ".left")
    assert left.value_of_css_property("clip-path") == "inset(0px 0% 0px 0px)"


def test_slider_follows_a_mouse(driver: Driver, page: Path) -> None:
    look(driver, page)
    range_, stage = slider(driver)
    width = stage.size["width"]
    actions = ActionChains(driver)
    actions.move_to_element(stage).click_and_hold().move_by_offset(round(width / 4), 5).perform()
    assert float(range_.get_attribute("value")) == pytest.approx(75, abs=1)
    ActionChains(driver).move_by_offset(round(width / 4) + 40, 0).release().perform()
    assert at(stage) == "100%", "past the edge is the edge"
    ActionChains(driver).move_to_element(stage).perform()
    assert at(stage) == "100%", "let go"
    ActionChains(driver).move_to_element_with_offset(stage, -round(width / 4), 0).click().perform()
    assert float(range_.get_attribute("value")) == pytest.approx(25, abs=1)


def test_slider_follows_a_finger_on_its_handle(driver: Driver, page: Path) -> None:
    look(driver, page, width=400)
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        range_, stage = slider(driver)
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", stage)
        box = driver.execute_script("return arguments[0].getBoundingClientRect().toJSON()", stage)
        middle = {"x": box["left"] + box["width"] / 2, "y": box["top"] + box["height"] / 2}

        def touch(kind: str, *points: dict[str, float]) -> None:
            event = {"type": kind, "touchPoints": list(points)}
            driver.execute_cdp_cmd("Input.dispatchTouchEvent", event)

        touch("touchStart", middle)
        for share in (0.6, 0.7, 0.8):
            touch("touchMove", middle | {"x": box["left"] + share * box["width"]})
        touch("touchEnd")
        assert float(range_.get_attribute("value")) == pytest.approx(80, abs=1)
        # Elsewhere a finger scrolls the page and leaves the divider where it is.
        away = middle | {"x": box["left"] + 0.2 * box["width"]}
        touch("touchStart", away)
        for step in (20, 60, 120):
            touch("touchMove", away | {"y": away["y"] - step})
        touch("touchEnd")
        assert float(range_.get_attribute("value")) == pytest.approx(80, abs=1)
    finally:
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_compares_with_target_and_error_map(driver: Driver, page: Path) -> None:
    look(driver, page)
    picture = driver.find_element(By.CSS_SELECTOR, "details[open] .picture")
    left = picture.find_element(By.CSS_SELECTOR, ".stage .left")
    for role in ("target", "error", "input"):
        picture.find_element(By.CSS_SELECTOR, f"input[value={role}]").click()
        thumbnail = picture.find_element(By.CSS_SELECTOR, f"figure[data-role={role}] img")
        assert left.get_attribute("src") == thumbnail.get_attribute("src")
    others = driver.find_elements(By.CSS_SELECTOR, "details[open] .picture")[1]
    assert others.find_element(By.CSS_SELECTOR, "input[value=input]").is_selected()


def test_zooms_in_and_out_and_can_be_scrolled_by_key(driver: Driver, page: Path) -> None:
    look(driver, page)
    picture = driver.find_element(By.CSS_SELECTOR, "details[open] .picture")
    view = picture.find_element(By.CSS_SELECTOR, ".view")
    stage = picture.find_element(By.CSS_SELECTOR, ".stage")
    smaller, larger = picture.find_elements(By.CSS_SELECTOR, ".zoom button")
    width = stage.size["width"]
    assert not smaller.is_enabled()
    larger.click()
    inside = driver.execute_script("return arguments[0].clientWidth", view)
    assert stage.size["width"] == 2 * inside
    centre = "return arguments[0].scrollLeft + arguments[0].clientWidth / 2"
    middle = driver.execute_script(centre, view)
    assert middle == pytest.approx(stage.size["width"] / 2, abs=20)
    larger.click()
    assert not larger.is_enabled()
    before = driver.execute_script("return arguments[0].scrollLeft", view)
    view.send_keys(Keys.ARROW_LEFT)
    left = "return arguments[0].scrollLeft"
    driver.execute_async_script("setTimeout(arguments[0], 400)")
    assert driver.execute_script(left, view) < before
    smaller.click()
    smaller.click()
    assert stage.size["width"] == width
    assert view.get_attribute("tabindex") is None


def test_a_gallery_is_built_when_it_is_opened(driver: Driver, page: Path) -> None:
    look(driver, page)
    assert len(driver.find_elements(By.CSS_SELECTOR, ".compare")) == 3
    driver.find_element(By.CSS_SELECTOR, "details:not([open]) > summary").send_keys(Keys.ENTER)
    driver.execute_async_script("setTimeout(arguments[0], 100)")
    assert len(driver.find_elements(By.CSS_SELECTOR, ".compare")) == 6


def test_everything_that_can_be_used_has_a_name(driver: Driver, page: Path) -> None:
    look(driver, page)
    tree = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    used = {"button", "slider", "radio", "link", "image", "table", "region", "navigation"}
    seen = set()
    for node in tree:
        role = node.get("role", {}).get("value")
        if role in used and not node.get("ignored"):
            seen.add(role)
            assert node.get("name", {}).get("value", "").strip(), node
    assert seen == used
    roles = [node["role"]["value"] for node in tree if "role" in node and not node.get("ignored")]
    for landmark in ("banner", "main", "contentinfo"):
        assert roles.count(landmark) == 1


def test_first_key_leads_past_the_navigation(driver: Driver, page: Path) -> None:
    look(driver, page)
    ActionChains(driver).send_keys(Keys.TAB).perform()
    focused = driver.switch_to.active_element
    assert focused.text == "Skip to the results"
    assert focused.rect["x"] >= 0
    focused.send_keys(Keys.ENTER)
    assert driver.switch_to.active_element.get_attribute("id") == "content"


def test_is_a_plain_page_without_javascript(driver: Driver, page: Path) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        look(driver, page)
        assert rows(driver, 1) == ["identity", "hdrnet-curves", "hdrnet-pyramid"]
        assert driver.find_elements(By.CSS_SELECTOR, "main button, .compare") == []
        shown = driver.find_elements(By.CSS_SELECTOR, "details[open] figure img")
        assert len(shown) == 12
        assert all(image.is_displayed() and image.size["width"] > 100 for image in shown)
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_thirty_methods_open_on_a_phone(
    driver: Driver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = made_up.many(tmp_path_factory.mktemp("many"), n=8)
    build_report(root)
    look(driver, root / "report.html", width=400)
    assert len(rows(driver, 1)) == 30
    assert len(driver.find_elements(By.CSS_SELECTOR, "details.gallery")) == 30
    assert overflow(driver) == 0
    assert driver.get_log("browser") == []


def test_nothing_measured_opens(driver: Driver, tmp_path: Path) -> None:
    build_report(tmp_path)
    look(driver, tmp_path / "report.html")
    assert "Nothing measured yet: hdrbench eval." in driver.find_element(By.TAG_NAME, "main").text
    assert driver.get_log("browser") == []
