import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hdrnet_bench import color
from hdrnet_bench.images.resize import (
    SizeRule,
    average_channel,
    average_picture,
    curve,
    encode_srgb,
    linear_16,
)

SIDES = st.integers(1, 40)


@pytest.mark.parametrize(
    ("edge", "pixels", "size", "target"),
    [
        ("short", 480, (3008, 2000), (722, 480)),
        ("short", 480, (2000, 3008), (480, 722)),
        ("long", 512, (3008, 2000), (512, 340)),
        ("long", 512, (2000, 3008), (340, 512)),
        ("original", None, (3008, 2000), (3008, 2000)),
        ("short", 480, (500, 480), (500, 480)),
        ("short", 480, (500, 481), (499, 480)),
        ("short", 480, (500, 479), (500, 479)),
        ("long", 512, (512, 300), (512, 300)),
        ("long", 512, (513, 300), (512, 299)),
        ("short", 3, (5, 4), (4, 3)),  # 3.75
        ("short", 2, (5, 4), (3, 2)),  # 2.5 rounds up
        ("long", 2, (1000, 1), (2, 1)),
        ("short", 1, (1, 1), (1, 1)),
    ],
)
def test_targets(edge, pixels, size, target) -> None:
    assert SizeRule(edge=edge, pixels=pixels).target(*size) == target


@given(st.sampled_from(["short", "long"]), st.integers(1, 60), SIDES, SIDES)
def test_nothing_is_enlarged_and_the_edge_is_exact(edge, pixels, width, height) -> None:
    target = SizeRule(edge=edge, pixels=pixels).target(width, height)
    assert target[0] <= width
    assert target[1] <= height
    pick = min if edge == "short" else max
    assert pick(target) == min(pixels, pick(width, height))


@pytest.mark.parametrize(
    "rule",
    [
        {"edge": "short"},
        {"edge": "original", "pixels": 480},
        {"edge": "long", "pixels": 0},
        {"edge": "width", "pixels": 480},
    ],
)
def test_rules_without_meaning_are_refused(rule) -> None:
    with pytest.raises(ValidationError):
        SizeRule(**rule)


@given(SIDES, SIDES, st.data())
def test_the_mean_and_the_range_stay(height: int, width: int, data) -> None:
    size = data.draw(st.integers(1, width)), data.draw(st.integers(1, height))
    channel = np.random.default_rng(height * 41 + width).random((height, width), np.float32)
    small = average_channel(channel, size)
    assert small.shape == size[::-1]
    assert small.dtype == np.float32
    assert abs(small.mean(dtype=np.float64) - channel.mean(dtype=np.float64)) < 1e-6
    assert channel.min() - 1e-6 <= small.min()
    assert small.max() <= channel.max() + 1e-6


def test_fractions_of_border_pixels_count() -> None:
    row = np.array([[1.0, 0.0, 0.5]], np.float32)
    # Each new pixel covers one and a half.
    assert average_channel(row, (2, 1)) == pytest.approx(
        np.array([[1 / 1.5, 0.25 / 1.5 + 0.25 / 1.5]])
    )
    assert average_channel(row.T, (1, 2)) == pytest.approx(np.array([[1 / 1.5], [0.5 / 1.5]]))
    assert average_channel(row, (1, 1)) == pytest.approx(np.array([[0.5]]))


def test_a_whole_factor_averages_blocks() -> None:
    channel = np.random.default_rng(0).random((12, 20), np.float32)
    blocks = channel.reshape(3, 4, 10, 2).mean(axis=(1, 3))
    assert average_channel(channel, (10, 3)) == pytest.approx(blocks, abs=1e-6)


def test_the_same_size_is_the_same() -> None:
    channel = np.random.default_rng(0).random((7, 5), np.float32)
    assert (average_channel(channel, (5, 7)) == channel).all()
    assert (average_channel(channel, (5, 6)).shape) == (6, 5)


