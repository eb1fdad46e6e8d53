"""The page as it is written: what is in it, escaped, without a browser."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hdrnet_bench.files import json_text, read_json
from hdrnet_bench.report import build_report, plots
from hdrnet_bench.report.page import _figure, code, with_lines
from hdrnet_bench.report.table import Cell
from tests.conftest import ROOT
from tests.report.fixtures import made_up

TEMPLATES = ROOT / "hdrnet_bench" / "report" / "templates"
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """What a page refers to, its text, its headings (levels, and the text of the second level's);
    complains of what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.headings: list[int] = []
        self.second: list[str] = []
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
        if self.open and self.open[-1] == "h2":
            self.second.append(data)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("page")
    made_up.evaluation(root)
    made_up.evaluation(root, "identity", "baseline", seed=None, gain=0, kept=())
    made_up.timing(root)
    made_up.kernels(root)
    build_report(root)
    return (root / "report.html").read_text()


def check_references(text: str) -> Page:
    """Whatever refers to a part of the page leads to one."""
    page = Page(text)
    assert page.links
    own = {f"#{id_}" for id_ in page.ids}
    assert {link for link in page.links if link.startswith("#")} <= own
    assert set(re.findall(r"url\((.*?)\)", text)) <= own
    labels = re.findall(r' (?:aria-labelledby|for)="([^"]+)"', text)
    assert {f"#{label}" for label in labels} <= own
    assert len(page.ids) == len(set(page.ids)), "figures keep their ids apart"
    return page


def test_holds_everything_and_refers_to_nothing_else(text: str) -> None:
    page = check_references(text)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert "@import" not in text
    assert "25.97" in page.text
    assert "default-src 'none'" in text


def test_names_with_decimals_are_referred_to_as_they_are(tmp_path: Path) -> None:
    """The page shortens the numbers of figures, and no names."""
    look, run = "look-v1.2345", "lr-0.0005"
    made_up.evaluation(tmp_path, run=run, recipe=look, dataset=look)
    made_up.evaluation(tmp_path, "identity", "baseline", dataset=look, seed=None, gain=0)
    made_up.timing(tmp_path, run=run, recipe=look, slug="cpu-3.1415")
    build_report(tmp_path)
    text = (tmp_path / "report.html").read_text()
    check_references(text)
    figures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(figures) == 5
    for figure in figures:
        assert re.search(r'<use xlink:href="#[^"]*(1\.2345|0\.0005)[^"]*"', figure)
        assert re.search(r'clip-path="url\(#[^"]*(1\.2345|0\.0005)[^"]*"', figure)
        assert not re.search(r' (d|x|y|style|transform)="[^"]*\.\d{3}', figure)


def test_a_style_refers_to_a_name_with_decimals_as_it_is() -> None:
    def draw(figure: Any) -> None:
        figure.subplots().bar([0, 1], [1 / 3, 2 / 3], hatch="/")

    plot = plots.Plot("look-1.2345", "Made up", (3, 2), draw)
    (files,) = plots.render([plot])
    drawn = _figure(plot, {plot.stem: files["look-1.2345.svg"]})
    used = re.findall(r'style="fill: url\(#([^)]+)\)', drawn)
    assert len(used) == 2
    assert f'id="{used[0]}"' in drawn
    assert used[0].startswith("look-1.2345-")


@pytest.mark.parametrize(
    ("least", "said"), [(8, "Mean of 8 pictures and"), (6, "Mean of 6 to 8 pictures and")]
)
@pytest.mark.parametrize("fewer", ["identity", "hdrnet-curves", "oracle-affine"])
def test_the_headline_says_how_many_pictures_its_rows_are_of(
    tmp_path: Path, fewer: str, least: int, said: str
) -> None:
    for method, gain in (("identity", 0.0), ("hdrnet-curves", 4.0), ("oracle-affine", 6.0)):
        seed = 0 if method == "hdrnet-curves" else None
        n = least if method == fewer else 8
        made_up.evaluation(tmp_path, method, seed=seed, gain=gain, n=n)
    made_up.evaluation(tmp_path, "hdrnet-worse", gain=1.0, n=3)  # is no row of it
    assert said in " ".join(shown(tmp_path).text.split())


def test_the_headline_counts_the_pictures_of_every_seed(tmp_path: Path) -> None:
    for seed, n in ((0, 8), (1, 7)):
        made_up.evaluation(tmp_path, run=f"seed-{seed}", seed=seed, n=n)
    assert "Mean of 7 to 8 pictures" in shown(tmp_path).text


def test_the_headline_of_one_picture_says_so(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path, n=1)
    assert "Mean of 1 picture and" in " ".join(shown(tmp_path).text.split())


def test_works_without_javascript(text: str) -> None:
    """Every table, figure and picture is in the page itself, and what hides columns or tables is
    the page's own."""
    plain = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    page = Page(plain)
    roles = re.findall(r'data-role="(\w+)"', plain)
    assert roles == ["input", "output", "target", "error"] * 3
    assert len(page.images) == 12
    assert "<details" not in plain.split("Time</h2>")[0], "pictures and quality stand open"
    assert plain.count("<table") == 6
    assert "<button" not in plain, "what does nothing without JavaScript is made by it"
    assert plain.count('type="checkbox"') == len(re.findall(r'<label for="all-', plain)) == 5
    assert page.text.count("All columns of ") == 5


def test_opens_with_a_picture_and_the_figures_that_matter(text: str) -> None:
    top = text[
        text.index('<section id="headline"') : text.index('<section aria-labelledby="pictures"')
    ]
    page = Page(top)
    assert len(page.images) == 4
    assert "picture-4, the median of its pictures" in page.text
    for said in ("hdrnet-curves", "identity", "25.97 dB", "21.97 dB", "Mean of 8 pictures"):
        assert said in page.text
    assert [re.sub("<.*?>", "", row) for row in re.findall(r"<th scope=.row.*?</th>", top)] == [
        "hdrnet-curves",
        "identity",
    ]
    assert "0" * 12 in page.text, "the commit"
    before = Page(text[: text.index('<section id="headline"')] + "</main></body></html>")
    assert f"Measured on CPU {made_up.MADE_UP}, 2 cores" in " ".join(before.text.split())


def test_a_picture_stands_in_the_page_once(text: str) -> None:
    found = Page(text)
    names = [str(image["alt"]) for image in found.images]
    assert sorted(names) == sorted(set(names))
    assert sum("picture-4" in name for name in names) == 4
    assert "picture-4: at the top of this page" in found.text


def shown(root: Path) -> Page:
    build_report(root)
    return Page((root / "report.html").read_text())


def test_the_headline_is_of_the_data_with_most_methods(tmp_path: Path) -> None:
    """Not of the one where a method does best, nor of the first."""
    for dataset, methods, gain in (("alpha", 1, 20.0), ("beta", 2, 3.0), ("gamma", 2, 9.0)):
        for number in range(methods):
            made_up.evaluation(
                tmp_path, f"hdrnet-{number}", recipe=dataset, dataset=dataset, gain=gain + number
            )
    page = shown(tmp_path)
    assert page.second[0] == "beta, test split, full size"


def test_the_headline_is_in_colour_where_there_is_any(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path, "one", recipe="grey", dataset="grey")
    made_up.evaluation(tmp_path, "two", recipe="grey", dataset="grey")
    made_up.evaluation(tmp_path, recipe="colour", dataset="colour")
    for path in tmp_path.glob("pictures/grey-*/*/*.webp"):
        with Image.open(path) as image:
            grey = image.convert("L").convert("RGB")
        grey.save(path)
    assert shown(tmp_path).second[0] == "colour, test split, full size"
    # Without pictures at all, it is still the data on which most was measured.
    for path in tmp_path.rglob("*.webp"):
        path.unlink()
    page = shown(tmp_path)
    assert page.second[0] == "grey, test split, full size"
    assert page.images == []


def test_several_seeds_stand_in_the_headline_as_their_mean(tmp_path: Path) -> None:
    """Not the luckiest one."""
    for seed, gain in ((0, 4.0), (1, 6.0)):
        made_up.evaluation(tmp_path, run=f"seed-{seed}", seed=seed, gain=gain)
    page = shown(tmp_path)
    assert re.search(r"26\.97 ± 1\.41 dB\s+PSNR with hdrnet-curves", page.text)


def test_the_newest_date_of_the_measurements_is_said(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path)
    assert "last on" not in shown(tmp_path).text, "no file has a date"
    for method, date in (("one", "2026-03-02"), ("two", "2026-11-30")):
        made_up.evaluation(tmp_path, method, environment=made_up.environment(date=date))
    assert "last on 2026-11-30 (" in shown(tmp_path).text


def test_what_is_left_out_is_said_and_is_on_the_private_page(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path)
    build_report(tmp_path, private=True)
    pages = [(tmp_path / name).read_text() for name in ("report.html", "report-private.html")]
    assert [page.count("<img") for page in pages] == [12, 12]
    assert "hdrbench report --private" not in pages[0]
    made_up.evaluation(tmp_path, size="480p")
    made_up.evaluation(tmp_path, "identity", "baseline", seed=None, gain=0)
    build_report(tmp_path, private=True)
    pages = [(tmp_path / name).read_text() for name in ("report.html", "report-private.html")]
    # Of the identity, input and output are one.
    assert [page.count("<img") for page in pages] == [12, 12 + 12 + 9]
    assert "<code>hdrbench report --private</code> makes a page" in pages[0]
    assert "makes a page" not in pages[1]


def test_columns_are_marked_for_who_reads_them(text: str) -> None:
    quality = text[text.index('id="quality"') :]
    quality = quality[: quality.index("</table>")]
    heads = {
        re.sub("<.*?>", "", inner): attributes
        for attributes, inner in re.findall(r'<th scope="col"([^>]*)>(.*?)</th>', quality)
    }
    assert heads["PSNR (dB) ↑"] == ' class="number" data-highest'
    assert heads["ΔE00 ↓"] == ' class="number"'
    assert heads["method"] == ""
    assert 'class="number more-3"' in heads["MACs/pixel"]
    assert "more-2" in heads["recipe"]
    cells = re.findall(r'<td class="number more-3"[^>]*>150</td>', quality)
    assert len(cells) == 1


def test_a_column_with_nothing_in_it_waits_to_be_asked_for(tmp_path: Path) -> None:
    path = made_up.evaluation(tmp_path)
    content = read_json(path)
    made_up.without(content, "lpips", "no weights")
    path.write_text(json_text(content))
    build_report(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert re.search(r'<th scope="col" class="number more-3">LPIPS ↓', text)
    assert "LPIPS: no weights." in text


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("29.36 [25.59, 33.12]", 29.36, "29.36 <small>[25.59, 33.12]</small>"),
        ("1.5 [1, 2] (n 5)", 1.5, "1.5 <small>[1, 2]</small> <small>(n 5)</small>"),
        (
            "+1.9 [+0.4, +3.6], 6/6: better",
            1.9,
            "+1.9 <small>[+0.4, +3.6],</small> <small>6/6: better</small>",
        ),
        ("a [b] <c>", "a [b] <c>", "a [b] &lt;c&gt;"),
        ("1920 x 1080", "1920x1080", '<span class="size">1920 x 1080</span>'),
        ("–", None, "–"),
    ],
)
def test_an_interval_stands_below_its_number(
    text: str, value: float | str | None, expected: str
) -> None:
    assert with_lines(Cell(text, (value,))) == expected


