"""What the project's README shows of the results: two tables that fit a page's width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..environment import Environment
from ..result_timing import TimingRow
from ..results import NONE, Evaluation, cell
from .contents import Contents
from .groups import Group, best_method, is_identity
from .table import Cell, Table, columns, number, plain
from .tables import processor

_SIZES = {"1080p": (1920, 1080), "4K": (3840, 2160), "12 MP": (4000, 3000)}
_KERNEL_SIZE = ("12 MP", "natural")
# Intervals that are wider than this part of their median are shown.
_WIDE = 0.05


def quality(contents: Contents) -> Table:
    """A row for each dataset at full size: PSNR of the picture left as it was, of the best method,
    and of the best bound."""
    head = [*columns("dataset", "pictures=n"), *columns("left as it was=identity", better=1)]
    head += [*columns("method"), *columns("its PSNR (dB)=psnr", "bound", better=1)]
    groups = [part.group for part in contents.groups if part.group.first.size == "full"]
    rows = [_quality_row(group) for group in groups]
    return Table("front-quality", "Mean PSNR with its 95 % interval", head, rows, [])


def _quality_row(group: Group) -> list[Cell]:
    results = [result for _, result in group.results]
    best = best_method(group)
    bounds = [result for result in results if result.method.oracle]
    return [
        plain(group.first.dataset.name),
        number(len(group.first.rows), "{}"),
        _psnr(next(filter(is_identity, results), None)),
        plain(best[1].method.name if best else None),
        _psnr(best[1] if best else None),
        _psnr(max(bounds, key=lambda r: r.metrics["psnr"].mean or 0.0, default=None)),
    ]


def _psnr(result: Evaluation | None) -> Cell:
    summary = result.metrics["psnr"] if result else None
    return Cell(cell("psnr", summary), (summary.mean if summary else None,))


def speed(contents: Contents) -> Table:
    """A row for each device and size: milliseconds of one float32 picture that is on the device
    already, native and in plain torch. Of a wide interval the ends stand beside the median."""
    head = columns("picture", "device")
    head += columns("guide, slice, apply=slice_ms", "whole=whole_ms", better=-1)
    head += [*columns("plain torch=reference_ms", better=-1), *columns("faster=speedup", better=1)]
    rows = [
        _speed_row(environment, device, size, of_size)
        for environment, device, timed in _by_device(contents)
        for size in _SIZES
        if (of_size := _at(timed, _SIZES[size]))
    ]
    return Table("front-speed", "Milliseconds a picture", head, rows, [])


def transfers(contents: Contents) -> list[str]:
    """A sentence for each GPU: how long the largest size takes with both transfers."""
    (size, sides) = list(_SIZES.items())[-1]
    sentences = []
    for environment, device, rows in _by_device(contents):
        if row := _row(_at(rows, sides), "native", "whole with transfer"):
            sentences.append(
                f"On {environment.gpu or device}, with transfers to the device and back, {size} "
                f"take {_figures(row.median_ms or 0)} ms."
            )
    return sentences


def kernels(contents: Contents) -> list[str]:
    """A sentence for each GPU: how near to a copy slicing and its gradients come at 12 MP."""
    sentences = []
    for part in contents.kernels:
        timing = part.timing
        rows = {row.kernel: row for row in timing.rows if (row.size, row.guide) == _KERNEL_SIZE}
        forward, backward = rows.get("forward, out given"), rows.get("backward")
        if timing.device.startswith("cuda") and forward and backward:
            sentences.append(
                f"On {timing.environment.gpu or timing.device}, slice + apply of 12 MP reaches "
                f"{forward.copy_share:.0%} of a copy's bandwidth, its gradients "
                f"{backward.copy_share:.0%}."
            )
    return sentences


def _by_device(contents: Contents) -> list[tuple[Environment, str, list[TimingRow]]]:
    """Each device's rows of one run: of the untrained network, else of the run with most of the
    sizes."""
    runs: dict[str, list[tuple[Environment, list[TimingRow]]]] = {}
    for network in contents.networks:
        rows = [row for size in network.timing.sizes for row in size.rows]
        runs.setdefault(network.timing.device, []).append((network.timing.environment, rows))
    networks = set(runs)
    for part in contents.timings:
        timing = part.timed.timing
        if timing.device not in networks and not part.timed.stale:
            runs.setdefault(timing.device, []).append((timing.environment, timing.rows))
    best = [(device, *max(of, key=_sizes)) for device, of in sorted(runs.items())]
    return [(environment, device, _single(rows)) for device, environment, rows in best]


def _sizes(run: tuple[Environment, Sequence[TimingRow]]) -> int:
    """Of how many of the sizes both times are there."""
    rows = _single(run[1])
    return sum(
        all(_row(_at(rows, size), backend, "whole") for backend in ("native", "reference"))
        for size in _SIZES.values()
    )


def _single(rows: Iterable[TimingRow]) -> list[TimingRow]:
    return [row for row in rows if (row.dtype, row.batch) == ("float32", 1) and row.median_ms]


def _at(rows: Iterable[TimingRow], size: tuple[int, int]) -> list[TimingRow]:
    return [row for row in rows if (row.width, row.height) == size]


def _row(rows: Iterable[TimingRow], backend: str, part: str) -> TimingRow | None:
    return next((row for row in rows if (row.backend, row.part) == (backend, part)), None)


def _speed_row(
    environment: Environment, device: str, size: str, rows: Sequence[TimingRow]
) -> list[Cell]:
    slicing = _row(rows, "native", "guide + slice + apply")
    whole, reference = _row(rows, "native", "whole"), _row(rows, "reference", "whole")
    return [
        plain(size),
        plain(processor(environment, on_gpu=device.startswith("cuda"))),
        *map(_milliseconds, (slicing, whole, reference)),
        _times(whole, reference),
    ]


def _milliseconds(row: TimingRow | None) -> Cell:
    if row is None or row.median_ms is None:
        return Cell(NONE, (None,))
    text = _figures(row.median_ms)
    if _is_wide(row):
        text += " [{}, {}]".format(*map(_figures, _ends(row)))
    return Cell(text, (row.median_ms,))


def _times(row: TimingRow | None, reference: TimingRow | None) -> Cell:
    """How many times faster: of wide intervals, the least and the most that their ends give."""
    if row is None or reference is None or not row.median_ms or not reference.median_ms:
        return Cell(NONE, (None,))
    times = reference.median_ms / row.median_ms
    text = f"{times:.0f}x"
    if _is_wide(row) or _is_wide(reference):
        (low, high), (reference_low, reference_high) = _ends(row), _ends(reference)
        text += f" [{reference_low / high:.0f}, {reference_high / low:.0f}]"
    return Cell(text, (times,))


def _ends(row: TimingRow) -> tuple[float, float]:
    assert row.median_ms is not None
    return row.interval_ms or (row.median_ms, row.median_ms)


def _is_wide(row: TimingRow) -> bool:
    low, high = _ends(row)
    return high - low > _WIDE * (row.median_ms or 0)


def _figures(ms: float) -> str:
    return f"{ms:,.3g}" if ms < 100 else f"{ms:,.0f}"
