from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def full_float32() -> Iterator[None]:
    """cuDNN and cuBLAS would compute convolutions with 10 bits of mantissa."""
    with (
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
        yield