def test_long_tables_are_folded_but_never_those_of_quality(tmp_path: Path) -> None:
    def folded(evaluations: int) -> list[str]:
        for number in range(evaluations):
            made_up.evaluation(tmp_path, f"hdrnet-{number:02}", pictures=False, curve=False, n=3)
        build_report(tmp_path)
        return re.findall(r"<summary>(.*?)</summary>", (tmp_path / "report.html").read_text())

    assert folded(24) == []
    assert folded(25) == ["What ran where: table of 25 rows"]


def test_a_figure_in_the_page_loses_only_what_is_not_seen(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path)
    build_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    drawn = (tmp_path / "figures/distribution-made-up-test.svg").read_text()
    (shown,) = re.findall(r"<svg[^>]*distribution-made-up-test-caption.*?</svg>", page, re.DOTALL)

    def texts(svg: str) -> list[str]:
        return re.findall(r"<text[^>]*>(.*?)</text>", svg)

    assert texts(shown) == texts(drawn)
    assert len(shown) < 0.75 * len(drawn)
    ids = re.findall(r' id="([^"]+)"', shown)
    used = re.findall(r'(?:href="|url\()#([^")]+)', shown)
    assert set(ids) == set(used), "every shape that is used is there"
    numbers = [float(x) for x in re.findall(r'<use[^>]* x="([^"]+)"', drawn)]
    kept = [float(x) for x in re.findall(r'<use[^>]* x="([^"]+)"', shown)]
    assert kept == pytest.approx(numbers, abs=0.01)


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
    named = re.findall(r'<table class="sortable" aria-labelledby="([^"]+)"', text)
    assert len(named) + text.count("<caption") == text.count("<table")
    assert set(named) <= set(page.ids)
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
