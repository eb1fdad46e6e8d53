"""A module for each source of pairs: it makes a Plan, Tasks and a maker for the shared build.

Open demo.py first; the others are built alike.
"""
