"""Building the report from results made up for tests, and the committed one."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from hdrnet_bench.errors import DataError
from hdrnet_bench.files import json_text, read_json, sha256_file
from hdrnet_bench.metric_specs import METRICS
from hdrnet_bench.report import build_report, contents, outdated, readme
from hdrnet_bench.report.groups import best_method
from hdrnet_bench.report.table import csv_text, narrow_latex_text
from hdrnet_bench.result_timing import read_machines
from hdrnet_bench.statistics import mean_interval
from tests.conftest import ROOT, Workspace
from tests.report.fixtures import made_up


@pytest.fixture(scope="module")
def a_few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few methods, with their report; only read."""
    root = made_up.a_few(tmp_path_factory.mktemp("few") / "results")
    build_report(root)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "results"
    path.mkdir()
    return path


def text_of(root: Path) -> str:
    """results/README.md, without the time that its figures take."""
    return readme.page(contents.read(root), {})


def table(root: Path, name: str) -> list[dict[str, str]]:
    tables = {one.slug: csv_text(one) for one in contents.read(root).tables}
    return list(csv.DictReader(io.StringIO(tables[name])))


def change(path: Path, **other: object) -> None:
    """Overwrite values of a result file, two levels deep."""
    content = read_json(path)
    for key, value in other.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    path.write_text(json_text(content))


def test_is_a_function_of_the_results(root: Path) -> None:
    made_up.evaluation(root)
    made_up.timing(root)
    made_up.kernels(root)
    first = {path: path.read_bytes() for path in build_report(root).files}
    assert {path.suffix for path in first} == {
        ".md",
        ".html",
        ".svg",
        ".webp",
        ".csv",
        ".tex",
        ".json",
    }
    assert {path: path.read_bytes() for path in build_report(root).files} == first
    assert outdated(root) == []


def test_committed_report_is_what_the_committed_results_give() -> None:
    assert outdated(ROOT / "results", ROOT / "README.md") == []


def test_outdated_names_what_differs(root: Path, tmp_path: Path) -> None:
    made_up.evaluation(root)
    gone = made_up.kernels(root)
    insert = tmp_path / "page.md"
    insert.write_text("# A page\n<!-- results -->\n<!-- /results -->\n")
    build_report(root, insert)
    gone.unlink()
    assert set(outdated(root)) >= {f"tables/{gone.stem}.csv", f"tables/{gone.stem}.tex"}
    build_report(root, insert)
    assert outdated(root, insert) == []
    (root / "README.md").write_text("pasted")
    (root / "tables/quality-made-up-test.csv").write_text("pasted")
    (root / "tables/where.tex").unlink()
    (root / "tables/somebody-elses.csv").write_text("")
    picture = root / "figures/comparison-made-up-test.webp"
    picture.write_bytes(picture.read_bytes() + b"touched")
    insert.write_text(insert.read_text().replace("25.97", "99.97"))
    figure = root / "figures/metrics-made-up-test.svg"
    figure.write_text(figure.read_text().replace("hdrnet", "another"))
    page = root / "report.html"
    page.write_text(page.read_text().replace("482,080", "1"))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert sorted(outdated(root, insert)) == sorted(
        [
            "README.md",
            "figures/metrics-made-up-test.svg",
            "report.html",
            "report.json",
            "tables/quality-made-up-test.csv",
            "tables/where.tex",
            str(insert),
        ]
    )
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_figures_of_another_matplotlib_are_not_compared(root: Path) -> None:
    made_up.evaluation(root)
    build_report(root)
    for path in [*(root / "figures").glob("*.svg"), root / "report.html"]:
        text = path.read_text()
        inside = re.sub(r"Matplotlib v[^,]+", "Matplotlib v0.1", text).replace("stroke", "other")
        path.write_text(text if path.suffix == ".html" else inside)
    page = root / "report.html"
    text = page.read_text()
    assert text.count("<!--figure-->") == 3
    page.write_text(re.sub(r"<!--figure-->.*?<svg", "<!--figure--><svg data-other", text))
    assert outdated(root) == ["report.json"], "nobody wrote these"
    listed = read_json(root / "report.json")
    listed["files"] = {name: sha256_file(root / name) for name in listed["files"]}
    (root / "report.json").write_text(json_text(listed))
    assert outdated(root) == []


