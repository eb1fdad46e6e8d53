import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import pytest
import rawpy
import tifffile
from pydantic import ValidationError

from hdrnet_bench import color
from hdrnet_bench.errors import DataError
from hdrnet_bench.images import icc
from hdrnet_bench.images.raw import Development, develop, sameness, settings
from hdrnet_bench.images.resize import average_channel, average_picture, curve
from hdrnet_bench.prepare.build import RejectedPair
from hdrnet_bench.prepare.sources import fivek, hdrplus, synthetic_hdrplus
from hdrnet_bench.prepare.sources.expert import read_romm
from tests import dng, pictures
from tests.dng import FOUR_SENSITIVITIES, write_dng, write_romm_tiff

LEVELS = 65535


def like_prophoto(**differences) -> bytes:
    prophoto = {
        "whitepoint": [0.3457, 0.3585, 1.0],
        "primaries": [0.7347, 0.2653, 1.0, 0.1596, 0.8404, 1.0, 0.0366, 0.0001, 1.0],
        "gamma": 1.8,
    }
    return imagecodecs.cms_profile("rgb", **(prophoto | differences))


def smooth_scene(height: int = 40, width: int = 56) -> np.ndarray:
    """Gradients of every colour, different in each direction; demosaicing finds no detail in it."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    return np.stack([0.1 + 0.5 * x, 0.2 + 0.4 * y, 0.6 - 0.3 * x + 0.1 * y], axis=-1)


def assert_develops(path: Path, scene: np.ndarray) -> None:
    developed = develop(path, Development())
    assert developed.pixels.dtype == np.uint16
    assert developed.pixels.shape == scene.shape
    difference = np.abs(developed.pixels / LEVELS - scene)
    # AHD finds no direction to prefer in a gradient, and copies or bends it at the frame.
    assert difference.mean() < 1e-3
    assert difference.max() < 0.012


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_upright(tmp_path: Path, orientation: int) -> None:
    scene = smooth_scene()
    write_dng(tmp_path / "a.dng", scene, orientation=orientation)
    write_romm_tiff(tmp_path / "a.tif", scene, orientation=orientation)
    assert_develops(tmp_path / "a.dng", scene)
    assert develop(tmp_path / "a.dng", Development()).orientation == orientation
    expert = read_romm(tmp_path / "a.tif")
    light = average_picture(
        expert.pixels, (56, 40), curve(color.romm_to_linear), color.LINEAR_FROM_ROMM
    )
    assert np.abs(light.transpose(1, 2, 0) - scene).max() < 1e-4
    assert expert.notes == ([] if orientation == 1 else [f"orientation {orientation} applied"])


def test_an_orientation_that_means_nothing_is_noted(tmp_path: Path) -> None:
    """LibRaw turns a picture with the code 0."""
    write_dng(tmp_path / "a.dng", smooth_scene())
    write_romm_tiff(tmp_path / "a.tif", smooth_scene())
    for name in ("a.dng", "a.tif"):
        with tifffile.TiffFile(tmp_path / name, mode="r+") as tiff:
            tiff.pages.first.tags[274].overwrite(0)
    developed = develop(tmp_path / "a.dng", Development())
    assert developed.orientation == 1
    for notes in (developed.notes, read_romm(tmp_path / "a.tif").notes):
        assert notes == ["orientation 0 means nothing, taken as upright"]
    assert_develops(tmp_path / "a.dng", smooth_scene())


@pytest.mark.parametrize("size", [(41, 57), (40, 57), (41, 56)])
@pytest.mark.parametrize("compression", ["none", "lossless-jpeg"])
def test_odd_sizes_and_compression(tmp_path: Path, size: tuple[int, int], compression) -> None:
    scene = smooth_scene(*size)
    write_dng(tmp_path / "a.dng", scene, compression=compression)
    assert_develops(tmp_path / "a.dng", scene)


def test_without_a_preview(tmp_path: Path) -> None:
    write_dng(tmp_path / "a.dng", smooth_scene(), preview=False, orientation=8, border=(1, 2, 3, 4))
    assert_develops(tmp_path / "a.dng", smooth_scene())


def test_what_the_camera_has_demosaiced(tmp_path: Path) -> None:
    write_dng(tmp_path / "a.dng", smooth_scene(), mosaic=False, black=0)
    assert_develops(tmp_path / "a.dng", smooth_scene())
    write_dng(tmp_path / "a.dng", smooth_scene(), mosaic=False, black=1)
    with pytest.raises(DataError, match=r"a\.dng.*black level"):
        develop(tmp_path / "a.dng", Development())


@pytest.mark.parametrize("kind", dng.DEVELOPED)
def test_kinds_that_are_developed(tmp_path: Path, kind: str) -> None:
    """Each of a scene of its own: LibRaw shows what lies in memory where it decodes nothing."""
    number = list(dng.DEVELOPED).index(kind)
    scene = smooth_scene(64, 96) * (0.5 + 0.5 * number / len(dng.DEVELOPED))
    how: dict[str, Any] = {"preview": number % 2 == 0} | dng.DEVELOPED[kind]
    write_dng(tmp_path / "a.dng", scene, **how)
    developed = develop(tmp_path / "a.dng", Development())
    difference = np.abs(developed.pixels / LEVELS - scene)
    step = 2 / how.get("white", dng.WHITE)  # a level, times the largest multiplier
    assert difference.mean() < 2e-4 + step / 4
    assert difference.max() < 0.006 + step
    assert developed.notes == []


@pytest.mark.parametrize("bits", range(8, 17))
def test_numbers_of_every_size_that_the_camera_has_demosaiced(tmp_path: Path, bits: int) -> None:
    scene = smooth_scene(64, 96) * (bits / 16)
    white = 2**bits - 1
    for storage in (dng.packed(bits), dng.packed(bits, tile=(32, 64)), dng.packed(bits, rows=24)):
        write_dng(tmp_path / "a.dng", scene, mosaic=False, black=0, white=white, storage=storage)
        pixels = develop(tmp_path / "a.dng", Development()).pixels
        assert np.abs(pixels / LEVELS - scene).max() < 1e-4 + 1 / white


@pytest.mark.parametrize("tile", [(32, 32), (64, 96), None])
def test_lossless_jpeg_of_three_components(tmp_path: Path, tile) -> None:
    scene = smooth_scene(64, 96)
    storage = dng.coded(dng.lossless_jpeg, 7, tile=tile)
    write_dng(tmp_path / "a.dng", scene, mosaic=False, black=0, storage=storage)
    pixels = develop(tmp_path / "a.dng", Development()).pixels
    assert np.abs(pixels / LEVELS - scene).max() < 2e-4


@pytest.mark.parametrize("kind", dng.REFUSED)
def test_kinds_that_are_refused(tmp_path: Path, kind: str) -> None:
    how, reason = dng.REFUSED[kind]
    write_dng(tmp_path / "a.dng", smooth_scene(64, 96), preview=False, **how)
    with pytest.raises(DataError, match=rf"a\.dng cannot be developed: .*{reason}"):
        develop(tmp_path / "a.dng", Development())


def test_a_black_float_is_refused(tmp_path: Path) -> None:
    """As HDRMerge writes it: LibRaw takes 65535 of 1.0, without a white level, and makes black."""
    path = tmp_path / "a.dng"
    storage = dng.stored_as(np.float16, compression="adobe_deflate", predictor=3, tile=(256, 256))
    write_dng(path, smooth_scene(256, 512), preview=False, black=0, storage=storage)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags[50717].overwrite(0)
    with rawpy.imread(str(path)) as libraw:
        assert libraw.raw_image.max() == 0, "LibRaw would have read it"
    with pytest.raises(DataError, match="its samples are 16-bit floating point"):
        develop(path, Development())


def test_lossy_jpeg_with_adobes_curves(tmp_path: Path) -> None:
    """Each colour's 8 bits by a polynomial of its own."""
    path = tmp_path / "a.dng"
    coded = np.sqrt(smooth_scene(64, 96) * dng.SENSITIVITY)
    curves = [(0.0, 0.2 * plane, 1 - 0.2 * plane) for plane in range(3)]
    opcodes = [dng.polynomial(plane, c, (0, 0, 64, 96)) for plane, c in enumerate(curves)]
    gains = dng.gain_map(np.full((1, 1, 1), 2.0), (0, 0, 0, 0), pitch=(1, 1))
    for more, notes in ([], []), ([(9, 1, gains)], ["OpcodeList2 not applied"]):
        write_dng(
            path,
            coded / dng.SENSITIVITY,
            mosaic=False,
            black=0,
            white=255,
            storage=dng.coded(dng.lossy_jpeg, 34892, tile=(32, 32), changed={258: (8, 8, 8)}),
            extra=[dng.opcode_list(*opcodes, *more)],
        )
        with tifffile.TiffFile(path) as tiff:
            raw = tiff.pages.first.pages[0]
            tiles = []
            for offset, count in zip(raw.dataoffsets, raw.databytecounts, strict=True):
                tiff.filehandle.seek(offset)
                tiles.append(imagecodecs.jpeg8_decode(tiff.filehandle.read(count)) / 255)
        rows = [np.concatenate(tiles[first : first + 3], axis=1) for first in (0, 3)]
        light = np.stack(
            [np.polyval(c[::-1], np.concatenate(rows)[:, :, n]) for n, c in enumerate(curves)], -1
        )
        developed = develop(path, Development())
        want = light / dng.SENSITIVITY
        assert np.abs(developed.pixels / LEVELS - want)[want < 1].max() < 2e-4
        assert developed.notes == notes


