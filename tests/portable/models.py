"""Models that are random in every parameter, for graphs that must compute the same."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from hdrnet_bench import HDRNet
from tests.web.models import random_model as model_with

SMALL: dict[str, Any] = {"net_input_size": 32, "spatial_bin": 8, "luma_bins": 4}
VARIANTS = ["curves", "pointwise", "pyramid"]


def needs(*modules: str) -> pytest.MarkDecorator:
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"{' and '.join(absent)} not installed")


needs_onnx = needs("onnx", "onnxruntime")


def random_model(**fields: Any) -> HDRNet:
    """In evaluation mode, and small where the fields do not say otherwise."""
    return model_with(**(SMALL | fields))
