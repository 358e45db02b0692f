"""What SQLite leaves in the unused bytes of pages is overwritten, and nothing else."""

import asyncio
import json
import random
from pathlib import Path

import apsw

from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.ticket_input import TICKET_CHANGE
from ticketfeed.protocol.tickets import parse_ticket
from ticketfeed.storage.sqlite.page_gaps import overwrite_gaps
from ticketfeed.storage.sqlite.store import SqliteStore
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.tickets import TicketWriter

NOON = 1_700_000_000
COUNT = 200
ACTOR = Identity(5, "", "admin")


def word(id: int) -> str:
    return "ERASED" if id % 3 == 0 else "stays"


def test_balanced_pages(tmp_path: Path) -> None:
    """After many changes of rows of all sizes nothing of the erased ones is in the file, and the file is whole."""
    chance, now = random.Random(2), [NOON]

    async def scenario() -> None:
        store = SqliteStore.open(tmp_path / "t.db", lambda: now[0])
        account = await store.create_account("acme")
        records = [{"id": id, "subject": word(id) + "x" * chance.randrange(3000)} for id in range(1, COUNT)]
        drafts = [parse_ticket(json.dumps(record).encode(), account="acme", now=NOON) for record in records]
        await store.write(account, lambda write: write.load(drafts))
        for _ in range(400):
            now[0] += 1
            id = chance.randrange(1, COUNT)
            text = word(id) * chance.randrange(1, 2000)
            change = TICKET_CHANGE.convert({"subject": word(id), "comment": {"body": text}})
            await store.write(
                account, lambda write, id=id, change=change: TicketWriter(write, "acme", ACTOR).update(id, change)
            )
        reader = apsw.Connection(str(tmp_path / "t.db"))
        counting = "SELECT count(*), sum(length(body)) FROM record"
        before = reader.execute(counting).get
        for id in range(3, COUNT, 3):
            now[0] += 1

            def erase(write: WriteTransaction, id: int = id) -> None:
                TicketWriter(write, "acme", ACTOR).delete(id)
                TicketWriter(write, "acme", ACTOR).scrub(id)

            await store.write(account, erase)
        assert reader.execute(counting).get != before
        for path in tmp_path.iterdir():
            assert b"ERASED" not in path.read_bytes(), path
        assert b"stays" in (tmp_path / "t.db").read_bytes()
        assert reader.execute("PRAGMA integrity_check").get == "ok"
        reader.close()
        await store.close()

    asyncio.run(scenario())


def test_copies_in_gaps(tmp_path: Path) -> None:
    """Rows of changing sizes leave copies of erased ones between cells; these are overwritten, and nothing else is."""
    found = 0
    for seed in range(3):
        chance, path, ids = random.Random(seed), tmp_path / f"{seed}.db", range(1, 400)
        bodies = [b"WORD%04d" % id for id in ids]
        connection = apsw.Connection(str(path))
        for pragma in ("page_size = 32768", "journal_mode = WAL", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, body BLOB) WITHOUT ROWID")
        put = "INSERT OR REPLACE INTO row VALUES (?, ?)"
        with connection:
            connection.executemany(put, ((id, bodies[id - 1] * chance.randrange(1, 450)) for id in ids))
            for id in chance.choices(ids, k=600):
                connection.execute(put, (id, bodies[id - 1] * chance.randrange(1, 1800)))
            connection.executemany(put, ((id, b"X") for id in ids[2::3]))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        rows = connection.execute("SELECT * FROM row").fetchall()
        connection.close()
        found += sum(body in path.read_bytes() for body in bodies[2::3])
        overwrite_gaps(path)
        assert not any(body in path.read_bytes() for body in bodies[2::3])
        connection = apsw.Connection(str(path))
        assert connection.execute("SELECT * FROM row").fetchall() == rows
        assert connection.execute("PRAGMA integrity_check").get == "ok"
        connection.close()
    assert found


def test_a_reader_in_the_way(tmp_path: Path) -> None:
    """While somebody reads from the log an erasure is done all the same, and overwritten at the next chance."""

    async def scenario() -> None:
        now = [NOON]
        store = SqliteStore.open(tmp_path / "t.db", lambda: now[0])
        account = await store.create_account("acme")
        ticket = parse_ticket(b'{"id":1,"status":"deleted","subject":"ERASED"}', account="acme", now=NOON)
        await store.write(account, lambda write: write.put_tickets([ticket]))
        reader = apsw.Connection(str(tmp_path / "t.db"))
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM ticket").fetchall()
        now[0] += 1
        await store.write(account, lambda write: TicketWriter(write, "acme", ACTOR).scrub(1))
        held = [path.name for path in tmp_path.iterdir() if b"ERASED" in path.read_bytes()]
        assert held
        reader.execute("COMMIT")
        reader.close()
        await store.overwrite_erased()
        assert not [path.name for path in tmp_path.iterdir() if b"ERASED" in path.read_bytes()]
        await store.close()

    asyncio.run(scenario())
