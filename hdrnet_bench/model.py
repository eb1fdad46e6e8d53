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

from .config import HDRNetConfig, LowresResize
from .hub import HubMixin
from .slicing import Backend, bilateral_slice_apply, cpu, cuda, use_native
from .slicing.fused import area_lowres, fused
from .slicing.operators import curves_guide

if TYPE_CHECKING:
    from .model_file import ModelHeader

Resize = Callable[[Tensor, Sequence[int]], Tensor]
N_IN = 4
LEVELS = 3
CURVE_POINTS = 16
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
            image: (3, H, W) or (B, 3, H, W); uint8 or uint16, or floating in about [0, 1].

        Returns:
            The same shape and dtype; integers are clamped and rounded to nearest, floating is
            neither.
        """
        if image.ndim not in (3, 4) or image.shape[-3] != 3:
            raise ValueError(f"image is {tuple(image.shape)}, not (3, H, W) or (B, 3, H, W)")
        if image.numel() == 0:
            raise ValueError(f"image is empty: {tuple(image.shape)}")
        batch = image if image.ndim == 4 else image[None]
        config = self.config
        if self.serves_fused(batch, backend):
            lowres = lowres_as_it_lies(batch, config.net_input_size, config.lowres_resize)
            guide = self.guides[0]
            assert isinstance(guide, CurvesGuide | PointwiseGuide)
            output = fused(self.coefficients(lowres), batch, *guide.packed())
            if output is not None:
                return output.reshape(image.shape)
        weights = next(self.parameters()).dtype
        white = _WHITE.get(image.dtype, 1)
        if white == 1 and not image.is_floating_point():
            raise ValueError(f"image is {image.dtype}, not uint8, uint16 or floating")
        fullres = batch.to(weights)
        if white > 1:
            fullres = fullres / white
        lowres = make_lowres(fullres, config.net_input_size, config.lowres_resize)
        output = self(lowres, fullres, backend=backend)
        if white > 1:
            output = output.clamp(0, 1).mul(white).round()
        return output.to(image.dtype).reshape(image.shape)

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
            splat.append(_Conv(channels, out, stride=2, norm=norm and i > 0))
            channels = out
        self.splat = nn.Sequential(*splat)

        local = [
            _Conv(channels if i == 0 else width, width, norm=norm)
            for i in range(config.local_layers - 1)
        ]
        local_in = width if local else channels
        self.local = nn.Sequential(*local, _Conv(local_in, width, bias=False, relu=False))

        self.global_convs = nn.Sequential(
            _Conv(channels, width, stride=2, norm=norm), _Conv(width, width, stride=2, norm=norm)
        )
        side = math.ceil(math.ceil(config.spatial_bin / 2) / 2)
        self.global_dense = nn.Sequential(
            _Dense(side * side * width, 4 * width, norm=norm),
            _Dense(4 * width, 2 * width, norm=norm),
            _Dense(2 * width, width, relu=False),
        )
        self.prediction = _Conv(width, depth * config.outputs * N_IN, kernel=1, relu=False)

    def forward(self, lowres: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, n_out * n_in, D, GH, GW)."""
        features = self.splat(lowres)
        context = self.global_convs(features).permute(0, 2, 3, 1).flatten(1)  # H, W, C order
        context = self.global_dense(context)
        fused = F.relu(self.local(features) + context[:, :, None, None])
        # The prediction's channel is (i_in * n_out + i_out) * D + z.
        grid = self.prediction(fused).unflatten(1, (N_IN, self.config.outputs, -1))
        return grid.transpose(1, 2).flatten(1, 2)


