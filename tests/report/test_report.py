import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from hdrnet_bench.errors import DataError
from hdrnet_bench.files import json_text, read_json
from hdrnet_bench.report import build_report
from tests.conftest import ROOT, Workspace


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy of the committed results, without what the report makes."""
    copy = tmp_path / "results"
    ignore = shutil.ignore_patterns("README.md", "report.html", "figures")
    shutil.copytree(ROOT / "results", copy, ignore=ignore)
    return copy


def test_is_a_function_of_the_results(results: Path) -> None:
    written = build_report(results)
    first = {path: path.read_bytes() for path in written}
    assert {p.name for p in written} >= {"README.md", "report.html"}
    assert {path: path.read_bytes() for path in build_report(results)} == first


def test_committed_tables_are_those_of_the_committed_results(results: Path) -> None:
    build_report(results)
    assert (results / "README.md").read_text() == (ROOT / "results" / "README.md").read_text()


def test_readme_shows_the_committed_table(results: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    shutil.copy(ROOT / "README.md", readme)
    build_report(results, readme)
    assert readme.read_text() == (ROOT / "README.md").read_text()


def test_needs_no_torch(results: Path, workspace: Workspace) -> None:
    code = (
        "import sys; from pathlib import Path; from hdrnet_bench.report import build_report;"
        f"build_report(Path({str(results)!r})); assert 'torch' not in sys.modules"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


class _Page(HTMLParser):
    """What a page refers to, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.alts: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.links += [v for k in ("src", "href") if (v := found.get(k))]
        if tag == "img":
            self.alts.append(found.get("alt"))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_holds_everything_and_fetches_nothing(results: Path) -> None:
    build_report(results)
    page = _Page()
    text = (results / "report.html").read_text()
    page.feed(text)
    assert page.links
    assert all(link.startswith("data:") for link in page.links)
    assert "url(" not in text
    assert all(page.alts)
    result = read_json(next(results.glob("demo-retouch/hdrnet-curves/*/eval-test-full.json")))
    assert f"{result['metrics']['psnr']['mean']:.2f}" in page.text


def test_names_are_escaped(results: Path) -> None:
    path = next(results.glob("demo-retouch/hdrnet-curves/*/eval-test-full.json"))
    content = read_json(path)
    content["rows"][0]["licence"] = "<script>alert(1)</script>"
    content["environment"]["cpu"] = "<script>alert(1)</script>"
    path.write_text(json_text(content))
    build_report(results)
    assert "<script>" not in (results / "report.html").read_text()


def test_other_data_is_another_table(results: Path) -> None:
    path = next(results.glob("demo-retouch/identity/*/eval-test-full.json"))
    content = read_json(path)
    content["dataset"]["digest"] = "f" * 64
    path.write_text(json_text(content))
    build_report(results)
    text = (results / "README.md").read_text()
    assert text.count("**demo-retouch, test split, full size") == 2


def test_result_of_an_older_metric_is_marked_stale(results: Path) -> None:
    path = next(results.glob("demo-retouch/identity/*/eval-test-full.json"))
    content = read_json(path)
    content["metrics"]["psnr"]["version"] = 0
    path.write_text(json_text(content))
    build_report(results)
    text = (results / "README.md").read_text()
    assert "identity (stale)" in text
    assert "measured with an older definition" in text


