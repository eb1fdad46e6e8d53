import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import rawpy
import tifffile
from pydantic import ValidationError

from hdrnet_bench import color
from hdrnet_bench.errors import DataError
from hdrnet_bench.images.raw import Development, develop, settings
from hdrnet_bench.images.resize import average_channel, average_picture, curve
from hdrnet_bench.prepare.sources.expert import read_romm
from tests import pictures
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
        assert libraw.raw_image.min() == 0, "LibRaw would have noticed"
    with pytest.raises(DataError, match="damaged: no picture data at byte"):
        develop(path, Development())


def test_what_is_no_dng_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    for content in (b"", b"hello" * 100, b"II*\0 no raw"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.dng cannot be developed"):
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

    def imread(path: str) -> Listening:
        raw = Listening()
        raw.open_file(path)
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
        "import sys; from pathlib import Path; from hdrnet_bench.images.files import pixels_sha256;"
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


def test_a_file_that_refers_to_nothing_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(b"II*\0" + (1 << 30).to_bytes(4, "little"))
    with pytest.raises(DataError, match=r"a\.dng cannot be developed: the file is damaged"):
        develop(path, Development())


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
        (pixels[:, :, :3].astype(np.float32), "float32 samples"),
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
