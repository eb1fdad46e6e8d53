"""`hdrbench verify-export` on a made pack that was damaged in each way that people report."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from hdrnet_bench.color import linear_to_srgb
from hdrnet_bench.errors import StorageError
from hdrnet_bench.fingerprints import picture
from hdrnet_bench.fingerprints.colours import Change, _adobe
from hdrnet_bench.fingerprints.diagnosis import Diagnosis, colour_finding
from hdrnet_bench.fingerprints.findings import summaries
from hdrnet_bench.images import icc
from hdrnet_bench.images.files import write_png
from hdrnet_bench.images.pixels import Pixels
from tests.conftest import Workspace
from tests.fingerprints.pack import (
    INPUTS,
    TARGETS,
    encoded,
    light,
    pictures,
    resized,
    rounded,
    save,
    write_pack,
)

REFERENCE = "manifests/fingerprints/fivek-zeng-srgb-c-original.jsonl"
VERIFY = ("verify-export", "zeng-srgb", "--size", "original")
ORIGIN = ("--write", "--origin", "pictures made for a test")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pack `right` and the fingerprints that were made of it."""
    path = tmp_path_factory.mktemp("published")
    write_pack(path / "right")
    done = Workspace(path).run(*VERIFY, "--source-dir", "right", *ORIGIN)
    assert done.returncode == 0, done.stderr
    assert (path / REFERENCE).exists()
    return path


@pytest.fixture
def place(published: Path, tmp_path: Path) -> Workspace:
    """A folder of one's own, with the same fingerprints and a pack `right` that may be damaged."""
    shutil.copytree(published, tmp_path / "place")
    return Workspace(tmp_path / "place")


def converted(profile: bytes) -> Callable[[Pixels], Pixels]:
    def change(pixels: Pixels) -> Pixels:
        numbers = (pixels / 255).astype(np.float32)
        return rounded(icc.convert(numbers, icc.SRGB, profile, np.float32))

    return change


