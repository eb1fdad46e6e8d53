from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from hdrnet_bench.errors import DataError
from hdrnet_bench.images.files import read_picture, write_png
from hdrnet_bench.images.photo import STORED
from hdrnet_bench.images.pixels import pixels_sha256, quantise, to_float32, white_level
from tests import pictures
from tests.pictures.kinds import P3, in_srgb

RANDOM = np.random.default_rng(0)
EIGHT = RANDOM.integers(0, 256, (6, 9, 3), dtype=np.uint8)
SIXTEEN = RANDOM.integers(0, 65536, (6, 9, 3), dtype=np.uint16)


@pytest.mark.parametrize("pixels", [EIGHT, SIXTEEN], ids=["8 bit", "16 bit"])
def test_png_comes_back_to_the_bit(tmp_path: Path, pixels: np.ndarray) -> None:
    write_png(tmp_path / "x.png", pixels)
    back = read_picture(tmp_path / "x.png")
    assert back.pixels.dtype == pixels.dtype
    assert (back.pixels == pixels).all()
    assert back.notes == ()
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (4, 6)])
def test_png_of_any_size_and_strides(tmp_path: Path, size: tuple[int, int]) -> None:
    """As pictures come from planar computing: strides of a side of one pixel are any number."""
    planar = RANDOM.integers(0, 65536, (3, *size), dtype=np.uint16)
    whole = planar.transpose(1, 2, 0)
    every_second = np.repeat(whole, 2, axis=2)[:, :, ::2]
    for pixels in (whole, np.ascontiguousarray(whole), every_second):
        write_png(tmp_path / "x.png", pixels)
        assert (read_picture(tmp_path / "x.png").pixels == pixels).all()
    mask = np.repeat(whole, 2, axis=2)[:, :, 3]
    write_png(tmp_path / "x.png", mask)
    assert (read_picture(tmp_path / "x.png").pixels == mask[:, :, None]).all()


