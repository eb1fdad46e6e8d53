"""HDRNet: a low-res copy of a picture predicts a bilateral grid of colour transforms; a guide
made from the full picture slices it; each pixel gets its own 3 x 4 transform.

Shapes: B batch; S side of the low-res input; H, W picture; D, GH, GW bilateral grid (luma bins,
rows, columns); n_out, n_in rows and columns of a cell's matrix (3, 4: the last is the offset).

Source: Gharbi et al. 2017, section 3, and the reference's hdrnet/models.py, to every detail that
shows in a number: TensorFlow's SAME padding, batch norm without scale, H-W-C flattening, the
prediction's channel order, initialisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import LEVELS, N_IN, HDRNetConfig, LowresResize
from ..data.encoding import to_model_input
from ..slicing import Backend, bilateral_slice_apply, cpu, cuda, use_native
from ..slicing.fused import area_lowres, fused
from . import pyramid as enhance_pyramid
from .guides import CurvesGuide, PointwiseGuide
from .hub import HubMixin
from .layers import Conv, Dense

if TYPE_CHECKING:
    from .file import ModelHeader

Resize = Callable[[Tensor, Sequence[int]], Tensor]
_WHITE = {torch.uint8: 255, torch.uint16: 65535}


class HDRNet(nn.Module, HubMixin):
    """The network of the paper. See `HDRNetConfig` for its variants.

    `header` is what the file it was read from says of it, None where it was made here.
    `from_pretrained`, `save_pretrained` and `push_to_hub`: see hub.py.
    """

    header: ModelHeader | None = None

    def __init__(self, config: HDRNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or HDRNetConfig()
        self.coefficient_network = CoefficientNetwork(self.config)
        self.guides = nn.ModuleList(_guides(self.config))

    def forward(self, lowres: Tensor, fullres: Tensor, backend: Backend = "auto") -> Tensor:
        """Enhance a picture.

        Args:
            lowres: (B, 3, S, S), about [0, 1].
            fullres: (B, 3, H, W), about [0, 1].
            backend: of the slicing.

        Returns:
            (B, 3, H, W), not clamped.
        """
        return self.render(self.coefficients(lowres), fullres, backend)

    def render(
        self, grid: Tensor, fullres: Tensor, backend: Backend = "auto", resize: Resize | None = None
    ) -> Tensor:
        """The full-resolution half: guide, slice and apply.

        Args:
            grid: (B, n_out * n_in, D, GH, GW), as `coefficients` returns it.
            fullres: (B, 3, H, W), about [0, 1].
            backend: of the slicing.
            resize: between a pyramid's levels, where not torch's own: (image, size) -> image.

        Returns:
            (B, 3, H, W), not clamped.
        """
        resize = resize or _resize
        if self.config.variant != "pyramid":
            guide = self.guides[0](fullres, backend)
            return bilateral_slice_apply(grid, guide, fullres, backend=backend)
        rows = grid.unflatten(1, (LEVELS, 3 * N_IN)).unbind(1)  # the coarsest level stands first
        pictures = _pyramid(fullres, resize)
        output = torch.zeros((), device=fullres.device, dtype=fullres.dtype)
        for level in reversed(range(LEVELS)):
            picture = pictures[level]
            here = bilateral_slice_apply(
                rows[LEVELS - 1 - level],
                self.guides[level](picture, backend),
                picture,
                backend=backend,
            )
            coarser = output if output.ndim == 0 else resize(output, picture.shape[-2:])
            output = coarser + here
        return output

    @torch.no_grad()
    def render_fast(self, grid: Tensor, fullres: Tensor, backend: Backend = "auto") -> Tensor:
        """`render` without gradients: on the CPU a pyramid's levels go through the fused kernel."""
        height, width = fullres.shape[-2:]
        on_cpu = fullres.dtype == torch.float32 and fullres.device.type == "cpu"
        if on_cpu and enhance_pyramid.serves(self, height, width, backend):
            return enhance_pyramid.rendered(self, grid, fullres)
        return self.render(grid, fullres, backend)

    def coefficients(self, lowres: Tensor) -> Tensor:
        """(B, 3, S, S) -> the grid (B, n_out * n_in, D, GH, GW); channel i_out * n_in + i_in."""
        size = self.config.net_input_size
        if lowres.ndim != 4 or tuple(lowres.shape[1:]) != (3, size, size):
            raise ValueError(
                f"the low-res input is {tuple(lowres.shape)}, not (B, 3, {size}, {size})"
            )
        return self.coefficient_network(lowres)

    def guide(self, fullres: Tensor) -> Tensor | list[Tensor]:
        """(B, 3, H, W) -> (B, H, W) in [0, 1]; pyramid: a list of three, fine to coarse."""
        if self.config.variant != "pyramid":
            return self.guides[0](fullres)
        return [guide(p) for guide, p in zip(self.guides, _pyramid(fullres, _resize), strict=True)]

    @torch.no_grad()
    def enhance(self, image: Tensor, backend: Backend = "auto") -> Tensor:
        """Enhance whole pictures, making the low-res input here.

        Args:
            image: (3, H, W) or (B, 3, H, W) in the encoding that the configuration names; uint8,
                uint16 with its `input_white`, or floating in about [0, 1].

        Returns:
            The same shape and dtype; integers are clamped and rounded to nearest, floating is
            neither.
        """
        if image.ndim not in (3, 4) or image.shape[-3] != 3:
            raise ValueError(f"image is {tuple(image.shape)}, not (3, H, W) or (B, 3, H, W)")
        if image.numel() == 0:
            raise ValueError(f"image is empty: {tuple(image.shape)}")
        batch = image if image.ndim == 4 else image[None]
        white = {torch.uint8: 255, torch.uint16: self.config.input_white}.get(image.dtype)
        if white is None and not image.is_floating_point():
            raise ValueError(f"image is {image.dtype}, not uint8, uint16 or floating")
        as_it_is = self.config.input_transfer == "none" and white in (None, _WHITE.get(image.dtype))
        if as_it_is and (output := self._enhance_fused(batch, backend)) is not None:
            return output.reshape(image.shape)
        fullres = batch.to(next(self.parameters()).dtype)
        if white is not None:
            fullres = fullres / white
        fullres = to_model_input(fullres, self.config)
        output = None if as_it_is else self._enhance_fused(fullres, backend)
        if output is None:
            lowres = make_lowres(fullres, self.config.net_input_size, self.config.lowres_resize)
            output = self.render_fast(self.coefficients(lowres), fullres, backend)
        if white is not None:
            output = output.clamp(0, 1).mul(_WHITE[image.dtype]).round()
        return output.to(image.dtype).reshape(image.shape)

    def _enhance_fused(self, batch: Tensor, backend: Backend) -> Tensor | None:
        """The fused kernel's way, from what the model is given; None where it does not serve."""
        if not self.serves_fused(batch, backend):
            return None
        lowres = lowres_as_it_lies(batch, self.config.net_input_size, self.config.lowres_resize)
        guide = self.guides[0]
        assert isinstance(guide, CurvesGuide | PointwiseGuide)
        return fused(self.coefficients(lowres), batch, *guide.packed())

    @torch.no_grad()
    def enhance_rows(
        self, grid: Tensor, image: Tensor, first: int, height: int, out: Tensor | None = None
    ) -> Tensor:
        """Guide, slice and apply a strip of a picture in one pass: on the CPU alone, where
        `serves_fused` says so.

        Args:
            grid: (B, 12, D, GH, GW), as `coefficients` returns it for the whole picture.
            image: (B, 3, rows, W), any strides: rows [first, first + rows) of the picture.
            first: where the strip begins.
            height: rows of the whole picture.
            out: where to put the result; it may be `image`.

        Returns:
            As the image; integers are clamped and rounded to nearest, floating is neither.
        """
        guide = self.guides[0]
        assert isinstance(guide, CurvesGuide | PointwiseGuide)
        rows = (first, height)
        whole = grid.float().contiguous()
        return cpu.enhance(whole, image, *guide.packed(), rows=rows, out=out)

    def serves_fused(self, batch: Tensor, backend: Backend = "auto") -> bool:
        """Whether the fused kernel serves: one guide, batch norm as at inference."""
        weights = next(self.parameters())
        return (
            use_native(backend, batch)
            and weights.device == batch.device
            and weights.dtype == torch.float32
            and batch.dtype in (cuda.FUSED if batch.is_cuda else cpu.PICTURE_KINDS)
            and self.config.variant != "pyramid"
            and (batch.is_cuda or self.config.luma_bins <= 8)
            and not self.training
        )


