"""A picture as it is handed to `HDRNet.enhance`, as a tensor; and the result as it was handed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..color import FAR_OUTSIDE
from ..config import HDRNetConfig

Layout = Literal["chw", "hwc"]
Picture = TypeVar("Picture", bound=Any)  # a tensor, an array or PIL's
_PROBES = 64  # rows, and columns, that are looked at
_PIL_MODES = ("RGB", "RGBA")
_SRGB_GAMMA = 0.45455  # as PNG says of sRGB, where it says nothing better


def as_tensor(
    image: Any, layout: Layout | None, config: HDRNetConfig, device: torch.device
) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """A picture as (..., 3, H, W), where its numbers lie, and what makes of such a tensor a picture
    like it. Arguments and errors as of `HDRNet.enhance`; device: of the model, to which what is no
    tensor is brought."""
    if layout not in (None, "chw", "hwc"):
        raise ValueError(f"layout is {layout!r}, not 'chw' or 'hwc'")
    back: Callable[[Tensor], Any]
    if isinstance(image, Tensor):
        tensor, back = _planar(image, layout or "chw")
        _check_range(tensor, config)
        return tensor, back
    if isinstance(image, np.ndarray):
        tensor, back = _from_numpy(image, layout or "hwc")
    elif _is_pil(image):
        if layout is not None:
            raise ValueError(f"layout={layout!r} is of tensors and arrays, not of PIL's pictures")
        tensor, back = _from_pil(image, config)
    else:
        kind = f"{type(image).__module__}.{type(image).__qualname__}"
        raise TypeError(f"image is {kind}, not a tensor, a NumPy array or a picture of PIL")
    _check_range(tensor, config)
    return tensor.to(device), back


def _planar(image: Tensor, layout: Layout) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    axis = -3 if layout == "chw" else -1
    if image.ndim not in (3, 4) or image.shape[axis] != 3:
        shape = "(3, H, W)" if layout == "chw" else "(H, W, 3)"
        hint = ""
        if image.ndim in (3, 4) and image.shape[-4 - axis] == 3:
            hint = f"; layout={'hwc' if layout == 'chw' else 'chw'!r} takes it"
        raise ValueError(f"image is {tuple(image.shape)}, not {shape} or (B, {shape[1:]}{hint}")
    if image.numel() == 0:
        raise ValueError(f"image is empty: {tuple(image.shape)}")
    if layout == "chw":
        return image, lambda output: output
    return image.movedim(-1, -3), lambda output: output.movedim(-3, -1).contiguous()


class _Readable:
    """An array's memory without the mark that it is only to be read, of which torch warns: nothing
    is written to it here."""

    def __init__(self, array: np.ndarray) -> None:
        self.owner = array  # whose memory lives as long as this does
        place = {"data": (array.ctypes.data, False)}
        self.__array_interface__ = array.__array_interface__ | place


def _from_numpy(image: np.ndarray, layout: Layout) -> tuple[Tensor, Callable[[Tensor], np.ndarray]]:
    if isinstance(image, np.ma.MaskedArray):
        raise ValueError("image is a masked array, whose mask would be lost: hand image.data")
    native = image.astype(image.dtype.newbyteorder("="), copy=False)
    if min(native.strides, default=0) < 0:  # torch takes no memory that goes backwards
        native = native.copy()
    if not native.flags.writeable:
        native = np.asarray(_Readable(native))
    try:
        tensor = torch.from_numpy(native)
    except TypeError:
        raise ValueError(f"image is {image.dtype}, not uint8, uint16 or floating") from None
    planar, back = _planar(tensor, layout)

    def as_array(output: Tensor) -> np.ndarray:
        array: np.ndarray = back(output).cpu().numpy()
        return array

    return planar, as_array


def _from_pil(image: Any, config: HDRNetConfig) -> tuple[Tensor, Callable[[Tensor], Any]]:
    from PIL import Image

    _check_pil(image, config)
    pixels = np.array(image)
    tensor, as_array = _from_numpy(pixels[..., :3], "hwc")

    def as_picture(output: Tensor) -> Any:
        pixels[..., :3] = as_array(output)
        picture = Image.fromarray(pixels)
        picture.info = dict(image.info)
        return picture

    return tensor, as_picture


def _check_pil(image: Any, config: HDRNetConfig) -> None:
    """Raises ValueError where its numbers are not sRGB's, or more than they are would be lost."""
    from ..images import icc

    instead = "hdrnet_bench.enhance_file takes the file as it is"
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBa", "La"):
        raise ValueError(f"the picture is transparent: hand image.convert('RGBA'); {instead}")
    if image.mode not in _PIL_MODES:
        raise ValueError(
            f"the picture is of PIL's mode {image.mode}: hand image.convert('RGB'), if it has no "
            f"more than 8 bits of colour; {instead}"
        )
    if profile := image.info.get("icc_profile"):
        try:
            is_srgb = icc.same(profile, icc.SRGB)
        except Exception:  # of Little CMS, which has a class of its own for a broken profile
            is_srgb = False
        if not is_srgb:
            raise ValueError(
                "the picture's colour profile is broken, or not sRGB: convert it "
                f"(PIL.ImageCms.profileToProfile); {instead}"
            )
    elif abs(image.info.get("gamma", _SRGB_GAMMA) - _SRGB_GAMMA) > 0.01:
        raise ValueError(
            f"the picture says that it is not sRGB (gamma {image.info['gamma']:g}); {instead}"
        )
    if config.input_encoding != "srgb":
        raise ValueError(
            f"the model is for {config.input_encoding} light, and PIL's pictures are sRGB: hand it "
            "an array or a tensor"
        )


def _is_pil(image: Any) -> bool:
    module = sys.modules.get("PIL.Image")  # nobody has such a picture who did not import it
    return module is not None and isinstance(image, module.Image)


def _check_range(image: Tensor, config: HDRNetConfig) -> None:
    """Raises ValueError for an sRGB picture in 0..255 or the like, going by some of its pixels. Not
    asked on other devices, which would have to be waited for."""
    if (
        config.input_encoding != "srgb"
        or not image.is_floating_point()
        or image.device.type != "cpu"
        or torch.compiler.is_compiling()
    ):
        return
    height, width = image.shape[-2:]
    some = image[..., :: max(1, height // _PROBES), :: max(1, width // _PROBES)].float()
    finite = some[some.isfinite()]  # what is none is no matter of a scale
    low, high = torch.stack(finite.aminmax()).tolist() if len(finite) else (0, 0)
    if low < -FAR_OUTSIDE or high > FAR_OUTSIDE:
        raise ValueError(
            f"image has values from {low:g} to {high:g}, and floating pictures for this model are "
            "in [0, 1]: divide by 255 (or 65535), or hand integers (uint8, uint16)"
        )
