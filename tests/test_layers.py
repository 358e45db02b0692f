"""Imports point inward: what each ring may know, read from the source itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ticketfeed

ROOT = Path(ticketfeed.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# ring -> the rings it may import. `cli`, `serving` and `running` stand outermost and may import all.
ALLOWED = {
    "protocol": {"protocol"},
    "clock": set[str](),
    "settings": set[str](),
    "logs": set[str](),
    "inprocess": set[str](),
    "world": {"world", "protocol"},
    "storage": {"storage", "protocol", "clock"},
    "sideloading": {"protocol", "storage"},
    "feed": {"protocol", "storage", "clock", "sideloading"},
    "writing": {"writing", "protocol", "storage"},
    "maintaining": {"writing", "protocol", "storage"},
    "kept": {"kept", "feed", "protocol", "storage"},
    "inputs": {"protocol", "storage", "clock"},
    "loading": {"protocol", "storage", "clock", "inputs"},
    "checking": {"protocol", "storage"},
    "surveying": {"protocol", "storage"},
    "tls": {"tls", "protocol", "clock"},
    "simulating": {"writing", "world", "protocol", "storage"},
    "server": {
        *(
            "server",
            "feed",
            "kept",
            "writing",
            "maintaining",
            "sideloading",
            "protocol",
            "storage",
            "settings",
            *("surveying", "logs"),
            "clock",
        )
    },
}
# What would make a rule depend on anything but its arguments, or a rule's tests on anything but time to run.
IMPURE = {
    *("asyncio", "anyio", "threading", "time", "os", "sys", "io", "pathlib", "tempfile", "shutil", "socket", "random"),
    *(
        "secrets",
        "uuid",
        "logging",
        "subprocess",
        "sqlite3",
        "apsw",
        "asyncpg",
        "psycopg",
        "psycopg_pool",
        "starlette",
        "uvicorn",
    ),
    *("typer", "rich", "structlog", "http"),
}
SQL = re.compile(
    r"\b(?:SELECT\s.+\sFROM|INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE\s.+\sSET|DELETE\s+FROM|CREATE\s+(?:TEMP\s+)?TABLE"
    r"|ALTER\s+TABLE|DROP\s+TABLE|PRAGMA\s+\w+|BEGIN\s+IMMEDIATE)\b",
    re.DOTALL,
)


def ring(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            if node.module == "ticketfeed":
                yield from (f"ticketfeed.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_inward(path: Path) -> None:
    """A module imports only from the rings that its own may know."""
    allowed = ALLOWED.get(ring(path))
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("ticketfeed.")}
    if allowed is not None:
        assert ours <= allowed
    if ring(path) not in ("cli", "__main__"):
        assert "cli" not in ours


@pytest.mark.parametrize("path", [path for path in SOURCES if ring(path) == "protocol"], ids=lambda path: path.stem)
def test_protocol_is_pure(path: Path) -> None:
    """The rules await nothing and import nothing that reaches beyond their arguments."""
    assert not {name.partition(".")[0] for name in imported(path)} & IMPURE
    awaiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    assert not [node for node in nodes if isinstance(node, awaiting)]
    names = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not names & {"open", "print", "input"}
    called = {node.func.attr for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}
    assert not called & {"now", "utcnow", "today"}


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if ring(path) not in ("storage", "world")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_sql_stays_below_storage(path: Path) -> None:
    """No text outside storage/ is SQL, and no module outside it imports a database driver.

    The generated world is left out: it has tickets whose text looks like SQL.
    """
    texts = [
        node.value
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not [text for text in texts if SQL.search(text)]
    assert not {name.partition(".")[0] for name in imported(path)} & {"apsw", "sqlite3", "asyncpg", "psycopg"}


def test_wall_time_has_one_reader() -> None:
    """Only clock.py asks what time it is; durations are measured by clocks that only run forward."""
    reading = re.compile(r"\btime\.time\(|\bdatetime\.now\(|\bdatetime\.utcnow\(|\bdate\.today\(")
    assert [path.name for path in SOURCES if reading.search(path.read_text("utf-8"))] == ["clock.py"]