def test_needs_no_torch_and_less_than_ten_seconds(root: Path) -> None:
    made_up.a_few(root)
    code = (
        "import sys, time; sys.modules['torch'] = None\n"
        "from hdrnet_bench.cli.app import main\n"
        "sys.argv = ['hdrbench', 'report', '--json']\n"
        "try: main()\n"
        "finally: print(time.process_time(), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=root.parent
    )
    assert done.returncode == 0, done.stderr
    assert (root / "report.html").exists()
    # Of the processor, which other work on the machine does not lengthen by much.
    assert float(done.stderr.splitlines()[-1]) < 10


def test_a_broken_page_is_outdated(root: Path) -> None:
    made_up.evaluation(root)
    build_report(root)
    (root / "README.md").write_bytes(b"\xff\xfe")
    assert outdated(root) == ["README.md"]


def test_check_says_so_and_exits_with_3(root: Path, workspace: Workspace) -> None:
    made_up.evaluation(root)
    message = workspace.fails(3, "report", "--check")
    assert "report.html" in message
    assert message.endswith("; run `hdrbench report`")
    assert workspace.run("report").returncode == 0
    assert workspace.json("report", "--check") == {"outdated": []}
    workspace.fails(2, "report", "--check", "--private")


def test_tables_say_what_was_measured(a_few: Path) -> None:
    text = (a_few / "README.md").read_text()
    assert "**made-up, test split, full size (data dddddddddddd)**" in text
    row = (
        "| made-up | hdrnet-curves | seed-0 | 482,080 | 221.0 M | 150 | 8 | 25.97 [25.37, 26.58] |"
    )
    assert row in text
    assert "Measured on CPU made up for a test, 2 cores" in text
    rows = table(a_few, "quality-made-up-test")
    curves = next(row for row in rows if row["method"] == "hdrnet-curves")
    assert float(curves["psnr"]) == pytest.approx(25.97, abs=0.01)
    assert float(curves["psnr_low"]) < float(curves["psnr"]) < float(curves["psnr_high"])
    assert (curves["psnr_n"], curves["network_macs"], curves["pixel_macs"]) == (
        "8",
        "221000000",
        "150",
    )
    latex = (a_few / "tables/quality-made-up-test.tex").read_text()
    assert r"hdrnet-curves & seed-0 & 482,080" in latex
    assert r"PSNR (dB) $\uparrow$" in latex


def test_every_figure_and_table_is_shown_and_linked(a_few: Path) -> None:
    text = (a_few / "README.md").read_text()
    page = (a_few / "report.html").read_text()
    stems = {path.stem for path in (a_few / "figures").glob("*.svg")}
    kinds = {"metrics", "distribution", "quality-time", "training", "time"}
    assert all(any(stem.startswith(f"{kind}-made-up") for stem in stems) for kind in kinds)
    for stem in stems:
        assert text.count(f"](figures/{stem}.svg)") == 1
        assert page.count(f'id="{stem}-caption"') == 1
    for link in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (a_few / link).exists()
    for path in (a_few / "tables").glob("*.csv"):
        assert path.with_suffix(".tex").exists()


def test_sizes_never_share_a_table(a_few: Path) -> None:
    assert len(table(a_few, "quality-made-up-test")) == 6
    assert len(table(a_few, "quality-made-up-test-480p")) == 6


@pytest.mark.parametrize(
    ("other", "title"),
    [
        ({"dataset": {"digest": "f" * 64}}, "made-up, test split, full size (data ffffffffffff)"),
        ({"dataset": {"split": "validation"}}, "made-up, validation split, full size"),
        ({"dataset": {"name": "another"}}, "another, test split, full size"),
    ],
)
def test_other_data_is_another_table(root: Path, other: dict[str, object], title: str) -> None:
    made_up.evaluation(root)
    change(made_up.evaluation(root, "hdrnet-pyramid"), **other)
    text = text_of(root)
    assert f"**{title}" in text
    tables = [part.quality for part in contents.read(root).groups]
    assert [len(one.rows) for one in tables] == [1, 1]


