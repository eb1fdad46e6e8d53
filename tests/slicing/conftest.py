from __future__ import annotations

from pathlib import Path

import pytest

from tests.slicing.host import COMPILER, HERE, build


@pytest.fixture(scope="session")
def host_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CUDA kernels built for the CPU."""
    if COMPILER is None:
        pytest.skip("no g++, which builds the CUDA kernels for the CPU")
    return build(HERE / "cuda_host.cpp", tmp_path_factory.mktemp("host") / "kernels.so")
