"""Models for runtimes and programs without torch: portable ONNX graphs, guides and grids as bytes.

README.md beside this file is the chapter.
"""

from .export import write_onnx, write_parts
from .grid_file import grid_file, shader_source

__all__ = ["grid_file", "shader_source", "write_onnx", "write_parts"]