def test_first_nothing_then_methods_then_oracles(a_few: Path) -> None:
    methods = [row["method"] for row in table(a_few, "quality-made-up-test")]
    assert methods[0] == "identity"
    assert methods[1:4] == ["hdrnet-curves", "hdrnet-pointwise", "hdrnet-pyramid"]
    assert methods[4:] == ["oracle-affine", "oracle-grid-16x16x8-luma"]
    assert (
        "oracle: fitted to each picture's target: a bound, no method"
        in (a_few / "README.md").read_text()
    )


def test_result_of_an_older_metric_is_marked_stale(root: Path) -> None:
    path = made_up.evaluation(root)
    content = read_json(path)
    content["metrics"]["psnr"]["version"] = METRICS["psnr"].version - 1
    path.write_text(json_text(content))
    text = text_of(root)
    assert "hdrnet-curves (stale)" in text
    assert "measured with an older definition" in text
    assert "quality, test, full (stale)" in text


def test_missing_values_have_their_reason_once(root: Path) -> None:
    made_up.evaluation(root, n=5)
    path = made_up.evaluation(root, "hdrnet-pyramid", n=5)
    content = read_json(path)
    made_up.without(content, "lpips", "no weights | here")
    path.write_text(json_text(content))
    text = text_of(root)
    assert text.count("no interval: fewer than 6 pictures") == 1
    assert "- LPIPS: no weights \\| here." in text
    row = next(r for r in table(root, "quality-made-up-test") if r["method"] == "hdrnet-pyramid")
    assert (row["lpips"], row["lpips_n"], row["psnr_low"]) == ("", "0", "")


def test_unpaired_and_leaked_are_said(root: Path) -> None:
    made_up.evaluation(
        root, unpaired={"missing": ["a", "b"], "extra": [], "wrong_size": ["c"]}, leaked=3
    )
    text = text_of(root)
    assert "hdrnet-curves, seed-0: of its pictures, 2 missing, 1 of the wrong size." in text
    assert "hdrnet-curves (trained with 3 of these)" in text


def test_what_has_seen_the_pictures_is_not_shown_as_the_best(root: Path) -> None:
    made_up.evaluation(root, gain=9, leaked=3)
    made_up.evaluation(root, run="seed-1", seed=1, gain=9, leaked=3)
    (of,) = contents.read(root).groups
    assert best_method(of.group) is not None
    assert "hdrnet-curves (trained with 3 of these) | 2 seeds" in text_of(root)
    made_up.evaluation(root, method="elsewhere", run="predictions", gain=2, seed=None)
    (of,) = contents.read(root).groups
    assert best_method(of.group)[1].method.name == "elsewhere"


def test_several_seeds_are_summed_up_as_mean_and_spread(root: Path) -> None:
    """Seeds of one recipe and digest; the same seed twice, or another digest, is none of them."""
    made_up.evaluation(root)
    again = made_up.evaluation(root, run="again", gain=13)
    changed = made_up.evaluation(root, run="changed", gain=13, seed=7)
    change(changed, recipe={"digest": "0" * 64})
    assert "seeds" not in text_of(root)
    again.unlink()
    made_up.evaluation(root, run="seed-1", gain=6, seed=1)
    made_up.evaluation(root, run="seed-2", gain=8, seed=2)
    build_report(root)
    text = text_of(root)
    mean = "27.97 ± 2.00"
    row = f"| made-up | hdrnet-curves | 3 seeds | 482,080 | 221.0 M | 150 | 8 | {mean} ["
    assert row in text
    assert "mean ± standard deviation over the seeds" in text
    assert mean in (root / "report.html").read_text()
    seeds = next(r for r in table(root, "quality-made-up-test") if r["run"] == "3 seeds")
    assert float(seeds["psnr_seeds_sd"]) == pytest.approx(2)
    paths = [root.rglob(f"seed-{seed}/eval-test-full.json") for seed in range(3)]
    files = [read_json(path) for found in paths for path in found]
    values = np.array([[row["psnr"] for row in of["rows"]] for of in files])
    assert len(values) == 3
    low, high = stats.ttest_1samp(values.mean(0), 0).confidence_interval(0.95)
    assert [float(seeds["psnr_low"]), float(seeds["psnr_high"])] == pytest.approx([low, high])
    assert seeds["psnr_n"] == str(values.shape[1])
    similarities = np.array([[row["ssim"] for row in of["rows"]] for of in files]).mean(0)
    within = mean_interval(similarities, METRICS["ssim"].bounds).interval
    assert [float(seeds["ssim_low"]), float(seeds["ssim_high"])] == pytest.approx(within)
    narrow = (root / "tables/quality-made-up-test-column.tex").read_text()
    assert f"hdrnet-curves, 3 seeds & 27.97 & {similarities.mean():.4f} & " in narrow
    assert narrow.count("hdrnet-curves, ") == 2, "and the one of another digest"