def test_16_bit_tiff_keeps_its_bits(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", SIXTEEN, photometric="rgb", compression="deflate")
    assert (read_picture(tmp_path / "x.tif").pixels == SIXTEEN).all()


def test_16_bit_layouts_mean_what_they_say_or_are_refused(tmp_path: Path) -> None:
    def write(name: str, pixels: np.ndarray, **options: object) -> Path:
        tifffile.imwrite(tmp_path / name, pixels, **options)
        return tmp_path / name

    planar = write("p.tif", SIXTEEN.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    assert (read_picture(planar).pixels == SIXTEEN).all()
    grey = write("g.tif", SIXTEEN[:, :, 0], photometric="minisblack")
    assert (read_picture(grey).pixels == SIXTEEN[:, :, :1]).all()
    (tmp_path / "ga.png").write_bytes(imagecodecs.png_encode(SIXTEEN[:, :, :2].copy()))
    grey_alpha = read_picture(tmp_path / "ga.png")
    assert (grey_alpha.pixels == SIXTEEN[:, :, :1]).all()
    assert grey_alpha.notes == ("alpha channel left out", "grey repeated into three channels")
    for name, pixels, options in (
        ("pages.tif", SIXTEEN[..., 0].repeat(5).reshape(5, 6, 9), {"photometric": "minisblack"}),
        ("float.tif", SIXTEEN.astype(np.float32), {"photometric": "rgb"}),
    ):
        path = write(name, pixels, **options)
        with pytest.raises(DataError, match="cannot be decoded as a picture"):
            read_picture(path)


def test_8_bit_modes_without_a_certain_meaning_are_refused(tmp_path: Path) -> None:
    Image.fromarray(EIGHT).convert("LAB").save(tmp_path / "lab.tif")
    with pytest.raises(DataError, match="its colours are CIE Lab, which is not read"):
        read_picture(tmp_path / "lab.tif")
    palette = Image.fromarray(EIGHT).quantize(16)
    palette.save(tmp_path / "palette.png", transparency=3)
    assert read_picture(tmp_path / "palette.png").notes == ("alpha channel left out",)


def test_a_picture_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "bomb.png", EIGHT)
    content = bytearray((tmp_path / "bomb.png").read_bytes())
    content[16:24] = (100_000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(DataError, match=r"bomb\.png cannot be decoded"):
        read_picture(tmp_path / "bomb.png")


def test_orientation_is_applied_and_said(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    Image.fromarray(EIGHT).save(tmp_path / "x.png", exif=exif)
    picture = read_picture(tmp_path / "x.png")
    assert (picture.pixels == np.rot90(EIGHT, -1)).all()
    assert picture.notes == ("orientation 6 applied",)


def test_grey_and_alpha_are_said(tmp_path: Path) -> None:
    Image.fromarray(EIGHT[:, :, 0]).save(tmp_path / "grey.png")
    grey = read_picture(tmp_path / "grey.png")
    assert (grey.pixels == EIGHT[:, :, :1]).all()
    assert grey.notes == ("grey repeated into three channels",)

    Image.fromarray(np.dstack([EIGHT, EIGHT[:, :, :1]])).save(tmp_path / "alpha.png")
    alpha = read_picture(tmp_path / "alpha.png")
    assert (alpha.pixels == EIGHT).all()
    assert alpha.notes == ("alpha channel left out",)

    (tmp_path / "grey16.png").write_bytes(imagecodecs.png_encode(SIXTEEN[:, :, 0].copy()))
    grey16 = read_picture(tmp_path / "grey16.png")
    assert (grey16.pixels == SIXTEEN[:, :, :1]).all()
    assert grey16.notes == ("grey repeated into three channels",)


def test_embedded_profile_is_said(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(EIGHT).save(tmp_path / "x.png", icc_profile=profile)
    assert read_picture(tmp_path / "x.png").notes == ()
    (note,) = read_picture(tmp_path / "x.png", STORED).notes
    assert note.startswith("embedded profile not applied: sRGB")


def test_colours_are_converted_by_the_profile_or_taken_as_stored(tmp_path: Path) -> None:
    Image.fromarray(EIGHT).save(tmp_path / "x.png", icc_profile=pictures.DISPLAY_P3)
    converted = read_picture(tmp_path / "x.png")
    assert converted.notes == ("converted from RGB built-in to sRGB",)
    assert np.abs(converted.pixels.astype(int) - in_srgb(EIGHT, P3, 2.2)).max() <= 1
    stored = read_picture(tmp_path / "x.png", STORED)
    assert (stored.pixels == EIGHT).all()
    assert stored.notes == ("embedded profile not applied: RGB built-in",)


def _truncated(path: Path) -> None:
    write_png(path, np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    "spoil",
    [
        _truncated,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("not a picture"),
        lambda path: path.mkdir(),
        lambda path: None,
    ],
    ids=["truncated", "empty", "text", "a folder", "missing"],
)
def test_unreadable_files_are_named(tmp_path: Path, spoil) -> None:
    path = tmp_path / "broken picture.png"
    spoil(path)
    with pytest.raises(DataError, match=r"broken picture\.png") as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)


def test_digest_is_of_pixels_not_of_files(tmp_path: Path) -> None:
    Image.fromarray(EIGHT).save(tmp_path / "a.png", compress_level=0)
    write_png(tmp_path / "b.png", EIGHT)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    a, b = (pixels_sha256(read_picture(tmp_path / f"{n}.png").pixels) for n in "ab")
    assert a == b == pixels_sha256(EIGHT)


def test_digest_sees_shape_and_depth() -> None:
    black = np.zeros((4, 6, 3), np.uint8)
    others = [black.reshape(6, 4, 3), np.zeros((4, 6, 3), np.uint16), black + np.uint8(1)]
    assert len({pixels_sha256(p) for p in [black, *others]}) == 4


def test_float_conversion_uses_the_depth() -> None:
    assert white_level(EIGHT) == 255
    assert white_level(SIXTEEN) == 65535
    assert to_float32(np.full((2, 2, 3), 65535, np.uint16)).max() == 1
    assert (quantise(to_float32(EIGHT)) == EIGHT).all()


def test_quantise_rounds_once_and_clamps() -> None:
    values = np.array([-1.0, 0.0, 0.4999 / 255, 0.5001 / 255, 254.6 / 255, 2.0])
    levels = quantise(np.tile(values, (3, 1, 1)))
    assert levels[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]
