"""The example that enhances videos, on videos that the tests make."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.errors import CapabilityError, DataError, HdrbenchError, UsageError
from hdrnet_bench.examples import video_frames
from hdrnet_bench.images import write_png
from hdrnet_bench.model.file import ModelHeader, save_model
from tests.conftest import Workspace, smooth_picture

BT709, PQ, HLG = 1, 16, 18


@pytest.fixture
def model(workspace: Workspace) -> HDRNet:
    """A network of random weights, also as model.safetensors."""
    torch.manual_seed(3)
    config = HDRNetConfig(net_input_size=32, spatial_bin=4, luma_bins=4)
    network = HDRNet(config).eval()
    with torch.no_grad():  # each colour gets a share of all, so that little is clipped
        for layer in network.coefficient_network.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                last = layer
        assert last.bias is not None
        last.bias.fill_(0.25)
    save_model(workspace.path / "model.safetensors", network, ModelHeader(config=config))
    return network


def pan(count: int, height: int = 64, width: int = 96) -> list[np.ndarray]:
    """Frames that move over a picture, brighter from one to the next."""
    wide = smooth_picture(5, height, width + 4 * count)
    views = [wide[:, 4 * i : 4 * i + width] for i in range(count)]
    return [np.ascontiguousarray(view // 2 + 8 * i) for i, view in enumerate(views)]


def write_video(path: str, frames: Sequence[np.ndarray], curve: int = BT709) -> None:
    """H.264 at 10 frames a second, the third a frame late."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "4"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, 10)
        context.colorspace = context.color_primaries = BT709
        context.color_range, context.color_trc = 1, curve
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p",
                dst_colorspace=BT709,
                dst_color_range=1,
                interpolation=video_frames.EXACT,
            )
            frame.pts, frame.time_base = index + (index >= 2), Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def read_video(path: str) -> list[av.VideoFrame]:
    with av.open(path) as container:
        return list(container.decode(video=0))


