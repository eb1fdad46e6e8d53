"""Masks: one channel of 8 bits, whatever the file's depth and however its grey is stored."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from hdrnet_bench.errors import DataError
from hdrnet_bench.images.files import open_picture, write_png
from hdrnet_bench.images.mask import read_mask

LEVELS = np.arange(256, dtype=np.uint8).reshape(8, 32)


def test_a_written_mask_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    for levels in (LEVELS, LEVELS[:1], LEVELS[:, :1]):
        write_png(path, levels)
        assert imagecodecs.png_decode(path.read_bytes()).ndim == 2, "one channel in the file"
        read = read_mask(open_picture(path))
        assert np.array_equal(read.levels, levels)
        assert read.levels.dtype == np.uint8
        assert read.notes == ()


def test_one_bit_is_nothing_or_white(tmp_path: Path) -> None:
    Image.fromarray(LEVELS > 100).save(tmp_path / "bits.png")
    assert np.array_equal(
        read_mask(open_picture(tmp_path / "bits.png")).levels, (LEVELS > 100) * 255
    )


def test_what_a_mask_is_not(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    grey = LEVELS[:, :, None].repeat(3, axis=2)
    write_png(path, grey)
    assert np.array_equal(read_mask(open_picture(path)).levels, LEVELS), "of three equal channels"
    grey[3, 4, 2] ^= 1
    write_png(path, grey)
    with pytest.raises(DataError, match=r"m\.png is no mask: it has colours"):
        read_mask(open_picture(path))
    write_png(path, LEVELS.astype(np.uint16))
    with pytest.raises(DataError, match=r"m\.png is no mask: it has 16 bits"):
        read_mask(open_picture(path))


def test_transparency_is_left_out_and_noted(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([LEVELS, LEVELS])).save(tmp_path / "la.png")
    read = read_mask(open_picture(tmp_path / "la.png"))
    assert np.array_equal(read.levels, LEVELS)
    assert read.notes == ("alpha channel left out",)
