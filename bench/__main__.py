"""`python -m bench [pages] [growth] [writes]`: make what is to be measured, measure, report.

Everything is kept in a temporary folder, and ends with it.
"""

import argparse
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import growth, pages, writes
from bench.processes import pin_load
from bench.report import describe_pinning, print_table, write_results
from bench.world import Credentials

RESULTS = Path(__file__).parent / "results"
PARTS = ("pages", "growth", "writes")


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _parse(arguments)
    # An interrupted run ends its servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    credentials = Credentials("admin@example.com/token", secrets.token_urlsafe(24))
    for part in asked.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="ticketfeed-bench-") as folder:
            if part == "writes":
                names = [name for name in asked.rows or () if name in writes.NAMES]
                writes.compare_writes(Path(folder), asked.rounds, RESULTS / "writes.json", _tell, names)
                continue
            cores = pin_load()
            if part == "growth":
                growth.measure_growth(Path(folder), credentials, cores, asked.sizes, RESULTS, _tell)
                continue
            done = pages.compare_pages(
                Path(folder),
                credentials,
                cores,
                pages=asked.pages,
                rounds=asked.rounds,
                seconds=asked.seconds,
                names=[name for name in asked.rows or pages.ROWS if name in pages.ROWS],
                tell=_tell,
            )
            print(f"{asked.pages} pages, median of {asked.rounds} rounds of {asked.seconds:g} s")
            print(f"{describe_pinning(cores)}; * where the load generator was busy all the time")
            print_table(done)
            facts = {"pages": asked.pages, "rounds": asked.rounds, "seconds": asked.seconds}
            write_results(RESULTS / "pages.json", done, facts)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ratios, measured side by side.")
    parser.add_argument("parts", nargs="*", choices=PARTS, help="what to measure [all]")
    names = [*pages.ROWS, *writes.NAMES]
    parser.add_argument("--rows", nargs="+", choices=names, help="of pages or writes, these rows alone")
    parser.add_argument("--pages", type=int, default=200, help="distinct pages of 1000 tickets [200]")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is measured [5]")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long a side takes in a round [1.5]")
    parser.add_argument("--sizes", type=int, nargs="+", default=growth.SIZES, help="of growth, tickets in an account")
    asked = parser.parse_args(arguments)
    if asked.pages < 1 or asked.rounds < 1 or asked.seconds <= 0:
        parser.error("--pages, --rounds and --seconds must be above 0")
    return asked


def _tell(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