def test_intervals_stand_within_what_a_metric_can_be(root: Path) -> None:
    """Also of results that an older version wrote with intervals beyond it."""
    path = made_up.evaluation(root, n=6)
    content = read_json(path)
    values = [0.99, 0.995, 0.999, 1.0, 0.93, 0.998]
    for row, value in zip(content["rows"], values, strict=True):
        row["ssim"] = value
    old = mean_interval(values)
    assert old.interval[1] > 1
    content["metrics"]["ssim"] |= {"mean": old.mean, "interval": old.interval, "bounds": None}
    path.write_text(json_text(content))
    assert "0.9853 [0.8993, 0.9979]" in text_of(root)
    (row,) = table(root, "quality-made-up-test")
    assert float(row["ssim_high"]) == mean_interval(values, (-1, 1)).interval[1]
    assert "on a scale that has these at infinity" in text_of(root)


def narrow_rows(root: Path, name: str) -> list[str]:
    """The lines between the head and the end of a table for papers."""
    (text,) = [narrow_latex_text(t.title, t.narrow) for t in contents.read(root).tables
               if t.slug == name and t.narrow]  # fmt: skip
    lines = text.splitlines()
    return lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]


def test_a_table_for_papers_has_the_best_method_in_bold(root: Path) -> None:
    made_up.evaluation(root, "identity", "baseline", gain=9, seed=None)
    made_up.evaluation(root, "hdrnet-curves", gain=4)
    better = made_up.evaluation(root, "hdrnet-pyramid", gain=5)
    made_up.evaluation(root, "leaked", gain=6, leaked=3)
    made_up.evaluation(root, "oracle-affine", "baseline", gain=8, seed=None)
    identity, curves, pyramid, leaked, rule, oracle = narrow_rows(root, "quality-made-up-test")
    assert pyramid.startswith(r"hdrnet-pyramid & \textbf{26.97} & \textbf{0.9197} & ")
    assert pyramid.count(r"\textbf") == 3
    for other in (identity, curves, leaked, oracle):
        assert r"\textbf" not in other
    assert rule == r"\midrule"
    assert oracle.startswith("oracle-affine & ")
    # Shown alike, better by less than is shown: both.
    shutil.copytree(better.parents[1], root / "made-up/another")
    content = read_json(root / "made-up/another/seed-0/eval-test-full.json")
    content["method"]["name"] = "another"
    (root / "made-up/another/seed-0/eval-test-full.json").write_text(json_text(content))
    assert sum(r"\textbf" in line for line in narrow_rows(root, "quality-made-up-test")) == 2


