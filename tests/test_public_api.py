"""The public API: explicit, complete, and typed for those who use it."""

import importlib
import subprocess
import sys
import types
from pathlib import Path

import pytest

import ticketfeed

ROOT = Path(ticketfeed.__file__).parent
# A module without names of its own says so by having none; all others list theirs.
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path.name != "__main__.py"
)

USER_CODE = """
import asyncio
from collections.abc import Iterable

from ticketfeed import (
    Account, Clock, ExportRequest, FeedState, Filters, Identity, InputRecord, LoadSummary, Page, Position, Settings,
    Store, TicketDraft, TicketfeedError, create_app, decode_cursor, encode_cursor, generate_world, load_records,
    open_input, open_store, parse_export_request, parse_query, parse_ticket, read_input, read_page, system_clock,
)


async def walk(store: Store, account: Account, clock: Clock = system_clock) -> list[bytes]:
    asked: ExportRequest = parse_export_request(parse_query("start_time=0"), now=clock(), start_time_margin_seconds=0)
    page: Page = await read_page(store, account, asked, now=clock(), settle_seconds=0)
    cursor: str = encode_cursor(page.after)
    position: Position = decode_cursor(cursor)
    assert position == page.after and position.id >= -1
    return [row.body for row in page.rows]


def records(name: str) -> Iterable[InputRecord]:
    with open_input(name) as stream:
        yield from read_input(name, stream, "tickets")


async def main() -> None:
    store = await open_store("memory:")
    account = await store.create_account("acme")
    draft: TicketDraft = parse_ticket(b'{"id": 1}', account=account.subdomain, now=system_clock())
    count: int = await store.write(account, lambda transaction: transaction.put_tickets([draft]))
    summary: LoadSummary = await load_records(store, account, records("x.ndjson"), now=system_clock())
    state: FeedState = await store.read_state(account)
    print(count, summary.counts, state.watermark, await walk(store, account), Filters(exclude_deleted=True))
    for kind, record in generate_world(10, seed=1, until=system_clock(), account="acme"):
        print(kind, record["id"])
    app = create_app(Settings.of_profile("zendesk", settle_seconds=0), store)
    print(app.routes, Identity(1, "a@example.com", "admin"))


try:
    asyncio.run(main())
except TicketfeedError as error:
    print(error)
"""


@pytest.mark.parametrize("name", MODULES)
def test_all_is_explicit(name: str) -> None:
    """Each module lists its public names, each of which exists, is its own, and is public."""
    module = importlib.import_module(name)
    if name in ("ticketfeed.server", "ticketfeed.protocol") and not hasattr(module, "__all__"):
        assert not [value for value in vars(module).values() if isinstance(value, (types.FunctionType, type))]
        return
    names = module.__all__
    assert len(names) == len(set(names))
    assert not [each for each in names if not hasattr(module, each)]
    assert not [each for each in names if each.startswith("_") and each != "__version__"]


def test_top_level_is_complete_and_sorted() -> None:
    """`ticketfeed.__all__` is sorted and names all that the package's front shows, with a docstring each."""
    names = ticketfeed.__all__
    assert names == sorted(names)
    shown = {
        name
        for name, value in vars(ticketfeed).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "version"
    }
    assert shown <= set(names)
    for name in names:
        value = getattr(ticketfeed, name)
        if isinstance(value, (types.FunctionType, type)) and value.__module__.startswith("ticketfeed"):
            assert value.__doc__, name


def test_importing_is_cheap() -> None:
    """The package's front brings in no server process, no command line and no database driver."""
    code = "import sys, ticketfeed; print(sorted({'uvicorn', 'typer', 'rich', 'apsw'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_types_of_user_code(tmp_path: Path) -> None:
    """A program that uses the API passes the strictest type check, so the types reach those who install us."""
    assert (ROOT / "py.typed").exists()
    program = tmp_path / "program.py"
    program.write_text(USER_CODE)
    arguments = ["--strict", "--follow-imports=silent", f"--cache-dir={tmp_path / 'cache'}", "--config-file="]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments, str(program)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
