"""Which pictures a page shows, and what it says of those that are not there."""

import re
from pathlib import Path

import pytest
from PIL import Image

from hdrnet_bench.errors import DataError
from hdrnet_bench.report import build_report, contents, page, pictures
from hdrnet_bench.report.pictures import Gallery, fit_to_page, gallery
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
    assert picture.files["error"].parts[-2:] == ("480p", "picture-0-error.jpg")
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
    assert not list((tmp_path / "figures").glob("*.jpg"))
    assert tmp_path / "report-private.html" in written.files
    assert "data:image/jpeg" not in html(tmp_path)
    assert "does not let it be passed on" in html(tmp_path)
    assert html(tmp_path, "report-private.html").count("data:image/jpeg") == 12
    assert "For your own eyes" in html(tmp_path, "report-private.html")
    assert "For your own eyes" not in html(tmp_path)


def test_missing_pictures_say_why(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path, pictures=False)
    assert (
        only_gallery(tmp_path).absent[0].startswith("picture-0: input, output, target, error not")
    )
    made_up.save_pictures(tmp_path / "made-up/hdrnet-curves/seed-0/pictures/full", "picture-0", 1)
    (tmp_path / "made-up/hdrnet-curves/seed-0/pictures/full/picture-0-error.jpg").unlink()
    assert only_gallery(tmp_path).absent[0].startswith("picture-0: error not in these results")
    made_up.evaluation(tmp_path, kept=())
    assert only_gallery(tmp_path).absent == ["no pictures were kept for this method"]
    build_report(tmp_path)
    assert not list((tmp_path / "figures").glob("comparison-*"))
    assert "Its pictures are not here" in (tmp_path / "README.md").read_text()
    assert "no pictures were kept for this method" in html(tmp_path)


def test_a_full_picture_is_not_inlined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up.evaluation(tmp_path)
    largest = max(path.stat().st_size for path in tmp_path.rglob("picture-0-*.jpg"))
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


def test_the_page_says_what_its_pictures_weigh(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path)
    build_report(tmp_path)
    text = html(tmp_path)
    inlined = sum(map(len, re.findall(r"data:image/jpeg;base64,([^\"]+)", text)))
    said = re.search(r"thumbnails: ([\d.]+) MB of this page, of at most 8 MB", text)
    assert said is not None
    assert float(said[1]) == pytest.approx(inlined / 1e6, abs=0.051)
    assert inlined == sum(map(pictures.weight, only_gallery(tmp_path).pictures))


def test_a_broken_thumbnail_is_named(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path)
    path = next(tmp_path.glob("made-up/*/*/pictures/full/*-output.jpg"))
    path.write_bytes(b"no jpeg")
    with pytest.raises(DataError, match=path.name):
        build_report(tmp_path)


def test_comparison_shows_the_best_method_and_no_oracle(tmp_path: Path) -> None:
    made_up.evaluation(tmp_path)
    made_up.evaluation(tmp_path, "oracle-affine", "baseline", gain=9, seed=None)
    build_report(tmp_path)
    first = (tmp_path / "figures/comparison-made-up-test.jpg").read_bytes()
    with Image.open(tmp_path / "figures/comparison-made-up-test.jpg") as image:
        assert image.size == (3 * 408 + 8, 3 * (267 + 30 + 8) + 8)
    made_up.evaluation(tmp_path, "oracle-affine", "baseline", gain=2, seed=None)
    build_report(tmp_path)
    assert (tmp_path / "figures/comparison-made-up-test.jpg").read_bytes() == first
    made_up.evaluation(tmp_path, "hdrnet-pyramid", gain=8)
    build_report(tmp_path)
    assert (tmp_path / "figures/comparison-made-up-test.jpg").read_bytes() != first
