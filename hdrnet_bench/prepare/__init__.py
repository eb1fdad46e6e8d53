"""Making datasets: pairs from many sources, by one build that can be stopped and resumed.

Open build.py first, then sources/demo.py, the shortest of the sources.
"""

SOURCES = ("demo", "folder", "fivek", "hdrplus", "synthetic-hdrplus", "bsds500", "ppr10k")
