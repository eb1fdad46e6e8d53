"""The weights that LPIPS is computed with."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import DataError
from ..files import sha256_file
from ..metrics.lpips import BACKBONES, NETS, Backbone
from .finding import Finding


def findings() -> Iterator[Finding]:
    metric_of = {net: metric for metric, net in NETS.items()}
    for net, backbone in BACKBONES.items():
        yield backbone_finding(backbone, metric_of[net])


def backbone_finding(backbone: Backbone, metric: str) -> Finding:
    """metric: what is null without it, by its name in recipes."""
    what = f"LPIPS's {backbone.label}"
    fetch = (
        f"put {backbone.url} there, or `hdrbench eval --lpips-weights FILE`; SHA-256 "
        f"{backbone.sha256_start}…"
    )
    try:
        if not backbone.path.exists():
            return Finding(what, "missing", f"{metric} is null without {backbone.path}", fetch)
        digest = sha256_file(backbone.path)
    except (OSError, DataError) as error:
        return Finding(what, "warning", f"{backbone.path} cannot be read: {error}", fetch)
    if not digest.startswith(backbone.sha256_start):
        return Finding(
            what,
            "warning",
            f"{backbone.path} is not the file its name says: its SHA-256 is {digest}",
            f"remove it; {fetch}",
        )
    return Finding(what, "ok", f"{backbone.path}, SHA-256 {digest}")
