"""Development to camera RGB, against a literal computation in float64 from the stored samples.

LibRaw's demosaicking leaves each place's own colour as it is, so that those are compared to the
unit, and the rest on patches without detail.
"""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import rawpy
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from hdrnet_bench.errors import DataError
from hdrnet_bench.images import camera
from hdrnet_bench.images.camera import WHITE, develop_camera, read_rgb2rgb, read_shading
from hdrnet_bench.images.gain_map import GainMap, multiply, read_opcodes
from tests import dng
from tests.dng import gain_map, opcode_list, write_dng

SIZE = (40, 56)
PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")
HDRPLUS = {"black": 1024, "white": 16368}


def flat(*light: float) -> np.ndarray:
    return np.broadcast_to(np.array(light), (*SIZE, 3))


def gradient(size: tuple[int, int] = SIZE) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]] / size[1]
    return np.stack([0.1 + 0.8 * x, 0.2 + 0.4 * y, 0.6 - 0.3 * x + 0.1 * y], axis=-1)


def shading_map(down: int = 13, across: int = 17) -> np.ndarray:
    """Gains of R, G beside R, G beside B, B: rising to the corners, each of its own."""
    y, x = np.mgrid[-1 : 1 : down * 1j, -1 : 1 : across * 1j]
    radius = (y**2 + x**2 + 0.2 * x)[:, :, None]
    return (1 + radius * [0.5, 0.3, 0.35, 0.4]).astype(np.float32)


def slow_gain(gains: np.ndarray, spacing, origin, size, y: int, x: int) -> float:
    """One pixel of one plane, as the specification says it in words."""

    def place(axis: int, position: int) -> tuple[int, int, float]:
        relative = (position + 0.5) / size[axis]
        index = (relative - origin[axis]) / spacing[axis]
        if index <= 0:
            return 0, 0, 0.0
        if index >= gains.shape[axis] - 1:
            return gains.shape[axis] - 1, gains.shape[axis] - 1, 0.0
        return math.floor(index), math.floor(index) + 1, index - math.floor(index)

    top, bottom, down = place(0, y)
    left, right, across = place(1, x)
    above = float(gains[top, left]) * (1 - across) + float(gains[top, right]) * across
    below = float(gains[bottom, left]) * (1 - across) + float(gains[bottom, right]) * across
    return above * (1 - down) + below * down


def over_mosaic(
    shading: np.ndarray, pattern: str = "RGGB", size: tuple[int, int] = SIZE
) -> np.ndarray:
    """A map's gain for each place of a mosaic, slowly."""
    spacing = [1 / (points - 1) for points in shading.shape[:2]]
    full = np.empty(size)
    for y in range(size[0]):
        for x in range(size[1]):
            colour = pattern[y % 2 * 2 + x % 2]
            beside = pattern[y % 2 * 2 : y % 2 * 2 + 2]
            channel = {"R": 0, "B": 3}.get(colour, 1 if "R" in beside else 2)
            full[y, x] = slow_gain(shading[:, :, channel], spacing, (0, 0), size, y, x)
    return full


def four_maps(
    shading: np.ndarray, pattern: str = "RGGB", size: tuple[int, int] = SIZE
) -> tuple[int, int, bytes]:
    """The same as opcodes, one for each place of the mosaic, as phones write them."""
    opcodes = []
    for place, colour in enumerate(pattern):
        y, x = divmod(place, 2)
        beside = pattern[2 * y : 2 * y + 2]
        channel = {"R": 0, "B": 3}.get(colour, 1 if "R" in beside else 2)
        opcodes.append((9, 0, gain_map(shading[:, :, channel, None], (y, x, *size))))
    return opcode_list(*opcodes)


def own_colours(pixels: np.ndarray, pattern: str = "RGGB") -> np.ndarray:
    """(H, W): of each pixel the colour that its place of the mosaic saw."""
    single = np.empty(pixels.shape[:2], pixels.dtype)
    for place, colour in enumerate(pattern):
        y, x = divmod(place, 2)
        single[y::2, x::2] = pixels[y::2, x::2, "RGB".index(colour)]
    return single


def expected(
    path: Path, *, pattern="RGGB", black=(0, 0, 0, 0), white=dng.WHITE, neutral, gains=1.0
) -> np.ndarray:
    """What the mosaic of a file without a border comes to, before rounding."""
    with tifffile.TiffFile(path) as tiff:
        stored = tiff.pages.first.pages[0].asarray().astype(np.float64)
    multipliers = [max(neutral) / value for value in neutral]
    light = np.empty_like(stored)
    for place, colour in enumerate(pattern):
        y, x = divmod(place, 2)
        sites = stored[y::2, x::2]
        linear = ((sites - black[place]) / (white - max(black))).clip(0, 1)
        light[y::2, x::2] = linear * multipliers["RGB".index(colour)]
    return (light * gains * WHITE).clip(0, 65535)


