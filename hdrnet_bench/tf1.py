"""The reference implementation's weights (TensorFlow 1) as this project's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from torch import Tensor

from .config import HDRNetConfig
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
            and whatever stands outside inference/ (global_step, beta1_power) are ignored.
        config: the architecture the variables belong to.

    Returns:
        A state_dict that HDRNet(config).load_state_dict takes.

    Raises:
        KeyError: variables of this architecture are missing; the message names them.
        ValueError: one has another shape, is not floating or not finite, or variables of another
            architecture are left over.
    """
    arrays = _arrays(variables)
    used: set[str] = set()

    sources = dict(_names(config))
    if config.variant == "curves":
        sources |= {f"guides.0.{ours}": f"guide/{theirs}" for ours, theirs in _CURVES.items()}
    missing = sorted(name for name in sources.values() if _PREFIX + name not in arrays)
    if missing:
        raise KeyError(
            f"missing: {_shortened([_PREFIX + name for name in missing])}: is this the "
            "configuration's model?"
        )
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in HDRNet(config).state_dict().items()}
    state: dict[str, Tensor] = {}
    for ours, theirs in sources.items():
        used.add(_PREFIX + theirs)
        state[ours] = _tensor(ours, _PREFIX + theirs, arrays[_PREFIX + theirs], shapes[ours])
        if ours.endswith("running_var"):
            state[ours.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    left = sorted(n for n in arrays.keys() - used if n.startswith(_PREFIX))
    left = [name for name in left if name.rpartition("/")[0] not in used]  # no slots
    if left:
        raise ValueError(f"variables of another architecture: {_shortened(left)}")
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


def _tensor(ours: str, theirs: str, array: NDArray[Any], shape: torch.Size) -> Tensor:
    """A variable as our parameter. Raises ValueError, with its name, where it cannot be that."""
    if not (np.issubdtype(array.dtype, np.floating) or array.dtype.name == "bfloat16"):
        raise ValueError(f"{theirs} holds {array.dtype}, not floating-point weights")
    found = array.shape
    if ours.endswith("conv.weight") and array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)  # HWIO -> OIHW
    elif ours.endswith("dense.weight") and array.ndim == 2:
        array = array.T
    elif ours == "guides.0.mix" and array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]  # a convolution to one channel
    # The curves have ones in front of what we keep.
    while array.ndim > len(shape) and array.shape[0] == 1:
        array = array[0]
    if array.shape != tuple(shape):
        raise ValueError(f"{theirs} has shape {found}, which does not make our {tuple(shape)}")
    array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{theirs} holds NaN or infinity")
    return torch.from_numpy(array.copy())


def config_from_tf1(variables: Mapping[str, ArrayLike], **given: Any) -> HDRNetConfig:
    """The architecture that the reference's variables belong to, from their names and shapes.

    Args:
        variables: as for `state_dict_from_tf1`.
        given: fields of HDRNetConfig that shapes do not tell. The low-res input is by default
            "nearest", as published. Its size follows from the grid's, which a dense layer tells up
            to a rounding: a multiple of four cells is taken.

    Raises:
        ValueError: they are no HDRNet, or not one that HDRNetConfig can say.
    """
    arrays = _arrays(variables)

    def shape(name: str, dimensions: int) -> tuple[int, ...]:
        if _PREFIX + name not in arrays:
            raise ValueError(f"{_PREFIX}{name} is missing: these are no weights of an HDRNet")
        found = arrays[_PREFIX + name].shape
        if len(found) != dimensions or 0 in found:
            raise ValueError(f"{_PREFIX}{name} has shape {found}: no weights of an HDRNet")
        return found

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
        raise ValueError(f"there is no {_PREFIX}guide/…: these are no weights of an HDRNet")
    outputs = (9 if variant == "pyramid" else 3) * 4
    luma_bins = shape("coefficients/prediction/conv1/weights", 4)[3] // outputs
    first = shape("coefficients/splat/conv1/weights", 4)[3]
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
    fields |= {name: value for name, value in given.items() if value is not None}
    fields["spatial_bin"] = fields["net_input_size"] >> halvings
    try:
        return HDRNetConfig.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise ValueError(f"no HDRNet of ours is like that: {where} {fault['msg']}") from None
