"""HDRNet: the network and its parts, its files, the Hub, other runtimes.

Open hdrnet.py first; file.py and load.py have its files.
"""

from ..config import HDRNetConfig
from .file import save_model
from .hdrnet import HDRNet
from .load import load_model

__all__ = ["HDRNet", "HDRNetConfig", "load_model", "save_model"]
