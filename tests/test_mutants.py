"""The table of planted faults fits the source, so that `make mutants` tests what it says."""

from tests.mutants import ROOT, SOURCE, load_mutants


def test_faults_can_be_planted() -> None:
    """Each text to replace stands exactly once in its file, and each test that must notice is there."""
    wrong = []
    for mutant in load_mutants():
        count = (SOURCE / "ticketfeed" / mutant.file).read_text("utf-8").count(mutant.old)
        if count != 1 or mutant.old == mutant.new:
            wrong.append(f"{mutant.file}: {mutant.old!r} occurs {count} times")
        files = [test.partition("::")[0] for test in mutant.tests if not test.startswith("-")]
        wrong += [f"{name} is missing" for name in files if "/" in name and not (ROOT / name).exists()]
    assert wrong == []
