"""`make mutants`: plant one-line faults in a copy of the source, one at a time, and expect the tests to notice.

The faults are data: `tests/mutants.toml`. Each names a file, the text to replace (which must stand in it exactly once),
what to put there, and the tests that must fail then. The same tests must pass on the unchanged copy. Exit code 1 when a
fault goes unnoticed.

The tests of each fault run in a process of their own, forked from one that has imported the libraries already: most
take less time than starting pytest would.
"""

import argparse
import compileall
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

__all__ = ["MUTANTS", "Mutant", "load_mutants"]

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
MUTANTS = Path(__file__).parent / "mutants.toml"
# A fault that makes a loop endless is noticed by the time that it takes.
SECONDS_MAX = 120.0
PROCESSES = 2
# Whatever is imported here must not import ticketfeed.
_PRELOADED = [
    "pytest",
    "hypothesis.strategies",
    "msgspec",
    "apsw",
    "isal.isal_zlib",
    "argon2",
    "starlette.applications",
]
_FORKS = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Mutant:
    """One fault. `file` is relative to src/ticketfeed; `tests` are arguments of pytest."""

    file: str
    fault: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, source: Path) -> None:
        """Plant the fault below `source`. Raises ValueError unless `old` stands in the file exactly once."""
        path = source / "ticketfeed" / self.file
        text = path.read_text("utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file}: {self.old!r} occurs {text.count(self.old)} times")
        path.write_text(text.replace(self.old, self.new), "utf-8")

    def undo(self, source: Path) -> None:
        """Put the original file back."""
        shutil.copy2(SOURCE / "ticketfeed" / self.file, source / "ticketfeed" / self.file)


def load_mutants() -> list[Mutant]:
    """All faults of the data file, in its order."""
    rows = tomllib.loads(MUTANTS.read_text("utf-8"))["mutant"]
    return [Mutant(row["file"], row["fault"], row["old"], row["new"], tuple(row["tests"])) for row in rows]


def find_failure(source: Path, tests: Sequence[str], seconds: float | None) -> str | None:
    """What pytest prints if these tests fail, or do not end in time, with the package imported from `source`."""
    with tempfile.TemporaryDirectory(prefix="ticketfeed-mutant-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run below it as another user
        process = _FORKS.Process(target=_run_tests, args=(source, tests, folder))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            return f"not done in {seconds} s"
        printed = (folder / "output").read_text("utf-8", "replace")[-4000:]
        if process.exitcode not in (0, 1):  # 1: a test failed; others: nothing was collected, or pytest itself failed
            raise RuntimeError(f"{' '.join(tests)}: {printed}")
        return printed if process.exitcode == 1 else None


def _run_tests(source: Path, tests: Sequence[str], folder: Path) -> None:
    """Run pytest in this process and end it with pytest's exit code, whatever threads a fault has left running."""
    with open(folder / "output", "w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(ROOT)
    sys.path.insert(0, str(source))  # before the editable installation
    os.environ["PYTHONPATH"] = str(source)  # of the processes that tests start
    sys.dont_write_bytecode = source != SOURCE
    code = 3
    try:
        import pytest

        code = int(pytest.main(["-x", "-p", "no:cacheprovider", f"--basetemp={folder / 'tests'}", *tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def check(mutants: Sequence[Mutant]) -> list[Mutant]:
    """The faults that nobody noticed, and a line for each fault on the way."""
    sources: SimpleQueue[Path] = SimpleQueue()

    def noticed(mutant: Mutant) -> bool:
        source, began = sources.get(), time.monotonic()
        try:
            mutant.apply(source)
            result = find_failure(source, mutant.tests, SECONDS_MAX) is not None
        except RuntimeError as error:
            print(f"BROKEN   {mutant.file}: {mutant.fault}: {error}", flush=True)
            return False
        finally:
            mutant.undo(source)
            sources.put(source)
        seconds = time.monotonic() - began
        print(f"{'noticed' if result else 'MISSED ':8} {seconds:5.1f} s  {mutant.file}: {mutant.fault}", flush=True)
        return result

    with tempfile.TemporaryDirectory(prefix="ticketfeed-mutants-") as folder:
        for number in range(PROCESSES):
            source = Path(shutil.copytree(SOURCE, Path(folder) / str(number) / "src"))
            compileall.compile_dir(source, quiet=2)
            sources.put(source)
        with ThreadPoolExecutor(PROCESSES) as pool:
            results = list(pool.map(noticed, mutants))
    return [mutant for mutant, result in zip(mutants, results, strict=True) if not result]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("words", nargs="*", help="only faults whose file or text has one of these words")
    words = parser.parse_args().words
    chosen = [m for m in load_mutants() if not words or any(word in f"{m.file} {m.fault}" for word in words)]
    # Plugins of installed packages take longer to load than most of these tests to run.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    _FORKS.set_forkserver_preload(_PRELOADED)
    all_tests = sorted({test for mutant in chosen for test in mutant.tests})
    if failure := find_failure(SOURCE, all_tests, None):
        print(f"the tests fail without any fault:\n{failure}")
        return 1
    missed = check(chosen)
    print(f"{len(chosen)} faults planted, {len(chosen) - len(missed)} noticed, {len(missed)} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