class CurvesGuide(nn.Module):
    """The paper's guide: a colour matrix, a learned curve per channel, a mix (section 3.4.1)."""

    def __init__(self) -> None:
        super().__init__()
        self.ccm = nn.Parameter(torch.eye(3) + torch.randn(()) * 1e-4)  # x @ ccm
        self.ccm_bias = nn.Parameter(torch.zeros(3))
        shifts = torch.arange(CURVE_POINTS) / CURVE_POINTS
        self.shifts = nn.Parameter(shifts.repeat(3, 1))
        slopes = torch.zeros(3, CURVE_POINTS)
        slopes[:, 0] = 1
        self.slopes = nn.Parameter(slopes)
        self.mix = nn.Parameter(torch.full((3,), 1 / 3))
        self.mix_bias = nn.Parameter(torch.zeros(()))

    def forward(self, fullres: Tensor, backend: Backend = "auto") -> Tensor:
        """(B, 3, H, W) -> (B, H, W) in [0, 1]."""
        if fullres.dtype == torch.float32 and use_native(backend, fullres):
            return curves_guide(fullres, *self.parameters())
        x = torch.einsum("bihw,io->bohw", fullres, self.ccm) + self.ccm_bias[:, None, None]
        shifts, slopes = self.shifts[:, :, None, None], self.slopes[:, :, None, None]
        curve = slopes[:, 0] * F.relu(x - shifts[:, 0])
        for k in range(1, CURVE_POINTS):
            curve = curve + slopes[:, k] * F.relu(x - shifts[:, k])
        guide = torch.einsum("bchw,c->bhw", curve, self.mix) + self.mix_bias
        return guide.clamp(0, 1)

    def packed(self) -> tuple[Tensor, int]:
        """Parameters for the fused kernel."""
        return cpu.pack_curves(*self.parameters()), 0


class PointwiseGuide(nn.Module):
    """Two 1 x 1 convolutions with batch norm always on (HDRNetPointwiseNNGuide)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _Conv(3, width, kernel=1, norm=True)
        self.conv2 = _Conv(width, 1, kernel=1, relu=False)

    def forward(self, fullres: Tensor, backend: Backend = "auto") -> Tensor:
        """(B, 3, H, W) -> (B, H, W) in [0, 1]. Plain torch, whatever the backend."""
        return self.conv2(self.conv1(fullres))[:, 0].sigmoid()

    def packed(self) -> tuple[Tensor, int]:
        """Parameters for the fused kernel, the batch norm folded into the first layer."""
        norm = self.conv1.norm
        assert norm is not None
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = (norm.running_var + norm.eps).rsqrt()
        w1 = self.conv1.conv.weight.flatten(1) * scale[:, None]
        b1 = norm.bias - norm.running_mean * scale
        w2, b2 = self.conv2.conv.weight, self.conv2.conv.bias
        assert b2 is not None
        parts = [part.detach().reshape(-1) for part in (w1, b1, w2, b2)]
        return torch.cat(parts).float().contiguous(), len(b1)


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


class _Conv(nn.Module):
    """Convolution with TensorFlow's SAME padding, then batch norm, then ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 3,
        stride: int = 1,
        bias: bool = True,
        norm: bool = False,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, bias=bias and not norm)
        self.norm = _shift_only(nn.BatchNorm2d(channels_out, eps=1e-3, momentum=1e-3), norm)
        self.relu = relu
        _initialise(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        if kernel > 1:
            # SAME puts the odd pixel after: (0, 1) for a 3 x 3 stride-2 layer on an even size.
            top, bottom = _same_padding(x.shape[-2], kernel, stride)
            left, right = _same_padding(x.shape[-1], kernel, stride)
            x = F.pad(x, (left, right, top, bottom))
        x = self.conv(x)
        x = x if self.norm is None else self.norm(x)
        return F.relu(x) if self.relu else x


class _Dense(nn.Module):
    def __init__(
        self, channels_in: int, channels_out: int, norm: bool = False, relu: bool = True
    ) -> None:
        super().__init__()
        self.dense = nn.Linear(channels_in, channels_out, bias=not norm)
        self.norm = _shift_only(nn.BatchNorm1d(channels_out, eps=1e-3, momentum=1e-3), norm)
        self.relu = relu
        _initialise(self.dense)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dense(x)
        x = x if self.norm is None else self.norm(x)
        return F.relu(x) if self.relu else x


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _shift_only(
    norm: nn.BatchNorm1d | nn.BatchNorm2d, wanted: bool
) -> nn.BatchNorm1d | nn.BatchNorm2d | None:
    """Batch norm with a learned shift and no scale; it replaces the layer's bias."""
    norm.register_parameter("weight", None)
    return norm if wanted else None


def _initialise(layer: nn.Conv2d | nn.Linear) -> None:
    """Truncated normal of variance 1.3 * 2 / fan_in, cut at two sigma; biases zero."""
    sigma = math.sqrt(1.3 * 2 / layer.weight[0].numel())
    nn.init.trunc_normal_(layer.weight, std=sigma, a=-2 * sigma, b=2 * sigma)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
