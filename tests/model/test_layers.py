import math

import pytest
import torch
import torch.nn.functional as F

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.model.layers import Conv, synchronise_norms


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(1, 2), (2, 1), (5, 8), (8, 5), (16, 16), (17, 17)])
def testsame_padding_is_tensorflow_s(kernel: int, stride: int, size: tuple[int, int]) -> None:
    """ceil(size / stride) windows; the odd pixel of padding comes after."""
    torch.manual_seed(0)
    layer = Conv(3, 4, kernel, stride, relu=False).double()
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    around = []
    for length in reversed(size):
        windows = math.ceil(length / stride)
        total = max((windows - 1) * stride + kernel - length, 0)
        around += [total // 2, total - total // 2]
    expected = F.conv2d(F.pad(x, around), layer.conv.weight, layer.conv.bias, stride)
    output = layer(x)
    assert output.shape[2:] == tuple(math.ceil(length / stride) for length in size)
    torch.testing.assert_close(output, expected, atol=1e-12, rtol=0)


def test_synchronised_norms_have_the_same_parameters_and_no_scale() -> None:
    torch.manual_seed(0)
    model = HDRNet(HDRNetConfig(batch_norm=True, variant="pointwise")).eval()
    before, x, y = model.state_dict(), torch.rand(1, 3, 256, 256), torch.rand(1, 3, 9, 7)
    expected = model(x, y)
    names = [name for name, _ in model.named_parameters()]
    assert synchronise_norms(model) is model
    kinds = {type(m) for m in model.modules() if "Norm" in type(m).__name__}
    assert kinds == {torch.nn.SyncBatchNorm}
    # Of one, as before: without any, torch on CUDA cannot make the shift's gradient.
    scales = [m.weight for m in model.modules() if isinstance(m, torch.nn.SyncBatchNorm)]
    assert all(scale is not None and bool((scale == 1).all()) for scale in scales)
    assert list(model.state_dict()) == list(before)
    assert [name for name, _ in model.named_parameters()] == names
    assert torch.equal(model(x, y), expected)