def assert_close(pixels: np.ndarray, want: np.ndarray) -> None:
    """To the unit: half of one, and what float32 adds before rounding."""
    assert np.abs(pixels.astype(np.float64) - want).max() <= 0.51


def refused(path: Path, reason: str, shading=None) -> None:
    with pytest.raises(DataError, match=rf"a\.dng cannot be developed: .*{reason}"):
        develop_camera(path, shading)


def test_libraw_passes_every_value_through(tmp_path: Path) -> None:
    """All 65,536, at places of their own and as patches: over 1.0, and at the very end."""
    path = tmp_path / "a.dng"
    write_dng(path, np.full((256, 256, 3), 0.5), preview=False)
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    with rawpy.imread(str(path)) as raw:
        raw.raw_image_visible[:] = values
        pixels = raw.postprocess(**camera._parameters())
    assert (own_colours(pixels) == values).all()
    for value in (0, 1, 511, 512, WHITE - 1, WHITE, WHITE + 1, 50000, 65534, 65535):
        with rawpy.imread(str(path)) as raw:
            raw.raw_image_visible[:] = value
            assert (raw.postprocess(**camera._parameters()) == value).all()


def test_without_its_settings_libraw_would_scale(tmp_path: Path) -> None:
    """That the test above can fail: each of these changes a red patch."""
    path = tmp_path / "a.dng"
    write_dng(path, flat(0.5, 0.5, 0.5), black=(500, 510, 520, 530))

    def passed(differently: dict) -> np.ndarray:
        with rawpy.imread(str(path)) as raw:
            raw.raw_image_visible[:] = 20000
            raw.raw_image_visible[::2, ::2] = 40000
            return raw.postprocess(**(camera._parameters() | differently))

    for wrong in (
        {"no_auto_scale": False, "user_sat": None},
        {"no_auto_scale": False, "user_wb": None},
        {"user_black": None, "user_cblack": None},
        {"output_color": rawpy.ColorSpace.sRGB},
        {"gamma": (2.222, 4.5)},
        {"bright": 2.0},
    ):
        assert (passed(wrong) != passed({})).any(), wrong


