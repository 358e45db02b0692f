"""`python -m bench.mirror [faults] [day] [readers]`: what a mirror loses, how far it is behind, what readers notice."""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.mirror_day import measure_day
from bench.mirror_faults import measure_faults
from bench.mirror_readers import measure_readers

PARTS = ("faults", "day", "readers")


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _parse(arguments)
    for part in asked.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="ticketfeed-bench-") as name:
            folder = Path(name)
            if part == "faults":
                found = measure_faults(
                    folder,
                    tickets=asked.tickets,
                    changes=asked.changes,
                    kills=asked.kills,
                    source_kills=asked.source_kills,
                    cuts=asked.cuts,
                    tell=_tell,
                )
                _print("differences after faults", {name: f"{count:,}" for name, count in found.items()})
            elif part == "day":
                day = measure_day(
                    folder,
                    tickets=asked.day_tickets,
                    per_page=asked.per_page,
                    hours=asked.hours,
                    changes_per_minute=asked.changes_per_minute,
                    comments=asked.comments,
                    tell=_tell,
                )
                _print("ten requests a minute", day.figures())
            else:
                readers = measure_readers(
                    folder,
                    tickets=asked.readers_tickets,
                    cursors=asked.cursors,
                    changes=asked.changes,
                    rounds=asked.rounds,
                    seconds=asked.seconds,
                )
                _print("readers", readers.figures())


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.mirror", description="A mirror and its source.")
    parser.add_argument("parts", nargs="*", choices=PARTS, help="what to measure [all]")
    parser.add_argument("--tickets", type=int, default=100_000, help="of faults [100000]")
    parser.add_argument("--changes", type=float, default=20.0, help="a second, of faults and readers [20]")
    parser.add_argument("--kills", type=int, default=20, help="of the mirror [20]")
    parser.add_argument("--source-kills", type=int, default=10, help="of the source [10]")
    parser.add_argument("--cuts", type=int, default=5, help="of the network [5]")
    parser.add_argument("--day-tickets", type=int, default=10_000, help="of the day [10000]")
    parser.add_argument("--per-page", type=int, default=10, help="of the day: a million tickets are as many pages [10]")
    parser.add_argument("--hours", type=float, default=24.0, help="of the day, virtual ones [24]")
    parser.add_argument("--changes-per-minute", type=float, default=2.0, help="of the day [2]")
    parser.add_argument("--comments", action="store_true", help="of the day: ticket events and metric events, too")
    parser.add_argument("--readers-tickets", type=int, default=20_000, help="of readers [20000]")
    parser.add_argument("--cursors", type=int, default=1000, help="of readers, each way [1000]")
    parser.add_argument("--rounds", type=int, default=5, help="of readers [5]")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round [5]")
    return parser.parse_args(arguments)


def _tell(text: str) -> None:
    print(text, flush=True)


def _print(title: str, figures: Mapping[str, str]) -> None:
    print(f"\n{title}")
    for name, text in figures.items():
        print(f"  {name:<55} {text}")


if __name__ == "__main__":
    main()
