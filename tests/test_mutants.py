"""The table of planted faults fits the source, so that `make mutants` tests what it says."""

import ast

from tests.mutants import ROOT, SOURCE, load_mutants


def test_faults_can_be_planted() -> None:
    """Each text to replace stands exactly once in its file, what takes its place can be parsed, and each test that must
    notice is there."""
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py"))
    wrong = []
    for mutant in load_mutants():
        source = (SOURCE / "ticketfeed" / mutant.file).read_text("utf-8")
        if (count := source.count(mutant.old)) != 1 or mutant.old == mutant.new:
            wrong.append(f"{mutant.file}: {mutant.old!r} occurs {count} times")
        if mutant.file.endswith(".py"):
            try:
                ast.parse(source.replace(mutant.old, mutant.new))
            except SyntaxError as error:
                wrong.append(f"{mutant.file}: {mutant.new!r}: {error}")
        for test in mutant.tests:
            file, *names = test.split("::")
            function = names[-1].partition("[")[0] if names else ""
            if not (ROOT / file).exists() or (function and f"def {function}(" not in tests):
                wrong.append(f"{test} is missing")
    assert wrong == []
