"""A text without who and where: for a page that everybody reads."""

from __future__ import annotations

import getpass
import platform
import re
from pathlib import Path


def without_names(text: str) -> str:
    """`text` without the home folder, which is ~, the user's name in paths, and this machine's."""
    try:
        home = Path.home()
    except RuntimeError:  # a number that has no name and no HOME, as in some containers
        homes = set()
    else:
        homes = {str(home), str(home.resolve())} - {"/"}
    for folder in sorted(homes, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(folder)}(?![\w.-])", "~", text)
    users = {Path(folder).name for folder in homes} | {_user()}
    for user in sorted(filter(None, users), key=len, reverse=True):
        text = re.sub(rf"(?<=/){re.escape(user)}(?![\w.-])", "USER", text)
    node = platform.node()
    for host in (node, node.partition(".")[0]):
        if host and host != "localhost":
            text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "HOST", text)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a number that has no name, as in some containers
        return ""
