"""ticketfeed run: run a command for which *.zendesk.com is the store."""

import logging
import os
from typing import TYPE_CHECKING, Annotated

import typer

from ticketfeed.cli.options import EMPTY_STORE, opened, run_async, with_settings
from ticketfeed.cli.output import print_err
from ticketfeed.cli.tls import choose_authority, require_tls_extra
from ticketfeed.logs import configure_logs
from ticketfeed.protocol.errors import BadInput
from ticketfeed.settings import Settings
from ticketfeed.wrap.hosts import parse_allowed_host, parse_host_port

if TYPE_CHECKING:
    from ticketfeed.wrap.services import RunPlan

__all__ = ["run"]


@with_settings(
    *("store", "profile", "isolate", "allow_host", "host_port", "settle_seconds", "start_time_margin_seconds", "rule"),
    *("ca_dir", "accept_clock", "test_clock"),
)
def run(
    settings: Settings,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", show_default=False)],
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Log each request to standard error as a JSON line, as serve does.")
    ] = False,
) -> int:
    """Run COMMAND with https://NAME.zendesk.com served from the store, without changes to COMMAND.

    The exit code is that of COMMAND.
    """
    require_tls_extra()
    from ticketfeed.wrap.services import RunPlan

    if settings.store == "memory:":
        raise BadInput("a memory: store is empty when it is opened; name another one with --store")
    allowed = frozenset(parse_allowed_host(host) for host in settings.allow_host)
    host_ports = frozenset(parse_host_port(port) for port in settings.host_port)
    _, authority = choose_authority(settings.ca_dir)
    # By default, standard error belongs to COMMAND.
    configure_logs(logging.INFO if log_requests else logging.WARNING)
    return run_async(_run(command, RunPlan(settings, authority, allowed, print_err, host_ports), settings))


async def _run(command: list[str], plan: "RunPlan", settings: Settings) -> int:
    from ticketfeed.wrap.run import run_command

    async with opened(
        settings.store, create=False, accept_clock=settings.accept_clock, test_clock=settings.test_clock
    ) as store:
        if not await store.list_accounts(limit=1):
            print_err(EMPTY_STORE)
        return await run_command(command, plan, store, os.environ)
