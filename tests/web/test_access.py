"""The page for everybody: by key, without motion, by what axe finds."""

import sys
from pathlib import Path

import pytest

from tests.web.browser import (
    Driver,
    hand_over,
    open_page,
    press,
    wait,
)
from tests.web.pictures import picture, png

pytestmark = pytest.mark.browser

pytest.importorskip("selenium.webdriver", reason="selenium is missing: make setup")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402


def overflow(driver: Driver) -> int:
    root = "document.documentElement"
    return driver.execute_script(f"return {root}.scrollWidth - {root}.clientWidth")


def test_everything_can_be_reached_by_key(driver: Driver, path: Path) -> None:
    open_page(driver, path)
    reached = []
    for _ in range(14):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        focused = driver.switch_to.active_element
        reached.append(focused.get_attribute("id") or focused.get_attribute("name"))
        outline = "return getComputedStyle(arguments[0]).outlineStyle"
        if reached[-1] == "camera":
            assert driver.execute_script(outline, focused) == "solid"
    for name in ("divider", "camera", "view", "zoom", "strength", "format", "download"):
        assert name in reached
    assert "scroller" not in reached, "what does not scroll is no stop on the way"


def test_motion_is_left_out_where_it_is_not_wanted(driver: Driver, bare: Path) -> None:
    script = """
      let animated = 0;
      const animate = Element.prototype.animate;
      Element.prototype.animate = function (...all) {
        animated += 1;
        return animate.apply(this, all);
      };
      window.animated = () => animated;
    """
    for value, count in (("no-preference", 1), ("reduce", 0)):
        open_page(driver, bare)
        features = [{"name": "prefers-reduced-motion", "value": value}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.execute_script(script)
        hand_over(driver, "paste", {"a.png": png(picture("coffee"))})
        wait(driver)
        assert driver.execute_script("return window.animated()") == count


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1400, "light")])
def test_axe_finds_nothing_and_nothing_sticks_out(
    driver: Driver, path: Path, width: int, scheme: str
) -> None:
    axe = Path(sys.prefix) / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    if not axe.is_file():
        pytest.skip("axe-core is missing: make setup, with npm in PATH")
    open_page(driver, path, width, scheme=scheme)
    hand_over(driver, "drop", {f"{'long' * 30}.jpg": b"words"})
    wait(driver)
    driver.execute_script(axe.read_text())
    driver.set_script_timeout(120)
    run = "axe.run({ resultTypes: ['violations'] }).then(arguments[0])"
    for view in ("full", "guide", "grid"):
        press(driver, f"[value={view}]")
        driver.execute_async_script("setTimeout(arguments[0], 400)")  # what fades in is there
        assert overflow(driver) == 0, view
        found = driver.execute_async_script(run)["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == [], view
