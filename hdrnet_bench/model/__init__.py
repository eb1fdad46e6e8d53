"""HDRNet: the network and its parts, its files, the Hub, other runtimes."""

from ..config import HDRNetConfig
from .file import load_model, save_model
from .hdrnet import HDRNet

__all__ = ["HDRNet", "HDRNetConfig", "load_model", "save_model"]
