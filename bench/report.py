"""Samples -> a table to read and results/latest.json to compare with."""

import datetime
import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.cases import CASES
from bench.measure import Row
from bench.processes import Cores

__all__ = ["print_table", "write_results"]

_WIDTH = 120
# Where the load generator was this busy, it may have held the server back.
BUSY_MAX = 0.9


def print_table(rows: Sequence[Row], ours: str, missing: Mapping[str, str], sizes: Mapping[str, int]) -> None:
    """One block a case, ours first. `missing`: server name -> why it was not measured."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("", "pages/s", "min-max", "tickets/s", "MB/s", "CPU ms", "busy", "load", "our rate", "our CPU"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for case in CASES:
        table.add_row(f"[bold]{case.title}[/], {sizes[case.name] / 1e6:.2f} MB")
        of_case = [row for row in rows if row.case == case]
        own = next(row for row in of_case if row.server.name == ours)
        for row in of_case:
            table.add_row(f"  {row.server.name}", *_cells(row, own))
        for name, reason in missing.items():
            table.add_row(f"  {name}", reason)
        table.add_section()
    console = Console(width=max(_WIDTH, shutil.get_terminal_size().columns))
    console.print(table)
    if any((row.median("load_busy") or 0) > BUSY_MAX for row in rows):
        console.print(f"Where load is above {BUSY_MAX:.0%}, the load generator may have been the limit.")


def describe_pinning(cores: Cores | None) -> str:
    if cores is None:
        return "nothing is pinned: one core, or a system that cannot"
    return f"each server runs on core {cores.server}, the load generator on core {cores.load}"


def write_results(path: Path, rows: Sequence[Row], facts: Mapping[str, Any]) -> None:
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
                "case": row.case.name,
                "server": row.server.name,
                "tickets_per_page": row.case.tickets,
                "median": {name: row.median(name) for name in asdict(row.samples[0])},
                "samples": [asdict(sample) for sample in row.samples],
            }
            for row in rows
        ],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def _cells(row: Row, own: Row) -> list[str]:
    pages, size = row.median("pages_per_second") or 0.0, row.median("bytes_per_second") or 0.0
    rates = [sample.pages_per_second for sample in row.samples]
    cpu, busy = row.median("cpu_ms_per_page"), row.median("load_busy") or 0.0
    return [
        _number(pages),
        f"{_number(min(rates))}-{_number(max(rates))}",
        f"{pages * row.case.tickets:,.0f}",
        f"{size / 1e6:,.0f}",
        "-" if cpu is None else f"{cpu:.2f}",
        "-" if cpu is None else f"{pages * cpu / 1000:.0%}",
        f"{busy:.0%}",
        *(_ratio(own, row, name) if row is not own else "" for name in ("pages_per_second", "cpu_ms_per_page")),
    ]


def _ratio(own: Row, other: Row, name: str) -> str:
    ours, theirs = own.median(name), other.median(name)
    if not ours or not theirs:
        return "-"
    ratio = ours / theirs
    return f"{ratio:.0f} x" if ratio >= 10 else f"{ratio:.{2 if ratio >= 0.1 else 3}f} x"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
