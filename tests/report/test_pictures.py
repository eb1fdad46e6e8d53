"""Which pictures a page shows, and what it says of those that are not there."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdrnet_bench.errors import DataError
from hdrnet_bench.report import build_report, contents, page, pictures
from hdrnet_bench.report.pictures import Gallery, fit_to_page, gallery
from hdrnet_bench.result_pictures import picture_files
from hdrnet_bench.results import Evaluation, read_result
from tests.report.fixtures import made_up


def only_gallery(root: Path, private: bool = False) -> Gallery:
    (part,) = contents.read(root).groups
    ((folder, result),) = part.group.results
    return gallery(part.group, folder, result, private)


def html(root: Path, name: str = "report.html") -> str:
    return page.without_figures((root / name).read_text())


def test_shows_what_was_kept_at_its_size(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path, size="480p")
    found = only_gallery(tmp_path)
    assert [(p.id, p.why) for p in found.pictures] == [
        ("picture-0", "worst"),
        ("picture-4", "median"),
        ("picture-7", "best"),
    ]
    assert found.absent == []
    picture = found.pictures[0]
    assert picture.size == (480, 320)
    assert picture.files["error"].parts[-3:] == ("pictures", "test-480p", "picture-0-error.webp")
    assert picture.files["target"].relative_to(tmp_path).parts == (
        "pictures", "made-up-dddddddddddd", "test-480p", "picture-0-target.webp")  # fmt: skip
    assert picture.psnr == pytest.approx(26.0)


@pytest.mark.parametrize("licence", ["CC0-1.0", "public-domain", "CC-BY-4.0", "CC-BY-SA-3.0"])
def test_a_free_licence_lets_them_be_shown(tmp_path: Path, licence: str) -> None:
    made_up.evaluation(tmp_path, licence=licence)
    assert len(only_gallery(tmp_path).pictures) == 3


@pytest.mark.parametrize(
    "licence", ["LicenseAdobe", "CC-BY-NC-4.0", "CC-BY-ND-4.0", "", "not CC0-1.0", "CC0-1.0-not"]
)
def test_any_other_keeps_them_out_and_says_so(tmp_path: Path, licence: str) -> None:
    made_up.evaluation(tmp_path, licence=licence)
    found = only_gallery(tmp_path)
    assert found.pictures == []
    assert len(found.absent) == 3
    assert f"its licence ({licence}) does not let it be passed on" in found.absent[0]
    assert len(only_gallery(tmp_path, private=True).pictures) == 3


def test_private_pictures_are_on_a_page_of_their_own(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path, licence="LicenseAdobe")
    written = build_report(tmp_path, private=True)
    assert not list((tmp_path / "figures").glob("*.webp"))
    assert tmp_path / "report-private.html" in written.files
    assert "data:image/webp" not in html(tmp_path)
    assert "does not let it be passed on" in html(tmp_path)
    assert html(tmp_path, "report-private.html").count("data:image/webp") == 12
    assert "For your own eyes" in html(tmp_path, "report-private.html")
    assert "For your own eyes" not in html(tmp_path)


def test_missing_pictures_say_why(tmp_path: Path) -> None:
    path = made_up.evaluation(tmp_path, pictures=False)
    assert (
        only_gallery(tmp_path).absent[0].startswith("picture-0: input, output, target, error not")
    )
    made_up.save_pictures(path, "picture-0", 1)["error"].unlink()
    assert only_gallery(tmp_path).absent[0].startswith("picture-0: error not in these results")
    made_up.evaluation(tmp_path, kept=())
    assert only_gallery(tmp_path).absent == ["no pictures were kept for this method"]
    build_report(tmp_path)
    assert not list((tmp_path / "figures").glob("comparison-*"))
    assert "Its pictures are not here" in (tmp_path / "README.md").read_text()
    assert "no pictures were kept for this method" in html(tmp_path)


def test_thumbnails_of_an_older_version_are_not_shown_and_stay(tmp_path: Path) -> None:
    path = made_up.evaluation(tmp_path, pictures=False)
    old = path.parent / "pictures/full/picture-0-input.jpg"
    old.parent.mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(old)
    assert "`hdrbench eval` makes them" in only_gallery(tmp_path).absent[0]
    build_report(tmp_path, private=True)
    assert old.exists()


def test_what_the_identity_shows_is_the_data_s(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path, "identity", "baseline", seed=None)
    assert not (tmp_path / "made-up/identity/baseline/pictures").exists()
    for picture in only_gallery(tmp_path).pictures:
        assert picture.files["output"] == picture.files["input"]
        weights = [-(-path.stat().st_size // 3) * 4 for path in set(picture.files.values())]
        assert len(weights) == 3
        assert pictures.weight(picture) == sum(weights)


def test_a_page_for_everybody_shows_the_best_method_of_each_dataset_once(tmp_path: Path) -> None:
    for size in ("full", "480p"):
        made_up.evaluation(tmp_path, size=size, pictures=size == "480p")
        made_up.evaluation(tmp_path, "hdrnet-pyramid", size=size, gain=8)
        made_up.evaluation(tmp_path, "oracle-affine", "baseline", size=size, gain=9, seed=None)
    other = {"dataset": "other", "recipe": "other"}
    made_up.evaluation(tmp_path, **other, pictures=False)
    made_up.evaluation(tmp_path, **other, size="480p")
    made_up.evaluation(tmp_path, "identity", "baseline", seed=None, dataset="bare", gain=0)
    found = pictures.of_datasets([part.group for part in contents.read(tmp_path).groups])
    assert {slug: gallery.name for slug, gallery in found.items()} == {
        "made-up-test": "hdrnet-pyramid, seed-0",
        "other-test-480p": "hdrnet-curves, seed-0",
    }
    sheets = {path.name for path in build_report(tmp_path).files if path.suffix == ".webp"}
    assert sheets == {"comparison-made-up-test.webp", "comparison-other-test-480p.webp"}
    readme = (tmp_path / "README.md").read_text()
    assert readme.count("![Input, output and target]") == 2
    # Of the data without a method alone: the sheet of another size is said to be missing nowhere.
    assert readme.count("Its pictures are not here") == 1


def test_a_full_picture_is_not_inlined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up.evaluation(tmp_path)
    largest = max(path.stat().st_size for path in tmp_path.rglob("picture-0-*.webp"))
    monkeypatch.setattr(pictures, "PICTURE_BYTES", largest)
    assert "picture-0" in {picture.id for picture in only_gallery(tmp_path).pictures}
    monkeypatch.setattr(pictures, "PICTURE_BYTES", largest - 1)
    found = only_gallery(tmp_path)
    assert "picture-0" not in {picture.id for picture in found.pictures}
    assert any("larger than a thumbnail" in said for said in found.absent)


def test_a_page_has_room_for_the_first_of_each(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path)
    one = only_gallery(tmp_path)
    sizes = [pictures.weight(picture) for picture in one.pictures]
    kept = fit_to_page([one, one], limit=2 * sizes[0])
    assert [[p.id for p in each.pictures] for each in kept] == [["picture-0"], ["picture-0"]]
    assert kept[0].absent == [
        f"{id_}: left out, the page would grow too large" for id_ in ("picture-4", "picture-7")
    ]
    tight = fit_to_page([one, one], limit=2 * sizes[0] - 1)
    assert "picture-0" in {picture.id for picture in tight[0].pictures}
    assert "picture-0" not in {picture.id for picture in tight[1].pictures}
    assert fit_to_page([one]) == [one]
    assert fit_to_page([]) == []


def test_a_page_has_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up.evaluation(tmp_path)
    weights = [pictures.weight(picture) for picture in only_gallery(tmp_path).pictures]

    def inlined(name: str) -> int:
        found = re.findall(r"data:image/webp;base64,([^\"]+)", html(tmp_path, name))
        return sum(map(len, found))

    build_report(tmp_path, private=True)
    assert inlined("report.html") == inlined("report-private.html") == sum(weights)
    limits = {"PAGE_BYTES": "report.html", "PRIVATE_PAGE_BYTES": "report-private.html"}
    for limit, limited in limits.items():
        with monkeypatch.context() as patched:
            patched.setattr(pictures, limit, sum(weights) - 1)
            build_report(tmp_path, private=True)
        for name in ("report.html", "report-private.html"):
            assert (inlined(name) < sum(weights)) is (name == limited)


def test_a_broken_thumbnail_is_named(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path)
    path = next(tmp_path.glob("made-up/*/*/pictures/test-full/*-output.webp"))
    whole = path.read_bytes()
    for content in (b"no picture", whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match=path.name):
            build_report(tmp_path)
    Image.new("RGB", (480, 320)).save(path, format="JPEG")
    with pytest.raises(DataError, match=path.name):
        build_report(tmp_path)


SHEET = "figures/comparison-made-up-test.webp"


def test_comparison_shows_the_best_method_and_no_oracle(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path)
    made_up.evaluation(tmp_path, "oracle-affine", "baseline", gain=9, seed=None)
    build_report(tmp_path)
    first = (tmp_path / SHEET).read_bytes()
    made_up.evaluation(tmp_path, "oracle-affine", "baseline", gain=2, seed=None)
    build_report(tmp_path)
    assert (tmp_path / SHEET).read_bytes() == first
    made_up.evaluation(tmp_path, "hdrnet-pyramid", gain=8)
    build_report(tmp_path)
    assert (tmp_path / SHEET).read_bytes() != first


def painted(path: Path, id_: str, size: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """All thumbnails of a picture, of one colour; where it is not grey, with a band of blue across
    a fifth of it, somewhat above the middle."""
    result = read_result(path)
    assert isinstance(result, Evaluation)
    image = Image.new("RGB", size, colour)
    if len(set(colour)) > 1:
        image.paste((0, 0, 255), (0, size[1] * 3 // 10, size[0], size[1] // 2))
    files = picture_files(path.parent, result.dataset, result.method, result.size, id_)
    for file in files.values():
        image.save(file)


def sheet_of(root: Path) -> np.ndarray:
    build_report(root)
    assert (root / SHEET).stat().st_size <= 120_000
    with Image.open(root / SHEET) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_sheet_has_two_rows_of_pictures_in_colour(tmp_path: Path) -> None:
    path = made_up.evaluation(tmp_path)
    painted(path, "picture-0", (480, 320), (128, 128, 128))
    painted(path, "picture-4", (480, 320), (250, 0, 0))
    painted(path, "picture-7", (480, 320), (0, 200, 0))
    sheet = sheet_of(tmp_path)
    height, width = sheet.shape[:2]
    assert width == 3 * 408 + 8
    assert height * 828 / width <= 420, "as high as a page shows it"
    near_top, near_bottom = sheet[60, 200], sheet[height - 60, 200]
    assert near_top == pytest.approx([250, 0, 0], abs=12)
    assert near_bottom == pytest.approx([0, 200, 0], abs=12)
    # The grey one where there is nothing else.
    for id_ in ("picture-4", "picture-7"):
        painted(path, id_, (480, 320), (90, 90, 90))
    sheet = sheet_of(tmp_path)
    assert sheet.shape[0] == height
    assert sheet[60, 200] == pytest.approx([128] * 3, abs=6)
    # A row alone where one is in colour.
    painted(path, "picture-7", (480, 320), (0, 200, 0))
    assert sheet_of(tmp_path).shape[0] == pytest.approx(height / 2, abs=8)


@pytest.mark.parametrize(
    ("size", "row"), [((480, 320), 267), ((320, 480), 267), ((400, 268), 267), ((480, 240), 200)]
)
def test_a_tall_picture_is_cut_to_three_by_two(
    tmp_path: Path, size: tuple[int, int], row: int
) -> None:
    path = made_up.evaluation(tmp_path, kept=("worst",))
    painted(path, "picture-0", size, (250, 0, 0))
    sheet = sheet_of(tmp_path)
    assert sheet.shape[0] == row + 30 + 2 * 8
    cell = sheet[30 : 30 + row, 8:408]
    blue = np.abs(cell - [0, 0, 255]).max(axis=2) < 60
    # Nothing is squeezed: the band is as high as in the picture, by the cell's own scale.
    assert blue[:, 200].sum() == pytest.approx(size[1] / 5 * 400 / size[0], abs=4)


def test_a_sheet_is_as_good_as_is_light_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up.evaluation(tmp_path)
    (part,) = contents.read(tmp_path).groups

    def weight(limit: int) -> int:
        monkeypatch.setattr(pictures, "_SHEET_BYTES", limit)
        (sheet,) = pictures.comparisons([part.group]).values()
        return len(sheet)

    best = weight(120_000)
    assert weight(best) == best
    lighter = weight(best - 1)
    assert lighter < best
    assert weight(1) <= lighter, "the lightest there is, where none is light enough"


def test_colour_is_seen_and_grey_is_not(tmp_path: Path) -> None:
    path = made_up.evaluation(tmp_path)

    def coloured(colour: tuple[int, int, int]) -> bool:
        painted(path, "picture-0", (480, 320), colour)
        return pictures.in_colour(only_gallery(tmp_path).pictures[0])

    assert coloured((200, 150, 100))
    assert not coloured((128, 128, 128))
    assert not coloured((255, 255, 255))


def test_a_link_is_no_thumbnail(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path / "results")
    before = {picture.id for picture in only_gallery(tmp_path / "results").pictures}
    (file,) = (tmp_path / "results").rglob("picture-0-output.webp")
    file.rename(tmp_path / "photograph.webp")
    file.symlink_to(tmp_path / "photograph.webp")
    found = only_gallery(tmp_path / "results")
    assert {picture.id for picture in found.pictures} == before - {"picture-0"}
    assert any("output not in these results" in said for said in found.absent)
