"""Fixed seeds of the simulation on every engine; `python -m tests.simulation` runs others, for as long as wanted."""

from tests.engines import EngineName
from tests.simulation.observer import Figures
from tests.simulation.script import Ask, Follow, Hold, Move, Reopen, Tick, Write, make_script
from tests.simulation.world import STEPS, run_seed

SEEDS = {"sqlite": range(1, 13), "postgres": range(101, 106), "citus": range(101, 106)}


def test_seeds(engine_name: EngineName, url: str) -> None:
    """Whatever writers, readers, closers, crashes and clocks do, each reader ends with the latest of every ticket."""
    total = Figures()
    for seed in SEEDS[engine_name]:
        total += run_seed(seed, url)
    assert total.violations == 0
    assert total.pages > 100
    assert total.writes > 100


def test_a_script_follows_from_its_seed() -> None:
    """The same seed gives the same steps, another seed others, and the fixed seeds bring every kind of fault."""
    assert make_script(5, STEPS) == make_script(5, STEPS)
    assert make_script(5, STEPS) != make_script(6, STEPS)
    for seeds in SEEDS.values():
        steps = [step for seed in seeds for step in make_script(seed, STEPS)]
        assert any(isinstance(step, Hold) and step.behind and step.write.fails for step in steps)
        assert any(isinstance(step, Write) and len(step.entries) > 500 for step in steps)
        assert any(isinstance(step, Write) and step.keep for step in steps)
        assert any(isinstance(step, Tick) and step.seconds < -(10**5) for step in steps)
        assert any(isinstance(step, Reopen) and step.crashes for step in steps)
        assert any(isinstance(step, Move) and step.seconds < -(10**6) for step in steps)
        assert any(isinstance(step, Follow) for step in steps)
        assert {1, 1000} <= {step.per_page for step in steps if isinstance(step, Ask)}
