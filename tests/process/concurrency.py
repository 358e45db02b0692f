"""Several processes write, others read, all at once and each under a clock of its own; then all notes are compared."""

from pathlib import Path
from random import Random

from tests.process.team import Team, Verdict
from tests.process.worker import Plan
from tests.simulation.observer import Figures

ACCOUNTS = ["shared", "one", "two"]
WRITERS, READERS = 3, 2


def run_concurrently(url: str, folder: Path, seconds: float, seed: int) -> tuple[Figures, str]:
    """Figures and the violations as text. The store at `url` is there, or is made by whoever comes first."""
    random = Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with Team(folder) as team:
        for role, count in (("writer", WRITERS), ("reader", READERS)):
            for number in range(count):
                name = f"{role}{number}"
                plan = Plan(
                    role=role,
                    name=name,
                    seed=random.randrange(2**31),
                    seconds=seconds,
                    journal=team.journal(name),
                    accounts=ACCOUNTS,
                    url=url,
                )
                team.start(plan)
        verdict = Verdict(url, team.finish())
    figures = verdict.give()
    figures.seeds = 1
    return figures, verdict.text()