def rgb(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray(format="rgb24", interpolation=video_frames.EXACT).astype(int)


def by_the_model(model: HDRNet, pixels: np.ndarray) -> np.ndarray:
    planar = torch.from_numpy(np.ascontiguousarray(pixels, np.uint8)).permute(2, 0, 1)
    return model.enhance(planar).permute(1, 2, 0).numpy().astype(int)


def test_a_video_is_enhanced_frame_by_frame(model: HDRNet, capsys) -> None:
    write_video("in.mp4", pan(5))
    arguments = ["model.safetensors", "in.mp4", "out.mp4", "--every", "1", "--smoothing", "0"]
    video_frames.main(arguments)
    before, after = read_video("in.mp4"), read_video("out.mp4")
    assert [frame.time for frame in after] == [frame.time for frame in before]
    assert [frame.time for frame in after] == pytest.approx([0, 0.1, 0.3, 0.4, 0.5])
    for old, new in zip(before, after, strict=True):
        expected = by_the_model(model, rgb(old))
        assert np.abs(rgb(new) - expected).mean() < 4, "half the colours' resolution, and crf 18"
        assert abs((rgb(new) - expected).mean()) < 0.7, "brighter or darker as a whole"
        assert np.abs(expected - rgb(old)).mean() > 8, "the model changes nothing"
        assert (new.colorspace, new.color_primaries, new.color_trc) == (BT709, BT709, BT709)
        assert new.color_range == 1
    assert capsys.readouterr().out.startswith("out.mp4: 5 frames in ")


def enhanced(model: HDRNet, frames: list[np.ndarray], every: int, smoothing: float) -> list:
    """Copies of what `video_frames.enhanced` makes."""
    given = (video_frames.Frame(pixels, 0, Fraction(1), (1, 1, 1)) for pixels in frames)
    made = video_frames.enhanced(model, given, every, smoothing)
    return [frame.pixels.copy() for frame in made]


@pytest.mark.parametrize("numbers", [np.uint8, np.uint16])
def test_each_frame_is_what_enhance_makes(model: HDRNet, numbers: type) -> None:
    frames = pan(3)
    stored = [frame.astype(numbers) * (257 if numbers == np.uint16 else 1) for frame in frames]
    for before, after in zip(frames, enhanced(model, stored, 1, 0), strict=True):
        assert after.dtype == np.uint8
        assert np.abs(after - by_the_model(model, before)).max() <= 1


def test_every_and_smoothing_are_the_enhancer_s(model: HDRNet) -> None:
    frames = pan(7)
    enhance = model.enhancer(*frames[0].shape[:2], every=3, smoothing=0.75)
    made = enhanced(model, frames, 3, 0.75)
    for before, after in zip(frames, made, strict=True):
        assert np.array_equal(after, enhance(before))
    assert not np.array_equal(made[6], enhanced(model, frames, 1, 0)[6])


def test_16_bit_frames_and_folders(model: HDRNet) -> None:
    frames = pan(3, height=33, width=47)
    Path("frames").mkdir()
    for index, pixels in enumerate(frames):
        write_png(f"frames/{index}.png", pixels.astype(np.uint16) * 257)
    video_frames.main(["model.safetensors", "frames", "out.mp4", "--rate", "50/2", "--every", "1"])
    read = read_video("out.mp4")
    assert [frame.time for frame in read] == pytest.approx([0, 0.04, 0.08])
    assert {rgb(frame).shape for frame in read} == {(33, 47, 3)}
    assert np.abs(rgb(read[0]) - by_the_model(model, frames[0])).mean() < 4


def test_a_turned_video_is_upright(model: HDRNet) -> None:
    """By a quarter to the right, as a telephone's: the frame's left is the picture's top."""
    pixels = pan(1)[0]
    write_video("in.mp4", [pixels, pixels])
    content = bytearray(Path("in.mp4").read_bytes())
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    at = content.index(b"tkhd") + 44
    assert content[at : at + 4] == struct.pack(">i", 1 << 16)
    content[at : at + 36] = matrix
    Path("in.mp4").write_bytes(content)
    video_frames.main(["model.safetensors", "in.mp4", "out.mp4"])
    (frame, _) = read_video("out.mp4")
    assert frame.rotation == 0
    expected = by_the_model(model, np.rot90(pixels, -1))
    assert rgb(frame).shape == expected.shape
    right, wrong = (np.abs(rgb(frame) - one).mean() for one in (expected, expected[::-1, ::-1]))
    assert right < wrong / 3


@pytest.mark.parametrize("curve", [PQ, HLG])
def test_hdr_is_refused(model: HDRNet, curve: int) -> None:
    write_video("in.mp4", pan(2), curve)
    with pytest.raises(DataError, match=r"in\.mp4 is HDR video"):
        video_frames.main(["model.safetensors", "in.mp4", "out.mp4"])


def test_what_is_no_video_is_named(model: HDRNet) -> None:
    for name, why in [
        ("README.md", "Invalid data found when processing input"),
        ("text.mp4", "Invalid data found when processing input"),
        ("text.txt", "it is text"),  # which FFmpeg would draw, letter by letter
        ("none.mp4", "No such file or directory"),
    ]:
        if not name.startswith("none"):
            Path(name).write_text("no video\n" * 1000)
        with pytest.raises(DataError) as error:
            video_frames.main(["model.safetensors", name, "out.mp4"])
        assert str(error.value) == f"{name} cannot be read as a video: {why}"
        assert not Path("out.mp4").exists()
    Path("empty").mkdir()
    with pytest.raises(DataError, match="no frames"):
        video_frames.main(["model.safetensors", "empty", "out.mp4"])


def test_a_video_that_ends_early_is_named(model: HDRNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage that is met among the frames is the input's too, and not the output's."""
    write_video("in.mp4", pan(3))

    def damaged(path: Path) -> Iterator[video_frames.Frame]:
        yield video_frames.Frame(pan(1)[0], 0, Fraction(1, 10), (BT709, BT709, BT709))
        raise av.error.InvalidDataError(1, "damaged")

    monkeypatch.setattr(video_frames, "_decoded", damaged)
    with pytest.raises(DataError, match=r"^in\.mp4 cannot be read as a video: damaged$"):
        video_frames.main(["model.safetensors", "in.mp4", "out.mp4"])


def test_what_cannot_be_encoded_names_the_output(
    model: HDRNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video("in.mp4", pan(3))

    def full(*arguments: object) -> int:
        raise av.error.OSError(28, "No space left on device")

    monkeypatch.setattr(video_frames, "write", full)
    with pytest.raises(DataError, match=r"^out\.mp4 cannot be written: No space left"):
        video_frames.main(["model.safetensors", "in.mp4", "out.mp4"])


@pytest.mark.parametrize("name", ["out.mkv", "out", "mp4", "out.MP4"])
def test_the_output_is_an_mp4_by_name(workspace: Workspace, name: str) -> None:
    """Looked at before the model, which is not there."""
    good = name == "out.MP4"
    says = "none.safetensors" if good else f"^{name}: .* suffix .mp4"
    with pytest.raises(HdrbenchError, match=says) as error:
        video_frames.main(["none.safetensors", "in.mp4", name])
    assert good or isinstance(error.value, UsageError)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("23.976023976", Fraction(24000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        ("29.97", Fraction(2997, 100)),
    ],
)
def test_rates_are_fractions_that_ffmpeg_takes(model: HDRNet, text: str, rate: Fraction) -> None:
    Path("frames").mkdir()
    for index, pixels in enumerate(pan(3)):
        write_png(f"frames/{index}.png", pixels)
    video_frames.main(["model.safetensors", "frames", "out.mp4", f"--rate={text}"])
    times = [frame.time for frame in read_video("out.mp4")]
    assert times == pytest.approx([0, float(1 / rate), float(2 / rate)], abs=1e-5)


def test_frames_of_two_sizes_are_refused(model: HDRNet) -> None:
    Path("frames").mkdir()
    for index, height in enumerate((32, 32, 34)):
        write_png(f"frames/{index}.png", smooth_picture(1, height, 40))
    Path("out.mp4").write_text("of before")
    with pytest.raises(DataError, match="frame 3 is of another size"):
        video_frames.main(["model.safetensors", "frames", "out.mp4"])
    assert Path("out.mp4").read_text() == "of before"
    assert not list(Path().glob(".tmp-*"))


def test_a_model_for_linear_light_is_refused(workspace: Workspace) -> None:
    config = HDRNetConfig(input_encoding="linear")
    save_model(Path("linear.safetensors"), HDRNet(config), ModelHeader(config=config))
    with pytest.raises(UsageError, match=r"linear\.safetensors takes linear light"):
        video_frames.main(["linear.safetensors", "in.mp4", "out.mp4"])


@pytest.mark.parametrize(
    ("option", "value", "good"),
    [
        ("--every", "0", False),
        ("--every", "1", True),
        ("--smoothing", "-0.01", False),
        ("--smoothing", "0", True),
        ("--smoothing", "1", False),
        ("--smoothing", "0.99", True),
        ("--rate", "0", False),
        ("--rate", "1/1001", False),
        ("--rate", "1/1000", True),
        ("--rate", "1000", True),
        ("--rate", "1000.01", False),
        ("--rate", "1/0", False),
    ],
)
def test_options_have_bounds(model: HDRNet, option: str, value: str, good: bool) -> None:
    arguments = ["model.safetensors", "none.mp4", "out.mp4", f"{option}={value}"]
    with pytest.raises(DataError if good else UsageError, match="none.mp4" if good else option):
        video_frames.main(arguments)


def test_without_pyav_it_says_what_to_install(
    model: HDRNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(CapabilityError, match="pip install av"):
        video_frames.main(["model.safetensors", "in.mp4", "out.mp4"])
