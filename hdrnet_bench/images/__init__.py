"""Pictures on disk: read, written, resized; raw frames, colour profiles, metadata."""

from .files import Picture, Pixels, read_picture, write_png

__all__ = ["Picture", "Pixels", "read_picture", "write_png"]