def test_several_seeds_are_summed_up_as_mean_and_spread(results: Path) -> None:
    """Seeds of one recipe and digest; the same seed twice, or another digest, is none of them."""
    folder = results / "demo-retouch/hdrnet-curves/seed-0"
    first = read_json(folder / "eval-test-full.json")
    psnr = first["metrics"]["psnr"]["mean"]

    def another(run: str, seed: int, mean: float, digest: str) -> None:
        content = json.loads(json.dumps(first))
        content["method"] |= {"run": run, "seed": seed}
        content["recipe"]["digest"] = digest
        content["metrics"]["psnr"]["mean"] = mean
        path = folder.parent / run / "eval-test-full.json"
        path.parent.mkdir()
        path.write_text(json_text(content))

    digest = first["recipe"]["digest"]
    another("again", 0, psnr + 9, digest)
    another("changed", 7, psnr + 9, "0" * 64)
    build_report(results)
    assert "seeds" not in (results / "README.md").read_text()
    shutil.rmtree(folder.parent / "again")
    another("seed-1", 1, psnr + 2, digest)
    another("seed-2", 2, psnr + 4, digest)
    build_report(results)
    text = (results / "README.md").read_text()
    mean = f"{psnr + 2:.2f} ± 2.00"
    assert f"| demo-retouch | hdrnet-curves | 3 seeds | 482,080 | 3 | {mean} |" in text
    assert "mean ± standard deviation over the seeds" in text
    assert mean in (results / "report.html").read_text()


def test_without_pictures_it_says_so(results: Path) -> None:
    for folder in results.glob("*/*/*/pictures"):
        shutil.rmtree(folder)
    build_report(results)
    assert not list((results / "figures").glob("comparison-*"))
    assert "Its pictures are not here" in (results / "README.md").read_text()
    assert "No pictures here" in (results / "report.html").read_text()


def test_two_machines_have_two_figures(results: Path) -> None:
    path = next(results.glob("*/*/*/timing-*.json"))
    content = read_json(path)
    content["rows"] = content["rows"][:3]
    path.with_name("timing-cpu-another.json").write_text(json_text(content))
    build_report(results)
    figures = sorted((results / "figures").glob("time-*.svg"))
    assert len(figures) == 2
    assert figures[0].read_bytes() != figures[1].read_bytes()
    text = (results / "README.md").read_text()
    assert all(text.count(f"figures/{figure.name}") == 1 for figure in figures)
    path.with_name("timing-cpu-another.json").unlink()
    build_report(results)
    assert len(list((results / "figures").glob("time-*.svg"))) == 1


def test_time_of_another_model_file_is_marked_stale(results: Path) -> None:
    path = next(results.glob("*/*/*/timing-*.json"))
    content = read_json(path)
    content["method"]["model_sha256"] = "0" * 64
    path.write_text(json_text(content))
    build_report(results)
    assert "stale: the model file is another by now" in (results / "README.md").read_text()


def test_a_broken_thumbnail_is_named(results: Path) -> None:
    path = next(results.glob("demo-retouch/*/*/pictures/*-output.jpg"))
    path.write_bytes(b"no jpeg")
    with pytest.raises(DataError, match=path.name):
        build_report(results)


def test_without_timings_it_says_so(results: Path) -> None:
    for path in results.glob("*/*/*/timing-*.json"):
        path.unlink()
    build_report(results)
    assert "Nothing timed yet" in (results / "README.md").read_text()


def test_comparison_shows_input_output_and_target(results: Path) -> None:
    build_report(results)
    with Image.open(results / "figures/comparison-demo-retouch-test.jpg") as image:
        assert image.width == 3 * 408 + 8
        assert image.height > 3 * 200


def test_broken_or_missing_results_are_named(results: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no result"):
        build_report(tmp_path / "nowhere")
    path = next(results.glob("demo-retouch/identity/*/eval-test-full.json"))
    content = read_json(path)
    content["metrics"]["psnr"]["mean"] = "high"
    path.write_text(json_text(content))
    with pytest.raises(DataError, match=re.escape(str(path)) + r": metrics\.psnr\.mean"):
        build_report(results)
    path.write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        build_report(results)


def test_insert_needs_its_marks(results: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.md"
    plain.write_text("# no marks\n")
    with pytest.raises(DataError, match="has no <!-- results -->"):
        build_report(results, plain)
    assert plain.read_text() == "# no marks\n"


def test_dry_run_writes_nothing(results: Path) -> None:
    before = sorted(results.rglob("*"))
    planned = build_report(results, dry_run=True)
    assert sorted(results.rglob("*")) == before
    assert set(build_report(results)) == set(planned)
