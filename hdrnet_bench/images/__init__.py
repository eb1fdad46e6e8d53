"""Pictures on disk: read, written, resized; raw frames, colour profiles, metadata.

Open files.py first, which reads and writes for measuring; photo.py is for a user's photographs.
"""

from .files import Picture, read_picture, write_png
from .pixels import Pixels

__all__ = ["Picture", "Pixels", "read_picture", "write_png"]
