"""Learned perceptual image patch similarity (Zhang et al., CVPR 2018), version 0.1.

Space: sRGB as encoded, in [0, 1], clamped, not rounded; taken to [-1, 1] for the network. 0 where
identical, lower is better. Backbones: AlexNet (canonical), VGG-16 and SqueezeNet 1.1. The network
and its learned weights are the `lpips` package's; the backbone's weights are torchvision's file,
which is downloaded once, or put there by install_backbone, and checked. Without it there is no
value: a random backbone is never used.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import urllib3
from torch import Tensor, nn

from ..connections import pieces, request, session
from ..errors import CapabilityError, DataError, UsageError
from ..files import atomic_path, sha256_file
from ._pairs import Undefined, as_pair, per_picture

Net = Literal["alex", "vgg", "squeeze"]


class Backbone(NamedTuple):
    """The file of weights that a backbone is made of, as torchvision names it."""

    label: str
    file: str

    @property
    def sha256_start(self) -> str:
        """torchvision names its weights by the start of their SHA-256."""
        return self.file.removesuffix(".pth").rpartition("-")[2]

    @property
    def url(self) -> str:
        return f"https://download.pytorch.org/models/{self.file}"

    @property
    def path(self) -> Path:
        """Where torchvision keeps it."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file


BACKBONES: dict[Net, Backbone] = {
    "alex": Backbone("AlexNet", "alexnet-owt-7be5be79.pth"),
    "vgg": Backbone("VGG-16", "vgg16-397923af.pth"),
    "squeeze": Backbone("SqueezeNet 1.1", "squeezenet1_1-b8a52dc0.pth"),
}
# The metrics of this module by the name they have in recipes.
NETS: dict[str, Net] = {"lpips": "alex", "lpips_vgg": "vgg", "lpips_squeeze": "squeeze"}
_MIN_SIDE = 32
_MOST_BYTES = 1 << 30  # the largest file of weights, VGG-16's, has half of it


def lpips(output: Tensor, target: Tensor, net: Net = "alex") -> Tensor:
    """LPIPS of (3, H, W) or (B, 3, H, W) sRGB in [0, 1]: () or (B,), float32.

    Raises CapabilityError where the backbone's weights cannot be had, Undefined where a side is
    under 32 pixels, which the networks' strides do not fit.
    """
    x, y, batched = as_pair(output, target)
    if min(x.shape[-2:]) < _MIN_SIDE:
        height, width = x.shape[-2:]
        raise Undefined(f"LPIPS needs {_MIN_SIDE} x {_MIN_SIDE} pixels, not {width} x {height}")
    network = _network(net).to(x.device)
    with torch.no_grad():
        distance = network(*(p.float().clamp(0, 1) * 2 - 1 for p in (x, y)))
    return per_picture(distance.flatten(), batched)


def lpips_vgg(output: Tensor, target: Tensor) -> Tensor:
    """LPIPS with VGG-16. Takes several gigabytes for a picture of 12 megapixels."""
    return lpips(output, target, "vgg")


def lpips_squeeze(output: Tensor, target: Tensor) -> Tensor:
    """LPIPS with SqueezeNet 1.1."""
    return lpips(output, target, "squeeze")


def check_backbone(net: Net = "alex") -> str | None:
    """None where the backbone's weights are on this machine and whole, else the reason."""
    backbone = BACKBONES[net]
    try:
        if not backbone.path.exists():
            reason = f"{backbone.file}, the weights of its {backbone.label}, is not on this machine"
        elif not sha256_file(backbone.path).startswith(backbone.sha256_start):
            reason = f"{backbone.file} on this machine is not the file its name says"
        else:
            return None
    except (OSError, DataError) as error:
        reason = f"{backbone.file} on this machine cannot be read ({error})"
    return f"not computed: {reason} (hdrbench doctor says what to do)"


