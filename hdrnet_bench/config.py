"""The architecture of an HDRNet, as recipes and model files state it (imports no torch)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from .errors import first_fault, near_matches

LowresResize = Literal["area", "nearest"]
# sRGB as it is displayed; linear light with sRGB primaries; linear camera RGB, white-balanced.
Encoding = Literal["srgb", "linear", "camera"]
FULL_SCALE = 65535
N_IN = 4  # columns of a cell's matrix: red, green, blue and the offset
LEVELS = 3  # of a pyramid
# Fields that are newer than the first recipes, with their defaults. They are written only where
# they differ, so that older recipes and model files keep their digests.
_LATER_DEFAULTS = {"input_encoding": "srgb", "input_white": FULL_SCALE, "input_transfer": "none"}


class HDRNetConfig(BaseModel):
    """Architecture and input of an HDRNet (Gharbi et al. 2017, section 3; hdrnet/models.py).

    The defaults are the paper's network: 16 x 16 x 8 cells of 3 x 4 matrices from 256 x 256.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    variant: Literal["curves", "pointwise", "pyramid"] = Field(
        "curves", description="guide: the paper's curves, a pointwise network, or three scales"
    )
    net_input_size: int = Field(256, ge=2, le=4096, description="side S of the low-res input")
    spatial_bin: int = Field(16, ge=1, le=256, description="side of the grid, in cells")
    luma_bins: int = Field(8, ge=1, le=64, description="depth D of the grid, in cells")
    channel_multiplier: int = Field(1, ge=1, le=16, description="width of the coefficient network")
    guide_complexity: int = Field(
        16, ge=1, le=256, description="channels of a pointwise guide; curves have 16 points always"
    )
    batch_norm: bool = Field(False, description="batch norm in the coefficient network")
    local_layers: int = Field(2, ge=1, le=8, description="convolutions n_L of the local path")
    lowres_resize: LowresResize = Field(
        "area", description="how the low-res input is made; nearest is what was published"
    )
    input_encoding: Encoding = Field(
        "srgb",
        description="what the input's numbers are: sRGB, linear light with sRGB primaries, or "
        "linear camera RGB after white balance; output is sRGB",
    )
    input_white: int = Field(
        FULL_SCALE,
        ge=256,
        le=FULL_SCALE,
        description="the number of 16-bit inputs that stands for 1.0; HDR+ has 32767, so that "
        "highlights above white survive",
    )
    input_transfer: Literal["none", "srgb"] = Field(
        "none",
        description="srgb: the picture goes through sRGB's curve before low-res input, guide and "
        "transforms see it, as linear light's dark half would fall into one luma bin",
    )

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        later = _LATER_DEFAULTS
        return {k: v for k, v in fields.items() if k not in later or v != later[k]}

    @model_validator(mode="after")
    def _encoded_once(self) -> HDRNetConfig:
        if self.input_encoding == "srgb" and self.input_transfer == "srgb":
            raise ValueError("input_transfer srgb is for linear inputs: these are encoded already")
        return self

    @model_validator(mode="after")
    def _splat_layers_halve(self) -> HDRNetConfig:
        ratio, rest = divmod(self.net_input_size, self.spatial_bin)
        if rest or ratio < 2 or ratio & (ratio - 1):
            raise ValueError(
                f"net_input_size {self.net_input_size} must be spatial_bin {self.spatial_bin} "
                "times 2, 4, 8, …: each low-level convolution halves the picture"
            )
        return self

    @property
    def splat_layers(self) -> int:
        """Stride-2 convolutions n_S that lead from the low-res input to the grid's size."""
        return (self.net_input_size // self.spatial_bin).bit_length() - 1

    @property
    def outputs(self) -> int:
        """Rows of a cell's matrix: 3, or 3 for each of the pyramid's three levels."""
        return 3 * LEVELS if self.variant == "pyramid" else 3


def config_of(config: HDRNetConfig | None, fields: dict[str, Any]) -> HDRNetConfig:
    """A configuration as it is given: whole, or by some of its fields, the rest at their defaults.

    Raises TypeError where the configuration is none, ValueError where both are given, for unknown
    fields and for impossible values.
    """
    if config is not None and not isinstance(config, HDRNetConfig):
        raise TypeError(
            f"config is {config!r}, not an HDRNetConfig: fields have names, as in "
            "HDRNet(variant='pointwise')"
        )
    if config is not None and fields:
        raise ValueError(f"give an HDRNetConfig or its fields, not both: {', '.join(fields)}")
    known = HDRNetConfig.model_fields
    if unknown := [name for name in fields if name not in known]:
        raise ValueError(
            f"HDRNetConfig has no field {', '.join(unknown)}: {near_matches(unknown[0], known)}"
        )
    try:
        return config or HDRNetConfig(**fields)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None


def input_description(config: HDRNetConfig) -> str:
    """What the network takes as input, in words, for those who run it with other software."""
    encodings = {
        "srgb": "sRGB",
        "linear": "linear light, sRGB primaries",
        "camera": "linear camera RGB",
    }
    white = f", {config.input_white} of 16 bits is 1.0" if config.input_white != FULL_SCALE else ""
    transfer = ", then sRGB's curve" if config.input_transfer == "srgb" else ""
    return encodings[config.input_encoding] + white + transfer
