"""ticketfeed serve: serve a store over HTTP."""

from collections.abc import Sequence

from ticketfeed.cli.options import EMPTY_STORE, SERVE_SETTINGS, opened, run_async, with_settings
from ticketfeed.cli.output import print_err
from ticketfeed.cli.tls import choose_tls
from ticketfeed.protocol.errors import BadInput
from ticketfeed.server.ops.served_mirror import check_mirror_source
from ticketfeed.server.ops.traces import require_telemetry
from ticketfeed.server.run import bind, run_server
from ticketfeed.settings import Settings

__all__ = ["serve"]


@with_settings(*SERVE_SETTINGS)
def serve(settings: Settings) -> None:
    """Serve a store over HTTP until SIGTERM. Prints `ready: http://...` when the server accepts requests."""
    make_context = choose_tls(settings)
    if settings.telemetry:
        require_telemetry()
    if settings.workers > 1 and settings.store == "memory:":
        raise BadInput("a memory: store cannot be shared by several workers; use an SQLite file or PostgreSQL")
    if settings.mirror is not None:
        check_mirror_source(settings.mirror)
    if settings.workers > 1 and settings.faults:
        raise BadInput("--faults needs a single worker, whose counts are exact; use --workers 1")
    with bind(settings.host, settings.port) as listener:
        if not run_async(_has_accounts(settings.store, settings.read_store)):
            print_err(EMPTY_STORE)
        run_server(settings, listener, _print_ready, tls=make_context)


async def _has_accounts(store_url: str, read_urls: Sequence[str]) -> bool:
    """Fails before any worker process is started if the store cannot be opened."""
    async with opened(store_url, read_urls=read_urls) as store:
        return bool(await store.list_accounts(limit=1))


def _print_ready(url: str) -> None:
    print(f"ready: {url}", flush=True)
