"""The page in a real, headless Chromium: it asks for nothing, sorts, slides, zooms and prints, and
axe-core finds no fault with it."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hdrnet_bench.report import build_report
from tests.report.fixtures import hostile, made_up
from tests.web.browser import Driver, chromium

pytestmark = pytest.mark.browser

pytest.importorskip("selenium.webdriver", reason="selenium is missing: make setup")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

WIDTHS = {"desktop": 1200, "phone": 400}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    made_up.evaluation(root, "identity", "baseline", seed=None, gain=0, kept=())
    made_up.evaluation(root)
    made_up.evaluation(root, "hdrnet-pyramid", gain=5)
    made_up.timing(root)
    made_up.kernels(root)
    made_up.network(root)
    made_up.training(root)
    build_report(root, private=True)
    return root / "report.html"


@pytest.fixture(scope="module")
def private(page: Path) -> Path:
    return page.with_name("report-private.html")


def look(
    driver: Driver, page: Path, width: int = 1200, height: int = 900, scheme: str = "light"
) -> None:
    """Open a page as on a screen of that width, in that colour scheme."""
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
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
    """The range and the stage that the page opens with."""
    picture = driver.find_element(By.CSS_SELECTOR, "#headline .picture")
    return (
        picture.find_element(By.CSS_SELECTOR, "input[type=range]"),
        picture.find_element(By.CSS_SELECTOR, ".stage"),
    )


def open_all(driver: Driver) -> None:
    for closed in driver.find_elements(By.CSS_SELECTOR, "details:not([open]) > summary"):
        driver.execute_script("arguments[0].click()", closed)
    # What opens is told so in a task of its own.
    driver.execute_async_script("setTimeout(arguments[0], 100)")


def at(stage: Any) -> str:
    return stage.parent.execute_script("return arguments[0].style.getPropertyValue('--at')", stage)


def overflow(driver: Driver) -> int:
    """By how many pixels the page is wider than the screen."""
    root = "document.documentElement"
    return driver.execute_script(f"return {root}.scrollWidth - {root}.clientWidth")


def heading(driver: Driver, name: str) -> Any:
    """Of the first table that sorts, by the beginning of its text."""
    cells = driver.find_elements(By.CSS_SELECTOR, "table.sortable thead th")
    return next(cell for cell in cells if said(cell).startswith(name))


def said(element: Any) -> str:
    """Its text, also where it is not on the screen."""
    return element.get_attribute("textContent")


def column(driver: Driver, name: str) -> list[str]:
    """A column of the first table that sorts."""
    script = """
      const table = document.querySelector("table.sortable");
      const heads = [...table.tHead.rows[0].cells];
      const place = heads.findIndex((head) => head.textContent.startsWith(arguments[0]));
      return [...table.tBodies[0].rows].map((row) => row.cells[place].textContent);
    """
    return driver.execute_script(script, name)


def seen(driver: Driver, table: str = "table.sortable") -> list[str]:
    """The headings that are on the screen, of the first of such tables."""
    script = """
      const cells = [...document.querySelector(arguments[0]).tHead.rows[0].cells];
      return cells.filter((cell) => cell.offsetWidth).map((cell) => cell.textContent);
    """
    return driver.execute_script(script, table)


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_without_an_error_or_a_request(
    driver: Driver, page: Path, width: int, scheme: str
) -> None:
    look(driver, page, width, scheme=scheme)
    open_all(driver)
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
    open_all(driver)
    for button in driver.find_elements(By.CSS_SELECTOR, "th button"):
        driver.execute_script("arguments[0].click()", button)
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


def test_the_first_click_puts_the_best_first(driver: Driver, page: Path) -> None:
    look(driver, page)
    unsorted, best_first = ["identity", "hdrnet-curves", "hdrnet-pyramid"], None
    assert column(driver, "method") == unsorted
    for name, direction in (("PSNR", "descending"), ("ΔE00", "ascending")):
        head = heading(driver, name)
        button = head.find_element(By.TAG_NAME, "button")
        button.click()
        best_first = ["hdrnet-pyramid", "hdrnet-curves", "identity"]
        assert column(driver, "method") == best_first, name
        assert head.get_attribute("aria-sort") == direction
        button.click()
        assert column(driver, "method") == best_first[::-1]
        assert head.get_attribute("aria-sort") != direction
    status = driver.find_element(By.ID, "status")
    assert said(status) == "Sorted by ΔE00 ↓, descending"
    # By key; names by their letters; and only one column is the sorted one.
    heading(driver, "method").find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert column(driver, "method") == sorted(unsorted)
    assert heading(driver, "method").get_attribute("aria-sort") == "ascending"
    assert heading(driver, "ΔE00").get_attribute("aria-sort") is None


def test_what_is_missing_stays_last_either_way(driver: Driver, page: Path) -> None:
    look(driver, page)
    for direction in ("ascending", "descending"):
        head = heading(driver, "parameters")
        head.find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
        assert head.get_attribute("aria-sort") == direction
        assert column(driver, "parameters")[-1] == "–"


def test_sorting_is_by_value_not_by_letter(driver: Driver, page: Path) -> None:
    look(driver, page)
    script = """
      const table = [...document.querySelectorAll("table")].find(t =>
        t.tHead.textContent.includes("median ms"));
      const heads = [...table.tHead.rows[0].cells];
      const place = heads.findIndex((head) => head.textContent.startsWith("median ms"));
      heads[place].querySelector("button").click();
      return [...table.tBodies[0].rows].map(row => row.cells[place].dataset.value);
    """
    values = driver.execute_script(script)
    known = [float(value) for value in values if value]
    assert known == sorted(known), "times: the shortest is the best"
    assert max(known) > 100 > min(known)
    assert values[: len(known)] == [value for value in values if value], "missing last"
    assert "" in values


def test_columns_by_the_width_and_all_where_they_are_asked_for(driver: Driver, page: Path) -> None:
    everything = [
        *("recipe", "method", "run", "parameters", "network MACs", "MACs/pixel", "n"),
        *("PSNR (dB) ↑", "SSIM ↑", "LPIPS ↓", "ΔE76 ↓", "ΔE00 ↓"),
    ]
    wide = [name for name in everything if name not in ("network MACs", "MACs/pixel", "ΔE76 ↓")]
    narrow = ["method", "n", "PSNR (dB) ↑", "SSIM ↑", "ΔE00 ↓"]
    for width, expected in ((1280, wide), (390, narrow)):
        look(driver, page, width)
        assert seen(driver) == expected
        choice = driver.find_element(By.CSS_SELECTOR, "#group-made-up-test ~ .all")
        choice.click()
        assert seen(driver) == everything
        choice.click()
        assert seen(driver) == expected


@pytest.mark.parametrize("width", [390, 1280])
def test_no_table_of_what_matters_is_wider_than_its_screen(
    driver: Driver, page: Path, width: int
) -> None:
    look(driver, page, width)
    open_all(driver)
    script = """
      return [...document.querySelectorAll(".scroll > table, #headline table")].map((table) =>
        [table.getAttribute("aria-labelledby"), table.parentElement.scrollWidth
          - table.parentElement.clientWidth]);
    """
    tables = driver.execute_script(script)
    assert len(tables) > 7
    assert [name for name, more in tables if more > 0] == []
    stops = "return document.querySelectorAll('.scroll[tabindex] table').length"
    assert driver.execute_script(stops) == 0, "what does not scroll is no stop on the way"
    driver.find_element(By.CSS_SELECTOR, "#group-made-up-test ~ .all").click()
    driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")
    assert driver.execute_script(stops) == (1 if width == 390 else 0)


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_the_first_screen_says_it_all(
    driver: Driver, tmp_path: Path, size: tuple[int, int]
) -> None:
    made_up.evaluation(tmp_path)
    for name in ("identity", "oracle-affine", "oracle-grid-16x16x8-luma"):
        made_up.evaluation(tmp_path, name, "baseline", seed=None, gain=0, kept=())
    build_report(tmp_path)
    look(driver, tmp_path / "report.html", *size)
    assert len(driver.find_elements(By.CSS_SELECTOR, "#headline tbody tr")) == 4
    for css in ("h1", ".lead", "header .soft", "#headline .stage", "#headline table"):
        element = driver.find_element(By.CSS_SELECTOR, css)
        assert element.is_displayed()
        assert element.rect["y"] + element.rect["height"] <= size[1], css


def test_the_divider_says_what_stands_on_either_side(driver: Driver, page: Path) -> None:
    look(driver, page)
    picture = driver.find_element(By.CSS_SELECTOR, "#headline .picture")
    sides = picture.find_elements(By.CSS_SELECTOR, ".side")
    assert [side.text for side in sides] == ["input", "output"]
    picture.find_element(By.CSS_SELECTOR, "input[value=error]").click()
    assert [side.text for side in sides] == ["error map", "output"]


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
    picture = driver.find_element(By.CSS_SELECTOR, "#headline .picture")
    left = picture.find_element(By.CSS_SELECTOR, ".stage .left")
    for role in ("target", "error", "input"):
        picture.find_element(By.CSS_SELECTOR, f"input[value={role}]").click()
        thumbnail = picture.find_element(By.CSS_SELECTOR, f"figure[data-role={role}] img")
        assert left.get_attribute("src") == thumbnail.get_attribute("src")
    others = driver.find_element(By.CSS_SELECTOR, ".pictures .picture")
    assert others.find_element(By.CSS_SELECTOR, "input[value=input]").is_selected()


def test_zooms_in_and_out_and_can_be_scrolled_by_key(driver: Driver, page: Path) -> None:
    look(driver, page)
    picture = driver.find_element(By.CSS_SELECTOR, ".pictures .picture")
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


def test_a_gallery_is_built_when_it_is_opened(driver: Driver, private: Path) -> None:
    look(driver, private)
    assert len(driver.find_elements(By.CSS_SELECTOR, ".compare")) == 3
    driver.find_element(By.CSS_SELECTOR, ".gallery:not([open]) > summary").send_keys(Keys.ENTER)
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
        table = driver.find_element(By.CSS_SELECTOR, "table.sortable")
        names = [cell.text for cell in table.find_elements(By.CSS_SELECTOR, "tbody th")]
        assert names == ["identity", "hdrnet-curves", "hdrnet-pyramid"]
        assert driver.find_elements(By.CSS_SELECTOR, "main button, .compare") == []
        # Every column can be had, and every table be unfolded.
        parameters = table.find_element(By.CSS_SELECTOR, "thead th:nth-child(6)")
        assert not parameters.is_displayed()
        driver.find_element(By.CSS_SELECTOR, "#group-made-up-test ~ .all").click()
        assert parameters.is_displayed()
        driver.find_element(By.CSS_SELECTOR, "details.long > summary").click()
        assert driver.find_element(By.CSS_SELECTOR, "details.long table").is_displayed()
        shown = driver.find_elements(By.CSS_SELECTOR, ".picture figure img")
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
    assert len(column(driver, "method")) == 30
    assert len(driver.find_elements(By.CSS_SELECTOR, ".compare")) == 3
    assert overflow(driver) == 0
    assert driver.get_log("browser") == []


def test_nothing_measured_opens(driver: Driver, tmp_path: Path) -> None:
    build_report(tmp_path)
    look(driver, tmp_path / "report.html")
    assert "Nothing measured yet: hdrbench eval." in driver.find_element(By.TAG_NAME, "main").text
    assert driver.get_log("browser") == []


@pytest.mark.parametrize("paper", [(8.27, 11.69), (8.5, 11)], ids=["A4", "letter"])
def test_no_table_is_cut_off_on_paper(
    driver: Driver, page: Path, paper: tuple[float, float]
) -> None:
    """As wide as the paper without its margins: nothing that is printed reaches beyond."""
    look(driver, page)
    driver.find_element(By.CSS_SELECTOR, "#group-made-up-test ~ .all").click()
    heading(driver, "PSNR").find_element(By.TAG_NAME, "button").click()
    width = int((paper[0] - 2 * 12 / 25.4) * 96)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        script = """
          return [...document.querySelectorAll("table, svg, .shots")].map((one) =>
            [one.tagName, one.getBoundingClientRect().right, one.checkVisibility()]);
        """
        edges = driver.execute_script(script)
        assert len(edges) > 15
        assert max(right for _, right, _ in edges) <= width
        assert all(printed for name, _, printed in edges if name == "TABLE"), "folded ones too"
        assert overflow(driver) == 0
        assert "MACs/pixel" not in seen(driver), "what is asked for on a screen is for the screen"
        hidden = driver.find_elements(By.CSS_SELECTOR, "nav, .compare, .all")
        assert hidden
        assert not any(one.is_displayed() for one in hidden)
        assert driver.find_element(By.CSS_SELECTOR, "#headline .shots img").size["width"] > 100
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.fixture(scope="module")
def axe() -> str:
    path = Path(sys.prefix) / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    if not path.is_file():
        pytest.skip("axe-core is missing: make setup, with npm in PATH")
    return path.read_text()


def faults(driver: Driver, axe: str) -> list[tuple[str, str, str]]:
    """What axe-core finds: the rule, how bad it is, the first element."""
    script = "axe.run({ resultTypes: ['violations'] }).then(arguments[0])"
    driver.set_script_timeout(120)
    driver.execute_script(axe)
    found = driver.execute_async_script(script)["violations"]
    return [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["page", "private"])
def test_axe_finds_nothing(
    driver: Driver, axe: str, page: Path, private: Path, which: str, width: int, scheme: str
) -> None:
    """With all that unfolds unfolded, and a table sorted."""
    look(driver, page if which == "page" else private, width, scheme=scheme)
    open_all(driver)
    heading(driver, "PSNR").find_element(By.TAG_NAME, "button").click()
    assert faults(driver, axe) == []


def test_axe_would_find_a_fault(driver: Driver, axe: str, page: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    harm = '<img src="data:,"><p style="color: #999; background: #fff">pale</p>'
    other.write_text(page.read_text().replace("<footer>", f"<footer>{harm}", 1))
    look(driver, other)
    found = {(rule, impact) for rule, impact, _ in faults(driver, axe)}
    assert found == {("image-alt", "critical"), ("color-contrast", "serious")}
