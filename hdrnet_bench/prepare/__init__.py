"""Making datasets: one module per source."""

SOURCES = ("demo", "folder", "fivek", "synthetic-hdrplus")
