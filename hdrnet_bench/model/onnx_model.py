"""Another method as an ONNX file: picture in, picture out, whatever form it takes pictures in.

It takes one picture, or two as HDRNet does: the picture and a small copy. Nothing is resized or cut
into tiles to suit it, as that would be another method: a picture of a size that it does not take is
an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..cleaning import clean
from ..config import HDRNetConfig
from ..errors import DataError, UsageError
from ..files import json_value
from ..result_ids import OnnxSettings, OnnxValues
from .encoding import to_model_input
from .lowres import make_lowres
from .onnx_file import OnnxFile, fault, open_session, read_onnx

# Of the values 0 and 1 of a picture: what they are to the file.
_ENDS: dict[OnnxValues, tuple[float, float]] = {
    "0..1": (0, 1),
    "0..255": (0, 255),
    "-1..1": (-1, 1),
}
_LONGEST = 300  # characters of what a file chooses
_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


class _Input(NamedTuple):
    """An input (N, 3, H, W), or (N, H, W, 3) where channels come last. batch, height, width: None
    where they may be any."""

    name: str
    dtype: Any
    channels_last: bool
    batch: int | None
    height: int | None
    width: int | None

    @property
    def square(self) -> int | None:
        """Its side where it is a square of fixed size."""
        return self.height if self.height == self.width else None


class OnnxModel:
    """A file that is open on a device.

    picture: the input of full size. lowres: that of the small copy; None where there is none.
    config: of a network of this project; earlier versions exported it with two inputs. notes: what
    was concluded from the file where it says nothing.
    """

    def __init__(
        self,
        file: OnnxFile,
        settings: OnnxSettings = OnnxSettings(),  # noqa: B008 (frozen)
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        """threads: by default torch's. Raises as `open_session`, DataError where its inputs are no
        pictures, and UsageError where the settings do not fit them."""
        self.settings = settings
        self.config = _config(file)
        self._session = open_session(file, device, threads or torch.get_num_threads())
        self.file = file._replace(content=b"")  # which the session has its own of
        self.picture, self.lowres, self.notes = _inputs(file, self._session, self.config)
        if self.lowres and settings.multiple > 1:
            raise UsageError(
                f"{file.path} takes a small copy beside the picture: padding to multiples of "
                f"{settings.multiple} would move one against the other"
            )
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._output: str | None = None  # found in the first run

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) where it takes pictures of one size alone."""
        width, height = self.picture.width, self.picture.height
        return None if width is None or height is None else (width, height)

    def refuses(self, width: int, height: int, batch: int = 1) -> str | None:
        """Why it takes no picture of that size, where its inputs say so."""
        wanted = self.picture
        padded = [_up(side, self.settings.multiple) for side in (height, width)]
        fits = [f in (None, side) for f, side in zip(wanted[4:], padded, strict=True)]
        if not all(fits):
            sides = " x ".join(str(s or "any") for s in (wanted.width, wanted.height))
            return (
                f"{self.file.path.name} takes pictures of {sides} pixels alone, this one has "
                f"{width} x {height}: export it with dynamic height and width"
            )
        if wanted.batch not in (None, batch):
            return (
                f"{self.file.path.name} takes {wanted.batch} pictures at a time, not {batch}: "
                "export it with a dynamic batch"
            )
        return None

    @torch.no_grad()
    def enhance(self, picture: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], or bytes, to the same of its type; floating ones not clamped.

        Raises DataError where the file does not take that size, fails, or gives no picture of it;
        MemoryError where memory runs out.
        """
        batch, _, height, width = picture.shape
        if reason := self.refuses(width, height, batch):
            raise DataError(reason)
        whole = picture if self.lowres is None else _floating(picture)
        # Of what this project writes today, one input does it by itself.
        if self.config is not None and self.lowres is not None:
            whole = to_model_input(whole, self.config)
        feeds = {self.picture.name: self._array(self._padded(whole), self.picture)}
        if self.lowres is not None:
            side = self.lowres.square
            assert side is not None
            resize = self.config.lowres_resize if self.config else "area"
            feeds[self.lowres.name] = self._array(make_lowres(whole, side, resize), self.lowres)
        output = self._run(feeds, (batch, height, width))[..., :height, :width]
        return self._picture(output, picture)

    def _padded(self, picture: Tensor) -> Tensor:
        """With the pixels at the right and at the bottom mirrored, as far as the multiple asks."""
        height, width = picture.shape[-2:]
        multiple = self.settings.multiple
        down, right = _up(height, multiple) - height, _up(width, multiple) - width
        if not (down or right):
            return picture
        if down >= height or right >= width:
            raise DataError(
                f"{width} x {height} pixels are too few to be mirrored to a multiple of {multiple}"
            )
        # Torch mirrors no bytes.
        return F.pad(picture.float(), (0, right, 0, down), mode="reflect").to(picture.dtype)

    def _array(self, picture: Tensor, to: _Input) -> np.ndarray:
        """As an input takes it."""
        if to.dtype == np.uint8:
            if picture.dtype != torch.uint8:
                picture = picture.clamp(0, 1).mul(255).round().byte()
        else:
            picture = _floating(picture)
            low, high = _ENDS[self.settings.values]
            if (low, high) != (0, 1):
                picture = picture * (high - low) + low
        if to.channels_last:
            picture = picture.permute(0, 2, 3, 1)
        array: np.ndarray = picture.contiguous().cpu().numpy()
        return array.astype(to.dtype, copy=False)

    def _run(self, feeds: Mapping[str, np.ndarray], size: tuple[int, int, int]) -> Tensor:
        """(B, 3, H, W), padded still, of the output that is a picture of the input's size."""
        batch, height, width = size
        names = self._outputs if self._output is None else [self._output]
        try:
            outputs = self._session.run(names, dict(feeds))
        except Exception as error:  # onnxruntime has a class of its own for each fault
            pad = " (where it takes multiples of N alone: --onnx-multiple N)"
            raise fault(
                error,
                f"{self.file.path.name} fails for {width} x {height} pixels"
                f"{pad if self.settings.multiple == 1 else ''}",
            ) from None
        sides = [_up(side, self.settings.multiple) for side in (height, width)]
        for name, output in zip(names, outputs, strict=True):
            shape = _array_shape(output)
            first, last = shape == (batch, 3, *sides), shape == (batch, *sides, 3)
            if (first or last) and output.dtype in _TYPES.values():
                self._output = name
                tensor = torch.from_numpy(output)
                return tensor if first else tensor.permute(0, 3, 1, 2)
        given = [f"{n} {_array_shape(o)}" for n, o in zip(names, outputs, strict=True)]
        raise DataError(
            f"{self.file.path.name} gives no picture as large as the one it is given, "
            f"{(batch, 3, *sides)}: it gives {_said(', '.join(given))}"
        )

    def _picture(self, output: Tensor, like: Tensor) -> Tensor:
        """The output's values as a picture of the type and on the device of another."""
        if output.dtype == torch.uint8:
            levels = output
            if like.dtype == torch.uint8:
                return levels.contiguous().to(like.device)
            return (levels.float() / 255).to(like.device, like.dtype)
        low, high = _ENDS[self.settings.values]
        values = output.float()
        if (low, high) != (0, 1):
            values = (values - low) / (high - low)
        values = values.to(like.device)
        if like.dtype == torch.uint8:
            return values.clamp(0, 1).mul(255).round().byte()
        return values.contiguous().to(like.dtype)