def make_lowres(fullres: Tensor, size: int, resize: LowresResize) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size), whatever the aspect ratio.

    "area" averages; "nearest" is torch's (floor), as published, and aliases.
    """
    return F.interpolate(fullres, size=(size, size), mode=resize)


def lowres_as_it_lies(image: Tensor, size: int, resize: LowresResize) -> Tensor:
    """make_lowres for the fused kernel: float32 in about [0, 1] from float32 or integers of any
    strides, without a floating or contiguous copy of the whole picture."""
    if resize == "area":
        return area_lowres(image, size)
    rows, columns = (nearest_places(length, size) for length in image.shape[-2:])
    picked = image[:, :, rows[:, None], columns].float()
    return picked / _WHITE.get(image.dtype, 1)


def nearest_places(length: int, size: int) -> Tensor:
    """Which of `length` rows (or columns) torch's "nearest" takes for each of `size`."""
    places = torch.arange(length, dtype=torch.float64)[None, None]
    return F.interpolate(places, size=size, mode="nearest")[0, 0].long()


class CoefficientNetwork(nn.Module):
    """Low-res picture to grid: low-level features, a local and a global path, their sum."""

    def __init__(self, config: HDRNetConfig) -> None:
        super().__init__()
        depth, multiplier, norm = config.luma_bins, config.channel_multiplier, config.batch_norm
        width = 8 * multiplier * depth
        self.config = config

        splat, channels = [], 3
        for i in range(config.splat_layers):
            # The first layer has no batch norm, whatever the configuration.
            out = multiplier * 2**i * depth
            splat.append(Conv(channels, out, stride=2, norm=norm and i > 0))
            channels = out
        self.splat = nn.Sequential(*splat)

        local = [
            Conv(channels if i == 0 else width, width, norm=norm)
            for i in range(config.local_layers - 1)
        ]
        local_in = width if local else channels
        self.local = nn.Sequential(*local, Conv(local_in, width, bias=False, relu=False))

        self.global_convs = nn.Sequential(
            Conv(channels, width, stride=2, norm=norm), Conv(width, width, stride=2, norm=norm)
        )
        side = math.ceil(math.ceil(config.spatial_bin / 2) / 2)
        self.global_dense = nn.Sequential(
            Dense(side * side * width, 4 * width, norm=norm),
            Dense(4 * width, 2 * width, norm=norm),
            Dense(2 * width, width, relu=False),
        )
        self.prediction = Conv(width, depth * config.outputs * N_IN, kernel=1, relu=False)

    def forward(self, lowres: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, n_out * n_in, D, GH, GW)."""
        features = self.splat(lowres)
        context = self.global_convs(features).permute(0, 2, 3, 1).flatten(1)  # H, W, C order
        context = self.global_dense(context)
        fused = F.relu(self.local(features) + context[:, :, None, None])
        # The prediction's channel is (i_in * n_out + i_out) * D + z.
        grid = self.prediction(fused).unflatten(1, (N_IN, self.config.outputs, -1))
        return grid.transpose(1, 2).flatten(1, 2)


def _guides(config: HDRNetConfig) -> Iterator[nn.Module]:
    if config.variant == "curves":
        yield CurvesGuide()
    else:
        for _ in range(LEVELS if config.variant == "pyramid" else 1):
            yield PointwiseGuide(config.guide_complexity)


def _pyramid(fullres: Tensor, resize: Resize) -> list[Tensor]:
    """The picture, a half and a quarter of it (sizes rounded down), without antialiasing."""
    height, width = fullres.shape[-2:]
    if min(height, width) < 4:
        raise ValueError(f"a pyramid of three levels needs 4 x 4 pixels, not {width} x {height}")
    half = resize(fullres, (height // 2, width // 2))
    return [fullres, half, resize(half, (height // 4, width // 4))]


def _resize(image: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(image, size=tuple(size), mode="bilinear", align_corners=True)
