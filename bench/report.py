"""Comparisons -> a table to read, JSON to compare with, and a plot of growth for the docs."""

import datetime
import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.measure import Comparison, Side
from bench.processes import Cores

__all__ = ["describe_pinning", "plot", "print_figures", "print_table", "write_results"]

_WIDTH = 150
# Where the load generator was this busy, it may have held the server back.
BUSY_MAX = 0.9


def print_table(comparisons: Sequence[Comparison], unit: str = "pages/s") -> None:
    """One row a comparison. `*` behind a rate: the load generator may have been the limit."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    columns = ("row", "ours", unit, "CPU ms", "beside", unit, "CPU ms", "ratio", "CPU ratio", "at least", "aim")
    for column in columns:
        left = column in ("row", "ours", "beside")
        table.add_column(column, justify="left" if left else "right", no_wrap=not left)
    for each in comparisons:
        peer = (each.peer.name, *_cells(each.peer)) if each.peer else (each.missing, "-", "-")
        ratios = [_ratio(value) for value in (each.ratio, each.cpu_ratio, each.at_least, each.aim)]
        table.add_row(f"{each.name}: {each.title}", each.ours.name, *_cells(each.ours), *peer, *ratios)
    Console(width=max(_WIDTH, shutil.get_terminal_size().columns)).print(table)


def print_figures(title: str, figures: Mapping[str, str]) -> None:
    """Lines of a name and what was found."""
    print(f"\n{title}")
    for name, text in figures.items():
        print(f"  {name:<50} {text}")


def describe_pinning(cores: Cores) -> str:
    if not cores.server:
        return "nothing is pinned: one core, or a system that cannot"
    return f"each server runs on core {min(cores.server)}, the load generator on core {min(cores.load)}"


def write_results(path: Path, comparisons: Sequence[Comparison], facts: Mapping[str, Any]) -> None:
    """All samples and their medians."""
    results = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "system": sys.platform,
        **facts,
        "rows": [
            {
                "name": each.name,
                "title": each.title,
                "ratio": each.ratio,
                "cpu_ratio": each.cpu_ratio,
                "at_least": each.at_least,
                "aim": each.aim,
                "missing": each.missing,
                "sides": [
                    {"name": side.name, "samples": [asdict(sample) for sample in side.samples]}
                    for side in (each.ours, each.peer)
                    if side is not None
                ],
            }
            for each in comparisons
        ],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def plot(path: Path, title: str, series: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """CPU time of a page in ms against how many tickets there are, on a logarithmic scale, as SVG."""
    width, height, left, bottom, right, top = 720, 360, 56, 48, 190, 40
    sizes = sorted({size for points in series.values() for size, _ in points})
    highest = max(value for points in series.values() for _, value in points) * 1.15
    places = {size: left + (width - left - right) * n / max(1, len(sizes) - 1) for n, size in enumerate(sizes)}

    def y(value: float) -> float:
        return height - bottom - (height - bottom - top) * value / highest

    lines = [
        f'<text x="{left}" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<line x1="{left}" y1="{y(0):.1f}" x2="{width - right}" y2="{y(0):.1f}" stroke="#888"/>',
    ]
    for size, x in places.items():
        lines.append(f'<text x="{x:.1f}" y="{height - 24}" text-anchor="middle">{size:,}</text>')
    for step in range(5):
        value = highest * step / 4
        lines.append(f'<text x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>')
    lines.append(f'<text x="{left}" y="{height - 6}">tickets in the account; CPU of the server for one page, ms</text>')
    for number, (name, points) in enumerate(series.items()):
        colour = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")[number % 6]
        path_points = " ".join(f"{places[size]:.1f},{y(value):.1f}" for size, value in points)
        lines.append(f'<polyline points="{path_points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [
            f'<circle cx="{places[size]:.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>' for size, value in points
        ]
        at = top + 18 * number
        lines.append(f'<text x="{width - right + 14}" y="{at + 4}" fill="{colour}">{escape(name)}</text>')
    body = "\n".join(lines)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" fill="#57606a" role="img"><title>{escape(title)}</title>\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n{body}\n</svg>\n'
    )


def _cells(side: Side) -> tuple[str, str]:
    pages, cpu, busy = side.median("pages_per_second"), side.median("cpu_ms"), side.median("load_busy") or 0.0
    star = "*" if busy > BUSY_MAX else ""
    return (f"{_number(pages)}{star}" if pages else "-", "-" if cpu is None else f"{cpu:.2f}")


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.0f} x" if ratio >= 10 else f"{ratio:.2f} x"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
