"""Prepared datasets: their manifests, pairs in memory, and what is checked of them."""

from .manifest import Dataset, Header, Row, open_dataset

__all__ = ["Dataset", "Header", "Row", "open_dataset"]
