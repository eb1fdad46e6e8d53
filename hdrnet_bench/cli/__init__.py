"""The command line, a module for each group of commands.

Open app.py first: it collects the commands and turns errors into exit codes.
"""

from .app import main

__all__ = ["main"]
