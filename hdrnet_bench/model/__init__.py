"""HDRNet: the network and its parts, its files, the Hub, other runtimes."""

from ..config import HDRNetConfig
from .file import save_model
from .hdrnet import HDRNet
from .load import load_model

__all__ = ["HDRNet", "HDRNetConfig", "load_model", "save_model"]
