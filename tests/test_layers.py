"""Imports point inward: what each room may import, read from the source itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import ticketfeed

ROOT = Path(ticketfeed.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# Room -> the rooms that it may import besides itself; a module below a room that has no row of its own belongs to
# that room. `cli` is outermost and may import everything.
_STORED = {"protocol", "storage", "clock"}
_SERVED = {*_STORED, "export", "writing", "settings", "logs"}
ALLOWED: dict[str, set[str]] = {
    "protocol": set(),
    "clock": set(),
    "settings": {"protocol"},
    "logs": set(),
    "inprocess": set(),
    "atomic_file": {"protocol"},
    "world": {"protocol"},
    "faults": {"protocol"},
    "storage": {"protocol", "clock", "atomic_file"},
    "storage.sqlite": {"protocol", "clock", "atomic_file", "storage"},
    "storage.postgres": {"protocol", "clock", "atomic_file", "storage"},
    "export": _STORED,
    "writing": _STORED,
    "data": {*_STORED, "writing", "world", "atomic_file"},
    "server.request_context": {"protocol"},
    "server.recent_reads": {"protocol"},
    "server.responses": {"protocol", "server.request_context", "server.ops"},
    "server.ops": {
        *_SERVED,
        "server.request_context",
        "server.recent_reads",
        "server.responses",
        "server.middleware",
        "server.api",
        "data",
        "mirror",
        "client",
    },
    "server.middleware": {
        *_SERVED,
        "server.limits",
        "server.request_context",
        "server.responses",
        "server.ops",
        "server.api",
    },
    "server.api": {
        *_SERVED,
        "server.request_context",
        "server.recent_reads",
        "server.responses",
        "server.ops",
        "server.middleware",
        "data",
    },
    "server.faults": {
        *_SERVED,
        "faults",
        "server.request_context",
        "server.responses",
        "server.middleware",
        "server.api",
    },
    "server.static_files": set(),
    "server.explorer": {*_SERVED, "server.api", "server.static_files"},
    "server.dashboard": {
        *_SERVED,
        "server.middleware",
        "server.request_context",
        "server.recent_reads",
        "server.api",
        "server.faults",
        "server.ops",
        "server.static_files",
        "data",
        "faults",
        "mirror",
    },
    "server.limits": set(),
    "server.event_loop": {"server.limits"},
    "server.connection": {"server.middleware", "server.request_context", "server.connections"},
    "server.connections": {"server.middleware", "server.connection", "server.limits"},
    "server": {*_SERVED, "server", "wrap", "mirror"},
    "wrap": {*_STORED, "server", "settings", "atomic_file"},
    "client": {"protocol", "clock", "client.store_source"},
    "client.sinks": {"protocol", "clock", "atomic_file"},
    "client.store_source": {*_STORED, "client", "settings", "inprocess", "server"},
    "mirror": {*_STORED, "client", "writing", "data"},
    "dlt": {"client"},
    "torture": {*_SERVED, "faults", "server", "data", "wrap", "client", "atomic_file"},
    "testing": {*_SERVED, "faults", "server", "data", "wrap", "inprocess", "client"},
}
# Modules that would make a rule depend on anything but its arguments.
IMPURE = {
    "asyncio",
    "anyio",
    "threading",
    "time",
    "os",
    "sys",
    "io",
    "pathlib",
    "tempfile",
    "shutil",
    "socket",
    "random",
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
    "typer",
    "rich",
    "structlog",
    "http",
}
DRIVERS = {"apsw", "duckdb", "sqlite3", "asyncpg", "psycopg"}
SQL = re.compile(
    r"\b(?:SELECT\s.+\sFROM|INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE\s.+\sSET|DELETE\s+FROM|CREATE\s+(?:TEMP\s+)?TABLE"
    r"|ALTER\s+TABLE|DROP\s+TABLE|PRAGMA\s+\w+|BEGIN\s+IMMEDIATE)\b",
    re.DOTALL,
)


def module_name(path: Path) -> str:
    """The dotted name below `ticketfeed`; empty for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """The longest room that the module is or lies below, else its top-level name."""
    rooms = [name for name in ALLOWED if module == name or module.startswith(f"{name}.")]
    return max(rooms, key=len, default=module.partition(".")[0])


def may_import(importing: str, imported: str) -> bool:
    own, other = room(importing), room(imported)
    if own not in ALLOWED:  # outermost
        return True
    return any(other == name or other.startswith(f"{name}.") for name in {own, *ALLOWED[own]})


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            if (ROOT.parent / (node.module or "").replace(".", "/")).is_dir():
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def test_imports_point_inward() -> None:
    """A module imports only from the rooms that its own may import, and nothing imports the command line."""
    wrong = []
    for path in SOURCES:
        module = module_name(path)
        ours = {name.removeprefix("ticketfeed.") for name in imported(path) if name.startswith("ticketfeed.")}
        wrong += [f"{module} imports {name}" for name in ours if not may_import(module, name)]
        if room(module) not in ("cli", "__main__"):
            wrong += [f"{module} imports {name}" for name in ours if room(name) == "cli"]
    assert not wrong


def test_every_room_has_a_row() -> None:
    """Each folder and each module at the top has a row, but for the outermost."""
    tops = {module_name(path).partition(".")[0] for path in SOURCES} - {"", "__main__", "cli"}
    assert tops == {name.partition(".")[0] for name in ALLOWED}


def test_protocol_is_pure() -> None:
    """The rules await nothing and import nothing that reaches beyond their arguments."""
    wrong = []
    for path in (path for path in SOURCES if room(module_name(path)) == "protocol"):
        nodes = list(ast.walk(parsed(path)))
        reached = {name.partition(".")[0] for name in imported(path)} & IMPURE
        awaiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
        reached |= {type(node).__name__ for node in nodes if isinstance(node, awaiting)}
        calls = [node.func for node in nodes if isinstance(node, ast.Call)]
        reached |= {call.id for call in calls if isinstance(call, ast.Name)} & {"open", "print", "input"}
        reached |= {call.attr for call in calls if isinstance(call, ast.Attribute)} & {"now", "utcnow", "today"}
        wrong += [f"{path.name}: {name}" for name in reached]
    assert not wrong


# Databases that an export writes, and one that it has for itself.
SINKS_WITH_SQL = {
    "client.sinks.duckdb",
    "client.sinks.sqlite",
    "client.sinks.last_numbers",
    "client.outputs_of_tables",
}


def test_sql_stays_below_storage() -> None:
    """No text outside storage/ and the sinks that are databases is SQL, and nothing else imports a database driver.

    The generated world is left out: it has tickets whose text looks like SQL.
    """
    wrong = []
    outside = [path for path in SOURCES if room(module_name(path)).partition(".")[0] not in ("storage", "world")]
    for path in (path for path in outside if module_name(path) not in SINKS_WITH_SQL):
        texts = [node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant)]
        wrong += [f"{path.name}: {text}" for text in texts if isinstance(text, str) and SQL.search(text)]
        wrong += [f"{path.name}: {name}" for name in imported(path) if name.partition(".")[0] in DRIVERS]
    assert not wrong


def test_wall_time_has_one_reader() -> None:
    """Only clock.py asks what time it is; durations are measured by clocks that only run forward."""
    reading = re.compile(r"\btime\.time\(|\bdatetime\.now\(|\bdatetime\.utcnow\(|\bdate\.today\(")
    assert [path.name for path in SOURCES if reading.search(path.read_text("utf-8"))] == ["clock.py"]
