"""HDRNet: a low-res copy of a picture predicts a bilateral grid of colour transforms; a guide
made from the full picture slices it; each pixel gets its own 3 x 4 transform.

Shapes: B batch; S side of the low-res input; H, W picture; D, GH, GW bilateral grid (luma bins,
rows, columns); n_out, n_in rows and columns of a cell's matrix (3, 4: the last is the offset).

Source: Gharbi et al. 2017, section 3, and the reference's hdrnet/models.py, to every detail that
shows in a number: TensorFlow's SAME padding, batch norm without scale, H-W-C flattening, the
prediction's channel order, initialisation (network.py, layers.py, guides.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..config import LEVELS, N_IN, HDRNetConfig, config_of
from ..slicing import Backend, bilateral_slice_apply, cpu, cuda, use_native
from ..slicing.autocast import without_autocast
from ..slicing.fused import fused_packed, packed_parameters
from . import fast_network, pyramid
from .captured import CapturedNetwork, T, Use, weights_state
from .encoding import as_given, as_stored, white_of
from .frames import FrameEnhancer
from .guides import CurvesGuide, PointwiseGuide
from .handed import Layout, Picture, as_tensor
from .hub import HubMixin
from .lowres import INTEGER_WHITE, lowres_from_stored, make_lowres
from .network import CoefficientNetwork


class HDRNet(nn.Module, HubMixin):
    """The network of the paper. See `HDRNetConfig` for its variants.

    `HDRNet(config)` and `HDRNet(variant="pointwise", luma_bins=4)` make one; ValueError where both
    a configuration and its fields are given, or a field is unknown or impossible. `header` is what
    the file it was read from says of it, `origin` a line that says which file: None where it was
    made here. `from_pretrained`, `save_pretrained` and `push_to_hub`: see hub.py.
    """

    def __init__(self, config: HDRNetConfig | None = None, **fields: Any) -> None:
        super().__init__()
        self.config = config_of(config, fields)
        self.coefficient_network = CoefficientNetwork(self.config)
        self.guides = nn.ModuleList(_guides(self.config))
        self._captured = CapturedNetwork()

    def forward(self, lowres: Tensor, fullres: Tensor, backend: Backend = "auto") -> Tensor:
        """Enhance a picture.

        Args:
            lowres: (B, 3, S, S), about [0, 1].
            fullres: (B, 3, H, W), about [0, 1].
            backend: of the slicing.

        Returns:
            (B, 3, H, W) of the picture's type, not clamped. Under autocast the coefficients alone
            are predicted in reduced precision.
        """
        return self.render(self.coefficients(lowres), fullres, backend)

    def render(
        self,
        grid: Tensor,
        fullres: Tensor,
        backend: Backend = "auto",
    ) -> Tensor:
        """The full-resolution half: guide, slice and apply, in the picture's own precision also
        under autocast: an error of 2^-8 in the guide is another place in the grid's depth.

        Args:
            grid: (B, n_out * n_in, D, GH, GW), as `coefficients` returns it; any floating type.
            fullres: (B, 3, H, W), about [0, 1].
            backend: of the slicing.

        Returns:
            (B, 3, H, W) of the picture's type, not clamped.
        """
        with without_autocast(fullres):
            picture = self._as_guided(fullres)
            output = self._render(grid.to(picture.dtype), picture, backend)
            return output.to(fullres.dtype)

    def _render(self, grid: Tensor, fullres: Tensor, backend: Backend) -> Tensor:
        """`render` in one precision."""
        if self.config.variant != "pyramid":
            guide = self.guides[0](fullres, backend)
            return bilateral_slice_apply(grid, guide, fullres, backend=backend)
        height, width = fullres.shape[-2:]
        sizes = pyramid.level_sizes(height, width)
        pictures = pyramid.downsample(fullres, sizes, pyramid.resize)
        grids = pyramid.level_grids(grid)

        def level_output(level: int, coarser: Tensor | None) -> Tensor:
            picture = pictures[level]
            guide = self.guides[level](picture, backend)
            output = bilateral_slice_apply(grids[level], guide, picture, backend=backend)
            return output if coarser is None else coarser + output

        return pyramid.collapse(sizes, level_output, pyramid.resize)

    @torch.no_grad()
    def render_fast(self, grid: Tensor, fullres: Tensor, backend: Backend = "auto") -> Tensor:
        """`render` without gradients: on the CPU a pyramid's levels go through the fused kernel."""
        height, width = fullres.shape[-2:]
        on_cpu = fullres.dtype == torch.float32 and fullres.device.type == "cpu"
        if on_cpu and self.serves_pyramid(height, width, backend):
            return pyramid.render(self.pyramid_guides(), grid, fullres)
        return self.render(grid, fullres, backend)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def coefficients(self, lowres: Tensor) -> Tensor:
        """(B, 3, S, S) -> the grid (B, n_out * n_in, D, GH, GW); channel i_out * n_in + i_in."""
        size = self.config.net_input_size
        if lowres.ndim != 4 or tuple(lowres.shape[1:]) != (3, size, size):
            raise ValueError(
                f"the low-res input is {tuple(lowres.shape)}, not (B, 3, {size}, {size})"
            )
        return self.coefficient_network(lowres)

    def guide(self, fullres: Tensor) -> Tensor | list[Tensor]:
        """(B, 3, H, W) -> (B, H, W) in [0, 1]; pyramid: a list of three, fine to coarse. Autocast
        does not reach it."""
        with without_autocast(fullres):
            picture = self._as_guided(fullres)
            if self.config.variant != "pyramid":
                return self.guides[0](picture)
            height, width = picture.shape[-2:]
            sizes = pyramid.level_sizes(height, width)
            levels = pyramid.downsample(picture, sizes, pyramid.resize)
            return [guide(level) for guide, level in zip(self.guides, levels, strict=True)]

    def _as_guided(self, fullres: Tensor) -> Tensor:
        """The picture in the wider of its own type and the guide's."""
        return fullres.to(torch.promote_types(fullres.dtype, next(self.parameters()).dtype))

    @torch.no_grad()
    def enhance(
        self, image: Picture, backend: Backend = "auto", layout: Layout | None = None
    ) -> Picture:
        """Enhance whole pictures, making the low-res input here.

        Args:
            image: a tensor (3, H, W) or (B, 3, H, W), or a NumPy array (H, W, 3) or (B, H, W, 3),
                in the encoding that the configuration names: uint8, uint16 with its `input_white`,
                or floating in about [0, 1]. Or a picture of PIL, RGB or RGBA, for a model of sRGB
                pictures; it is not turned as its EXIF says (PIL.ImageOps.exif_transpose does).
            backend: of the slicing.
            layout: "chw" or "hwc", where a tensor is (H, W, 3), or an array (3, H, W).

        Returns:
            The same kind, shape and dtype; integers are clamped and rounded to nearest, floating is
            neither. Alpha stays as it is.

        Raises:
            ValueError: it is no such picture; or, for a model of sRGB pictures, floating and far
                over 1 (over 10), which is asked on the CPU alone.
            TypeError: it is something else.
        """
        picture, as_handed = as_tensor(image, layout, self.config, self.device)
        return as_handed(self._enhance(picture, backend))

    def _enhance(self, image: Tensor, backend: Backend) -> Tensor:
        """(3, H, W) or (B, 3, H, W), uint8, uint16 or floating, to the same."""
        batch = image if image.ndim == 4 else image[None]
        picture, fused = self._for_kernel(batch, backend)
        output = None
        if fused:

            def apply(grid: Tensor, packed: Tensor) -> tuple[Tensor | None, Tensor]:
                output = fused_packed(grid, picture, packed, self._fused_guide().width)
                return output, grid if output is not None else grid.clone()

            output, grid = self._with_grid(picture, apply)
        else:
            grid = self._plain_grid(picture)
        if output is None:
            fullres = self._as_given(batch) if picture is batch else picture
            output = self.render_fast(grid, fullres, backend)
        return as_stored(output, image.dtype).reshape(image.shape)

    @torch.no_grad()
    def predict_grid(self, image: Tensor, backend: Backend = "auto") -> Tensor:
        """The grid of whole pictures, whose low-res copies are made here: the half of `enhance`
        that frames of one scene can share.

        Args:
            image: (B, 3, H, W), as `enhance` takes it.
            backend: as of `enhance`.

        Returns:
            (B, n_out * n_in, D, GH, GW), as of `coefficients`.
        """
        picture, fused = self._for_kernel(image, backend)
        if fused:
            return self._with_grid(picture, lambda grid, packed: grid.clone())
        return self._plain_grid(picture)

    @torch.no_grad()
    def apply_grid(
        self, grid: Tensor, image: Tensor, out: Tensor | None = None, backend: Backend = "auto"
    ) -> Tensor:
        """The other half of `enhance`: guide, slice and apply.

        Args:
            grid: (B, n_out * n_in, D, GH, GW), of any pictures; or one for all, (1, …).
            image: (B, 3, H, W), as `enhance` takes it.
            out: where to put the result, of the image's shape and dtype, any strides.
            backend: as of `enhance`.

        Returns:
            As of `enhance`; `out` where it was given.

        Raises:
            ValueError: they do not fit, or not this model.
        """
        picture, fused = self._for_kernel(image, backend)
        if out is not None and (out.shape, out.dtype, out.device) != (
            image.shape,
            image.dtype,
            image.device,
        ):
            raise ValueError(
                f"out is {tuple(out.shape)} {out.dtype} on {out.device}, the result "
                f"{tuple(image.shape)} {image.dtype} on {image.device}"
            )
        channels = N_IN * self.config.outputs
        if grid.ndim != 5 or grid.shape[0] not in (1, len(image)) or grid.shape[1] != channels:
            raise ValueError(
                f"the grid is {tuple(grid.shape)}, not ({len(image)}, {channels}, D, GH, GW)"
            )
        grid = grid.expand(len(image), -1, -1, -1, -1)
        output = None
        if fused:
            guide = self._fused_guide()
            packed = packed_parameters(*guide.kernel_parameters())
            direct = out if picture is image else None
            output = fused_packed(grid.float().contiguous(), picture, packed, guide.width, direct)
        if output is None:
            fullres = self._as_given(image) if picture is image else picture
            output = self.render_fast(grid, fullres, backend)
        result = as_stored(output, image.dtype)
        return result if out is None or result is out else out.copy_(result)

    def _for_kernel(self, batch: Tensor, backend: Backend) -> tuple[Tensor, bool]:
        """A picture as the fused kernel takes it, and True; or as the model is given it, and False.
        Raises ValueError where it is none."""
        if batch.ndim != 4 or batch.shape[1] != 3 or 0 in batch.shape:
            raise ValueError(f"image is {tuple(batch.shape)}, not (B, 3, H, W)")
        if self.training and any(isinstance(one, nn.BatchNorm2d) for one in self.modules()):
            raise ValueError(
                "the model is in training mode, in which batch norm goes by the picture and learns "
                "from it: call model.eval() first"
            )
        # Whether the picture's own numbers are what the model is given, but for their full scale,
        # which the fused kernel divides by itself.
        whole_scale = white_of(batch, self.config) == INTEGER_WHITE.get(batch.dtype)
        is_model_input = whole_scale and self.config.input_transfer == "none"
        if is_model_input and self.serves_fused(batch, backend):
            return batch, True
        # What could not be fused as it came may be now that it is floating and converted.
        picture = self._as_given(batch)
        return picture, self.serves_fused(picture, backend)

    def _as_given(self, batch: Tensor) -> Tensor:
        return as_given(batch, self.config, next(self.parameters()).dtype)

    def _plain_grid(self, picture: Tensor) -> Tensor:
        """The grid of a picture as the model is given it."""
        size, resize = self.config.net_input_size, self.config.lowres_resize
        return self.coefficients(make_lowres(picture, size, resize))

    def _with_grid(self, picture: Tensor, use: Use[T]) -> T:
        """use(grid, the guide's parameters packed), of a picture that the fused kernel takes."""
        size, resize = self.config.net_input_size, self.config.lowres_resize
        guide = self._fused_guide()

        def lowres(out: Tensor | None) -> Tensor:
            return lowres_from_stored(picture, size, resize, out)

        def predict(lowres: Tensor) -> tuple[Tensor, Tensor]:
            with fast_network.branch(lowres.device) as part:
                with part.beside():
                    packed = packed_parameters(*guide.kernel_parameters())
                if self._serves_fast_network(lowres):
                    network = self.coefficient_network
                    grid = fast_network.fast_coefficients(network, lowres, part)
                else:
                    grid = self.coefficients(lowres)
            return grid.float().contiguous(), packed

        shape = (len(picture), 3, size, size)
        return self._captured.run(self, shape, picture.device, lowres, predict, use)

    def _fused_guide(self) -> CurvesGuide | PointwiseGuide:
        guide = self.guides[0]
        assert isinstance(guide, CurvesGuide | PointwiseGuide)
        return guide

    def enhancer(
        self, height: int, width: int, every: int = 1, smoothing: float = 0.0
    ) -> FrameEnhancer:
        """The frames of a video, or of a camera: see `FrameEnhancer`."""
        return FrameEnhancer(self, height, width, every, smoothing)

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
        float_grid = grid.float().contiguous()
        return cpu.enhance(
            float_grid,
            image,
            *self._fused_guide().kernel_parameters(),
            rows=(first, height),
            out=out,
            colours=colours,
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # `to` and its like: a graph's memory goes with the weights that it was made for.
        self._captured.clear()
        return super()._apply(fn, recurse)

    def serves_fused(self, batch: Tensor, backend: Backend = "auto") -> bool:
        """Whether the fused kernel serves: one guide, batch norm as at inference."""
        weights = next(self.parameters())
        return (
            use_native(backend, batch)
            and weights.device == batch.device
            and weights.dtype == torch.float32
            and batch.dtype in (cuda.FUSED if batch.is_cuda else cpu.PICTURE_KINDS)
            and self.config.variant != "pyramid"
            and (batch.is_cuda or self.config.luma_bins <= cpu.MOST_DEPTH)
            and not self.training
        )

    def _serves_fast_network(self, lowres: Tensor) -> bool:
        """Whether nobody would miss a call of a layer: no hook, nothing of another's making."""
        return (
            lowres.is_cuda
            and not torch.compiler.is_compiling()
            and type(self).coefficients is HDRNet.coefficients
            and "coefficients" not in vars(self)
            and fast_network.serves(self.coefficient_network)
            and weights_state(self) is not None
        )

    def serves_pyramid(self, height: int, width: int, backend: Backend = "auto") -> bool:
        """Whether the CPU's fused kernel serves a pyramid's levels of such a picture."""
        weights, config = next(self.parameters()), self.config
        return (
            config.variant == "pyramid"
            and weights.device.type == "cpu"
            and weights.dtype == torch.float32
            and use_native(backend, weights)
            and config.luma_bins <= cpu.MOST_DEPTH
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
