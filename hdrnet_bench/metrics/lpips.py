"""Learned perceptual image patch similarity (Zhang et al., CVPR 2018), version 0.1, AlexNet.

Space: sRGB as encoded, in [0, 1], clamped; taken to [-1, 1] for the network. 0 where identical,
lower is better. Computed by the `lpips` package; the AlexNet backbone is torchvision's file, which
is downloaded once and checked. Without it there is no value: a random backbone is never used.
"""

from __future__ import annotations

import contextlib
import io
import socket
import warnings
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CapabilityError
from ..files import sha256_file
from ._pairs import as_pair, per_picture

# torchvision names its weights by the start of their SHA-256.
BACKBONE = "alexnet-owt-7be5be79.pth"
BACKBONE_URL = f"https://download.pytorch.org/models/{BACKBONE}"
_SHA256_START = "7be5be79"
_MIN_SIDE = 32
_DOWNLOAD_TIMEOUT_S = 20  # without an answer


def lpips(output: Tensor, target: Tensor) -> Tensor:
    """LPIPS of (3, H, W) or (B, 3, H, W) sRGB in [0, 1]: () or (B,), float32.

    Raises CapabilityError where the backbone's weights cannot be had, ValueError where a side is
    under 32 pixels, which AlexNet's strides do not fit.
    """
    x, y, batched = as_pair(output, target)
    if min(x.shape[-2:]) < _MIN_SIDE:
        raise ValueError(f"LPIPS needs {_MIN_SIDE} x {_MIN_SIDE} pixels, not {tuple(x.shape[-2:])}")
    network = _network().to(x.device)
    with torch.no_grad():
        distance = network(*(p.clamp(0, 1).float() * 2 - 1 for p in (x, y)))
    return per_picture(distance.flatten(), batched)


def backbone_path() -> Path:
    """Where torchvision keeps the backbone's weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / BACKBONE


def check_backbone() -> str | None:
    """None where the backbone's weights are on this machine and whole, else the reason."""
    path = backbone_path()
    if not path.is_file():
        what = f"{BACKBONE}, the weights of its AlexNet, is not on this machine"
    elif not sha256_file(path).startswith(_SHA256_START):
        what = f"{BACKBONE} on this machine is not the file its name says"
    else:
        return None
    return f"not computed: {what} (hdrbench doctor says what to do)"


def fetch_backbone() -> str | None:
    """The same after an attempt to download the weights where they are missing."""
    path = backbone_path()
    if not path.exists():
        patience = socket.getdefaulttimeout()
        socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_S)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(BACKBONE_URL, str(path), hash_prefix=_SHA256_START)
        except (OSError, RuntimeError):
            pass  # No network, disk or permission; a wrong hash. What is there then is checked.
        finally:
            socket.setdefaulttimeout(patience)
    return check_backbone()


@lru_cache(maxsize=1)
def _network() -> nn.Module:
    reason = fetch_backbone()
    if reason:
        raise CapabilityError(f"LPIPS {reason}")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # The package prints, and calls torchvision by a deprecated argument.
        warnings.simplefilter("ignore")
        import lpips as package

        network = package.LPIPS(net="alex", version="0.1", verbose=False)
    return network.eval().requires_grad_(False)