def test_a_linearization_table(tmp_path: Path) -> None:
    """Of 8 bits, as Leica's M8 writes it; what is beyond a table is its last number."""
    path = tmp_path / "a.dng"
    scene = smooth_scene(64, 96)
    for entries, table in ((256, 256), (512, 300)):
        curve_ = np.rint((np.arange(entries) / (entries - 1)) ** 2 * dng.WHITE).astype(int)
        tag = (50712, "H", table, curve_[:table].tolist(), True)

        def storage(stored: np.ndarray, entries: int = entries) -> dng.Stored:
            coded = np.rint(np.sqrt(stored / dng.WHITE) * (entries - 1))
            return dng.Stored(coded.astype(np.uint8 if entries == 256 else np.uint16))

        write_dng(path, scene, black=0, storage=storage, extra=[tag])
        pixels = develop(path, Development()).pixels / LEVELS
        last = curve_[table - 1] / dng.WHITE / np.array(dng.SENSITIVITY)
        want = np.minimum(scene, last)
        assert np.abs(pixels - want).max() < 0.015
        assert (entries == 256) == (want == scene).all()


def test_other_pictures_in_the_file(tmp_path: Path) -> None:
    """Adobe's enhanced version is left aside, and of several raw pictures the first is taken."""
    path = tmp_path / "a.dng"
    scene = smooth_scene(64, 96)
    write_dng(path, scene)
    with tifffile.TiffFile(path) as tiff:
        stored = tiff.pages.first.pages[0].asarray()

    def write(*pages: tuple[np.ndarray, int]) -> None:
        write_dng(path, scene)
        with tifffile.TiffFile(path) as tiff:
            first, raw = tiff.pages.first, tiff.pages.first.pages[0]
            tags = [
                [(t.code, t.dtype, t.count, t.value, True) for t in page.tags if t.code > 50000]
                for page in (first, raw)
            ]
        with tifffile.TiffWriter(path) as tiff:
            small = np.zeros((8, 8, 3), np.uint8)
            plain: dict[str, Any] = {"metadata": None, "software": False}
            tiff.write(
                small,
                photometric="rgb",
                subfiletype=1,
                subifds=len(pages),
                extratags=tags[0],
                **plain,
            )
            for content, kind in pages:
                tiff.write(
                    content,
                    photometric=32803 if content.ndim == 2 else 34892,
                    planarconfig=None if content.ndim == 2 else "contig",
                    subfiletype=kind,
                    extratags=[*tags[1], *dng.bayer((0, 1, 1, 2), (2, 2))],
                    **plain,
                )

    enhanced = np.zeros((128, 192, 3), np.uint16)
    for pages in (
        [(stored, 0), (enhanced, 16)],
        [(enhanced, 16), (stored, 0)],
        [(enhanced, 1), (enhanced, 0x10001), (stored, 0)],
    ):
        write(*pages)
        assert_develops(path, scene)
        assert develop(path, Development()).notes == []
    for other in (stored // 2, np.zeros((128, 192), np.uint16)):
        write((stored, 0), (other, 0))
        assert_develops(path, scene)
        notes = develop(path, Development()).notes
        assert notes == ["2 raw pictures in the file, the first taken"]
    write((enhanced, 16))
    with pytest.raises(DataError, match="holds no raw picture"):
        develop(path, Development())


def test_strips_that_lie_apart_are_refused(tmp_path: Path) -> None:
    """LibRaw reads on from the first."""
    path = tmp_path / "a.dng"
    storage = dng.packed(12, rows=32)
    write_dng(path, smooth_scene(64, 96), black=0, white=4095, storage=storage)
    assert_develops(path, smooth_scene(64, 96))
    with tifffile.TiffFile(path) as tiff:
        first, second = tiff.pages.first.pages[0].dataoffsets
    dng.set_tag(path, 273, (second, first))
    with pytest.raises(DataError, match="its strips lie apart"):
        develop(path, Development())
    dng.set_tag(path, 273, (first, second))
    with tifffile.TiffFile(path) as tiff:
        sizes = tiff.pages.first.pages[0].databytecounts
    dng.set_tag(path, 279, (sizes[0], sizes[1] - 1))
    with pytest.raises(DataError, match="has not all the bytes that its pixels need"):
        develop(path, Development())


@pytest.mark.parametrize("compression", ["none", "lossless-jpeg"])
def test_tiles_or_strips_that_are_not_there(tmp_path: Path, compression) -> None:
    """LibRaw would read whatever comes behind, or fill gigabytes."""
    path = tmp_path / "a.dng"
    write_dng(path, smooth_scene(64, 96), compression=compression)
    dng.set_tag(path, 257, 60000)
    with pytest.raises(DataError, match=r"damaged: it has \d+ tiles or strips, \d+ are wanted"):
        develop(path, Development())
    write_dng(path, smooth_scene(64, 96), compression="lossless-jpeg")
    dng.set_tag(path, 325, (100, 100))
    with pytest.raises(DataError, match="damaged: 6 places of its pixels, 2 sizes"):
        develop(path, Development())


def test_tags_of_another_length(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    for code, count, wanted in ((50719, 3, 2), (50720, 1, 2), (50829, 2, 4)):
        crop = [(50720, "H", 2, (9, 9), True)] if code != 50720 else []
        tag = (code, "H", count, (9,) * count if count > 1 else 9, True)
        write_dng(path, smooth_scene(), extra=[*crop, tag])
        with pytest.raises(DataError, match=f"tag {code} has {count} numbers, {wanted} are wanted"):
            develop(path, Development())


def test_a_big_tiff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    version = [(50706, "B", 4, (1, 7, 0, 0), True)]
    tifffile.imwrite(path, np.zeros((32, 32), np.uint16), bigtiff=True, extratags=version)
    with pytest.raises(DataError, match="it is a BigTIFF"):
        develop(path, Development())


@pytest.mark.parametrize("code", [50715, 50716])
def test_black_levels_that_differ_by_row_or_column(tmp_path: Path, code: int) -> None:
    """LibRaw takes their average."""
    path = tmp_path / "a.dng"
    scene = smooth_scene(64, 96)
    count = 96 if code == 50715 else 64
    name = f"BlackLevelDelta{'H' if code == 50715 else 'V'}"

    def write(*levels: int) -> None:
        values = [n for level in levels * (count // 2) for n in (level, 1)]
        write_dng(path, scene, black=500, white=12500, extra=[(code, "2i", count, values, True)])

    write(0, 1)
    assert develop(path, Development()).notes == []
    write(0, 2)
    assert develop(path, Development()).notes == [f"{name} averaged"]
    write(0, 58)
    assert develop(path, Development()).notes == [f"{name} averaged"]
    write(0, 62)
    with pytest.raises(DataError, match=rf"black levels differ by 31 \({name}\)"):
        develop(path, Development())


def test_levels_of_what_the_camera_has_demosaiced(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    how: dict[str, Any] = {"mosaic": False, "black": 0}
    for delta, right in ((0, True), (1, False)):
        extra = [(50716, "2i", 64, (delta, 1) * 64, True)]
        write_dng(path, smooth_scene(64, 96), extra=extra, **how)
        if right:
            assert_develops(path, smooth_scene(64, 96))
    with pytest.raises(DataError, match="demosaiced with a black level"):
        develop(path, Development())
    write_dng(path, smooth_scene(64, 96), extra=[(50717, "H", 3, (9000, 9000, 8999), True)], **how)
    with pytest.raises(DataError, match="different white levels"):
        develop(path, Development())


def test_masked_areas_that_contradict_the_black_level(tmp_path: Path) -> None:
    """LibRaw goes by them, whatever the file's black level."""
    path = tmp_path / "a.dng"
    scene = smooth_scene()
    areas = [(50830, "I", 4, (0, 0, 40, 8), True)]
    for black, developed in ((512, True), (512 + 150, True), (512 + 170, False), (0, False)):
        write_dng(path, scene, masked=(8, 0, 0, 0), extra=areas)
        dng.set_tag(path, 50714, black)
        if developed:
            assert np.abs(develop(path, Development()).pixels / LEVELS - scene).mean() < 1e-3
        else:
            with pytest.raises(DataError, match=f"black level is {black}, but 512 in its masked"):
                develop(path, Development())


def test_a_colour_matrix_that_libraw_leaves_out(tmp_path: Path) -> None:
    """One of a camera whose first colour is blue."""
    path = tmp_path / "a.dng"
    write_dng(path, smooth_scene(), preview=False)
    with tifffile.TiffFile(path) as tiff:
        matrix = np.array(tiff.pages.first.tags[50721].value).reshape(3, 6)
    dng.set_tag(path, 50721, tuple(matrix[::-1].ravel().tolist()))
    with pytest.raises(DataError, match="does not take its colour matrix"):
        develop(path, Development())


def test_another_size_than_the_tags_say(tmp_path: Path, monkeypatch) -> None:
    path, other = tmp_path / "a.dng", tmp_path / "b.dng"
    write_dng(path, smooth_scene())
    write_dng(other, smooth_scene(42, 56))
    original = rawpy.imread
    monkeypatch.setattr(rawpy, "imread", lambda _: original(str(other)))
    with pytest.raises(DataError, match="finds a picture of 56 x 42 pixels in it, its tags have"):
        develop(path, Development())


@pytest.mark.parametrize("preview", [True, False])
def test_what_adobe_would_render_otherwise_is_noted(tmp_path: Path, preview: bool) -> None:
    path = tmp_path / "a.dng"

    def notes(*tags: tuple) -> list[str]:
        write_dng(path, smooth_scene(), preview=preview, extra=list(tags))
        return develop(path, Development()).notes

    for stops, text in ((35, "+0.35"), (-50, "-0.5"), (100, "+1"), (1, "+0.01")):
        exposure = (50730, "2i", 1, (stops, 100), True)
        assert notes(exposure) == [f"BaselineExposure {text} not applied"]
    assert notes((50730, "2i", 1, (0, 100), True), (51109, "2i", 1, (0, 1), True)) == []
    assert notes((51109, "2i", 1, (-1, 4), True)) == ["BaselineExposureOffset -0.25 not applied"]
    assert notes((50940, "f", 4, (0, 0, 1, 1), True)) == []
    assert notes((50940, "f", 6, (0, 0, 0.5, 0.7, 1, 1), True)) == ["ProfileToneCurve not applied"]
    for code, name in (
        (50938, "ProfileHueSatMap"),
        (50982, "ProfileLookTable"),
        (52525, "ProfileGainTableMap"),
        (52544, "ProfileGainTableMap2"),
        (52543, "RGBTables"),
    ):
        assert notes((code, "f", 3, (1.0, 1.0, 1.0), True)) == [f"{name} not applied"]


def test_pixels_without_a_picture() -> None:
    pixels = np.zeros((70, 130, 3), np.uint16)
    assert sameness(pixels) == "developed all black"
    pixels[:] = (1, 0, 0)
    assert sameness(pixels) == "developed all equal"
    for place in ((0, 0), (0, 1), (69, 129), (64, 64)):
        for channel in range(3):
            single = pixels.copy()
            single[(*place, channel)] += 1
            assert sameness(single) is None
    assert sameness(pixels[:1, :1]) == "developed all equal"


@pytest.mark.parametrize(("light", "what"), [(0.0, "black"), (0.3, "equal")])
def test_no_pair_is_made_of_pixels_without_a_picture(tmp_path: Path, light: float, what) -> None:
    path = tmp_path / "merged.dng"
    write_dng(path, np.full((40, 56, 3), light))
    notes = ["developed all black"] if what == "black" else []
    assert develop(path, Development()).notes == notes
    write_romm_tiff(tmp_path / "a.tif", smooth_scene())
    for name in ("final.jpg", "rgb2rgb.txt"):
        (tmp_path / name).touch()
    (tmp_path / "frame.txt").write_text("0")
    places = SimpleNamespace(
        merged="merged.dng",
        final="final.jpg",
        reference_frame="frame.txt",
        rgb2rgb="rgb2rgb.txt",
        shading="none.tiff",
    )
    job: Any = SimpleNamespace(id="a", folder=tmp_path, files=places)
    with pytest.raises(RejectedPair) as merged:
        hdrplus.make(job)
    job = synthetic_hdrplus.SyntheticJob("a", path=path, name="merged.dng")
    with pytest.raises(RejectedPair) as synthetic:
        synthetic_hdrplus.make(job)
    protocol = SimpleNamespace(of_renderings=False, development=Development())
    files = fivek.PairFiles(path, tmp_path / "a.tif")
    job = SimpleNamespace(files=files, protocol=protocol)
    with pytest.raises(RejectedPair) as five:
        fivek.make(job)
    for error in (merged, synthetic, five):
        assert error.value.args == ("decode", f"merged.dng: developed all {what}")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (rawpy.LibRawFileUnsupportedError(b"Not RAW"), "of a kind that LibRaw 0.* cannot decode"),
        (rawpy.LibRawTooBigError(b"Big"), "too large for LibRaw"),
        (rawpy.LibRawDataError(b"Corrupt"), "damaged: its pixels cannot all be decoded"),
        (rawpy.LibRawIOError(b"Input/output error"), "damaged: its pixels cannot all be decoded"),
        (rawpy.LibRawUnspecifiedError(b"What"), r"cannot decode it \(LibRawUnspecifiedError\)"),
        (IndexError("tuple index out of range"), "what it refers to is not in it"),
        (TypeError("'NoneType'"), "its tags make no sense"),
    ],
)
def test_no_librarys_message_is_shown_as_it_is(tmp_path: Path, monkeypatch, error, text) -> None:
    path = tmp_path / "a.dng"
    write_dng(path, smooth_scene())

    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(rawpy, "imread", fail)
    with pytest.raises(DataError, match=rf"a\.dng cannot be developed: .*{text}") as raised:
        develop(path, Development())
    if isinstance(error, rawpy.LibRawError):
        assert error.args[0].decode() not in str(raised.value)


def test_no_memory_is_not_the_files_fault(tmp_path: Path, monkeypatch) -> None:
    write_dng(tmp_path / "a.dng", smooth_scene())

    def fail(_: str) -> None:
        raise rawpy.LibRawUnsufficientMemoryError(b"Unsufficient memory")

    monkeypatch.setattr(rawpy, "imread", fail)
    with pytest.raises(MemoryError):
        develop(tmp_path / "a.dng", Development())


def test_pixels_that_cannot_be_decoded_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    write_dng(path, smooth_scene(100, 140), compression="lossless-jpeg")
    with tifffile.TiffFile(path) as tiff:
        raw = tiff.pages.first.pages[0]
        middle = raw.dataoffsets[1] + raw.databytecounts[1] // 2
    content = bytearray(path.read_bytes())
    content[middle : middle + 16] = b"\xff" * 16
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged: its pixels cannot all be decoded"):
        develop(path, Development())


@pytest.mark.parametrize("demosaic", ["ahd", "ppg", "linear"])
def test_a_flat_scene_is_recovered(tmp_path: Path, demosaic) -> None:
    flat = np.empty((32, 48, 3))
    flat[:] = (0.4, 0.2, 0.1)
    write_dng(tmp_path / "a.dng", flat)
    developed = develop(tmp_path / "a.dng", Development(demosaic=demosaic))
    # Half a level of 14 bits, times the multiplier of 2; the colour matrix's four digits.
    assert np.abs(developed.pixels / LEVELS - flat).max() < 2.5e-4
    assert developed.white_balance == "camera"
    assert developed.multipliers == pytest.approx([2.0, 1.0, 1 / 0.7], rel=1e-6)
    assert developed.camera == "Maker Model 1"
    assert developed.crop is None
    assert developed.notes == []


def test_without_white_balance_it_is_the_cameras_daylight(tmp_path: Path) -> None:
    """LibRaw would make the average grey: the same patch of two scenes would differ."""
    patches = []
    for number, surroundings in enumerate([(0.7, 0.2, 0.1), (0.1, 0.2, 0.7)]):
        scene = np.empty((48, 48, 3))
        scene[:] = surroundings
        scene[:24, :24] = (0.4, 0.2, 0.1)
        path = tmp_path / f"{number}.dng"
        write_dng(path, scene, white_balance=False)
        developed = develop(path, Development())
        assert developed.white_balance == "daylight (the file has none)"
        # The matrix has four digits.
        assert developed.multipliers == pytest.approx([2.0, 1.0, 1 / 0.7], rel=1e-3)
        assert any("no camera white balance" in note for note in developed.notes)
        patches.append(developed.pixels[4:20, 4:20])
    assert (patches[0] == patches[1]).all()
    assert np.abs(patches[0] / LEVELS - (0.4, 0.2, 0.1)).max() < 1e-3
    with pytest.raises(DataError, match=r"0\.dng.*AsShotNeutral"):
        develop(tmp_path / "0.dng", Development(without_white_balance="refuse"))


def test_the_files_white_balance_is_used_unless_daylight_is_asked_for(tmp_path: Path) -> None:
    flat = np.full((32, 32, 3), 0.25)
    write_dng(tmp_path / "a.dng", flat)
    with tifffile.TiffFile(tmp_path / "a.dng", mode="r+") as tiff:
        tiff.pages.first.tags[50728].overwrite((500, 1000, 1000, 1000, 350, 1000))
    camera = develop(tmp_path / "a.dng", Development())
    assert camera.multipliers == pytest.approx([2, 1, 1000 / 350], rel=1e-6)
    assert np.abs(camera.pixels / LEVELS - (0.25, 0.25, 0.5)).max() < 1e-3
    daylight = develop(tmp_path / "a.dng", Development(white_balance="daylight"))
    assert daylight.white_balance == "daylight"
    assert np.abs(daylight.pixels / LEVELS - 0.25).max() < 1e-3


@pytest.mark.parametrize("balance", ["camera", "daylight"])
def test_a_fourth_colour_has_a_multiplier_of_its_own(tmp_path: Path, balance) -> None:
    """That of the balance which is used, beside green's: green's own need not be 1."""
    flat = np.empty((32, 48, 3))
    flat[:] = (0.4, 0.2, 0.1)
    path = tmp_path / "a.dng"
    write_dng(path, flat, pattern="RGEB", neutral=FOUR_SENSITIVITIES, preview=False)
    neutral = [0.8 * value for value in FOUR_SENSITIVITIES]
    if balance == "daylight":
        neutral = [0.3, 0.8, 0.6, 0.2]  # of another light, which is to have no say
    with tifffile.TiffFile(path, mode="r+") as tiff:
        as_shot = [n for value in neutral for n in (round(value * 1000), 1000)]
        tiff.pages.first.tags[50728].overwrite(tuple(as_shot))
    with rawpy.imread(str(path)) as raw:
        assert raw.num_colors == 4
        assert raw.camera_whitebalance == pytest.approx([1 / value for value in neutral])
    developed = develop(path, Development(white_balance=balance))
    assert developed.multipliers == pytest.approx([2.0, 1.0, 1 / 0.7], rel=1e-3)
    assert np.abs(developed.pixels / LEVELS - flat).max() < 1e-3


def test_brightness_does_not_depend_on_the_rest_of_the_picture(tmp_path: Path) -> None:
    patches, libraw = [], []
    for brightest in (0.2, 0.8, 0.95):  # LibRaw takes what is above 0.75 as the white level
        scene = np.full((64, 64, 3), 0.1)
        scene[40:] = brightest
        path = tmp_path / f"{brightest}.dng"
        write_dng(path, scene)
        patches.append(develop(path, Development()).pixels[:32])
        with rawpy.imread(str(path)) as raw:
            libraw.append(raw.postprocess(use_camera_wb=True, output_bps=16)[:32])
    assert (patches[0] == patches[1]).all()
    assert (patches[0] == patches[2]).all()
    assert np.abs(patches[0] / LEVELS - 0.1).max() < 1e-3
    assert (libraw[0] != libraw[1]).any(), "LibRaw's defaults would have passed this test"


def test_saturation_is_white(tmp_path: Path) -> None:
    write_dng(tmp_path / "a.dng", np.full((32, 32, 3), 1.0))
    assert (develop(tmp_path / "a.dng", Development()).pixels > 0.999 * LEVELS).all()


@pytest.mark.parametrize("border", [(4, 6, 2, 8), (5, 7, 3, 1), (1, 1, 0, 2)])
@pytest.mark.parametrize("masked", [(0, 0, 0, 0), (6, 2, 4, 0), (3, 5, 1, 1)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_default_crop_is_exact(tmp_path: Path, border, masked, orientation: int) -> None:
    """Odd places too, which LibRaw's own margins move to even ones."""
    scene = smooth_scene()
    path = tmp_path / "a.dng"
    write_dng(path, scene, border=border, masked=masked, orientation=orientation)
    assert_develops(path, scene)
    developed = develop(path, Development())
    size = (56, 40) if orientation == 1 else (40, 56)
    assert developed.crop == (border[0] + masked[0], border[1] + masked[1], *size)
    whole = develop(path, Development(crop="none"))
    assert whole.crop is None
    assert whole.pixels.size > developed.pixels.size


def test_a_crop_at_an_odd_edge_of_the_active_area_loses_a_row(tmp_path: Path) -> None:
    """LibRaw begins at even places; what it leaves out is said, and the rest is in its place."""
    scene = smooth_scene()
    path = tmp_path / "a.dng"
    write_dng(path, scene, border=(0, 0, 1, 1), masked=(3, 5, 1, 1))
    developed = develop(path, Development())
    assert developed.notes == ["default crop larger than the picture by 1 x 1 pixels"]
    assert np.abs(developed.pixels / LEVELS - scene[1:, 1:]).mean() < 1e-3


def test_a_crop_that_reaches_beyond_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    outside = [(50719, "H", 2, (10, 4), True), (50720, "H", 2, (50, 36), True)]
    write_dng(path, smooth_scene(), extra=outside)
    developed = develop(path, Development())
    assert developed.pixels.shape == (36, 46, 3)
    assert developed.notes == ["default crop larger than the picture by 4 x 0 pixels"]
    write_dng(path, smooth_scene(), extra=[(50719, "H", 2, (56, 4), True), outside[1]])
    with pytest.raises(DataError, match="lies outside the picture"):
        develop(path, Development())


def test_crops_stored_as_fractions(tmp_path: Path) -> None:
    crop = [(50719, "2I", 2, (8, 2, 6, 1), True), (50720, "2I", 2, (40, 1, 30, 1), True)]
    write_dng(tmp_path / "a.dng", smooth_scene(), extra=crop)
    assert develop(tmp_path / "a.dng", Development()).crop == (4, 6, 40, 30)


def test_a_sensor_whose_pixels_are_not_square(tmp_path: Path) -> None:
    """LibRaw stretches it, and so its crop."""
    scene = smooth_scene()
    scale = [(50718, "2I", 2, (1, 1, 2, 1), True)]
    write_dng(tmp_path / "a.dng", scene, border=(4, 6, 2, 8), extra=scale)
    developed = develop(tmp_path / "a.dng", Development())
    assert developed.pixels.shape == (80, 56, 3)
    halved = [
        average_channel(c.astype(np.float32), (56, 40)) for c in developed.pixels.transpose(2, 0, 1)
    ]
    assert np.abs(np.stack(halved, -1) / LEVELS - scene).mean() < 5e-3


def test_opcodes_that_are_left_out_are_noted(tmp_path: Path) -> None:
    write_dng(tmp_path / "a.dng", smooth_scene(), extra=[(51009, "B", 4, (0, 0, 0, 0), True)])
    assert develop(tmp_path / "a.dng", Development()).notes == ["OpcodeList2 not applied"]


@pytest.mark.parametrize("compression", ["none", "lossless-jpeg"])
@pytest.mark.parametrize("missing", [1, 500, 0.5, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, compression, missing: float) -> None:
    path = tmp_path / "a.dng"
    write_dng(path, smooth_scene(100, 140), compression=compression)
    content = path.read_bytes()
    cut = missing if missing >= 1 else int(len(content) * missing)
    path.write_bytes(content[:-cut])
    with pytest.raises(DataError, match=r"a\.dng cannot be developed: the file is truncated"):
        develop(path, Development())


def test_a_tile_that_is_missing_inside_is_refused(tmp_path: Path) -> None:
    """As a download leaves it whose middle never came."""
    path = tmp_path / "a.dng"
    write_dng(path, smooth_scene(100, 140), compression="lossless-jpeg")
    with tifffile.TiffFile(path) as tiff:
        raw = tiff.pages.first.pages[0]
        start, length = raw.dataoffsets[1], raw.databytecounts[1]
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    path.write_bytes(content)
    with rawpy.imread(str(path)) as libraw:
        assert libraw.raw_image.size, "LibRaw itself takes what its memory held before"
    with pytest.raises(DataError, match="damaged: no picture data at byte"):
        develop(path, Development())


def test_what_is_no_dng_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    for content, reason in (
        (b"", "it is no TIFF file"),
        (b"hello" * 100, "it is no TIFF file"),
        (b"II*\0 no raw", "the file is damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"a\.dng cannot be developed: {reason}"):
            develop(path, Development())
    write_romm_tiff(path, smooth_scene())
    with pytest.raises(DataError, match="it is no DNG"):
        develop(path, Development())
    tifffile.imwrite(
        path, np.zeros((8, 8, 3), np.uint8), extratags=[(50706, "B", 4, (1, 4, 0, 0), True)]
    )
    with pytest.raises(DataError, match="holds no raw picture"):
        develop(path, Development())
    write_dng(path, smooth_scene(), color_matrix=False)
    with pytest.raises(DataError, match="no colour matrix"):
        develop(path, Development())
    with pytest.raises(DataError, match=r"b\.dng is missing"):
        develop(tmp_path / "b.dng", Development())


def test_what_is_recorded_is_what_libraw_is_told(tmp_path: Path, monkeypatch) -> None:
    told = {}
    original = rawpy.RawPy.postprocess

    class Listening(rawpy.RawPy):
        def postprocess(self, **parameters):
            told.update(parameters)
            return original(self, **parameters)

    def imread(content: BinaryIO) -> Listening:
        raw = Listening()
        raw.open_buffer(content)
        return raw

    monkeypatch.setattr(rawpy, "imread", imread)
    write_dng(tmp_path / "a.dng", smooth_scene())
    developed = develop(tmp_path / "a.dng", Development())
    recorded = settings(Development())
    assert told.pop("user_wb") == [*developed.multipliers, 1.0]
    assert recorded["parameters"].keys() == told.keys()
    assert recorded["parameters"]["adjust_maximum_thr"] == told["adjust_maximum_thr"] == 0
    assert recorded["parameters"]["demosaic_algorithm"] == "AHD"
    assert recorded["white_balance"] == "camera"
    assert recorded["rawpy"] == rawpy.__version__
    assert recorded["libraw"].count(".") == 2
    assert settings(Development(demosaic="ppg")) != recorded


def test_a_development_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValidationError):
        Development(demosaic="magic")
    with pytest.raises(ValidationError):
        Development(auto_bright=True)


def test_threads_do_not_change_the_pixels(tmp_path: Path) -> None:
    scene = np.random.default_rng(0).random((300, 301, 3))
    write_dng(tmp_path / "a.dng", scene)
    script = (
        "import sys; from pathlib import Path;"
        "from hdrnet_bench.images.pixels import pixels_sha256;"
        "from hdrnet_bench.images.raw import Development, develop;"
        "print(pixels_sha256(develop(Path(sys.argv[1]), Development()).pixels))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "a.dng")],
            env={"OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(digests) == 1


def test_a_dng_and_its_experts_tiff_agree(tmp_path: Path) -> None:
    """One scene by both ways, after averaging: to what demosaicing a gradient costs."""
    scene = smooth_scene(120, 160)
    write_dng(tmp_path / "a.dng", scene, orientation=8, border=(3, 5, 2, 1))
    write_romm_tiff(tmp_path / "a.tif", scene, orientation=6)
    size = (40, 30)
    raw = average_picture(develop(tmp_path / "a.dng", Development()).pixels, size, curve())
    table = curve(color.romm_to_linear)
    expert = average_picture(
        read_romm(tmp_path / "a.tif").pixels, size, table, color.LINEAR_FROM_ROMM
    )
    assert np.abs(raw - expert).max() < 2e-3


def test_a_dng_over_the_limit_is_refused_before_it_is_developed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.dng"
    write_dng(path, np.full((48, 64, 3), 0.3))
    monkeypatch.setenv("HDRBENCH_MAX_MEGAPIXELS", "0.003")
    with pytest.raises(DataError, match=r"limit of 0\.003: HDRBENCH_MAX_MEGAPIXELS=1 lifts it"):
        develop(path, Development())
    monkeypatch.setenv("HDRBENCH_MAX_MEGAPIXELS", "0.004")
    develop(path, Development())


def test_a_file_that_refers_to_nothing_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(b"II*\0" + (1 << 30).to_bytes(4, "little"))
    with pytest.raises(DataError, match=r"a\.dng cannot be developed: the file is damaged"):
        develop(path, Development())


def test_an_expert_that_says_no_orientation_is_upright_without_a_word(tmp_path: Path) -> None:
    pixels = np.full((8, 12, 3), 1000, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", iccprofile=icc.ROMM)
    expert = read_romm(tmp_path / "a.tif")
    assert expert.notes == []
    assert (expert.pixels == pixels).all()


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_experts_that_are_refused(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "a.tif"

    def refused(reason: str) -> None:
        with pytest.raises(DataError, match=rf"a\.tif .*{reason}"):
            read_romm(path)

    write_romm_tiff(path, smooth_scene(), compression=compression)
    assert read_romm(path).pixels.shape == (40, 56, 3)
    content = path.read_bytes()
    for cut in (1, len(content) // 2):
        path.write_bytes(content[:-cut])
        refused("truncated")
    others = (
        like_prophoto(gamma=2.2),
        like_prophoto(whitepoint=[0.3127, 0.3290, 1.0]),
        pictures.ADOBE_RGB,
        pictures.LINEAR_WIDE,
        pictures.SRGB_OF_PILLOW,
        b"broken",
    )
    for profile in others:
        write_romm_tiff(path, smooth_scene(), compression=compression, profile=profile)
        refused("profile is another one")
    pixels = np.zeros((8, 8, 4), np.uint16)
    for wrong, reason in (
        (pixels[:, :, :3].astype(np.uint8), "uint8 samples"),
        (pixels, "4 channels"),
        (pixels[:, :, 0], "1 channels"),
        (pixels[:, :, :3].astype(np.float32), "32-bit floating-point samples"),
    ):
        photometric = "minisblack" if wrong.ndim == 2 else "rgb"
        tifffile.imwrite(path, wrong, photometric=photometric, compression=compression)
        refused(reason)
    path.write_bytes(b"no picture")
    refused("")
    path.unlink()
    refused("missing")


def test_profiles_that_mean_prophoto(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    toe = color.romm_to_linear(np.linspace(0, 1, 4096)).astype(np.float32)
    for profile in (
        pictures.PROPHOTO,
        like_prophoto(gamma=461 / 256),  # as a profile of version 2 can store 1.8
        like_prophoto(gamma=None, transferfunction=toe),
    ):
        write_romm_tiff(path, smooth_scene(), profile=profile)
        assert read_romm(path).notes == []
    write_romm_tiff(path, smooth_scene(), profile=None)
    assert read_romm(path).notes == ["no profile in the file, taken as ProPhoto"]
