"""Making datasets: one module per source."""

SOURCES = ("demo", "folder", "fivek", "hdrplus", "synthetic-hdrplus")
