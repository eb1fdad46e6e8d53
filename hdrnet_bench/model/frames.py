"""A model on one frame after another: the same memory for every result, grids shared in time."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ..config import HDRNetConfig
from .handed import Layout, Picture, as_tensor
from .threads import one_thread


class HasGrid(Protocol):
    """What frames need of an HDRNet."""

    config: HDRNetConfig

    @property
    def device(self) -> torch.device: ...

    def predict_grid(self, image: Tensor) -> Tensor: ...

    def apply_grid(self, grid: Tensor, image: Tensor, out: Tensor | None = None) -> Tensor: ...


class FrameEnhancer:
    """A model on frames of one size. `HDRNet.enhancer` makes one.

    Each result lies in the same memory, which the next call writes anew: copy what is to be kept,
    or to be a frame itself. From the second frame on no memory of a picture's size is taken, of
    tensors and arrays that lie forward in memory where the model is, with the variants curves and
    pointwise as far as the fused kernel serves. Others are copied, as `HDRNet.enhance` does:
    `frame[..., ::-1]`, PIL's pictures, arrays for a GPU. Threads need an enhancer each.

    `grid` is what frames are sliced with, (1, n_out * n_in, D, GH, GW); None before the first.
    """

    def __init__(
        self, model: HasGrid, height: int, width: int, every: int = 1, smoothing: float = 0.0
    ) -> None:
        """
        Args:
            height, width: of every frame, pixels.
            every: predict a grid for one frame in so many.
            smoothing: of the grid before that is kept when a new one is predicted, from 0 to below
                1: the look then follows slowly, and does not flicker.

        Raises:
            ValueError: these are out of range.
        """
        if height < 1 or width < 1 or every < 1 or not 0 <= smoothing < 1:
            raise ValueError(
                f"height {height}, width {width} and every {every} are 1 or more, smoothing "
                f"{smoothing} is from 0 to below 1"
            )
        self.grid: Tensor | None = None
        self._model, self._size = model, (height, width)
        self._every, self._smoothing = every, smoothing
        self._count = 0
        self._result: Tensor | None = None
        self._kind: tuple[torch.dtype, tuple[int, ...]] | None = None

    @torch.no_grad()
    def __call__(
        self, frame: Picture, layout: Layout | None = None, new_grid: bool | None = None
    ) -> Picture:
        """Enhance a frame.

        Args:
            frame: one picture, as `HDRNet.enhance` takes it.
            layout: as of `HDRNet.enhance`.
            new_grid: whether to predict a grid for this frame; by default for one in `every`.

        Returns:
            As of `HDRNet.enhance`, in memory of its own that the next call writes anew.

        Raises:
            ValueError: it is a picture of another size, or no picture.
        """
        picture, as_handed = as_tensor(frame, layout, self._model.config, self._model.device)
        if tuple(picture.shape) != (3, *self._size):
            height, width = self._size
            raise ValueError(
                f"the frame is {tuple(picture.shape)}, not one picture of (3, {height}, {width}): "
                "frames of another size need an enhancer of their own"
            )
        batch = picture[None]
        if self.grid is None or (self._count % self._every == 0 if new_grid is None else new_grid):
            with one_thread():
                grid = self._model.predict_grid(batch)
            self.grid = grid if self.grid is None else grid.lerp(self.grid, self._smoothing)
        self._count += 1
        # A frame that is cut out of a larger picture has strides that its result has not.
        kind = batch.dtype, batch.stride()
        if self._result is None or self._kind != kind:
            self._result, self._kind = torch.empty_like(batch), kind
        return as_handed(self._model.apply_grid(self.grid, batch, self._result)[0])

    def cut(self) -> None:
        """A new scene begins: the next frame's grid is its own."""
        self.grid, self._count = None, 0