def open_onnx(path: Path, settings: OnnxSettings, device: str = "cpu") -> OnnxModel:
    """Read and open a file. Raises as `read_onnx` and `OnnxModel`."""
    return OnnxModel(read_onnx(path), settings, device)


def wrong_values(output: Tensor, input_: Tensor, values: OnnxValues) -> OnnxValues | None:
    """The range that a file evidently gives its values in, where it is not the one that was said.

    Args:
        output: (3, H, W) as `OnnxModel.enhance` makes it, where `values` is right in about [0, 1].
        input_: the picture that it is of, in [0, 1].
        values: what was said.
    """
    low, high = _ENDS[values]
    raw = output.float() * (high - low) + low
    middle, dark = float(raw.abs().median()), float((raw < -0.1).float().mean())
    if values == "0..255":
        # What is nearly black all over, of a picture that is not.
        if float(raw.abs().max()) < 2 and float(input_.mean()) > 0.05:
            return "-1..1" if dark > 0.25 else "0..1"
        return None
    if middle > 2:
        return "0..255"
    return "-1..1" if values == "0..1" and dark > 0.25 else None


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _floating(picture: Tensor) -> Tensor:
    return picture.float() / 255 if picture.dtype == torch.uint8 else picture.float()


def _config(file: OnnxFile) -> HDRNetConfig | None:
    """Of a network of this project. Raises DataError where its metadata are broken."""
    if file.metadata.get("producer") != "hdrnet-bench":
        return None
    try:
        return HDRNetConfig.model_validate(json_value(file.metadata.get("config", "")))
    except ValueError:
        raise DataError(
            f"{file.path} says that it is of hdrnet-bench, and has no configuration that this "
            "version reads: export it again"
        ) from None


