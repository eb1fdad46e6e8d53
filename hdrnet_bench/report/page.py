"""report.html: one file that opens from disk, with everything in it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from ..results import KernelTiming
from . import pictures, plots, tables


def render(
    groups: Sequence[tables.Group],
    timings: Sequence[tables.Timed],
    kernels: Sequence[KernelTiming],
    figures: Path,
) -> str:
    """The page; pictures and figures are inlined, so nothing is fetched."""
    loader = jinja2.PackageLoader("hdrnet_bench.report")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        groups=[_group(of) for of in groups],
        timings=[_timing(timing, figures) for timing in timings],
        kernels=[_kernels(timing) for timing in kernels],
        kernels_note=tables.KERNELS_NOTE,
    )


def _group(of: tables.Group) -> dict[str, Any]:
    header, rows = tables.quality_rows(of)
    best = pictures.best_trained(of)
    shown = pictures.shown(*best) if best else []
    return {
        "title": of.title,
        "header": header,
        "rows": rows,
        "notes": tables.notes(of),
        "machines": sorted({tables.measured_on(r.environment) for _, r in of.results}),
        "method": best[1].method.name if best else None,
        "pictures": [
            {
                "id": picture.id,
                "psnr": None if picture.psnr is None else f"{picture.psnr:.2f}",
                "images": [
                    (role, _data_uri(picture.files[role], "image/jpeg")) for role in pictures.ROLES
                ],
            }
            for picture in shown
        ],
    }


def _timing(timed: tables.Timed, figures: Path) -> dict[str, Any]:
    timing = timed.timing
    header, rows = tables.timing_rows(timing)
    svg = plots.files(figures, [timed])[0]
    return {
        "title": timed.title,
        "header": header,
        "rows": rows,
        "machine": tables.measured_on(timing.environment),
        "load": timing.environment.load,
        "figure": _data_uri(svg, "image/svg+xml"),
    }


def _kernels(timing: KernelTiming) -> dict[str, Any]:
    header, rows = tables.kernel_rows(timing)
    return {
        "title": timing.device,
        "header": header,
        "rows": rows,
        "notes": tables.kernel_notes(timing),
        "machine": tables.measured_on(timing.environment),
        "load": timing.environment.load,
    }


def _data_uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
