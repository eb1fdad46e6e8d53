"""Weights of the reference implementation (TensorFlow 1) as weights of this project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from torch import Tensor

from .config import LEVELS, N_IN, HDRNetConfig
from .errors import first_fault
from .model.hdrnet import HDRNet

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
            are HWIO, dense layers [in, out]. Optimiser slots (variables named below another one)
            and what is not below inference/ (global_step, beta1_power) are ignored.
        config: the architecture the variables belong to.

    Returns:
        A state_dict that HDRNet(config).load_state_dict takes.

    Raises:
        KeyError: variables of this architecture are missing; the message names them.
        ValueError: one has another shape, is not floating or not finite, or there are variables of
            another architecture besides.
    """
    arrays = _arrays(variables)

    sources = {parameter: _PREFIX + variable for parameter, variable in _variables(config)}
    missing = sorted(name for name in sources.values() if name not in arrays)
    if missing:
        raise KeyError(f"missing: {_shortened(missing)}: is this the configuration's model?")
    # On the meta device the shapes cost no memory.
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in HDRNet(config).state_dict().items()}
    state: dict[str, Tensor] = {}
    for parameter, variable in sources.items():
        state[parameter] = _tensor(parameter, variable, arrays[variable], shapes[parameter])
        if parameter.endswith("running_var"):
            # A buffer that TensorFlow's batch norm lacks; only a momentum of None makes use of it.
            state[parameter.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    names = set(sources.values())
    others = sorted(name for name in arrays.keys() - names if name.startswith(_PREFIX))
    others = [name for name in others if name.rpartition("/")[0] not in names]  # no slots
    if others:
        raise ValueError(f"variables of another architecture: {_shortened(others)}")
    return state


def _arrays(variables: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    return {name.removesuffix(":0"): np.asarray(value) for name, value in variables.items()}


def _shortened(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


_CURVES = {
    "ccm": "ccm",
    "ccm_bias": "ccm_bias",
    "shifts": "shifts",
    "slopes": "slopes",
    "mix": "channel_mixing/weights",
    "mix_bias": "channel_mixing/biases",
}


def _variables(config: HDRNetConfig) -> Iterator[tuple[str, str]]:
    """Each parameter of an HDRNet, and its variable below inference/."""
    norm = config.batch_norm
    root, scope = "coefficient_network", "coefficients"
    for i in range(config.splat_layers):
        yield from _layer(f"{root}.splat.{i}", f"{scope}/splat/conv{i + 1}", norm and i > 0)
    for i in range(2):
        yield from _layer(f"{root}.global_convs.{i}", f"{scope}/global/conv{i + 1}", norm)
    for i in range(3):
        yield from _layer(
            f"{root}.global_dense.{i}", f"{scope}/global/fc{i + 1}", norm and i < 2, "dense"
        )
    for i in range(config.local_layers - 1):
        yield from _layer(f"{root}.local.{i}", f"{scope}/local/conv{i + 1}", norm)
    # The last one has neither batch norm nor a bias.
    last = config.local_layers
    yield f"{root}.local.{last - 1}.conv.weight", f"{scope}/local/conv{last}/weights"
    yield from _layer(f"{root}.prediction", f"{scope}/prediction/conv1", False)
    if config.variant == "curves":
        for parameter, variable in _CURVES.items():
            yield f"guides.0.{parameter}", f"guide/{variable}"
    elif config.variant == "pointwise":
        yield from _pointwise("guides.0", "guide")
    else:
        for level in range(LEVELS):
            yield from _pointwise(f"guides.{level}", f"guide/level_{level}")


def _pointwise(module: str, scope: str) -> Iterator[tuple[str, str]]:
    # Its batch norm does not depend on the configuration's.
    yield from _layer(f"{module}.conv1", f"{scope}/conv1", True)
    yield from _layer(f"{module}.conv2", f"{scope}/conv2", False)


def _layer(module: str, scope: str, norm: bool, kind: str = "conv") -> Iterator[tuple[str, str]]:
    """A layer's parameters and variables: a weight, and batch norm in place of a bias."""
    yield f"{module}.{kind}.weight", f"{scope}/weights"
    if norm:
        for variable, parameter in _BATCH_NORM.items():
            yield f"{module}.norm.{parameter}", f"{scope}/{variable}"
    else:
        yield f"{module}.{kind}.bias", f"{scope}/biases"


def _tensor(parameter: str, variable: str, array: NDArray[Any], shape: torch.Size) -> Tensor:
    """A variable's array as a parameter of that name and shape. Raises ValueError, which names the
    variable, where it cannot be that."""
    if not (np.issubdtype(array.dtype, np.floating) or array.dtype.name == "bfloat16"):
        raise ValueError(f"{variable} holds {array.dtype}, not floating-point weights")
    original_shape = array.shape
    if parameter.endswith("conv.weight") and array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)  # HWIO -> OIHW
    elif parameter.endswith("dense.weight") and array.ndim == 2:
        array = array.T
    elif parameter == "guides.0.mix" and array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]  # a convolution to one channel
    # The curves' variables have leading dimensions of size 1, for broadcasting over pixels.
    while array.ndim > len(shape) and array.shape[0] == 1:
        array = array[0]
    if array.shape != tuple(shape):
        raise ValueError(
            f"{variable} has shape {original_shape}, which does not fit {parameter} with "
            f"{tuple(shape)}"
        )
    array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{variable} holds NaN or infinity")
    # A copy: the array may be a view of a file that is closed or changed later.
    return torch.from_numpy(array.copy())


def config_from_tf1(variables: Mapping[str, ArrayLike], **overrides: Any) -> HDRNetConfig:
    """The architecture that the reference's variables belong to, from their names and shapes.

    Args:
        variables: as for `state_dict_from_tf1`.
        overrides: fields of HDRNetConfig that shapes do not tell; None is as if left out. The
            low-res input is by default "nearest", as published. Its size follows from the grid's,
            which a dense layer tells up to a rounding: a multiple of four cells is assumed.

    Raises:
        ValueError: they are not of an HDRNet, or of one that HDRNetConfig cannot describe.
    """
    arrays = _arrays(variables)

    def shape(name: str, dimensions: int) -> tuple[int, ...]:
        if _PREFIX + name not in arrays:
            raise ValueError(f"{_PREFIX}{name} is missing: these are not an HDRNet's weights")
        sizes = arrays[_PREFIX + name].shape
        if len(sizes) != dimensions or 0 in sizes:
            raise ValueError(
                f"{_PREFIX}{name} has shape {sizes}: these are not an HDRNet's weights"
            )
        return sizes

    def count(layers: str) -> int:
        number = 0
        while f"{_PREFIX}coefficients/{layers}{number + 1}/weights" in arrays:
            number += 1
        return number

    variant, guide = "curves", None
    if _PREFIX + "guide/level_0/conv1/weights" in arrays:
        variant, guide = "pyramid", "guide/level_0/conv1/weights"
    elif _PREFIX + "guide/conv1/weights" in arrays:
        variant, guide = "pointwise", "guide/conv1/weights"
    elif _PREFIX + "guide/ccm" not in arrays:
        raise ValueError(f"there is no {_PREFIX}guide/…: these are not an HDRNet's weights")
    outputs = (3 * LEVELS if variant == "pyramid" else 3) * N_IN
    luma_bins = shape("coefficients/prediction/conv1/weights", 4)[3] // outputs
    # The first convolution has channel_multiplier x luma_bins channels.
    first = shape("coefficients/splat/conv1/weights", 4)[3]
    # fc1 sees the grid after two more halvings: (spatial_bin / 4)^2 places of so many channels.
    width = shape("coefficients/global/conv1/weights", 4)[3]
    side = round((shape("coefficients/global/fc1/weights", 2)[0] / width) ** 0.5)
    halvings = count("splat/conv")
    fields = {
        "variant": variant,
        "net_input_size": 4 * side << halvings,
        "luma_bins": luma_bins,
        "channel_multiplier": first // max(1, luma_bins),
        "batch_norm": f"{_PREFIX}coefficients/global/conv1/BatchNorm/beta" in arrays,
        "local_layers": count("local/conv"),
        "lowres_resize": "nearest",
    }
    if guide:
        fields["guide_complexity"] = shape(guide, 4)[3]
    fields |= {name: value for name, value in overrides.items() if value is not None}
    fields["spatial_bin"] = fields["net_input_size"] >> halvings
    try:
        return HDRNetConfig.model_validate(fields)
    except ValidationError as error:
        raise ValueError(f"not an HDRNet of this project: {first_fault(error)}") from None
