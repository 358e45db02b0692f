"""`python -m tests.soak --minutes M --store sqlite|postgres`: simulation, concurrency, crashes and attacks, for hours.

A progress line a minute, and at the end one line of JSON with the totals. Exit code 1 on any violation.
"""

import argparse
import itertools
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from random import Random

import msgspec

from tests.engines import ENGINES, Engine, engine
from tests.process.attack import run_attack
from tests.process.concurrency import run_concurrently
from tests.process.crash import run_round
from tests.simulation.__main__ import run_for
from tests.simulation.observer import Figures

SIMULATION_SECONDS, CONCURRENCY_SECONDS, ATTACK_SECONDS = 20.0, 10.0, 20.0
# The attackers and the admin have the same address.
ATTACK_SOURCE = "127.0.0.1"
PROGRESS_SECONDS = 60.0


def soak(made: Engine, seconds: float, report: Callable[[str], None]) -> Figures:
    """Rounds of all kinds until the time is over; one that has begun is finished."""
    began = reported = time.monotonic()
    total, chance = Figures(), Random()
    for number in itertools.count():
        total += run_for(SIMULATION_SECONDS, made.new_url())
        figures, violations = run_concurrently(
            made.new_url(), made.new_folder(), CONCURRENCY_SECONDS, chance.randrange(2**31)
        )
        if violations:
            print(f"concurrency:\n{violations}", flush=True)
        total += figures
        total += run_round(made, number, chance)
        attack = run_attack(made, ATTACK_SECONDS, ATTACK_SOURCE, made.new_folder() / "log")
        report(f"attack: {msgspec.json.encode(attack).decode()}")
        for problem in attack.problems:
            print(f"attack: {problem}", flush=True)
        total.violations += len(attack.problems)
        now = time.monotonic()
        if now - reported > PROGRESS_SECONDS:
            reported = now
            report(f"{round(now - began)} s: {total}")
        if now - began > seconds:
            return total
    raise AssertionError("unreachable")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--store", choices=ENGINES, default="sqlite")
    asked = parser.parse_args()
    logging.disable()  # clocks that are behind are told loudly, and here they nearly always are
    with engine(asked.store) as made:
        total = soak(made, asked.minutes * 60, lambda line: print(line, file=sys.stderr, flush=True))
    print(msgspec.json.encode({"store": asked.store, **asdict(total)}).decode())
    return 1 if total.violations else 0


if __name__ == "__main__":
    sys.exit(main())
