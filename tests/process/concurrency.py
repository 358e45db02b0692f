"""Several processes write, others read, all at once and each under a clock of its own; then all notes are compared."""

import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.process.journal import read_journals
from tests.process.team import PATIENCE_SECONDS, Team, Verdict
from tests.process.worker import Plan
from tests.simulation.observer import Figures
from tests.waiting import wait_until

ACCOUNTS = ["shared", "one", "two"]
WRITERS, READERS = 3, 2
ENOUGH = 20


def has_worked(folder: Path) -> bool:
    """Whether there is enough to compare: in a few seconds a busy machine may not come to much."""
    kinds = Counter(entry["kind"] for entry in read_journals(folder))
    return min(kinds["acknowledged"], kinds["page"]) > ENOUGH


def run_concurrently(url: str, folder: Path, seconds: float, seed: int) -> tuple[Figures, str]:
    """Figures and the violations as text. The store at `url` is there, or is made by whoever comes first."""
    random, names = Random(seed), list[str]()
    folder.mkdir(parents=True, exist_ok=True)
    with Team(folder) as team:
        for role, count in (("writer", WRITERS), ("reader", READERS)):
            for number in range(count):
                name = f"{role}{number}"
                plan = Plan(
                    role=role,
                    name=name,
                    seed=random.randrange(2**31),
                    seconds=seconds + PATIENCE_SECONDS,
                    journal=team.journal(name),
                    accounts=ACCOUNTS,
                    url=url,
                )
                team.start(plan)
                names.append(name)
        for name in names:
            team.wait_ready(name)
        time.sleep(seconds)
        wait_until(lambda: has_worked(folder), PATIENCE_SECONDS)
        team.stop()
        verdict = Verdict(url, team.finish())
    figures = verdict.give()
    figures.seeds = 1
    return figures, verdict.text()