@pytest.mark.parametrize("light", [(0.0, 0.0, 0.0), (0.4, 0.2, 0.1), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("levels", [HDRPLUS, {"black": 63.75, "white": 1023}, {}])
def test_flat_patches(tmp_path: Path, light, levels) -> None:
    path = tmp_path / "a.dng"
    level = levels.get("black", dng.BLACK)
    write_dng(path, flat(*light), **(levels | {"black": (level,) * 4}))
    developed = develop_camera(path, None)
    assert developed.pixels.dtype == np.uint16
    assert developed.pixels.flags.c_contiguous
    want = expected(
        path,
        black=(level,) * 4,
        white=levels.get("white", dng.WHITE),
        neutral=dng.SENSITIVITY,
    )
    for channel, (y, x) in enumerate([(0, 0), (0, 1), (1, 1)]):
        assert_close(developed.pixels[:, :, channel], want[y, x])
    # Half a level, times the largest multiplier.
    spacing = 1 / (levels.get("white", dng.WHITE) - level)
    assert np.abs(developed.pixels / WHITE - light).max() <= spacing + 0.5 / WHITE
    assert developed.shading == "none"
    assert developed.multipliers == pytest.approx([2.0, 1.0, 1 / 0.7], rel=1e-6)
    assert developed.black == [level] * 4
    assert developed.white == [levels.get("white", dng.WHITE)]
    assert developed.camera == "Maker Model 1"
    assert developed.notes == ([] if developed.pixels.any() else ["developed all black"])


def test_one_black_level_is_stored_as_one_number(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    write_dng(path, flat(0.5, 0.5, 0.5), **HDRPLUS)
    developed = develop_camera(path, None)
    assert developed.black == [1024]
    assert (developed.pixels[:, :, 1] == round(0.5 * WHITE)).all()


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("masked", [(0, 0, 0, 0), (6, 2, 4, 0), (3, 5, 1, 1), (1, 2, 0, 0)])
def test_each_place_has_its_black_level_and_gain(tmp_path: Path, pattern: str, masked) -> None:
    """Patterns and active areas that begin at odd places; every number differs by place."""
    path = tmp_path / "a.dng"
    black = (60.25, 63.75, 66.5, 71.0)
    shading = shading_map()
    write_dng(
        path,
        gradient(),
        pattern=pattern,
        masked=masked,
        black=black,
        white=1023,
        shading=over_mosaic(shading, pattern),
    )
    developed = develop_camera(path, shading)
    # LibRaw begins at even places.
    lost = [masked[1] % 2, masked[0] % 2]
    assert developed.pixels.shape == (SIZE[0] - lost[0], SIZE[1] - lost[1], 3)
    assert developed.black == list(black)
    want = gradient()[lost[0] :, lost[1] :]
    # Half a level of 10 bits, times the largest multiplier (2) and gain (2.1).
    own = np.empty(want.shape[:2])
    full = np.empty(want.shape[:2])
    for y in range(want.shape[0]):
        for x in range(want.shape[1]):
            place = (y + lost[0]) % 2 * 2 + (x + lost[1]) % 2
            channel = "RGB".index(pattern[place])
            own[y, x], full[y, x] = want[y, x, channel], developed.pixels[y, x, channel] / WHITE
    assert np.abs(own - full).max() < 0.5 / (1023 - 71) * 2 * 2.1
    assert np.abs(own - full).mean() < 0.6e-3
    # The other colours, where the demosaicking guesses.
    assert np.abs(developed.pixels / WHITE - want).mean() < 4e-3


def test_black_levels_of_rows_and_columns(tmp_path: Path) -> None:
    """BlackLevelDeltaV and -H come on top, and the largest sum sets the scale."""
    path = tmp_path / "a.dng"
    down = np.arange(SIZE[0]) % 7 - 2
    across = np.arange(SIZE[1]) % 5 - 1
    delta = [
        (50715, "2i", SIZE[1], [n for value in across for n in (int(value) * 10, 10)], True),
        (50716, "2i", SIZE[0], [n for value in down for n in (int(value), 1)], True),
    ]
    write_dng(path, flat(0.5, 0.5, 0.5), black=(100, 110, 120, 130), white=1023, extra=delta)
    with tifffile.TiffFile(path) as tiff:
        stored = tiff.pages.first.pages[0].asarray().astype(np.float64)
    black = np.tile([[100, 110], [120, 130]], (20, 28)) + down[:, None] + across
    light = (stored - black).clip(0) / (1023 - black.max())
    gains = np.tile([[2, 1], [1, 1 / 0.7]], (20, 28))
    assert black.max() == 130 + 4 + 3
    assert_close(own_colours(develop_camera(path, None).pixels), light * gains * WHITE)
    write_dng(path, flat(0.5, 0.5, 0.5), extra=[(50716, "2i", 3, (1, 1, 2, 1, 3, 1), True)])
    refused(path, f"tag 50716 has 3 numbers, {SIZE[0]} are wanted")


def test_levels_that_make_no_sense(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    write_dng(path, flat(0, 0, 0), black=1022, white=1023)
    develop_camera(path, None)
    for black in (1023, 1024):
        write_dng(path, flat(0, 0, 0), black=black, white=1023)
        refused(path, "white level .* is not above its black level")
    write_dng(path, flat(0, 0, 0), extra=[(50713, "H", 2, (2, 2), True)])
    refused(path, "tag 50714 has 1 numbers, 4 are wanted")
    write_dng(path, flat(0, 0, 0), black=(1, 1, 1, 1))
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.pages[0].tags[50714].overwrite((1, 0) * 4)
    refused(path, "tag 50714 has a fraction over zero")
    write_dng(path, flat(0, 0, 0), extra=[(50829, "I", 4, (0, 0, 41, 56), True)])
    refused(path, "active area lies outside")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_upright(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.dng"
    scene = gradient()
    sensor = dng.sensor(scene, orientation).shape[:2]
    shading = shading_map()
    write_dng(
        path,
        scene,
        orientation=orientation,
        shading=over_mosaic(shading, size=sensor),
        extra=[four_maps(shading, size=sensor)],
        **HDRPLUS,
    )
    developed = develop_camera(path, None)
    assert developed.orientation == orientation
    assert developed.pixels.shape == scene.shape
    difference = np.abs(developed.pixels / WHITE - scene)
    assert difference.mean() < 1.5e-3
    assert difference.max() < 0.03  # AHD's frame


@pytest.mark.parametrize("border", [(4, 6, 2, 8), (5, 7, 3, 1)])
@pytest.mark.parametrize("masked", [(0, 0, 0, 0), (3, 5, 1, 1)])
def test_the_default_crop_is_exact(tmp_path: Path, border, masked) -> None:
    """And the shading's places count from the active area, not from the crop."""
    path = tmp_path / "a.dng"
    size = (SIZE[0] + border[1] + border[3], SIZE[1] + border[0] + border[2])
    shading = shading_map()
    write_dng(
        path,
        gradient(),
        border=border,
        masked=masked,
        shading=over_mosaic(shading, size=size),
        extra=[four_maps(shading, size=size)],
    )
    developed = develop_camera(path, None)
    assert developed.pixels.shape == (*SIZE, 3)
    assert np.abs(developed.pixels / WHITE - gradient()).mean() < 2e-3


def test_what_shines_brighter_than_white_survives(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    scene = (1.9, 1.0, 1.4)
    write_dng(path, flat(*scene))
    assert np.abs(develop_camera(path, None).pixels / WHITE - scene).max() < 2e-4
    # The largest that can be stored, and what is clipped to it.
    for gain, stored in ((65535 / WHITE - 1e-3, 65502), (65535 / WHITE, 65535), (2.5, 65535)):
        opcode = gain_map(np.full((1, 1, 1), gain, np.float32), (0, 0, 0, 0), pitch=(1, 1))
        write_dng(path, flat(2.0, 1.0, 1 / 0.7), extra=[opcode_list((9, 0, opcode))])
        pixels = develop_camera(path, None).pixels
        assert np.abs(pixels[:, :, 1].astype(int) - stored).max() <= 1
        assert (pixels[:, :, 0] == 65535).all()


@pytest.mark.parametrize("neutral", [(0.5, 1.0, 0.7), (1.25, 1.0, 0.8), (1.0, 1.0, 1.0)])
def test_what_saturates_is_never_below_white(tmp_path: Path, neutral) -> None:
    """Not by a neutral that is not green, nor by a black level below the others, nor by gains."""
    path = tmp_path / "a.dng"
    opcode = opcode_list((9, 0, gain_map(np.full((1, 1, 1), 0.9), (0, 0, 0, 0), pitch=(1, 1))))
    saturated = flat(*(1 / value for value in neutral))
    for extra, gain in (([], 1.0), ([opcode], 0.9)):
        black = (60, 61, 62, 63)
        write_dng(path, saturated, black=black, white=1023, neutral=neutral, extra=extra)
        with tifffile.TiffFile(path, mode="r+") as tiff:
            offset = tiff.pages.first.pages[0].dataoffsets[0]
        content = bytearray(path.read_bytes())
        content[offset : offset + 2 * SIZE[0] * SIZE[1]] = b"\xff\x03" * (SIZE[0] * SIZE[1])
        path.write_bytes(content)
        developed = develop_camera(path, None)
        smallest = max(neutral)
        assert developed.multipliers == pytest.approx([smallest / n for n in neutral], rel=1e-5)
        for channel, value in enumerate(neutral):
            want = max(1, smallest / value * gain)
            assert np.abs(developed.pixels[:, :, channel] / WHITE - want).max() < 1e-4
            assert developed.pixels[:, :, channel].min() >= WHITE


def test_shading_is_corrected_once(tmp_path: Path) -> None:
    """A vignetted flat field comes out flat: by the file's opcodes, whether the map is given or
    not, and by the map where the file has none. Twice would be wrong by half."""
    shading = shading_map()
    light = (0.3, 0.2, 0.1)
    vignetted = {"shading": over_mosaic(shading), "black": (1000, 1010, 1020, 1024), "white": 16368}
    write_dng(tmp_path / "a.dng", flat(*light), extra=[four_maps(shading)], **vignetted)
    write_dng(tmp_path / "b.dng", flat(*light), **vignetted)
    # Half a level, times the multiplier (2) and the gain (2.1).
    tolerance = 0.5 / (16368 - 1024) * 2 * 2.1 + 1 / WHITE
    for name, beside, source in (
        ("a.dng", None, "opcode"),
        ("a.dng", shading, "opcode"),
        ("b.dng", shading, "map"),
    ):
        developed = develop_camera(tmp_path / name, beside)
        assert developed.shading == source
        assert np.abs(developed.pixels / WHITE - light).max() < tolerance
        assert developed.notes == []
    uncorrected = develop_camera(tmp_path / "b.dng", None)
    assert uncorrected.shading == "none"
    middle = uncorrected.pixels[20, 28] / WHITE
    assert np.abs(middle - light).max() < 0.01
    assert (uncorrected.pixels[0, -1] / WHITE < np.array(light) * 0.7).all()
    # That both would show: a file with opcodes, of a scene that no lens has darkened.
    write_dng(tmp_path / "c.dng", flat(*light), extra=[four_maps(shading)])
    once = develop_camera(tmp_path / "c.dng", shading).pixels
    assert_close(
        own_colours(once),
        expected(
            tmp_path / "c.dng",
            black=(dng.BLACK,) * 4,
            neutral=dng.SENSITIVITY,
            gains=over_mosaic(shading),
        ),
    )
    squared = over_mosaic(shading) ** 2
    assert np.abs(own_colours(once) - own_colours(flat(*light)) * squared * WHITE).max() > 2000


def test_several_opcodes_compose(tmp_path: Path) -> None:
    """One for all pixels, one for an area of some rows, and ones that touch nothing here."""
    path = tmp_path / "a.dng"
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    first = np.array([[1.0, 1.5], [1.25, 2.0]], np.float32)[:, :, None]
    second = np.array([[1.1]], np.float32)[:, :, None]
    write_dng(
        path,
        gradient() / 2.2,
        extra=[
            opcode_list(
                (9, 0, gain_map(first, (0, 0, 0, 0), pitch=(1, 1))),
                (9, 1, gain_map(second, (5, 3, 30, 50), pitch=(3, 1))),
                (9, 0, gain_map(second * 9, (0, 0, *SIZE), planes=(1, 3))),
                (9, 0, gain_map(second * 9, (*SIZE, 500, 500))),
            )
        ],
    )
    gains = np.vectorize(
        lambda y, x: slow_gain(first[:, :, 0], (1, 1), (0, 0), SIZE, y, x), otypes=[float]
    )(y, x)
    gains = np.where((y >= 5) & (y < 30) & (y % 3 == 2) & (x >= 3) & (x < 50), gains * 1.1, gains)
    want = expected(path, black=(dng.BLACK,) * 4, neutral=dng.SENSITIVITY, gains=gains)
    developed = develop_camera(path, None)
    assert developed.shading == "opcode"
    assert_close(own_colours(developed.pixels), want)


def test_opcodes_that_are_not_known(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    gains = gain_map(np.full((1, 1, 1), 2.0), (0, 0, 0, 0), pitch=(1, 1))
    write_dng(path, flat(0.4, 0.2, 0.1), extra=[opcode_list((7, 1, b"??"), (9, 0, gains))])
    developed = develop_camera(path, None)
    assert developed.notes == ["opcode 7 not applied"]
    assert np.abs(developed.pixels / WHITE - (0.8, 0.4, 0.2)).max() < 5e-4
    write_dng(path, flat(0.4, 0.2, 0.1), extra=[opcode_list((7, 3, b"??"))])
    shading = np.full((2, 2, 4), 2, np.float32)
    developed = develop_camera(path, shading)
    assert developed.shading == "map"
    assert developed.notes == ["opcode 7 not applied"]
    for flags in (0, 2):
        write_dng(path, flat(0.4, 0.2, 0.1), extra=[opcode_list((7, flags, b"??"))])
        refused(path, "it demands opcode 7", shading)
    write_dng(path, flat(0.4, 0.2, 0.1), extra=[opcode_list()])
    assert develop_camera(path, None).shading == "none"
    others = [(tag, "B", 4, (0, 0, 0, 0), True) for tag in (51008, 51022)]
    write_dng(path, flat(0.4, 0.2, 0.1), extra=others)
    assert develop_camera(path, None).notes == [
        "OpcodeList1 not applied",
        "OpcodeList3 not applied",
    ]


def test_lists_of_opcodes_that_are_malformed(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    gains = np.full((2, 2, 1), 1.5)
    whole = opcode_list((9, 0, gain_map(gains, (0, 0, *SIZE))))[3]

    def write(content: bytes) -> None:
        write_dng(path, flat(0, 0, 0), extra=[(51009, 7, len(content), content, True)])

    write(whole)
    develop_camera(path, None)
    for length in (1, 3, 4, 19, 20, 51, 60, len(whole) - 4, len(whole) - 1):
        write(whole[:length])
        refused(path, "list of opcodes is truncated")
    write(whole + b"\0")
    refused(path, "goes on for 1 bytes")
    notes: list[str] = []
    for length in range(len(whole)):  # wherever it ends
        with pytest.raises(ValueError, match="opcodes"):
            read_opcodes(whole[:length], notes)
    parameters = gain_map(gains, (0, 0, *SIZE))
    for wrong, reason in (
        (parameters[:-4], "bytes for 2 x 2 x 1 gains"),
        (parameters + b"\0\0\0\0", "bytes for 2 x 2 x 1 gains"),
        (parameters[:40], "truncated"),
        (gain_map(gains, (0, 0, *SIZE), pitch=(0, 1)), "no pitch"),
        (gain_map(gains, (0, 0, *SIZE), planes=(0, 0)), "no planes"),
        (gain_map(np.ones((0, 2, 1)), (0, 0, *SIZE)), "no points"),
        (gain_map(gains, (0, 0, 0, 0)), "empty area"),
        (gain_map(gains, (0, 0, *SIZE), spacing=(0.0, 1.0)), "no size or place"),
        (gain_map(gains, (0, 0, *SIZE), spacing=(1.0, -1.0)), "no size or place"),
        (gain_map(gains, (0, 0, *SIZE), spacing=(np.nan, 1.0)), "no size or place"),
        (gain_map(gains, (0, 0, *SIZE), origin=(0.0, np.inf)), "no size or place"),
        (gain_map(gains * np.array([[1, 0]]).T[..., None], (0, 0, *SIZE)), "positive numbers"),
        (gain_map(-gains, (0, 0, *SIZE)), "positive numbers"),
        (gain_map(gains * np.nan, (0, 0, *SIZE)), "positive numbers"),
        (gain_map(gains * np.inf, (0, 0, *SIZE)), "positive numbers"),
    ):
        write(opcode_list((9, 1, wrong))[3])
        refused(path, reason)


points = st.integers(1, 4)


@given(
    data=st.data(),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    grid=st.tuples(points, points, st.integers(1, 3)),
    area=st.tuples(*[st.integers(-3, 14)] * 4),
    pitch=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    plane=st.integers(0, 3),
    planes=st.integers(1, 4),
    spacing=st.tuples(st.floats(0.05, 2), st.floats(0.05, 2)),
    origin=st.tuples(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5)),
)
def test_gains_are_those_of_the_literal_formula(
    data, size, grid, area, pitch, plane, planes, spacing, origin
) -> None:
    gains = np.random.default_rng(data.draw(st.integers(0, 99))).uniform(0.5, 3, grid)
    gains = gains.astype(np.float32)
    top, left, bottom, right = area
    everything = bottom <= top or right <= left
    picture = np.ones((*size, 3))
    if everything:
        pitch = (1, 1)
    for y in range(size[0]):
        for x in range(size[1]):
            inside = top <= y < bottom and left <= x < right
            hit = inside and (y - top) % pitch[0] == 0 and (x - left) % pitch[1] == 0
            for channel in range(plane, min(plane + planes, 3)):
                if hit or everything:
                    own = gains[:, :, min(channel, grid[2] - 1)]
                    picture[y, x, channel] = slow_gain(own, spacing, origin, size, y, x)
    map_ = GainMap(*area, plane, planes, pitch, spacing, origin, gains)
    # In two parts, cut anywhere, as strips cut it.
    cut = data.draw(st.integers(0, size[0]))
    aside = data.draw(st.integers(0, size[1] - 1))
    whole = np.ones((*size, 3), np.float32)
    multiply(whole[:cut, aside:], map_, size, (0, aside))
    multiply(whole[cut:, aside:], map_, size, (cut, aside))
    np.testing.assert_allclose(whole[:, aside:], picture[:, aside:], rtol=1e-6)


def test_strips_do_not_show(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.dng"
    shading = shading_map()
    write_dng(path, gradient(), masked=(3, 5, 1, 1), black=(60, 61, 62, 63), white=1023)
    whole = develop_camera(path, shading).pixels
    monkeypatch.setattr(camera, "_STRIP", 7)
    assert (develop_camera(path, shading).pixels == whole).all()


def test_what_the_camera_has_demosaiced(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    gains = np.stack([np.full((1, 1), gain) for gain in (1.5, 2.0)], axis=-1)
    opcode = gain_map(gains, (0, 0, 0, 0), pitch=(1, 1), planes=(0, 3))
    for black in (0, 700):
        write_dng(path, gradient(), mosaic=False, black=black)
        developed = develop_camera(path, None)
        assert developed.black == [black] * 3
        assert np.abs(developed.pixels / WHITE - gradient()).max() < 1e-4
        write_dng(
            path, gradient() / 2, mosaic=False, black=black, extra=[opcode_list((9, 0, opcode))]
        )
        want = gradient() / 2 * (1.5, 2, 2)  # the last plane serves those beyond it
        assert np.abs(develop_camera(path, None).pixels / WHITE - want).max() < 2e-4
    write_dng(path, gradient(), mosaic=False)
    refused(path, "for a Bayer pattern", shading_map())


@pytest.mark.parametrize("masked", [(0, 0, 0, 0), (5, 3, 1, 0)])
def test_a_pattern_that_is_not_bayers(tmp_path: Path, masked) -> None:
    """Fujifilm's, which LibRaw demosaics in tiles of 512 and with an algorithm of its own."""
    path = tmp_path / "a.dng"
    pattern = "GGRGGBGGBGGRBRGRBGGGBGGRGGRGGBRBGBRG"
    scene = np.broadcast_to((0.4, 0.2, 0.1), (516, 522, 3))
    write_dng(path, scene, pattern=pattern, masked=masked)
    pixels = develop_camera(path, None).pixels
    assert pixels.shape == scene.shape
    # LibRaw leaves a pixel or two of the frame without two of their colours.
    assert np.abs(pixels[1:-1, 1:-1] / WHITE - scene[1:-1, 1:-1]).max() < 2e-4
    refused(path, "for a Bayer pattern", shading_map())


def test_a_linearization_table_comes_before_the_levels(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    table = np.minimum(np.arange(16384) * 2 + 100, 65535)
    levels = {"black": 1124, "white": 32866}
    # Stored so that the table makes it twice as much, and 100 more.
    write_dng(
        path,
        flat(0.5, 0.5, 0.5),
        black=512,
        white=16383,
        extra=[(50712, "H", 16384, table.tolist(), True)],
    )
    with tifffile.TiffFile(path, mode="r+") as tiff:
        page = tiff.pages.first.pages[0]
        page.tags[50714].overwrite(levels["black"])
        page.tags[50717].overwrite(levels["white"])
    assert np.abs(develop_camera(path, None).pixels / WHITE - 0.5).max() < 1e-4


@pytest.mark.parametrize("kind", dng.DEVELOPED)
def test_kinds_that_are_developed(tmp_path: Path, kind: str) -> None:
    """Each of a scene of its own: LibRaw shows what lies in memory where it decodes nothing."""
    number = list(dng.DEVELOPED).index(kind)
    scene = gradient((64, 96)) * (0.5 + 0.5 * number / len(dng.DEVELOPED))
    how = dng.DEVELOPED[kind]
    write_dng(tmp_path / "a.dng", scene, **how)
    difference = np.abs(develop_camera(tmp_path / "a.dng", None).pixels / WHITE - scene)
    step = 2 / how.get("white", dng.WHITE)  # a level, times the largest multiplier
    assert difference.mean() < 2e-4 + step / 4
    assert difference.max() < 0.01 + step


@pytest.mark.parametrize("kind", dng.REFUSED)
def test_kinds_that_are_refused(tmp_path: Path, kind: str) -> None:
    how, reason = dng.REFUSED[kind]
    write_dng(tmp_path / "a.dng", gradient((64, 96)), preview=False, **how)
    refused(tmp_path / "a.dng", reason)


def test_lossy_jpeg_is_refused(tmp_path: Path) -> None:
    """LibRaw gives its light, in another scale than the tags'."""
    path = tmp_path / "a.dng"
    curves = [dng.polynomial(plane, (0, 1), (0, 0, 64, 96)) for plane in range(3)]
    write_dng(path, gradient((64, 96)), **dng.lossy(*curves))
    refused(path, "its pixels are lossy JPEG, which gives no camera colours")


def test_levels_that_differ_by_colour(tmp_path: Path) -> None:
    """LibRaw takes them for a white balance."""
    path = tmp_path / "a.dng"
    for code, levels in ((50714, (700, 700, 701)), (50717, (16000, 16000, 15999))):
        write_dng(path, gradient(), mosaic=False, black=0, extra=[(code, "H", 3, levels, True)])
        refused(path, "its colours have different levels")
    both = [(50714, "H", 3, (1, 2, 3), True), (50717, "H", 3, (16001, 16002, 16003), True)]
    write_dng(path, gradient(), mosaic=False, extra=both)
    assert develop_camera(path, None).multipliers == pytest.approx([2.0, 1.0, 1 / 0.7], rel=1e-4)


@pytest.mark.parametrize("compression", ["none", "lossless-jpeg"])
def test_what_cannot_be_developed(tmp_path: Path, compression) -> None:
    path = tmp_path / "a.dng"
    with pytest.raises(DataError, match=r"a\.dng is missing"):
        develop_camera(path, None)
    write_dng(path, gradient(), compression=compression)
    assert np.abs(develop_camera(path, None).pixels / WHITE - gradient()).mean() < 1e-3
    content = path.read_bytes()
    for missing in (1, len(content) // 2):
        path.write_bytes(content[:-missing])
        refused(path, "the file is truncated")
    path.write_bytes(b"hello")
    refused(path, "")
    # SampleFormat 3, which tifffile leaves to itself to write.
    write_dng(path, gradient(), extra=[(65000, "H", 1, 3, True)])
    rest = struct.pack("<HIHH", 3, 1, 3, 0)
    content = path.read_bytes()
    entry = struct.pack("<H", 65000) + rest
    assert content.count(entry) == 1
    path.write_bytes(content.replace(entry, struct.pack("<H", 339) + rest))
    refused(path, "its samples are 16-bit floating point")
    write_dng(path, gradient(), white_balance=False)
    developed = develop_camera(path, None)
    assert developed.notes == ["no camera white balance in the file, the camera's daylight taken"]
    assert developed.multipliers == pytest.approx([2.0, 1.0, 1 / 0.7], rel=1e-3)
    write_dng(
        path, gradient(), extra=[(50719, "H", 2, (56, 4), True), (50720, "H", 2, (9, 9), True)]
    )
    refused(path, "default crop lies outside")


def test_shading_maps(tmp_path: Path) -> None:
    path = tmp_path / "lens_shading_map_N000.tiff"
    gains = shading_map()
    plain = {"photometric": "minisblack", "metadata": None}
    for planar, stored in (("contig", gains), ("separate", np.moveaxis(gains, -1, 0))):
        tifffile.imwrite(path, stored, planarconfig=planar, **plain)
        read = read_shading(path)
        assert read.dtype == np.float32
        assert (read == gains).all()
    tifffile.imwrite(path, gains.astype(np.float64), planarconfig="contig", **plain)
    assert (read_shading(path) == gains).all()

    def refused_map(reason: str) -> None:
        with pytest.raises(DataError, match=rf"N000\.tiff is no lens shading map: .*{reason}"):
            read_shading(path)

    for wrong in (gains[:, :, :3], gains[:, :, 0], (gains * 100).astype(np.uint16)):
        planar = None if wrong.ndim == 2 else "contig"
        tifffile.imwrite(path, wrong, planarconfig=planar, **plain)
        refused_map("h x w x 4 floating ones are wanted")
    for bad in (0.0, -1.0, np.nan, np.inf):
        spoilt = gains.copy()
        spoilt[3, 4, 1] = bad
        tifffile.imwrite(path, spoilt, planarconfig="contig", **plain)
        refused_map("positive numbers")
    tifffile.imwrite(path, gains, planarconfig="contig", **plain)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    refused_map("truncated")
    path.write_bytes(b"no picture")
    refused_map("")
    path.unlink()
    with pytest.raises(DataError, match=r"N000\.tiff is missing"):
        read_shading(path)


def test_colour_matrices(tmp_path: Path) -> None:
    path = tmp_path / "rgb2rgb.txt"
    matrix = [[1.6, -0.4, -0.2], [-0.3, 1.5, -0.2], [0.1, -0.6, 1.5]]
    lines = [" ".join(map(str, row)) for row in matrix]
    for text in ("\n".join(lines) + "\n", "  ".join(lines), ",\n".join(lines).replace(" ", ", ")):
        path.write_text(text)
        read = read_rgb2rgb(path)
        assert read.dtype == np.float64
        assert read.tolist() == matrix

    def refused_matrix(text: str, reason: str) -> None:
        path.write_text(text)
        with pytest.raises(DataError, match=rf"rgb2rgb\.txt is no colour matrix: {reason}"):
            read_rgb2rgb(path)

    refused_matrix("", "0 numbers")
    refused_matrix("1 0 0 0 1 0 0 0", "8 numbers")
    refused_matrix("1 0 0 0 1 0 0 0 1 0", "10 numbers")
    refused_matrix("1 0 0 0 1 0 0 0 one", "could not convert")
    refused_matrix("1 0 0 0 nan 0 0 0 1", "its rows sum")
    refused_matrix("1 0 0 0 inf 0 0 0 1", "its rows sum")
    refused_matrix("1 0 0 0 1 0 0.06 0 1", "its rows sum")
    path.write_text("1 0 0 0 1 0 0.04 0 1")
    assert read_rgb2rgb(path)[2].sum() == 1.04
    path.unlink()
    with pytest.raises(DataError, match=r"rgb2rgb\.txt is missing"):
        read_rgb2rgb(path)


def test_what_is_recorded_is_what_libraw_is_told() -> None:
    recorded = camera.settings()
    told = recorded["parameters"]
    assert told["demosaic_algorithm"] == "AHD"
    assert (told["no_auto_scale"], told["no_auto_bright"]) == (True, True)
    assert told["user_wb"] == [1] * 4
    assert (told["user_black"], told["user_sat"]) == (0, 65535)
    assert recorded["rawpy"] == rawpy.__version__
