"""Frames of one size: the same results as of pictures, in the same memory, by shared grids."""

from __future__ import annotations

import functools
import threading
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch

from hdrnet_bench.model.threads import one_thread
from hdrnet_bench.slicing import cpu
from tests.conftest import smooth_picture
from tests.portable.models import VARIANTS, random_model

SIZE = (60, 44)
FRAMES = [smooth_picture(seed, *SIZE) for seed in range(5)]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("numbers", ["uint8", "uint16", "float32", "float64"])
def test_each_frame_is_a_picture(variant: str, numbers: Any) -> None:
    model = random_model(variant=variant)
    enhancer = model.enhancer(*SIZE)
    for frame in FRAMES:
        scaled = frame / 255 if numbers.startswith("float") else frame
        pixels = scaled.astype(numbers)
        output = enhancer(pixels)
        assert output.dtype == pixels.dtype
        assert np.array_equal(output, model.enhance(pixels))


@pytest.mark.parametrize("settings", [{"luma_bins": 11}, {"input_encoding": "linear"}])
def test_so_it_is_where_the_kernel_does_not_serve(settings: dict[str, Any]) -> None:
    model = random_model(**settings)
    enhancer = model.enhancer(*SIZE)
    assert np.array_equal(enhancer(FRAMES[0]), model.enhance(FRAMES[0]))


def test_results_lie_in_the_same_memory() -> None:
    model = random_model()
    enhancer = model.enhancer(*SIZE)
    arrays = [enhancer(frame) for frame in FRAMES]
    assert len({array.ctypes.data for array in arrays}) == 1
    planar = torch.from_numpy(FRAMES[0]).permute(2, 0, 1).contiguous()
    tensors = [enhancer(planar), enhancer(planar)]
    assert tensors[0].data_ptr() == tensors[1].data_ptr()
    assert torch.equal(tensors[0], model.enhance(planar))
    hwc = enhancer(torch.from_numpy(FRAMES[0]), layout="hwc")
    assert np.array_equal(hwc.numpy(), model.enhance(FRAMES[0]))


def test_one_grid_serves_as_many_frames_as_it_is_told_to() -> None:
    model = random_model()
    enhancer = model.enhancer(*SIZE, every=3)
    grids = []
    for frame in FRAMES:
        output = enhancer(frame).copy()
        assert enhancer.grid is not None
        grids.append(enhancer.grid)
        batch = torch.from_numpy(frame).permute(2, 0, 1)[None]
        expected = model.apply_grid(grids[-1], batch)[0].permute(1, 2, 0)
        assert np.array_equal(output, expected.numpy())
    assert grids[0] is grids[1] is grids[2]
    assert grids[3] is grids[4]
    assert not torch.equal(grids[2], grids[3])
    assert enhancer(FRAMES[0], new_grid=False) is not None
    assert enhancer.grid is grids[4]
    enhancer(FRAMES[0], new_grid=True)
    assert torch.equal(enhancer.grid, grids[0])
    enhancer.cut()
    assert enhancer.grid is None
    enhancer(FRAMES[1], new_grid=False)  # there is none to go on with
    assert not torch.equal(enhancer.grid, grids[0])