def test_a_table_for_papers_has_one_perceptual_distance_and_short_names(root: Path) -> None:
    made_up.evaluation(root)
    for recipe in ("made-up", "made-up-wide"):
        made_up.evaluation(root, "theirs", "predictions", recipe=recipe, seed=None, gain=3)
    (one,) = [t.narrow for t in contents.read(root).tables if t.narrow]
    assert one.headings == ["method", "PSNR (dB) ↑", "SSIM ↑", "LPIPS ↓"]
    assert [row[0] for row in one.rows] == [
        "hdrnet-curves",
        "theirs, made-up",
        "theirs, made-up-wide",
    ]
    for path in root.glob("*/*/*/eval-*.json"):
        content = read_json(path)
        made_up.without(content, "lpips", "no weights")
        path.write_text(json_text(content))
    (one,) = [t.narrow for t in contents.read(root).tables if t.narrow]
    assert one.headings[-1] == "ΔE00 ↓"


def test_a_table_for_papers_of_the_network_says_how_much_faster(root: Path) -> None:
    made_up.network(root)
    lines = narrow_rows(root, "network-cuda-made-up")
    assert lines[2] == r"1920 x 1080 & 2.324 & 18.662 & 8.0$\times$ \\"
    assert lines[-1] == r"4000 x 3000 & 12.250 & -- & -- \\"
    assert len(lines) == len(made_up.SIZES)


def test_what_does_nothing_stands_once_for_all_recipes(root: Path) -> None:
    for recipe in ("made-up", "made-up-wide"):
        made_up.evaluation(root, recipe=recipe)
        made_up.evaluation(root, "identity", "baseline", recipe=recipe, gain=0, seed=None)
    (of,) = contents.read(root).groups
    assert [r.method.name for _, r in of.group.results] == [
        "identity",
        "hdrnet-curves",
        "hdrnet-curves",
    ]
    made_up.evaluation(root, "identity", "baseline", recipe="other", gain=0.5, seed=None)
    (of,) = contents.read(root).groups
    assert sum(r.method.name == "identity" for _, r in of.group.results) == 2


def test_times_stand_with_their_floor_error_and_memory(a_few: Path) -> None:
    text = (a_few / "README.md").read_text()
    assert "1920 x 1080 | 1 | float32 | native | whole | 26.08 [25.56, 26.60]" in text
    assert "copy (the floor)" in text
    assert "| 40% | 512 | 2.5e-07 |" in text
    assert "| noisy |" in text
    assert "| – | 0 | – | – | – | – | – | out of memory |" in text
    assert "clock not known, power not known, load average 0.5 to 1.25" in text
    assert "No GPU has been measured" in text
    assert "No GPU has been measured" in (a_few / "report.html").read_text()


def test_gpu_tables_and_figures_of_made_up_times(root: Path) -> None:
    made_up.evaluation(root)
    made_up.timing(root)
    made_up.timing(root, device="cuda", slug="gpu-made-up")
    made_up.kernels(root, "cuda", "gpu-made-up")
    build_report(root)
    text = text_of(root)
    assert "No GPU" not in text
    assert f"Measured on CPU {made_up.MADE_UP}, 2 cores, 24 GiB, {made_up.GPU}" in text
    assert "whole with transfer" in text
    assert "clock 1980 to 1980 MHz, power 210.5 to 350 W" in text
    stem = "time-made-up-hdrnet-curves-seed-0-gpu-made-up"
    figure = (root / f"figures/{stem}.svg").read_text()
    assert all(part in figure for part in ("upload", "download", "a copy of the picture"))
    assert f'id="{stem}-caption"' in (root / "report.html").read_text()
    assert (root / "figures/quality-time-made-up-test-gpu-made-up.svg").exists()
    assert text.index("cpu-made-up") < text.index(stem)


def test_the_untrained_network_has_a_row_for_each_size_and_type(root: Path) -> None:
    made_up.network(root)
    text = text_of(root)
    assert "Nothing timed yet" not in text
    assert f"**The paper's network, untrained, on cuda: {made_up.GPU}**" in text
    row = (
        "| 1920 x 1080 | 2.07 | 1 | float16 | 0.250 | 1.244 | 40% "
        "| 1.494 | – | 2.5e-07 | 11.197 | 3.732 |"
    )
    assert row in text
    assert (
        "| 4000 x 3000 | 12.00 | 1 | uint8 | 0.250 | 4.800 | 40% | 5.050 | – | 2.5e-07 "
        "| – | 14.400 |" in text
    )
    assert "- 4000 x 3000, uint8, reference: out of memory." in text
    assert "clock 1976 to 1980 MHz, power not known" in text
    assert f"untrained network, cuda | – | – | – | – | – | CPU {made_up.MADE_UP}" in text
    rows = table(root, "network-cuda-made-up")
    assert [row["dtype"] for row in rows[:: len(made_up.SIZES)]] == ["float32", "float16", "uint8"]
    assert float(rows[2]["slice_ms"]) == pytest.approx(1920 * 1080 / 1e6)
    build_report(root)
    html = (root / "report.html").read_text()
    assert "The paper's network, untrained, on cuda: GPU" in html.replace("&#39;", "'")
    assert outdated(root) == []


