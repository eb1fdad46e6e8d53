"""Frames of one size: the same results as of pictures, in the same memory, by shared grids."""

from __future__ import annotations

import resource
from typing import Any

import numpy as np
import pytest
import torch

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
def test_a_loop_takes_no_new_memory() -> None:
    """By the pages that the system hands out: those of one picture are 1,500."""
    model = random_model()
    height, width = 1080, 1920
    frame = np.zeros((height, width, 3), np.uint8)
    enhancer = model.enhancer(height, width)
    for _ in range(3):
        enhancer(frame)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        enhancer(frame)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert taken < 0.1 * 10 * frame.nbytes / resource.getpagesize()
