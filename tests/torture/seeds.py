"""`python -m tests.torture.seeds --seeds N`: the right connector with N seeds, a scenario each in turn.

A progress line every hundred seeds, and at the end one line of JSON. Exit code 1 if anything failed.
"""

import argparse
import asyncio
import contextlib
import io
import json
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.torture.threads import run_in_thread
from ticketfeed.faults import shipped_scenarios
from ticketfeed.torture import scenario_run
from ticketfeed.torture.world import World

SIDE_BY_SIDE = 6
SEEDS_OF_ONE_WORLD = 50
TICKETS = 250
WATCH_SECONDS = 3.0
# Every other seed goes to a scenario that leaves something to chance.
CHANCE = [each.name for each in shipped_scenarios().values() if each.when.chance < 1]


async def run_seeds(first: int, count: int, folder: Path) -> list[tuple[int, str, str, str]]:
    """Seed, scenario, outcome and reason of each."""
    names, free = list(shipped_scenarios()), asyncio.Semaphore(SIDE_BY_SIDE)
    found: list[tuple[int, str, str, str]] = []

    async def run(seed: int, world: World) -> None:
        name = CHANCE[seed // 2 % len(CHANCE)] if CHANCE and seed % 2 else names[seed // 2 % len(names)]
        async with free:
            run = await run_in_thread(shipped_scenarios()[name], "", world, folder / str(seed), seed=seed, timeout=300)
        found.append((seed, name, run.outcome, run.reason))

    for start in range(first, first + count, SEEDS_OF_ONE_WORLD):
        world = await World.make(TICKETS, start)
        async with asyncio.TaskGroup() as group:
            for seed in range(start, min(start + SEEDS_OF_ONE_WORLD, first + count)):
                group.create_task(run(seed, world))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.seeds")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1)
    asked = parser.parse_args()
    logging.disable()  # connections that are cut are told loudly, and here many are
    scenario_run.WATCH_SECONDS = WATCH_SECONDS
    counts: Counter[str] = Counter()
    for start in range(asked.first, asked.first + asked.seeds, 100):
        count = min(100, asked.first + asked.seeds - start)
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            found = asyncio.run(run_seeds(start, count, Path(folder)))
        counts.update(outcome for _, _, outcome, _ in found)
        for seed, name, outcome, reason in found:
            if outcome == "FAIL":
                print(f"seed {seed}, {name}: {reason}", flush=True)
        print(f"{start + count - 1}: {dict(counts)}", file=sys.stderr, flush=True)
    print(json.dumps(counts))
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
