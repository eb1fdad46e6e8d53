"""Prepared datasets: their manifests, pairs in memory, and what is checked of them.

Open manifest.py first (rows and header on disk), then pairs.py (decoded).
"""

from .manifest import Dataset, Header, Row, open_dataset

__all__ = ["Dataset", "Header", "Row", "open_dataset"]
