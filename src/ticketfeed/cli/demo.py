"""ticketfeed demo: generate a help desk with well-known credentials, and serve it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ticketfeed.cli.options import TICKETS_MAX, run_async, with_settings
from ticketfeed.cli.output import print_err
from ticketfeed.clock import system_clock
from ticketfeed.data.demo import fill_demo
from ticketfeed.server.run import bind, run_server
from ticketfeed.settings import PROFILES, Settings
from ticketfeed.storage import Store, open_store

__all__ = ["demo"]


@with_settings("host", "port", "profile", "rule")
def demo(
    settings: Settings,
    store: Annotated[
        str | None,
        # Not the setting, which a file or variable may set: well-known credentials must not get into a store in use.
        typer.Option(help="Store the demo here. Default: in a temporary directory."),
    ] = None,
    tickets: Annotated[int, typer.Option(min=0, max=TICKETS_MAX, help="Number of tickets to generate.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the generated data.")] = 1,
) -> None:
    """Generate a help desk with well-known credentials and serve it: the quickest way to try a client."""
    with bind(settings.host, settings.port) as listener, _demo_store(store) as store_url:
        in_memory = run_async(_fill(store_url, tickets, seed))
        served = replace(settings, store=store_url, test_clock=True, faults=True)
        run_server(served, listener, lambda url: _print_ready(url, settings), store=in_memory)


@contextmanager
def _demo_store(store_url: str | None) -> Iterator[str]:
    if store_url:
        yield store_url
        return
    with tempfile.TemporaryDirectory(prefix="ticketfeed-demo-") as folder:
        yield f"sqlite:///{Path(folder) / 'demo.db'}"


async def _fill(store_url: str, tickets: int, seed: int) -> Store | None:
    """Generate the demo. Returns the open store if it lives in memory; any other is closed, for the server to open."""
    store = await open_store(store_url)
    try:
        account = await store.create_account("demo")
        if (await store.read_state(account)).ticket_count == 0:
            print_err(f"generating {tickets:,} tickets ...")
        await fill_demo(store, account, tickets, seed, system_clock())
    except BaseException:
        await store.close()
        raise
    if store_url == "memory:":
        return store
    await store.close()
    return None


def _print_ready(url: str, settings: Settings) -> None:
    other_profile = next(name for name in PROFILES if name != settings.profile)
    path = "/api/v2/incremental/tickets/cursor.json?start_time=0&per_page=2"
    grant = "grant_type=client_credentials&client_id=demo-client&client_secret=demo-secret"
    print(
        f"ready: {url}\n"
        f"  dashboard {url}/_ticketfeed/   (sign in as the admin, with the API token)\n"
        f"  account   demo\n"
        f"  admin     admin@example.com   API token demo-token\n"
        f"  agent     agent@example.com   API token agent-token  (exports are forbidden: 403)\n"
        f"  OAuth     client demo-client   secret demo-secret\n"
        f"  profile   {settings.profile}; to switch: ticketfeed demo --profile {other_profile}\n"
        f"Try it:\n"
        f"  curl -s -u admin@example.com/token:demo-token '{url}{path}'\n"
        f"  curl -s -d '{grant}' {url}/oauth/tokens\n"
        f"Stop with Ctrl-C.",
        flush=True,
    )