def test_grids_follow_slowly() -> None:
    model = random_model()
    enhancer = model.enhancer(*SIZE, smoothing=0.75)
    batches = [torch.from_numpy(frame).permute(2, 0, 1)[None] for frame in FRAMES]
    own = [model.predict_grid(batch) for batch in batches]
    expected = own[0]
    for frame, grid in zip(FRAMES, own, strict=True):
        enhancer(frame)
        expected = 0.75 * expected + 0.25 * grid
        assert torch.allclose(enhancer.grid, expected, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_the_halves_are_the_whole(variant: str, dtype: torch.dtype) -> None:
    model = random_model(variant=variant, lowres_resize="nearest")
    image = torch.from_numpy(np.stack(FRAMES[:2])).permute(0, 3, 1, 2)
    image = image if dtype == torch.uint8 else (image / 255).to(dtype)
    grid, out = model.predict_grid(image), torch.empty_like(image)
    assert torch.equal(model.apply_grid(grid, image), model.enhance(image))
    assert model.apply_grid(grid, image, out) is out
    assert torch.equal(out, model.enhance(image))


@pytest.mark.parametrize("shape", [(3, 60, 44), (1, 60, 44, 3), (1, 3, 0, 44)])
def test_the_halves_take_batches_of_pictures(shape: tuple[int, ...]) -> None:
    model, image = random_model(), torch.zeros(shape)
    grid = model.predict_grid(torch.zeros(1, 3, 60, 44))
    for half in (model.predict_grid, lambda image: model.apply_grid(grid, image)):
        with pytest.raises(ValueError, match=r"not \(B, 3, H, W\)"):
            half(image)


@pytest.mark.parametrize(
    "settings",
    [
        {"height": 0},
        {"width": 0},
        {"every": 0},
        {"smoothing": -0.1},
        {"smoothing": 1.0},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    model = random_model()
    model.enhancer(1, 1, every=1, smoothing=0.0)
    with pytest.raises(ValueError, match="are 1 or more, smoothing"):
        model.enhancer(**({"height": 1, "width": 1} | settings))


@pytest.mark.parametrize("shape", [(61, 44, 3), (60, 45, 3), (1, 60, 44, 3)])
def test_frames_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"not one picture of \(3, 60, 44\)"):
        random_model().enhancer(*SIZE)(np.zeros(shape, np.uint8))


@pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")
@pytest.mark.parametrize("form", ["array", "read-only", "cropped", "tensor", "cropped tensor"])
def test_a_loop_takes_no_memory_of_a_picture(form: str) -> None:
    """By what torch and NumPy allocate: a frame has 1.5 MB, the network here some 0.2."""
    model = random_model()
    pixels = smooth_picture(3, 600, 900)
    frame: Any = {
        "array": lambda: pixels[:, :800].copy(),
        "read-only": lambda: np.frombuffer(pixels[:, :800].tobytes(), np.uint8).reshape(
            600, 800, 3
        ),
        "cropped": lambda: pixels[:, :800],
        "tensor": lambda: torch.from_numpy(pixels[:, :800].copy()).permute(2, 0, 1).contiguous(),
        "cropped tensor": lambda: torch.from_numpy(pixels).permute(2, 0, 1)[:, :, :800],
    }[form]()
    enhancer = model.enhancer(600, 800)
    first = enhancer(frame)
    assert np.array_equal(np.asarray(first), np.asarray(model.enhance(frame)))
    tracemalloc.start()
    with torch.profiler.profile(profile_memory=True) as profiled:
        for _ in range(3):
            enhancer(frame)
    _, numpy_s = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    torch_s = max(event.self_cpu_memory_usage for event in profiled.key_averages())
    assert numpy_s < 0.5e6
    assert torch_s < 1e6


def test_the_measure_of_memory_sees_a_picture() -> None:
    """What the test above relies on."""
    model, frame = random_model(), smooth_picture(3, 600, 800)
    with torch.profiler.profile(profile_memory=True) as profiled:
        model.enhance(frame)
    assert max(event.self_cpu_memory_usage for event in profiled.key_averages()) >= frame.nbytes


def test_frames_are_predicted_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = random_model(), []
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        coefficients = model.coefficients
        spy = lambda lowres: seen.append(torch.get_num_threads()) or coefficients(lowres)  # noqa: E731
        monkeypatch.setattr(model, "coefficients", spy)
        model.enhancer(*SIZE)(FRAMES[0])
        assert seen == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_at_once_leave_torch_as_it_was() -> None:
    """The number is each thread's own, and that of threads to come the last that was set."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    inside, both = threading.Barrier(2, timeout=30), threading.Barrier(2, timeout=30)
    after: list[int] = []

    def work(wait: float) -> None:
        with one_thread():
            inside.wait()
            time.sleep(wait)
        both.wait()
        after.append(torch.get_num_threads())

    def in_threads(*works: Any) -> None:
        started = [threading.Thread(target=each) for each in works]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join(60)

    try:
        for waits in ((0.0, 0.2), (0.2, 0.0)):
            in_threads(*(functools.partial(work, wait) for wait in waits))
        in_threads(lambda: after.append(torch.get_num_threads()))
        assert after == [2] * 5
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_after_a_cut_the_count_begins_again() -> None:
    enhancer = random_model().enhancer(*SIZE, every=3)
    enhancer(FRAMES[0])
    enhancer.cut()
    grids = []
    for frame in FRAMES[:4]:
        enhancer(frame)
        grids.append(enhancer.grid)
    assert grids[0] is grids[1] is grids[2]
    assert grids[2] is not grids[3]


@pytest.mark.parametrize(
    ("grid", "out", "says"),
    [
        ((1, 12, 4, 8, 8), (1, 3, 60, 44), None),
        ((2, 12, 4, 8, 8), (2, 3, 60, 44), None),
        ((1, 12, 4, 8, 8), (2, 3, 60, 44), None),  # one grid for all
        ((3, 12, 4, 8, 8), (2, 3, 60, 44), "the grid is"),
        ((1, 11, 4, 8, 8), (1, 3, 60, 44), "the grid is"),
        ((1, 36, 4, 8, 8), (1, 3, 60, 44), "the grid is"),
        ((1, 12, 4, 8), (1, 3, 60, 44), "the grid is"),
    ],
)
def test_a_grid_fits_or_is_refused(
    grid: tuple[int, ...], out: tuple[int, ...], says: str | None
) -> None:
    """The kernel reads wherever the sizes say."""
    model = random_model()
    image = torch.rand(out)
    cells = torch.rand(grid)
    if says:
        with pytest.raises(ValueError, match=says):
            model.apply_grid(cells, image)
        return
    expected = model.apply_grid(cells.expand(len(image), *grid[1:]), image, backend="reference")
    assert (model.apply_grid(cells, image) - expected).abs().max() <= 1e-4


@pytest.mark.parametrize(
    "out",
    [
        torch.zeros(1, 3, 30, 44),
        torch.zeros(2, 3, 60, 44),
        torch.zeros(1, 3, 60, 44, dtype=torch.uint8),
        torch.zeros(3, 60, 44),
    ],
    ids=lambda out: f"{tuple(out.shape)}-{out.dtype}",
)
def test_a_result_fits_or_is_refused(out: torch.Tensor) -> None:
    model, image = random_model(), torch.rand(1, 3, 60, 44)
    grid = model.predict_grid(image)
    with pytest.raises(ValueError, match="out is"):
        model.apply_grid(grid, image, out)
    if out.shape != image.shape:
        with pytest.raises(ValueError, match="out is"):
            model.enhance_rows(grid, image, 0, 60, out=out)
