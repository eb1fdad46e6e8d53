"""The page as it is written: what is in it, escaped, without a browser."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hdrnet_bench.files import json_text, read_json
from hdrnet_bench.report import build_report, plots
from hdrnet_bench.report.page import code
from tests.conftest import ROOT
from tests.report.fixtures import made_up

TEMPLATES = ROOT / "hdrnet_bench" / "report" / "templates"
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """What a page refers to, its text, its headings; complains of what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.headings: list[int] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        for key, value in found.items():
            assert not key.startswith("on"), f"{tag} {key}"
            if key in {"src", "href", "xlink:href", "data", "action"} and value:
                self.links.append(value)
            if key == "id" and value:
                self.ids.append(value)
        if tag == "img":
            self.images.append(found)
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "script"}:
            self.text += data


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("page")
    made_up.evaluation(root)
    made_up.evaluation(root, "identity", "baseline", seed=None, gain=0, kept=())
    made_up.timing(root)
    made_up.kernels(root)
    build_report(root)
    return (root / "report.html").read_text()


def test_holds_everything_and_refers_to_nothing_else(text: str) -> None:
    page = Page(text)
    assert page.links
    assert all(link.startswith(("data:", "#")) for link in page.links)
    own = {f"#{id_}" for id_ in page.ids}
    assert {link for link in page.links if link.startswith("#")} <= own
    assert set(re.findall(r"url\((.*?)\)", text)) <= own
    assert len(page.ids) == len(set(page.ids)), "figures keep their ids apart"
    assert "@import" not in text
    assert "25.97" in page.text
    assert "default-src 'none'" in text


def test_works_without_javascript(text: str) -> None:
    """Every table, figure and picture is in the page itself, and a gallery opens by itself."""
    plain = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    page = Page(plain)
    roles = re.findall(r'data-role="(\w+)"', plain)
    assert roles == ["input", "output", "target", "error"] * 3
    assert len(page.images) == 12
    assert plain.count("<details") == 1
    assert plain.count("<table") == 5
    assert "<button" not in plain, "what does nothing without JavaScript is made by it"
    assert "identity: no pictures were kept" in page.text


def test_structure_can_be_heard(text: str) -> None:
    page = Page(text)
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    for image in page.images:
        assert image["alt"]
        assert image["width"] == "480"
        assert image["height"] == "320"
    assert len({image["alt"] for image in page.images}) == len(page.images)
    assert text.count("<caption") == text.count("<table")
    assert text.count('<th scope="row"') == text.count("<tr>") - text.count("<thead>")
    for tag in ("header", "nav", "main", "footer"):
        assert text.count(f"<{tag}") - text.count(f"<{tag}er") * (tag == "head") == 1
    assert '<html lang="en">' in text
    assert page.links[1] == "#content"
    labels = re.findall(r'aria-labelledby="([^"]+)"', text)
    assert set(labels) <= set(page.ids)
    assert text.count('role="img"') == text.count("<svg")


def test_odd_names_are_escaped_everywhere(tmp_path: Path) -> None:
    odd = "<script>alert('$1_2$')</script> \"&|`{{ 7*7 }}`"
    path = made_up.evaluation(tmp_path, licence=odd)
    content = read_json(path)
    content["environment"]["cpu"] = odd
    made_up.without(content, "lpips", odd)
    content["dataset"]["protocol"] = odd
    path.write_text(json_text(content))
    timed = made_up.timing(tmp_path)
    content = read_json(timed)
    content["rows"][0]["note"] = odd
    timed.write_text(json_text(content))
    path = made_up.kernels(tmp_path)
    content = read_json(path)
    content["device"] = content["rows"][0]["kernel"] = content["rows"][0]["note"] = odd
    path.write_text(json_text(content))
    build_report(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert text.count("<script>") == 1
    assert "alert(" in Page(text).text
    assert "49" not in re.findall(r"alert\(.{60}", text)[0]
    readme = (tmp_path / "README.md").read_text()
    assert "<script>" not in readme
    for line in readme.splitlines():
        assert "<" not in line


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("run `a<b`", "run <code>a&lt;b</code>"),
        ("no <b> here", "no &lt;b&gt; here"),
        ("one ` only", "one ` only"),
    ],
)
def test_code_is_marked_and_escaped(given: str, expected: str) -> None:
    assert code(given) == expected


def test_figures_in_the_page_take_its_colours(text: str) -> None:
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert plots.INK not in svg
        assert "currentColor" in svg
        assert "<style" not in svg
        assert "<metadata" not in svg
        assert "\u0394" in svg or "PSNR" in svg or "milliseconds" in svg, "text stays text"


def test_title_of_a_figure_is_no_formula() -> None:
    plot = plots.Plot("odd", "odd", (3, 2), lambda figure: figure.suptitle("a $x_1$ <b>"))
    (files,) = plots.render([plot])
    assert b"a $x_1$ &lt;b&gt;" in files["odd.svg"]


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_stand_out_in_light_and_dark() -> None:
    """WCAG 2: 4.5 to 1 for text, 3 to 1 for what a figure draws and a control's border."""
    blocks = re.findall(r":root \{(.*?)\}", (TEMPLATES / "report.css").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        named = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for ground in (named["back"], named["card"]):
            for name in ("text", "soft", "accent", "warn"):
                assert contrast(named[name], ground) >= 4.5, (name, ground)
        for colour in (*plots.COLOURS, plots.GRID):
            assert contrast(colour, named["back"]) >= (3 if colour != plots.GRID else 2.5), colour


def test_contrast_of_black_and_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