def test_training_steps_stand_in_parts_and_as_the_loop_takes_them(root: Path) -> None:
    made_up.training(root)
    made_up.training(root, "cpu", "cpu-made-up")
    text = text_of(root)
    assert (
        f"| guide {made_up.MADE_UP} | 2.00 [1.80, 2.40] | 16.7% | 8.00 [7.80, 9.00] | 4.0x |"
        in text
    )
    assert f"| backward {made_up.MADE_UP} | 10.00 [9.00, 12.00] | 83.3% | – | – |" in text
    assert f"- plain torch: out of memory, {made_up.MADE_UP}." in text
    assert "| bfloat16 | 4 | 24.0 | 100 | 48.00 [45.00, 61.00] | 10% |" in text
    assert text.index("float32, on cpu: CPU made") < text.index("float32, on cuda: GPU made")
    assert "training steps, cuda | –" in text
    build_report(root)
    html = (root / "report.html").read_text()
    assert 'href="#steps"' in html
    assert "of it waiting for data" in html


def test_a_kernels_share_of_a_copy_is_in_per_cent(root: Path) -> None:
    made_up.kernels(root)
    assert "| 2.40 | 150.0 | – | 30x | 80% | 1.0e-06 |" in text_of(root)
    (row,) = table(root, "kernels-cpu-made-up")
    assert float(row["copy_share"]) == 0.8


@pytest.mark.parametrize(
    ("write", "where", "value", "fault"),
    [
        (made_up.network, "schema_version", 7, r"in its schema 7: measure it again"),
        (made_up.network, "kind", "kernel", "neither of a network nor of training steps"),
        (made_up.network, "sizes", [], "sizes: "),
        (made_up.training, "parts", [], "parts: "),
        (made_up.training, "batch", 0, "batch: "),
    ],
)
def test_a_broken_timing_of_a_machine_is_named(
    root: Path, write: Callable[[Path], Path], where: str, value: object, fault: str
) -> None:
    path = write(root)
    change(path, **{where: value})
    with pytest.raises(DataError, match=rf"{re.escape(path.name)}.*{fault}"):
        contents.read(root)


def test_sizes_of_a_network_stand_each_once_and_in_order(root: Path) -> None:
    path = made_up.network(root)
    content = read_json(path)
    for sizes in (content["sizes"][::-1], content["sizes"][:1] * 2):
        path.write_text(json_text(content | {"sizes": sizes}))
        with pytest.raises(DataError, match="sizes are not sorted, or one is there twice"):
            contents.read(root)
    first, second = content["sizes"][:2]
    path.write_text(
        json_text(content | {"sizes": [first | {"rows": first["rows"] + second["rows"]}]})
    )
    with pytest.raises(DataError, match="rows are of several sizes"):
        contents.read(root)


def test_the_committed_timings_of_machines_are_of_committed_sources() -> None:
    for path, timing in read_machines(ROOT / "results"):
        commit = timing.environment.commit
        assert commit, path
        assert not commit.endswith("-dirty"), path
        slug = path.stem.partition("-")[2]
        assert slug.startswith(timing.device.partition(":")[0]), path


def test_nothing_timed_says_so_and_nothing_of_a_gpu(root: Path) -> None:
    made_up.evaluation(root)
    text = text_of(root)
    assert "Nothing timed yet" in text
    assert "No GPU" not in text


