"""The table of planted faults fits the source, so that `make mutants` tests what it says."""

from tests.mutants import ROOT, SOURCE, load_mutants


def test_faults_can_be_planted() -> None:
    """Each text to replace stands exactly once in its file, and each test that must notice is there."""
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py"))
    wrong = []
    for mutant in load_mutants():
        count = (SOURCE / "ticketfeed" / mutant.file).read_text("utf-8").count(mutant.old)
        if count != 1 or mutant.old == mutant.new:
            wrong.append(f"{mutant.file}: {mutant.old!r} occurs {count} times")
        for test in mutant.tests:
            file, *names = test.split("::")
            function = names[-1].partition("[")[0] if names else ""
            if not (ROOT / file).exists() or (function and f"def {function}(" not in tests):
                wrong.append(f"{test} is missing")
    assert wrong == []
