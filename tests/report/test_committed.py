"""What is committed of results/: light, each picture once, and none that may not be passed on."""

import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from PIL import Image

from hdrnet_bench.data.licences import may_be_passed_on
from hdrnet_bench.result_pictures import SUFFIX, picture_files
from hdrnet_bench.results import Evaluation, read_all
from tests.conftest import ROOT

RESULTS = ROOT / "results"
# Rows of 200 test pictures and curves of 6,000 steps, of eight trainings, are 5 MB of it; the page
# of a model is less than 2 MB.
MOST_BYTES, MOST_BYTES_OF_PAGE = 16_000_000, 2_500_000


@pytest.fixture(scope="module")
def committed() -> list[Path]:
    """What git has of results/, or would take."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout, which says what is committed")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "results"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.exists()]  # one that was just removed is still listed


@pytest.fixture(scope="module")
def pictures(committed: list[Path]) -> list[Path]:
    found = [
        path for path in committed if path.suffix in {SUFFIX, ".jpg", ".jpeg", ".png", ".avif"}
    ]
    assert found
    return found


def test_results_are_light(committed: list[Path]) -> None:
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size for path in committed}
    largest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:5]
    assert sum(sizes.values()) <= MOST_BYTES, (
        "results/ has grown too large for a repository: pictures of other data and sizes are for "
        f".gitignore and report-private.html. The largest: {largest}"
    )


def test_the_page_is_light() -> None:
    size = (RESULTS / "report.html").stat().st_size
    assert size <= MOST_BYTES_OF_PAGE, (
        f"report.html has {size:,} bytes: lower report.pictures.PAGE_BYTES, or draw simpler figures"
    )


def test_no_picture_is_there_twice(pictures: list[Path]) -> None:
    found = defaultdict(list)
    for path in pictures:
        with Image.open(path) as image:
            found[image.size, image.convert("RGB").tobytes()].append(path.relative_to(RESULTS))
    # Two datasets may be made of one photograph, and one of them may go: each has its inputs.
    twice = [
        [str(path) for path in paths]
        for paths in found.values()
        if len({_without_dataset(path) for path in paths}) > 1
    ]
    assert not twice, (
        "the same picture lies in several files: input and target belong into results/pictures, "
        f"once for all methods (result_pictures.picture_files). {twice}"
    )


def _without_dataset(path: Path) -> Path:
    first, _, *rest = path.parts
    shared = first == "pictures" and path.stem.endswith("-input")
    return Path(*rest) if shared else path


def test_every_picture_is_shown_and_may_be_passed_on(pictures: list[Path]) -> None:
    licences: dict[Path, set[str]] = defaultdict(set)
    for path, result in read_all(RESULTS):
        if not isinstance(result, Evaluation):
            continue
        shown = {one.id for one in result.shown}
        for row in result.rows:
            if row.id in shown:
                files = picture_files(
                    path.parent, result.dataset, result.method, result.size, row.id
                )
                for file in files.values():
                    licences[file].add(row.licence)
    thumbnails = [path for path in pictures if path.parent != RESULTS / "figures"]
    shown_by_none = [str(path) for path in thumbnails if path not in licences]
    assert not shown_by_none, (
        f"no result shows these pictures any more: remove them with git rm. {shown_by_none}"
    )
    closed = [
        str(path)
        for path in thumbnails
        if not all(may_be_passed_on(licence) for licence in licences[path])
    ]
    assert not closed, (
        "the licence of these pictures does not let them be passed on: .gitignore must keep them "
        f"out, report-private.html shows them. {closed}"
    )


def test_every_picture_that_the_page_shows_is_committed(committed: list[Path]) -> None:
    """Else the committed page would not be what a clean clone's results give."""
    from hdrnet_bench.report import contents
    from hdrnet_bench.report.pictures import of_datasets

    galleries = of_datasets([part.group for part in contents.read(RESULTS).groups]).values()
    files = {
        file for one in galleries for picture in one.pictures for file in picture.files.values()
    }
    assert files
    assert files <= set(committed), "add them, or let .gitignore take them in"
