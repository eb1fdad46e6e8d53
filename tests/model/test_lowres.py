import pytest
import torch

from hdrnet_bench.model.lowres import lowres_from_stored, make_lowres

KINDS = [torch.float32, torch.uint8, torch.uint16]


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("size", [8, 24, 32, 96])
def test_nearest_takes_torch_s_pixels(dtype: torch.dtype, size: int) -> None:
    """Also at sizes that are no power of two, where float64 rounds some places otherwise."""
    white = 1 if dtype == torch.float32 else torch.iinfo(dtype).max
    for height, width in ((size, size), (1, 2), (50, 1999), (2003, 51), (1009, 997), (4690, 71)):
        levels = (torch.rand(1, 3, height, width) * white).to(dtype)
        expected = make_lowres(levels.float() / white, size, "nearest")
        assert torch.equal(lowres_from_stored(levels, size, "nearest"), expected)


def test_nearest_takes_any_strides() -> None:
    picture = torch.rand(60, 70, 3).permute(2, 0, 1)[None, :, ::2, 1:]
    expected = make_lowres(picture.contiguous(), 24, "nearest")
    assert torch.equal(lowres_from_stored(picture, 24, "nearest"), expected)