def test_every_time_out_of_memory_still_reports(root: Path) -> None:
    path = made_up.timing(root)
    content = read_json(path)
    content["rows"] = [row for row in content["rows"] if row["median_ms"] is None]
    content["copies"] = []
    path.write_text(json_text(content))
    build_report(root)
    assert "out of memory" in text_of(root)


def test_two_machines_have_two_figures(root: Path) -> None:
    made_up.timing(root)
    another = made_up.timing(root, slug="cpu-another", speed=3)
    build_report(root)
    figures = sorted((root / "figures").glob("time-*.svg"))
    assert len(figures) == 2
    assert figures[0].read_bytes() != figures[1].read_bytes()
    another.unlink()
    build_report(root)
    assert len(list((root / "figures").glob("time-*.svg"))) == 1
    assert len(list((root / "tables").glob("time-*.csv"))) == 1


def test_time_of_another_model_file_is_marked_stale(root: Path) -> None:
    made_up.evaluation(root)
    change(made_up.timing(root), method={"model_sha256": "0" * 64})
    build_report(root)
    assert "stale: the model file has changed since" in text_of(root)
    figure = root / "figures/quality-time-made-up-test-cpu-made-up.svg"
    assert "(time stale)" in figure.read_text()


def test_nothing_measured_says_so(root: Path) -> None:
    written = build_report(root)
    names = {"README.md", "report.html", "report.json", "where.csv", "where.tex"}
    assert {path.name for path in written.files} == names
    for name in ("README.md", "report.html"):
        text = (root / name).read_text()
        assert "Nothing measured yet" in text
        assert "Nothing timed yet" in text


def test_thirty_methods(root: Path) -> None:
    made_up.many(root)
    build_report(root)
    assert len(table(root, "quality-made-up-test")) == 30
    page = (root / "report.html").stat().st_size
    assert page < 20e6
    figure = (root / "figures/distribution-made-up-test.svg").read_text()
    assert "data:image/png" in figure, "many points are one bitmap"
    assert len(figure) < 1e6


def test_broken_or_missing_results_are_named(root: Path) -> None:
    with pytest.raises(DataError, match="holds no result"):
        build_report(root / "nowhere")
    path = made_up.evaluation(root)
    train = path.with_name("train.csv")
    train.write_text("step,loss\n1,2\n")
    with pytest.raises(DataError, match=r"train\.csv is not a training curve"):
        build_report(root)
    content = read_json(path)
    content["metrics"]["psnr"]["mean"] = "high"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=re.escape(str(path)) + r": metrics\.psnr\.mean"):
        build_report(root)
    path.write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        build_report(root)


def test_a_result_of_another_schema_says_what_to_do(root: Path) -> None:
    path = made_up.evaluation(root, pictures=False)
    change(path, schema_version=1)
    with pytest.raises(DataError, match=r"another version .* in its schema 1: measure it again"):
        contents.read(root)
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"eval-test-full\.json cannot be read as JSON"):
        contents.read(root)


def test_insert_needs_its_marks_and_keeps_what_is_around(root: Path, tmp_path: Path) -> None:
    made_up.evaluation(root)
    plain = tmp_path / "plain.md"
    plain.write_text("# no marks\n")
    with pytest.raises(DataError, match="has no marks to put tables between: <!-- results -->"):
        build_report(root, plain)
    assert plain.read_text() == "# no marks\n"
    plain.write_text("# Page\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    build_report(root, plain)
    text = plain.read_text()
    assert text.startswith("# Page\n<!-- results -->\n| dataset | pictures |")
    assert "| made-up | 8 | – | hdrnet-curves | 25.97 [25.37, 26.58] |" in text
    assert text.endswith("\n<!-- /results -->\nafter\n")
    assert "old" not in text


def test_dry_run_writes_nothing(root: Path) -> None:
    made_up.evaluation(root)
    made_up.timing(root)
    before = sorted(root.rglob("*"))
    planned = build_report(root, dry_run=True, private=True)
    assert sorted(root.rglob("*")) == before
    assert build_report(root, private=True) == planned
    assert all(path.is_file() for path in planned.files)
