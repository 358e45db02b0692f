"""python -m tests.simulation --seed N --store sqlite|postgres, or --minutes M for random seeds."""

import argparse
import logging
import random
import sys
import time

from tests.engines import engine
from tests.simulation.observer import Figures
from tests.simulation.world import STEPS, Violation, run_seed


def run_for(seconds: float, url: str, seed: int | None = None, steps: int = STEPS) -> Figures:
    """One seed, or random ones until the time is over. A violation is printed and counted, and the run goes on."""
    total, deadline = Figures(), time.monotonic() + seconds
    while not total.seeds or (seed is None and time.monotonic() < deadline):
        try:
            total += run_seed(random.randrange(2**31) if seed is None else seed, url, steps)
        except Violation as violation:
            print(violation, flush=True)
            total += Figures(seeds=1, violations=1)
    return total


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--steps", type=int, default=STEPS)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int)
    what.add_argument("--minutes", type=float)
    asked = parser.parse_args()
    logging.disable()  # clocks that are behind are told loudly, and here they nearly always are
    with engine(asked.store) as made:
        total = run_for((asked.minutes or 0) * 60, made.new_url(), asked.seed, asked.steps)
    print(
        f"{asked.store}: {total.seeds} seeds, {total.steps} steps, {total.pages} pages, {total.writes} writes, "
        f"{total.violations} violations"
    )
    return 1 if total.violations else 0


if __name__ == "__main__":
    sys.exit(main())
