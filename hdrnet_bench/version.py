"""The version of the package, stated here alone: pyproject.toml takes it from this line."""

__version__ = "0.1.0"
