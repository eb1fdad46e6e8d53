"""Pictures on disk: read, written, resized; raw frames, colour profiles, metadata.

Open photo.py first, the one reader, which files.py asks for measuring; photo_writer.py writes.
"""

from .files import Picture, read_picture, write_png
from .pixels import Pixels

__all__ = ["Picture", "Pixels", "read_picture", "write_png"]
