"""HDRNet: a low-res copy of a picture predicts a bilateral grid of colour transforms; a guide
made from the full picture slices it; each pixel gets its own 3 x 4 transform.

Shapes: B batch; S side of the low-res input; H, W picture; D, GH, GW bilateral grid (luma bins,
rows, columns); n_out, n_in rows and columns of a cell's matrix (3, 4: the last is the offset).

Source: Gharbi et al. 2017, section 3, and the reference's hdrnet/models.py, to every detail that
shows in a number: TensorFlow's SAME padding, batch norm without scale, H-W-C flattening, the
prediction's channel order, initialisation (network.py, layers.py, guides.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..config import LEVELS, HDRNetConfig
from ..slicing import Backend, bilateral_slice_apply, cpu, cuda, use_native
from ..slicing.fused import fused
from . import pyramid
from .encoding import to_model_input
from .file import ModelHeader
from .guides import CurvesGuide, PointwiseGuide
from .hub import HubMixin
from .lowres import INTEGER_WHITE, lowres_from_stored, make_lowres
from .network import CoefficientNetwork


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
        self,
        grid: Tensor,
        fullres: Tensor,
        backend: Backend = "auto",
        resize: pyramid.Resize[Tensor] = pyramid.resize,
    ) -> Tensor:
        """The full-resolution half: guide, slice and apply.

        Args:
            grid: (B, n_out * n_in, D, GH, GW), as `coefficients` returns it.
            fullres: (B, 3, H, W), about [0, 1].
            backend: of the slicing.
            resize: between a pyramid's levels.

        Returns:
            (B, 3, H, W), not clamped.
        """
        if self.config.variant != "pyramid":
            guide = self.guides[0](fullres, backend)
            return bilateral_slice_apply(grid, guide, fullres, backend=backend)
        height, width = fullres.shape[-2:]
        sizes = pyramid.level_sizes(height, width)
        pictures = pyramid.downsample(fullres, sizes, resize)
        grids = pyramid.level_grids(grid)

        def level_output(level: int, coarser: Tensor | None) -> Tensor:
            picture = pictures[level]
            guide = self.guides[level](picture, backend)
            output = bilateral_slice_apply(grids[level], guide, picture, backend=backend)
            return output if coarser is None else coarser + output

        return pyramid.collapse(sizes, level_output, resize)

    @torch.no_grad()
    def render_fast(self, grid: Tensor, fullres: Tensor, backend: Backend = "auto") -> Tensor:
        """`render` without gradients: on the CPU a pyramid's levels go through the fused kernel."""
        height, width = fullres.shape[-2:]
        on_cpu = fullres.dtype == torch.float32 and fullres.device.type == "cpu"
        if on_cpu and self.serves_pyramid(height, width, backend):
            return pyramid.render(self.pyramid_guides(), grid, fullres)
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
        height, width = fullres.shape[-2:]
        sizes = pyramid.level_sizes(height, width)
        pictures = pyramid.downsample(fullres, sizes, pyramid.resize)
        return [guide(picture) for guide, picture in zip(self.guides, pictures, strict=True)]

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
        # Whether the picture's own numbers are what the model is given, but for their full scale,
        # which the fused kernel divides by itself.
        is_model_input = self.config.input_transfer == "none" and white in (
            None,
            INTEGER_WHITE.get(image.dtype),
        )
        if is_model_input and (output := self._enhance_fused(batch, backend)) is not None:
            return output.reshape(image.shape)
        fullres = batch.to(next(self.parameters()).dtype)
        if white is not None:
            fullres = fullres / white
        fullres = to_model_input(fullres, self.config)
        # What could not be fused as it came may be now that it is floating and converted.
        output = None if is_model_input else self._enhance_fused(fullres, backend)
        if output is None:
            lowres = make_lowres(fullres, self.config.net_input_size, self.config.lowres_resize)
            output = self.render_fast(self.coefficients(lowres), fullres, backend)
        if white is not None:
            output = output.clamp(0, 1).mul(INTEGER_WHITE[image.dtype]).round()
        return output.to(image.dtype).reshape(image.shape)

    def _enhance_fused(self, batch: Tensor, backend: Backend) -> Tensor | None:
        """The fused kernel's way, from what the model is given; None where it does not serve."""
        if not self.serves_fused(batch, backend):
            return None
        lowres = lowres_from_stored(batch, self.config.net_input_size, self.config.lowres_resize)
        guide = self.guides[0]
        assert isinstance(guide, CurvesGuide | PointwiseGuide)
        return fused(self.coefficients(lowres), batch, *guide.kernel_parameters())

    @torch.no_grad()
    def enhance_rows(
        self,
        grid: Tensor,
        image: Tensor,
        first: int,
        height: int,
        out: Tensor | None = None,
        colours: cpu.Colours = cpu.UNCHANGED,
    ) -> Tensor:
        """Guide, slice and apply a strip of a picture in one pass: on the CPU alone, where
        `serves_fused` says so.

        Args:
            grid: (B, 12, D, GH, GW), as `coefficients` returns it for the whole picture.
            image: (B, 3, rows, W), any strides: rows [first, first + rows) of the picture.
            first: where the strip begins.
            height: rows of the whole picture.
            out: where to put the result; it may be `image`, or of another type.
            colours: to convert before and after.

        Returns:
            As the image; integers are clamped and rounded to nearest, floating is neither.
        """
        guide = self.guides[0]
        assert isinstance(guide, CurvesGuide | PointwiseGuide)
        float_grid = grid.float().contiguous()
        return cpu.enhance(
            float_grid,
            image,
            *guide.kernel_parameters(),
            rows=(first, height),
            out=out,
            colours=colours,
        )

    def serves_fused(self, batch: Tensor, backend: Backend = "auto") -> bool:
        """Whether the fused kernel serves: one guide, batch norm as at inference."""
        weights = next(self.parameters())
        return (
            use_native(backend, batch)
            and weights.device == batch.device
            and weights.dtype == torch.float32
            and batch.dtype in (cuda.FUSED if batch.is_cuda else cpu.PICTURE_KINDS)
            and self.config.variant != "pyramid"
            # The CPU's kernel looks a coefficient up in one register of eight.
            and (batch.is_cuda or self.config.luma_bins <= 8)
            and not self.training
        )

    def serves_pyramid(self, height: int, width: int, backend: Backend = "auto") -> bool:
        """Whether the CPU's fused kernel serves a pyramid's levels of such a picture."""
        weights, config = next(self.parameters()), self.config
        return (
            config.variant == "pyramid"
            and weights.device.type == "cpu"
            and weights.dtype == torch.float32
            and use_native(backend, weights)
            and config.luma_bins <= 8
            and not self.training
            and min(height, width) >= 2 ** (LEVELS - 1)
        )

    def pyramid_guides(self) -> list[PointwiseGuide]:
        """The levels' guides, fine to coarse."""
        return [guide for guide in self.guides if isinstance(guide, PointwiseGuide)]


def _guides(config: HDRNetConfig) -> Iterator[nn.Module]:
    if config.variant == "curves":
        yield CurvesGuide()
    else:
        for _ in range(LEVELS if config.variant == "pyramid" else 1):
            yield PointwiseGuide(config.guide_complexity)