def cropped(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    inner = pixels[height // 20 : -height // 20, width // 20 : -width // 20]
    return resized(inner, width, height)


def again_as_jpeg(pixels: Pixels) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=70)
    return np.asarray(Image.open(stream))


def soft(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    larger = resized(pixels, 2 * width, 2 * height, Image.Resampling.BICUBIC)
    return resized(larger, width, height, Image.Resampling.BILINEAR)


def sharp(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.UnsharpMask(1, 60, 0)))


def of_another_balance(pixels: Pixels) -> Pixels:
    """Each picture has its own, as by the camera."""
    warmth = 1.1 + 0.1 * (int(pixels.sum()) % 7) / 7
    return encoded(light(pixels) * np.array([warmth, 1, 1 / warmth]))


# Damage -> how many of the six inputs show it, the kind that is found, words of its diagnosis.
DAMAGES: dict[str, tuple[Callable[[Pixels], Pixels], str, str]] = {
    "darker": (
        lambda p: encoded(light(p) * 2**-1.5),
        "exposure",
        'darker by 1.50 EV; perhaps of the collection "(default) Input with ExpertC WhiteBalance',
    ),
    "as shot": (of_another_balance, "white balance", 'of the collection "InputAsShotZeroed"'),
    "dark daylight": (
        lambda p: encoded(light(p) * np.array([1.2, 1, 0.8]) * 2**-1.5),
        "exposure and white balance",
        'perhaps of the collection "Input with Daylight WhiteBalance minus 1.5"',
    ),
    "ProPhoto": (converted(icc.ROMM), "prophoto", "ProPhoto RGB's, taken for sRGB's"),
    "Adobe RGB": (converted(_adobe()), "adobe-rgb", "Adobe RGB's, taken for sRGB's"),
    "gamma 1.8": (lambda p: rounded(light(p) ** (1 / 1.8)), "gamma-1.8", "gamma 1.8"),
    "encoded twice": (
        lambda p: rounded(linear_to_srgb(p / 255)),
        "encoded-twice",
        "sRGB's curve was applied twice",
    ),
    "a power": (lambda p: rounded((p / 255) ** 1.2), "gamma", "to the power 1.20"),
    "BGR": (lambda p: p[:, :, ::-1], "bgr", "BGR order"),
    "cropped": (cropped, "cropped", "of the width and"),
    "turned": (lambda p: np.rot90(p), "turned", "turned by a quarter, anticlockwise"),
    "upside down": (lambda p: p[::-1, ::-1], "turned", "upside down"),
    "mirrored": (lambda p: p[:, ::-1], "turned", "mirrored left to right"),
    "smaller": (
        lambda p: resized(p, p.shape[1] // 2, p.shape[0] // 2),
        "size",
        "192 x 128, published 384 x 256",
    ),
    "resampled": (soft, "detail", "times the published one's fine detail; resized otherwise"),
    "sharpened": (sharp, "detail", "or sharpened"),
    "a little brighter": (
        lambda p: encoded(light(p) * 1.035),
        "exposure",
        'brighter by 0.05 EV; export "InputZeroed with ExpertC WhiteBalance"',
    ),
    "brighter, cut off at white": (
        lambda p: encoded(light(p) * 2**1.5),
        "exposure",
        "tones that differ by",
    ),
    "of one colour": (lambda p: np.full_like(p, 90), "flat", "nothing can be recognised in it"),
    "another edit": (lambda p: rounded((p / 255 - 0.5) * 1.25 + 0.5), "tones", "other tones"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_named(place: Workspace, name: str) -> None:
    change, kind, words = DAMAGES[name]
    write_pack(place.path / "damaged", change)
    done = place.run(*VERIFY, "--source-dir", "damaged", "--json")
    assert done.returncode == 3
    report = json.loads(done.stdout)
    said = [f"{finding['what']}; {finding['advice']}" for finding in report["findings"]]
    assert words in "\n".join(said)
    assert report["agrees"] is False
    assert report["counts"]["target"]["identical"] == 6
    first = report["findings"][0]
    assert (first["side"], first["kind"], first["compared"]) == ("input", kind, 6)
    # One kind explains all, and nothing else is claimed.
    assert first["pictures"] == 6, report["findings"]
    assert [finding["kind"] for finding in report["findings"]] == [kind]


def test_another_quality_of_jpeg_is_named(place: Workspace) -> None:
    write_pack(place.path / "coarse", quality=80)
    output = place.run(*VERIFY, "--source-dir", "coarse").stdout
    assert "6 of 6: JPEG of quality 80" in output


def test_a_coarse_jpeg_shows_in_a_png_too(place: Workspace) -> None:
    write_pack(place.path / "coarse", again_as_jpeg, kind="png")
    output = place.run(*VERIFY, "--source-dir", "coarse").stdout
    assert "6 of 6: blocks of a coarser JPEG show" in output


def write_xyz(folder: Path, change: Callable[[Pixels], Pixels] = lambda pixels: pixels) -> None:
    """Inputs as 16-bit PNG of light, by another matrix than sRGB's."""
    matrix = np.array([[0.41, 0.36, 0.18], [0.21, 0.72, 0.07], [0.02, 0.12, 0.95]])
    folder.mkdir()
    for number, pixels in enumerate(pictures(), 1):
        numbers = np.rint((light(pixels) @ matrix.T).clip(0, 1) * 65535).astype(np.uint16)
        write_png(folder / f"a{number:04}.png", np.ascontiguousarray(change(numbers)))


def test_xyz_is_compared_by_its_numbers(place: Workspace) -> None:
    write_xyz(place.path / "xyz")
    arguments = ("verify-export", "zeng-xyz", "--size", "original", "--input-dir")
    assert place.run(*arguments, "xyz", *ORIGIN).returncode == 0
    assert place.json(*arguments, "xyz")["counts"]["input"]["identical"] == 6
    write_xyz(place.path / "zyx", lambda numbers: numbers[:, :, ::-1])
    output = place.run(*arguments, "zyx").stdout
    assert "6 of 6: red and blue have changed places" in output
    write_xyz(place.path / "dark", lambda numbers: numbers // 2)
    output = place.run(*arguments, "dark").stdout
    assert "6 of 6: its numbers are 0.50 times the published ones" in output

    def encoded_once(numbers: Pixels) -> Pixels:
        return np.rint(linear_to_srgb(numbers / 65535) * 65535).astype(np.uint16)

    write_xyz(place.path / "encoded", encoded_once)
    output = place.run(*arguments, "encoded").stdout
    assert "6 differing" in output
    assert "sRGB" not in output  # of numbers that are no sRGB, nothing is said about its curve
    write_xyz(place.path / "coarse", lambda numbers: (numbers // 257).astype(np.uint8))
    output = place.run(*arguments, "coarse").stdout
    assert "6 of 6: 8 bits, published 16" in output
    assert "6 of 6: 8 bits, 16 are wanted; `hdrbench prepare` refuses it" in output


def test_a_crop_that_was_not_resized_is_a_crop_and_no_size(place: Workspace) -> None:
    write_pack(place.path / "cut", lambda p: p[p.shape[0] // 8 :, p.shape[1] // 8 :])
    done = place.run(*VERIFY, "--source-dir", "cut", "--json")
    findings = json.loads(done.stdout)["findings"]
    assert [(one["kind"], one["pictures"]) for one in findings] == [("cropped", 6)]


def test_another_sampling_of_colour_is_named(place: Workspace) -> None:
    for number, pixels in enumerate(pictures(), 1):
        save(place.path / "right" / INPUTS / f"a{number:04}.jpg", pixels, chroma="4:2:0")
    done = place.run(*VERIFY, "--source-dir", "right", "--json")
    findings = json.loads(done.stdout)["findings"]
    assert [(one["kind"], one["pictures"]) for one in findings] == [("chroma", 6)]
    assert findings[0]["what"] == "JPEG with colour 4:2:0, published 4:4:4"


def test_a_jpeg_that_was_saved_coarse_before_is_named(place: Workspace) -> None:
    write_pack(place.path / "twice", again_as_jpeg)
    assert "blocks of a coarser JPEG show" in place.run(*VERIFY, "--source-dir", "twice").stdout


def test_no_collection_is_named_but_of_inputs_and_another_than_the_protocols(
    place: Workspace,
) -> None:
    """Targets are none of the inputs' collections, and the protocol's own is the one that is
    wanted."""
    dark = place.path / "dark"
    write_pack(dark, lambda p: encoded(light(p) * 2**-1.5))
    shutil.rmtree(dark / TARGETS)
    (dark / INPUTS).rename(dark / "t")
    targets = place.path / "right" / INPUTS
    for path in targets.iterdir():
        shutil.copy(path, place.path / "right" / TARGETS / path.name)
    arguments = ("--target-dir", f"right/{TARGETS}")
    assert place.run(*VERIFY, *arguments, *ORIGIN, "--overwrite").returncode == 0
    output = place.run(*VERIFY, "--target-dir", "dark/t").stdout
    assert "6 of 6: darker by 1.50 EV; export the collection that the protocol names" in output
    assert "perhaps" not in output


@pytest.mark.parametrize(
    ("kind", "evs", "own", "said"),
    [
        ("exposure", [-1.5], "InputAsShotZeroed", 'export "InputAsShotZeroed"'),
        ("exposure", [1.4], "(default) Input with ExpertC WhiteBalance minus 1.5",
         'perhaps of the collection "InputZeroed with ExpertC WhiteBalance": '),
        ("white balance", [0.0], "InputAsShotZeroed",
         'perhaps of the collection "InputZeroed with ExpertC WhiteBalance": '),
        ("exposure and white balance", [-1.5], "InputAsShotZeroed",
         'perhaps of the collection "(default) Input with ExpertC WhiteBalance minus 1.5" or '
         '"Input with Daylight WhiteBalance minus 1.5": '),
        ("exposure", [-1.5, 0.4, -1.5], "InputZeroed with ExpertC WhiteBalance",
         "export the collection that the protocol names"),
        ("exposure", [-1.5], "a collection that nobody knows",
         "export the collection that the protocol names"),
    ],
)  # fmt: skip
def test_collections_are_told_apart_by_stops_and_balance(
    kind: str, evs: list[float], own: str, said: str
) -> None:
    diagnoses = []
    for number, ev in enumerate(evs):
        change = Change(kind, 0.1, True, ev, 1.1, 0.9)
        finding = colour_finding(change, (change,))
        diagnoses.append(Diagnosis(f"a{number:04}", "input", "differing", (finding,)))
    (summary,) = summaries(diagnoses, own)
    assert summary.advice.startswith(said)
    if len(evs) > 1:
        assert "brighter or darker, by -1.50 to +0.40 EV" in summary.what


def test_a_change_of_saturation_is_not_taken_for_a_collection(place: Workspace) -> None:
    def paler(pixels: Pixels) -> Pixels:
        return rounded((0.7 * pixels + 0.3 * pixels.mean(axis=2, keepdims=True)) / 255)

    write_pack(place.path / "paler", paler)
    output = place.run(*VERIFY, "--source-dir", "paler").stdout
    assert "other tones: means or deviations differ by" in output
    assert "perhaps of the collection" not in output


def test_what_prepare_refuses_is_said_before(place: Workspace) -> None:
    targets = place.path / "right" / TARGETS
    for path in sorted(targets.iterdir()):
        pixels = np.asarray(Image.open(path))
        path.unlink()
        save(path.with_suffix(".png"), pixels)
    done = place.run(*VERIFY, "--source-dir", "right")
    assert done.returncode == 3
    assert "target: 6 pictures; 6 differing" in done.stdout
    assert "6 of 6: jpeg is wanted; `hdrbench prepare` refuses it" in done.stdout
    message = place.fails(3, *VERIFY, "--source-dir", "right", *ORIGIN, "--overwrite")
    assert "nothing is written: target a0001: jpeg is wanted" in message
    done = place.run("verify-export", "zeng-srgb", "--input-dir", f"right/{INPUTS}")
    assert "6 of 6: input 384x256, a short edge of 480 is wanted (others:" in done.stdout


def test_without_fingerprints_the_protocol_is_checked_all_the_same(place: Workspace) -> None:
    (place.path / REFERENCE).unlink()
    message = place.fails(3, *VERIFY, "--source-dir", "right")
    assert "kinds, sizes, depths and profiles are those of the protocol" in message
    assert "no fingerprints of fivek-zeng-srgb-c-original are known here" in message
    (place.path / "right" / INPUTS / "a0001.jpg").write_bytes(b"no picture")
    done = place.run(*VERIFY, "--source-dir", "right")
    assert done.returncode == 3
    assert "1 of 1: a0001.jpg" in done.stdout


def test_pictures_that_no_fingerprint_is_of_are_not_called_right(place: Workspace) -> None:
    (place.path / "other").mkdir()
    save(place.path / "other" / "a0500.jpg", pictures()[0])
    message = place.fails(3, *VERIFY, "--input-dir", "other")
    assert "nothing was compared" in message


def test_the_published_pictures_are_identical(place: Workspace) -> None:
    done = place.run(*VERIFY, "--source-dir", "right")
    assert done.returncode == 0
    assert "input: 6 pictures; 6 identical" in done.stdout
    assert (
        "`hdrbench prepare fivek --protocol zeng-srgb --source-dir right --size original`"
        in done.stderr
    )


def test_what_rounding_moves_is_no_difference(place: Workspace) -> None:
    """Another encoder of the same rendering: JPEG written again at the same quality."""
    for path in sorted((place.path / "right" / INPUTS).iterdir()):
        pixels = np.asarray(Image.open(path)).astype(int)
        noise = np.random.default_rng(0).integers(-1, 2, pixels.shape)
        save(path, np.clip(pixels + noise * (pixels % 5 == 0), 0, 255).astype(np.uint8))
    report = place.json(*VERIFY, "--source-dir", "right")
    assert report["agrees"] is True
    assert report["counts"]["input"] | {"pictures": 6} == {
        "pictures": 6,
        "identical": 0,
        "within rounding": 6,
        "differing": 0,
        "not in the reference": 0,
        "not here": 0,
    }


def test_sides_that_changed_places_and_names_that_did(place: Workspace) -> None:
    inputs, targets = f"right/{INPUTS}", f"right/{TARGETS}"
    swapped = ("--input-dir", targets, "--target-dir", inputs)
    output = place.run(*VERIFY, *swapped).stdout
    assert "6 of 6: it is the published target; have --input-dir and --target-dir" in output
    assert "6 of 6: it is the published input" in output
    first, second = (place.path / inputs / f"a000{n}.jpg" for n in (1, 2))
    content = first.read_bytes(), second.read_bytes()
    first.write_bytes(content[1])
    second.write_bytes(content[0])
    output = place.run(*VERIFY, "--source-dir", "right").stdout
    assert "input: 6 pictures; 4 identical, 2 differing" in output
    assert "2 of 6: another photograph" in output


def test_a_few_pictures_of_one_side_are_enough(place: Workspace) -> None:
    """A sample, before hours are spent: what is not there yet is said, and no fault."""
    for number in (3, 4, 5, 6):
        (place.path / "right" / INPUTS / f"a000{number}.jpg").unlink()
    done = place.run(*VERIFY, "--input-dir", f"right/{INPUTS}")
    assert done.returncode == 0
    assert "input: 2 pictures; 2 identical, 4 not here" in done.stdout
    assert "target" not in done.stdout
    save(place.path / "right" / INPUTS / "a0099.jpg", pictures()[0])
    done = place.run(*VERIFY, "--input-dir", f"right/{INPUTS}")
    assert "3 pictures; 2 identical, 1 not in the reference, 4 not here" in done.stdout


def test_one_cause_is_found_for_pictures_that_alone_would_not_show_it(place: Workspace) -> None:
    """Linear light in 8 bits, as a coarse JPEG: of dark pictures too little is left to be sure."""
    write_pack(place.path / "linear", lambda p: rounded(light(p)), quality=92)
    done = place.run(*VERIFY, "--source-dir", "linear", "--json")
    kinds = {finding["kind"] for finding in json.loads(done.stdout)["findings"]}
    assert kinds == {"linear", "quality"}


@pytest.mark.fault("mutated pictures")
def test_what_cannot_be_read_or_is_unclear_is_said(place: Workspace) -> None:
    inputs = place.path / "right" / INPUTS
    (inputs / "a0001.jpg").write_bytes((inputs / "a0001.jpg").read_bytes()[:2000])
    (inputs / "again").mkdir()
    shutil.copy(inputs / "a0002.jpg", inputs / "again" / "a0002.jpg")
    (inputs / "a0007.psd").write_bytes(b"8BPS")
    done = place.run(*VERIFY, "--source-dir", "right")
    assert done.returncode == 3
    assert "a0001.jpg" in done.stdout
    assert "input a0002: several files, a0002.jpg, again/a0002.jpg" in done.stderr
    assert "a0007.psd is of no kind that is read" in done.stderr
    message = place.fails(3, *VERIFY, "--source-dir", "right", *ORIGIN, "--overwrite")
    assert "nothing is written" in message


def test_a_disk_that_fails_says_nothing_of_a_picture(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> bytes:
        raise StorageError(f"{path.name} cannot be read: Input/output error")

    monkeypatch.setattr(picture, "picture_bytes", fail)
    message = place.fails(3, *VERIFY, "--source-dir", "right")
    assert "a0001.jpg cannot be read: Input/output error" in message


def test_fingerprints_hold_no_pictures(published: Path) -> None:
    lines = (published / REFERENCE).read_text().splitlines()
    assert len(lines) == 13
    assert json.loads(lines[0])["origin"] == "pictures made for a test"
    assert max(map(len, lines)) < 600
    assert str(published) not in "".join(lines)


def test_nothing_is_overwritten_or_written_unasked(place: Workspace) -> None:
    before = (place.path / REFERENCE).read_bytes()
    arguments = (*VERIFY, "--source-dir", "right")
    assert "--overwrite replaces it" in place.fails(2, *arguments, *ORIGIN)
    assert "--origin TEXT go together" in place.fails(2, *arguments, "--write", "--overwrite")
    assert "--origin TEXT go together" in place.fails(2, *arguments, "--origin", "mine")
    for words in ("", " ", "x" * 1001):
        message = place.fails(2, *arguments, "--write", "--origin", words, "--overwrite")
        assert "some words, at most 1000 characters" in message
    report = place.json(*arguments, *ORIGIN, "--overwrite", "--dry-run")
    assert report["would write"] == REFERENCE
    assert report["pictures"] == {"input": 6, "target": 6}
    assert (place.path / REFERENCE).read_bytes() == before
    report = place.json(*arguments, *ORIGIN, "--overwrite")
    assert (report["wrote"], report["agrees"]) == (REFERENCE, None)
    assert (place.path / REFERENCE).read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("libraw", "--source-dir", "right"), 2, "is for what Lightroom exports: dpe"),
        (("zeng-rgb", "--source-dir", "right"), 2, "did you mean zeng-srgb"),
        (("csrnet", "--source-dir", "right"), 2, "cannot be prepared"),
        (("zeng-srgb",), 2, "give --source-dir PACK"),
        (("zeng-srgb", "--source-dir", "x", "--input-dir", "y"), 2, "give --source-dir PACK"),
        (("zeng-srgb", "--source-dir", "right", "--size", "512"), 2, "has no size '512'"),
        (("upe", "--input-dir", "right", "--target-dir", "right/input"), 2, "overlap"),
        (("zeng-srgb", "--input-dir", "manifests"), 3, "has no picture a0001"),
        (("zeng-srgb", "--input-dir", "nowhere"), 3, "there is no folder nowhere"),
        (("upe", "--input-dir", "right/input"), 3, "no fingerprints of fivek-upe-c are known"),
        (("uegan", "--input-dir", "right/input", "--against", REFERENCE), 3, "is of protocol zeng"),
        (("zeng-srgb", "--input-dir", "right", "--against", "x"), 3, "there is no file x"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(
    place: Workspace, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert message in place.fails(code, "verify-export", *arguments)


@pytest.mark.fault("hostile datasets")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"width":384', '"width":385', 1), "take the file from where"),
        (lambda text: text + text.splitlines()[-1] + "\n", "is there twice"),
        (lambda text: text.rsplit("\n", 2)[0] + "\n", "take the file from where"),
        (lambda text: text.replace('"bits":8', '"bits":12', 1), "line 2: bits"),
        (lambda text: text.replace('"mean":[', '"mean":["x",', 1), "line 2: mean"),
        (lambda text: text.replace('"width":384', '"width":-1', 1), "line 2: width"),
        (lambda text: text.replace('"hash":"', '"hash":"g', 1), "line 2: hash"),
        (lambda text: text.replace('"light":[', '"light":[NaN,', 1), "line 2"),
        (lambda text: text.replace('"light":[0.', '"light":[7.', 1), "line 2: light"),
        (lambda text: re.sub('"detail":[0-9.]+', '"detail":1e99', text, count=1), "line 2: detail"),
        (lambda text: text.replace('"width":384', f'"width":{10**30}', 1), "line 2: width"),
        (lambda text: "{" + text, "line 1 is not JSON"),
        (lambda text: "", "line 1 is not JSON"),
        (lambda text: "[" * 100_000, "line 1"),
        (lambda text: text.replace('"kind":"fingerprints"', '"kind":"rows"'), "line 1: kind"),
    ],
)
def test_a_file_of_fingerprints_that_is_none_is_refused(
    place: Workspace, change: Callable[[str], str], message: str
) -> None:
    path = place.path / REFERENCE
    path.write_text(change(path.read_text()))
    assert message in place.fails(3, *VERIFY, "--source-dir", "right")
