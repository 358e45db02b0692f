"""ticketfeed mirror: copy a source and follow it, say how that goes, and change it while it runs."""

import asyncio
import json
import math
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from typer.core import TyperGroup

from ticketfeed.cli.options import REQUESTS_PER_MINUTE_MAX, choose_account, opened, run_async, with_settings
from ticketfeed.cli.output import print_err
from ticketfeed.client.extra import require_export_extra
from ticketfeed.clock import system_instant
from ticketfeed.protocol.account_names import check_account_name
from ticketfeed.protocol.errors import BadInput, NotFound, SourceChanged, SourceError
from ticketfeed.protocol.mirrors import Mirror, MirrorSettings
from ticketfeed.protocol.model import Account
from ticketfeed.settings import Settings
from ticketfeed.storage.contract import Store
from ticketfeed.storage.write_contract import WriteTransaction

if TYPE_CHECKING:
    from ticketfeed.client.sources import Source
    from ticketfeed.mirror.verification import Findings

__all__ = ["app"]

# How long faults of a source that may be gone are waited out before its archive is closed.
FINAL_SECONDS, ONCE_SECONDS = 30.0, 3600.0


class _SourceOrCommand(TyperGroup):
    """`mirror SOURCE` is `mirror run SOURCE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_SourceOrCommand,
    help="Copy an account and follow it: `ticketfeed mirror SOURCE`, or one of the commands.",
    no_args_is_help=True,
    subcommand_metavar="SOURCE|COMMAND [ARGS]...",
)


@app.command("run")
@with_settings("store", "account", "accept_clock", "test_clock")
def run_mirror(
    settings: Settings,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="https://NAME.zendesk.com, another base address, or a store URL.")
    ],
    once: Annotated[bool, typer.Option("--once", help="End when it has caught up with the source.")] = False,
    final: Annotated[
        bool, typer.Option("--final", help="Catch up a last time, and close the account as an archive.")
    ] = False,
    accept_source: Annotated[
        bool,
        typer.Option("--accept-source", help="Go on with a source that is another one, is empty, or has gone back."),
    ] = False,
    comments: Annotated[
        bool | None, typer.Option("--comments/--no-comments", help="Ticket events and metric events, too.")
    ] = None,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=REQUESTS_PER_MINUTE_MAX,
            help="At most so many; 0 is unlimited. The source's own limit holds where it is lower.",
            show_default="what the source allows, 10 until it says so",
        ),
    ] = None,
    give_up_after: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="How long faults that pass are waited out.", show_default="1h, or for ever"
        ),
    ] = None,
) -> None:
    """Copy SOURCE into an account of the store, then follow it until SIGTERM; a later run goes on where it ended.

    The account is --account, else the first label of a host below zendesk.com, else `mirror`. Credentials of SOURCE are
    read from where `ticketfeed export` has them; they are never stored. Readers of the mirror have credentials of their
    own: `ticketfeed token create`.
    """
    require_export_extra("mirror")
    from ticketfeed.cli.export import parse_duration
    from ticketfeed.client.sources import parse_source
    from ticketfeed.mirror.run import MirrorOptions

    if settings.store == "memory:":
        raise BadInput("a memory: store ends with the command; mirror into an SQLite file or PostgreSQL")
    follow = not (once or final)
    usual = math.inf if follow else FINAL_SECONDS if final else ONCE_SECONDS
    seconds = parse_duration("--give-up-after", give_up_after) if give_up_after else usual
    options = MirrorOptions(comments, follow, accept_source, requests_per_minute, seconds)
    command = _Command(settings, parse_source(source), options, final)
    if run_async(command.run()):
        raise KeyboardInterrupt


class _Command:
    """One call of `mirror SOURCE`."""

    def __init__(self, settings: Settings, source: "Source", options: Any, final: bool) -> None:
        from ticketfeed.cli.mirror_progress import MirrorProgress

        self._settings, self._source, self._options, self._final = settings, source, options, final
        self._credentials = _credentials(source)
        self._progress = MirrorProgress()
        self._interrupted = False

    async def run(self) -> bool:
        """Whether it was ended by ^C."""
        from ticketfeed.client.sources import mirror_name

        name = check_account_name(self._settings.account or mirror_name(self._source))
        async with opened(
            self._settings.store, accept_clock=self._settings.accept_clock, test_clock=self._settings.test_clock
        ) as store:
            if not self._final:
                await self._mirror(store, name)
                return self._interrupted
            account = await choose_account(store, name)
            if await store.read_mirror(account) is None:
                raise BadInput(f"{name} is no mirror, so there is nothing to close")
            try:
                await self._mirror(store, name)
            except SourceChanged:  # and so not the one to close it by
                raise
            except SourceError as error:
                self._progress.print(f"closed as far as it was copied; {error}")
            if not self._interrupted:
                await store.write(account, _close, mirror=True)
                print(f"{name} is closed as an archive of {self._source.name}")
        return self._interrupted

    async def _mirror(self, store: Store, name: str) -> None:
        from ticketfeed.mirror.run import MirrorRun

        run = MirrorRun(store, name, self._source, self._credentials, self._options, note=self._progress.print)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, run.stop)
        loop.add_signal_handler(signal.SIGINT, self._interrupt, loop, run.stop)
        showing = loop.create_task(self._progress.show(run))
        try:
            await run.run()
        finally:
            showing.cancel()
            self._progress.leave()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _interrupt(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        """^C ends the run behind its page, and a second one at once."""
        self._interrupted = True
        loop.remove_signal_handler(signal.SIGINT)
        stop()


def _credentials(source: "Source") -> Any:
    from ticketfeed.cli.export import ask_on_terminal
    from ticketfeed.client.auth import find_credentials

    ask = ask_on_terminal if sys.stdin.isatty() and sys.stderr.isatty() else None
    return find_credentials(source.url, os.environ, ask) if source.kind == "http" else None


def _close(transaction: WriteTransaction) -> None:
    mirror = transaction.mirror
    assert mirror is not None
    transaction.put_mirror(msgspec.structs.replace(mirror, closed_at=transaction.now, lease=None))


@app.command()
@with_settings("account", "store")
def status(
    settings: Settings, as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False
) -> None:
    """Say how a mirror goes: what it has copied, how far it is behind, and why it waits."""
    from ticketfeed.cli.mirror_progress import status_line
    from ticketfeed.mirror.status import status_of

    async def work() -> tuple[Account, Mirror]:
        async with opened(settings.store, create=False) as store:
            return await _find_mirror(store, settings.account)

    account, mirror = run_async(work())
    values = status_of(mirror, system_instant())
    if as_json:
        print(json.dumps(values))
        return
    print(f"{account.subdomain}\t{mirror.source}\t{status_line(values)}")
    if values["last_error"]:
        print(f"last error: {values['last_error']}")


@app.command()
@with_settings("account", "store", "accept_clock", "test_clock")
def verify(
    settings: Settings,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make what differs as it is at the source, in one write.")
    ] = False,
    whole: Annotated[
        bool,
        typer.Option("--all", help="Read the exports from their beginning, not only their newest pages and samples."),
    ] = False,
    lag: Annotated[
        str,
        typer.Option(metavar="DURATION", help="For how long the source may hold changes back."),
    ] = "65s",
) -> None:
    """Compare a mirror with its source: prints a line for each difference, and ends with 1 where there are any.

    What differs is looked at again after --lag, and counts if neither side has changed meanwhile. A line has the
    stream, the id, and the versions here and there, separated by tabs. Beside a mirror that runs it takes up to a
    quarter of the requests; credentials are those of `ticketfeed mirror`.
    """
    from ticketfeed.cli.export import parse_duration
    from ticketfeed.client.sources import parse_source
    from ticketfeed.mirror.verify import TooFarBehind
    from ticketfeed.mirror.verify_run import VerifyOptions, verify_mirror

    options = VerifyOptions(repair, whole, parse_duration("--lag", lag))

    async def work() -> "Findings":
        async with opened(
            settings.store, create=False, accept_clock=settings.accept_clock, test_clock=settings.test_clock
        ) as store:
            account, mirror = await _find_mirror(store, settings.account)
            source = parse_source(mirror.source)
            try:
                return await verify_mirror(store, account, source, _credentials(source), options)
            except TooFarBehind as error:
                raise BadInput(f"{error}; verify it when it has caught up") from None

    findings = run_async(work())
    for difference in findings.differences:
        print(difference.line())
    print_err(_summary(findings))
    if findings.differences:
        raise typer.Exit(1)


def _summary(findings: "Findings") -> str:
    count = len(findings.differences)
    parts = [f"{findings.compared:,} records compared, {count:,} difference{'s' * (count != 1)}"]
    if findings.repaired:
        parts[0] += f", {findings.repaired:,} repaired"
    for kind, (here, there) in findings.counts.items():
        parts.append(f"{kind}: {here:,} here" + ("" if there is None else f", {there:,} at the source"))
    if findings.not_copied:
        parts.append(f"not copied yet: {', '.join(findings.not_copied)}")
    if findings.undecided:
        parts.append(f"not read again by the mirror yet: {', '.join(findings.undecided)}")
    return "; ".join(parts)


@app.command()
@with_settings("account", "store", "accept_clock")
def pause(settings: Settings) -> None:
    """Send no more requests to the source until `mirror resume`; a running mirror follows within seconds."""
    _change(settings, is_paused=True)


@app.command()
@with_settings("account", "store", "accept_clock")
def resume(settings: Settings) -> None:
    """Go on after `mirror pause`."""
    _change(settings, is_paused=False)


@app.command()
@with_settings("account", "store", "accept_clock")
def budget(
    settings: Settings,
    requests_per_minute: Annotated[
        int,
        typer.Argument(
            metavar="N",
            min=0,
            max=REQUESTS_PER_MINUTE_MAX,
            help="Requests a minute; 0 for the source's own limit alone.",
        ),
    ],
) -> None:
    """Change how many requests a minute a mirror may send; a running one follows within seconds."""
    _change(settings, requests_per_minute=requests_per_minute)


def _change(settings: Settings, **changes: Any) -> None:
    async def work() -> tuple[Account, MirrorSettings]:
        async with opened(settings.store, create=False, accept_clock=settings.accept_clock) as store:
            account, _ = await _find_mirror(store, settings.account)
            from ticketfeed.mirror.knobs import change_settings

            return account, await change_settings(store, account, **changes)

    account, changed = run_async(work())
    limit = "unset" if changed.requests_per_minute is None else changed.requests_per_minute
    print(f"{account.subdomain}\t{'paused' if changed.is_paused else 'running'}\t{limit} requests a minute")


async def _find_mirror(store: Store, name: str | None) -> tuple[Account, Mirror]:
    """The mirror that is meant: the named one, or the only one. Raises NotFound, BadInput."""
    mirrors = await store.read_mirrors()
    accounts = {each.subdomain: each for each in await store.list_accounts() if each.account_id in mirrors}
    if name is None and len(accounts) > 1:
        raise BadInput(f"the store has several mirrors: name one of {', '.join(accounts)} with --account")
    chosen = next(iter(accounts.values()), None) if name is None else accounts.get(name)
    if chosen is None:
        known = f"; there are: {', '.join(accounts)}" if accounts else ""
        raise NotFound(
            f"{name} is no mirror{known}" if name else "the store has no mirror; see ticketfeed mirror --help"
        )
    return chosen, mirrors[chosen.account_id]