def _inputs(
    file: OnnxFile, session: Any, config: HDRNetConfig | None
) -> tuple[_Input, _Input | None, list[str]]:
    """The picture's, that of its small copy if there is one, and what was concluded. Raises
    DataError where they cannot be told."""
    found = [_input(file, one) for one in session.get_inputs()]
    if len(found) == 1:
        return found[0], None, []
    named = {one.name: one for one in found}
    if config and set(named) == {"lowres", "fullres"}:
        if named["lowres"].square == config.net_input_size:
            return named["fullres"], named["lowres"], []
        raise DataError(f"{file.path}: its lowres is not the square that its metadata tell of")
    if len(found) == 2:
        squares = sorted((one for one in found if one.square), key=lambda one: one.square or 0)
        alone = len(squares) == 1 or (len(squares) == 2 and squares[0].square != squares[1].square)
        if alone:
            small = squares[0]
            (whole,) = (one for one in found if one is not small)
            note = (
                f"{_said(small.name)} is taken for a small copy of the picture, {small.square} x "
                f"{small.square}, averaged; {_said(whole.name)} for the picture"
            )
            return whole, small, [note]
    names = ", ".join(f"{one.name} {_shape(one)}" for one in session.get_inputs())
    raise DataError(
        f"{file.path} takes {_said(names)}: a picture is needed, or a picture and a "
        "square copy of it whose size is fixed"
    )


def _input(file: OnnxFile, given: Any) -> _Input:
    """One of the session's inputs. Raises DataError where it is no picture."""
    if given.type not in _TYPES:
        raise DataError(
            f"{file.path}: input {_said(given.name)} is {_said(given.type)}, pictures are float, "
            "float16, double or uint8"
        )
    shape = [side if isinstance(side, int) and side > 0 else None for side in given.shape]
    first, last = (len(shape) == 4 and shape[axis] == 3 for axis in (1, 3))
    if first == last:  # neither, or a picture three pixels wide
        raise DataError(
            f"{file.path}: input {_said(given.name)} is {_said(_shape(given))}, neither "
            "(N, 3, H, W) nor (N, H, W, 3): export it with its three channels fixed"
        )
    batch, *sides = (shape[i] for i in ((0, 1, 2) if last else (0, 2, 3)))
    return _Input(given.name, _TYPES[given.type], bool(last), batch, *sides)


def _said(text: str) -> str:
    """What a file says of itself, fit for a line and no longer than one can read."""
    shown = clean(text[:_LONGEST], "line")
    return shown + "…" if len(text) > _LONGEST else shown


def _array_shape(output: Any) -> tuple[int, ...]:
    """() of what is no array, as a sequence of them."""
    return tuple(getattr(output, "shape", ()))


def _shape(given: Any) -> str:
    sides: Sequence[Any] = given.shape
    return f"({', '.join('?' if side is None else str(side) for side in sides)})"
