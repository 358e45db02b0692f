"""The Zendesk source of unstructured-ingest, unmodified, from the package index: a file of text for each ticket."""

from datetime import datetime
from pathlib import Path
from typing import Any

from tests.connectors.store import EMAIL, TOKEN, World, change_store, fill_store, listed, read_with
from tests.connectors.venvs import connector_bin

# The source makes two clients, with their certificates, for each ticket.
TICKETS = 8
PROGRAM = """
import asyncio, pathlib, sys
from unstructured_ingest.processes.connectors.zendesk import zendesk

async def main(email, token, folder):
    connection = zendesk.ZendeskConnectionConfig(
        subdomain="acme", email=email, access_config=zendesk.ZendeskAccessConfig(api_token=token)
    )
    indexer = zendesk.ZendeskIndexer(
        connection_config=connection, index_config=zendesk.ZendeskIndexerConfig(item_type="all")
    )
    indexer.precheck()
    downloader = zendesk.ZendeskDownloader(
        connection_config=connection,
        download_config=zendesk.ZendeskDownloaderConfig(download_dir=pathlib.Path(folder)),
    )
    async for file in indexer.run_async():
        await downloader.run_async(file)

asyncio.run(main(*sys.argv[1:]))
"""


def test_unstructured(tmp_path: Path) -> None:
    """The text of every ticket that lists hold, with its comments; and after changes that of the next state."""
    world = fill_store(tmp_path, TICKETS)
    (tmp_path / "read.py").write_text(PROGRAM)
    assert read(tmp_path, "first") == texts(world)
    world = change_store(tmp_path, world)
    assert read(tmp_path, "second") == texts(world)


def read(folder: Path, name: str) -> dict[int, str]:
    python = connector_bin("unstructured-ingest") / "python"
    read_with(folder, python, "read.py", EMAIL, TOKEN, name)
    return {int(path.stem): path.read_text() for path in (folder / name / "tickets").iterdir()}


def texts(world: World) -> dict[int, str]:
    """The texts as the source writes them."""
    comments: dict[int, list[dict[str, Any]]] = {}
    for audit in world["audits"].values():
        for event in audit["events"]:
            if event["type"] in ("Comment", "VoiceComment"):
                comments.setdefault(audit["ticket_id"], []).append({**event, "created_at": audit["created_at"]})
    return {
        id: text("ticket", ticket, "created_at", "description", "id", "subject")
        + "".join(text("comment", each, "author_id", "body", "created_at", "id") for each in comments.get(id, []))
        for id, ticket in listed(world).items()
    }


def text(title: str, record: dict[str, Any], *names: str) -> str:
    values = {name: record[name] for name in names if record[name] is not None}
    values["created_at"] = datetime.fromisoformat(values["created_at"])
    return f"{title}\n" + "".join(f"{name}: {values[name]}\n" for name in names if name in values)