@pytest.mark.parametrize("size", [(0, 3), (6, 3), (3, 8)])
def test_enlarging_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be averaged"):
        average_channel(np.zeros((7, 5), np.float32), size)


def test_fine_stripes_become_grey() -> None:
    """In linear light: half the light, not half the code value."""
    stripes = np.zeros((200, 300, 3), np.uint16)
    stripes[:, ::2] = 65535
    light = average_picture(stripes, (60, 40), curve())
    # A new pixel covers five old ones, two or three of them bright.
    assert np.abs(light.mean() - 0.5) < 1e-6
    assert ((light > 0.39) & (light < 0.61)).all()
    assert (
        np.abs(encode_srgb(average_picture(stripes, (30, 40), curve())).astype(int) - 188) <= 1
    ).all()


def test_order_of_averaging_and_matrix_does_not_matter() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (30, 40, 3), np.uint16)
    table = curve(color.romm_to_linear)
    ours = average_picture(pixels, (10, 7), table, color.LINEAR_FROM_ROMM)
    romm = color.romm_to_linear(pixels.transpose(2, 0, 1) / 65535)
    whole = color.apply_matrix(romm, color.LINEAR_FROM_ROMM)
    other = np.stack([average_channel(channel.astype(np.float32), (10, 7)) for channel in whole])
    assert whole.min() < 0 < 1 < whole.max(), "nothing lies outside sRGB"
    assert ours == pytest.approx(other, abs=1e-6)


def test_tables_hold_every_value() -> None:
    assert curve().shape == (65536,)
    assert curve()[[0, 65535]].tolist() == [0, 1]
    values = np.array([0, 2048, 2049, 40000, 65535])
    expected = color.romm_to_linear(values / 65535)
    assert curve(color.romm_to_linear)[values] == pytest.approx(expected, rel=1e-6)


def test_encoding_clips_and_rounds_once() -> None:
    light = np.array([-0.1, 0.0, 0.0031308, 0.2158605, 1.0, 1.7]).reshape(1, 1, 6).repeat(3, 0)
    eight, sixteen = encode_srgb(light), encode_srgb(light, bits=16)
    assert (eight.shape, eight.dtype) == ((1, 6, 3), np.uint8)
    assert (sixteen.shape, sixteen.dtype) == ((1, 6, 3), np.uint16)
    # sRGB's 0.0404494 and 128 / 255.
    assert eight[0, :, 0].tolist() == [0, 0, 10, 128, 255, 255]
    assert sixteen[0, :, 0].tolist() == [0, 0, 2651, 32896, 65535, 65535]


@given(st.integers(0, 255))
def test_what_was_bytes_stays(value: int) -> None:
    light = color.srgb_to_linear(np.full((3, 1, 1), value / 255))
    assert (encode_srgb(light) == value).all()


def test_whole_numbers_of_light_come_back_as_they_were() -> None:
    levels = np.arange(65536, dtype=np.uint16)
    pixels = np.stack([levels, levels[::-1], np.roll(levels, 7)], axis=1)[None]
    assert np.array_equal(linear_16(average_picture(pixels, (65536, 1), curve())), pixels)
    averaged = linear_16(
        average_picture(np.array([[[0] * 3, [65535] * 3]], np.uint16), (1, 1), curve())
    )
    assert averaged.tolist() == [[[32768] * 3]]
    assert linear_16(np.array([-0.1, 1.1, 0.5])[:, None, None]).tolist() == [[[0, 65535, 32768]]]


def test_8_bits_of_srgb_come_back_as_they_were() -> None:
    levels = np.arange(256, dtype=np.uint8)
    pixels = np.stack([levels, levels[::-1], np.roll(levels, 7)], axis=1)[None]
    table = curve(color.srgb_to_linear, 8)
    assert np.array_equal(encode_srgb(average_picture(pixels, (256, 1), table)), pixels)
