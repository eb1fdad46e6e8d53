"""The reference implementation's weights (TensorFlow 1) as this project's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .config import HDRNetConfig

_PREFIX = "inference/"
_BATCH_NORM = {"BatchNorm/beta": "bias", "BatchNorm/moving_mean": "running_mean"} | {
    "BatchNorm/moving_variance": "running_var"
}


def state_dict_from_tf1(
    variables: Mapping[str, ArrayLike], config: HDRNetConfig
) -> dict[str, Tensor]:
    """Map the reference's variables to an HDRNet's state_dict.

    Args:
        variables: TensorFlow variable name (a ":0" at its end is accepted) -> array; convolutions
            are HWIO, dense layers [in, out]. Optimiser slots and global_step are ignored.
        config: the architecture the variables belong to.

    Returns:
        A state_dict that HDRNet(config).load_state_dict takes.

    Raises:
        KeyError: a variable of this architecture is missing; the message names it.
        ValueError: variables of another architecture are left over.
    """
    arrays = {name.removesuffix(":0"): np.asarray(value) for name, value in variables.items()}
    used: set[str] = set()

    def take(name: str) -> NDArray:
        if _PREFIX + name not in arrays:
            raise KeyError(
                f"variable {_PREFIX}{name} is missing: is this the configuration's model?"
            )
        used.add(_PREFIX + name)
        return arrays[_PREFIX + name]

    state: dict[str, Tensor] = {}
    for ours, theirs in _names(config):
        state[ours] = _tensor(ours, take(theirs))
        if ours.endswith("running_var"):
            state[ours.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    if config.variant == "curves":
        for ours, theirs in _CURVES.items():
            state[f"guides.0.{ours}"] = _curves_tensor(ours, take(f"guide/{theirs}"))
    left = sorted(n for n in arrays.keys() - used if n.startswith(_PREFIX) and not _is_slot(n))
    if left:
        raise ValueError(f"variables of another architecture: {', '.join(left[:5])}")
    return state


_CURVES = {
    "ccm": "ccm",
    "ccm_bias": "ccm_bias",
    "shifts": "shifts",
    "slopes": "slopes",
    "mix": "channel_mixing/weights",
    "mix_bias": "channel_mixing/biases",
}


def _curves_tensor(name: str, array: NDArray) -> Tensor:
    shapes = {"shifts": (3, -1), "slopes": (3, -1), "mix": (3,), "mix_bias": ()}
    return torch.tensor(array, dtype=torch.float32).reshape(shapes.get(name, array.shape))


def _is_slot(name: str) -> bool:
    """Adam's moments, which TensorFlow names after the variable."""
    return name.rsplit("/", 1)[-1].startswith(("Adam", "ExponentialMovingAverage"))


def _names(config: HDRNetConfig) -> Iterator[tuple[str, str]]:
    """Our parameter -> their variable, for all layers but the curves."""
    norm = config.batch_norm
    root, theirs = "coefficient_network", "coefficients"
    for i in range(config.splat_layers):
        yield from _layer(f"{root}.splat.{i}", f"{theirs}/splat/conv{i + 1}", norm and i > 0)
    for i in range(2):
        yield from _layer(f"{root}.global_convs.{i}", f"{theirs}/global/conv{i + 1}", norm)
    for i in range(3):
        yield from _layer(
            f"{root}.global_dense.{i}", f"{theirs}/global/fc{i + 1}", norm and i < 2, "dense"
        )
    for i in range(config.local_layers - 1):
        yield from _layer(f"{root}.local.{i}", f"{theirs}/local/conv{i + 1}", norm)
    last = config.local_layers
    yield f"{root}.local.{last - 1}.conv.weight", f"{theirs}/local/conv{last}/weights"
    yield from _layer(f"{root}.prediction", f"{theirs}/prediction/conv1", False)
    if config.variant == "pointwise":
        yield from _pointwise("guides.0", "guide")
    elif config.variant == "pyramid":
        for level in range(3):
            yield from _pointwise(f"guides.{level}", f"guide/level_{level}")


def _pointwise(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield from _layer(f"{ours}.conv1", f"{theirs}/conv1", True)
    yield from _layer(f"{ours}.conv2", f"{theirs}/conv2", False)


def _layer(ours: str, theirs: str, norm: bool, kind: str = "conv") -> Iterator[tuple[str, str]]:
    yield f"{ours}.{kind}.weight", f"{theirs}/weights"
    if norm:
        for variable, name in _BATCH_NORM.items():
            yield f"{ours}.norm.{name}", f"{theirs}/{variable}"
    else:
        yield f"{ours}.{kind}.bias", f"{theirs}/biases"


def _tensor(ours: str, array: NDArray) -> Tensor:
    if ours.endswith("conv.weight"):
        array = array.transpose(3, 2, 0, 1)  # HWIO -> OIHW
    elif ours.endswith("dense.weight"):
        array = array.T
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float32)
