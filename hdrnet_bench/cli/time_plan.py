"""What `time` is to time of a network: sizes, backends, device."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import UsageError
from .console import MAX_PIXELS, choose_device, parse_size

if TYPE_CHECKING:
    from ..result_timing import TimedBackend


class Plan(NamedTuple):
    """What is to be timed of a network."""

    sizes: list[tuple[int, int]]
    backends: list[TimedBackend]
    batch: int
    device: str

    def values(self, dtypes: list[str], path: Path | None) -> dict[str, Any]:
        """As --dry-run says it."""
        return {
            "sizes": [f"{w}x{h}" for w, h in self.sizes],
            "backends": list(self.backends),
            "batch": self.batch,
            "types": dtypes,
            "would write": path and str(path),
        }


def make_plan(
    size: list[str] | None,
    by_default: Iterable[tuple[int, int]],
    backend: list[str] | None,
    batch: int,
    budget: float,
    device: str | None,
) -> Plan:
    """Of the options, all checked. Raises UsageError or CapabilityError."""
    if not math.isfinite(budget):
        raise UsageError(f"--budget {budget}: a number of seconds")
    where = choose_device(device)

    from ..timing.network import choose_backends

    sizes = [parse_size(text) for text in size or ()]
    sizes = list(dict.fromkeys(sizes or sorted(by_default, key=math.prod)))
    for width, height in sizes:
        if batch * width * height > MAX_PIXELS:
            raise UsageError(
                f"--batch {batch} of {width}x{height} is over {MAX_PIXELS / 1e6:.0f} megapixels"
            )
    return Plan(sizes, choose_backends(backend, where), batch, where)
