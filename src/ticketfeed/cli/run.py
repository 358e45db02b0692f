"""run: a command for which *.zendesk.com is here."""

import logging
import os
from typing import TYPE_CHECKING, Annotated

import typer

from ticketfeed.cli.ca import CaDirOption, choose_authority, require_tls_extra
from ticketfeed.cli.options import DEFAULT_STORE, StoreOption, note, opened, run_async
from ticketfeed.cli.serve import MarginOption, ProfileOption, RuleOption, SettleOption, make_settings
from ticketfeed.logs import configure_logs
from ticketfeed.protocol.errors import BadInput
from ticketfeed.wrap.hosts import parse_allowed_host

if TYPE_CHECKING:
    from ticketfeed.wrap.run import RunPlan

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    # What follows COMMAND is its own, whether or not there is a -- before it.
    app.command("run", context_settings={"allow_interspersed_args": False})(run)


def run(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", show_default=False)],
    store: StoreOption = DEFAULT_STORE,
    profile: ProfileOption = "open",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            envvar="TICKETFEED_ALLOW_HOST",
            help="Another host that COMMAND may reach, or *.DOMAIN. Repeatable; in the environment by spaces.",
        ),
    ] = None,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="One JSON line a request on standard error, as serve writes.")
    ] = False,
    settle_seconds: SettleOption = None,
    start_time_margin_seconds: MarginOption = None,
    rule: RuleOption = None,
    ca_dir: CaDirOption = None,
) -> int:
    """Run COMMAND so that https://NAME.zendesk.com is this store, with no change to it, and end with its exit code."""
    require_tls_extra()
    from ticketfeed.wrap.run import RunPlan

    if store == "memory:":
        raise BadInput("memory: is empty when it is opened; say where the tickets are with --store")
    allowed = frozenset(parse_allowed_host(host) for host in allow_host or ())
    settings = make_settings(profile, None, settle_seconds, start_time_margin_seconds, rule)
    _, authority = choose_authority(ca_dir)
    # The command's own words are what its user looks for there.
    configure_logs(logging.INFO if log_requests else logging.WARNING)
    return run_async(_run(command, RunPlan(settings, authority, allowed, note), store))


async def _run(command: list[str], plan: "RunPlan", store_url: str) -> int:
    from ticketfeed.wrap.run import run_command

    async with opened(store_url, create=False) as store:
        if not await store.list_accounts():
            note("ticketfeed: this store is empty; load tickets, and make a token with: ticketfeed token create")
        return await run_command(command, plan, store, os.environ)
