"""What commands do with an account that is a mirror, or an archive: one line and exit code 2, or nothing at all."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.process.conftest import Start, run
from ticketfeed.protocol.mirrors import LOCAL_ID_MIN, Mirror, StreamState
from ticketfeed.protocol.tickets import parse_ticket
from ticketfeed.storage import open_store
from ticketfeed.storage.write_contract import WriteTransaction

SOURCE = "https://acme.zendesk.com"
REFUSAL = f"This account mirrors {SOURCE} and is read-only\n"


def make_mirror(url: str, closed_at: int | None = None) -> None:
    def work(write: WriteTransaction) -> None:
        write.put_mirror(Mirror(SOURCE, streams={"tickets": StreamState({}, 200)}, closed_at=closed_at))
        write.put_tickets(
            [parse_ticket(b'{"id":1,"status":"solved","generated_timestamp":100}', account="acme", now=300)]
        )

    async def main() -> None:
        store = await open_store(url)
        await store.write(await store.create_account("acme"), work, mirror=True)
        await store.close()

    asyncio.run(main())


def test_commands_on_a_mirror(start: Start, tmp_path: Path) -> None:
    """Those that write are refused in one line; credentials, checks, fences and maintenance go on as before."""
    url = f"sqlite:///{tmp_path}/ticketfeed.db"
    make_mirror(url)

    def done(*arguments: str) -> str:
        result = run(*arguments, cwd=tmp_path)
        assert result.code == 0, result
        return result.out.decode()

    (tmp_path / "more.ndjson").write_text('{"id":2}\n')
    for command in (("load", "more.ndjson"), ("generate", "3"), ("simulate", "--minutes", "0"), ("repair", "clock")):
        assert run(*command, cwd=tmp_path).problem == REFUSAL, command
    assert "close it first" in run("load", "--archive", "more.ndjson", cwd=tmp_path).problem
    assert done("maintain", "--close-solved-days", "1") == "acme: closed 0, scrubbed 0\n"
    assert done("check").startswith("accounts 1, tickets 1, records 0: no problem")
    assert done("fence") == "acme\ta mirror, walked to 200\t1970-01-01T00:03:20Z\n"
    doctor = done("doctor", "--port", "0")
    assert f"account acme: mirrors {SOURCE}; nobody copies it; ticketfeed mirror {SOURCE} --account acme" in doctor
    token = done("token", "create", "--email", "reader@example.com").strip()
    assert "near the end of 64 bits" not in done("doctor", "--port", "0")
    assert done("check").startswith("accounts 1, tickets 1, records 1: no problem")
    server = start("serve", "--port", "0", "--store", url)

    def ask(target: str) -> dict[str, Any]:
        answer = server.ask(target, token=token)
        assert answer.status == 200
        body: dict[str, Any] = json.loads(answer.body)  # type: ignore[attr-defined]
        return body

    assert ask("/api/v2/users/me.json")["user"]["id"] >= LOCAL_ID_MIN
    assert ask("/api/v2/incremental/users/cursor?start_time=0")["users"] == []
    assert [ticket["id"] for ticket in ask("/api/v2/incremental/tickets/cursor?start_time=0")["tickets"]] == [1]


def test_commands_on_an_archive(tmp_path: Path) -> None:
    """Exported files are loaded where they are meant to; doctor says what it is."""
    make_mirror(f"sqlite:///{tmp_path}/ticketfeed.db", closed_at=1_700_000_000)
    (tmp_path / "export.ndjson").write_text('{"id":2,"subject":"exported","updated_at":"1970-01-01T00:01:00Z"}\n')
    refused = run("load", "export.ndjson", cwd=tmp_path).problem
    assert refused == f"This account is an archive of {SOURCE}, closed on 2023-11-14, and is read-only\n"
    assert run("load", "--archive", "export.ndjson", cwd=tmp_path).out == b"loaded 1 tickets\n"
    assert f"an archive of {SOURCE}, closed on 2023-11-14T22:13:20Z" in run("doctor", cwd=tmp_path).out.decode()
