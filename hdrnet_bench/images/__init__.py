"""Pictures on disk: read, written, resized; raw frames, colour profiles, metadata.

Open files.py first, which reads and writes for measuring; photo.py is for a user's photographs.
"""

from .files import Picture, Pixels, read_picture, write_png

__all__ = ["Picture", "Pixels", "read_picture", "write_png"]