def fetch_backbone(net: Net = "alex") -> str | None:
    """Try to download the backbone's weights where they are missing; then as `check_backbone`."""
    backbone = BACKBONES[net]
    # No network, proxy, disk or permission; another file. What is there then is checked.
    with contextlib.suppress(OSError, DataError, UsageError, urllib3.exceptions.HTTPError):
        if not backbone.path.exists():
            _download(backbone)
    return check_backbone(net)


def _download(backbone: Backbone) -> None:
    """Not by torch.hub, which waits without end for a server that is slow, and writes without end
    what one sends."""
    from tqdm import tqdm  # type: ignore[import-untyped]  # the lpips package needs it too

    digest, size = hashlib.sha256(), 0
    backbone.path.parent.mkdir(parents=True, exist_ok=True)
    with (
        session() as connection,
        request(connection, "GET", backbone.url) as response,
        atomic_path(backbone.path) as temporary,
        temporary.open("wb") as stream,
        # Nothing where standard error is no terminal.
        tqdm(total=response.raw.length_remaining, desc=backbone.file, unit="B", unit_scale=True,
             disable=None) as bar,
    ):  # fmt: skip
        response.raise_for_status()
        for piece in pieces(response, 1 << 20):
            size += len(piece)
            if size > _MOST_BYTES:
                raise DataError(f"{backbone.url} has over {_MOST_BYTES:,} bytes")
            stream.write(piece)
            digest.update(piece)
            bar.update(len(piece))
        if not digest.hexdigest().startswith(backbone.sha256_start):
            raise DataError(f"{backbone.url} is not the file its name says")


def install_backbone(file: Path) -> Path:
    """Put a file of weights where they are looked for, and return that place. Which backbone's they
    are follows from the file's SHA-256.

    Raises DataError where the file is not there, or is none of the weights.
    """
    if not file.is_file():
        raise DataError(f"there is no file {file} with LPIPS weights")
    digest = sha256_file(file)
    net = next((n for n, b in BACKBONES.items() if digest.startswith(b.sha256_start)), None)
    if net is None:
        names = ", ".join(f"{b.file} ({b.sha256_start}…)" for b in BACKBONES.values())
        raise DataError(
            f"{file} holds none of the weights that LPIPS uses: its SHA-256 is {digest[:16]}…, "
            f"and theirs start with what their names end in: {names}"
        )
    backbone = BACKBONES[net]
    _load(_bare(net), net, file)  # A file that would not do is not put there.
    if check_backbone(net) is not None:
        with atomic_path(backbone.path) as temporary:
            shutil.copyfile(file, temporary)
        _network.cache_clear()
    return backbone.path


@lru_cache(maxsize=len(BACKBONES))
def _network(net: Net) -> nn.Module:
    reason = fetch_backbone(net)
    if reason:
        raise CapabilityError(f"LPIPS {reason}")
    network = _bare(net)
    _load(network, net, BACKBONES[net].path)
    return network.eval().requires_grad_(False)


def _bare(net: Net) -> Any:
    """The package's network with its learned weights, and a backbone that is yet to be loaded."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # The package prints, and calls torchvision by a deprecated argument.
        warnings.simplefilter("ignore")
        import lpips as package

        with torch.random.fork_rng(devices=[]):  # The backbone is drawn before it is replaced.
            return package.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)


def _load(network: Any, net: Net, file: Path) -> None:
    """Load every weight of the backbone, from tensors alone: nothing in the file is run.

    Raises DataError where the file does not hold them.
    """
    backbone = BACKBONES[net]
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        # The package cuts torchvision's `features` into slices and keeps their numbers.
        keys = {name: f"features.{name.partition('.')[2]}" for name in network.net.state_dict()}
        network.net.load_state_dict({name: state[key] for name, key in keys.items()})
    except Exception as error:
        # Whatever a broken file makes the reader raise.
        raise DataError(
            f"{file} does not hold the weights of {backbone.label}: {' '.join(str(error).split())}"
        ) from None
