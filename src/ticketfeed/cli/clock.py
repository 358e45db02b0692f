"""ticketfeed clock: show and move the clock of an account, for tests."""

import time as machine
from typing import Annotated

import typer

from ticketfeed.cli.options import choose_account, opened, run_async, with_settings
from ticketfeed.clock import system_clock
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.moved_clock import ClockMove, MovedClock, parse_clock_move
from ticketfeed.protocol.records import wire_second
from ticketfeed.settings import Settings
from ticketfeed.writing.clock import move_account_clock

__all__ = ["app"]

# Servers ask for clocks every quarter of a second; what follows the command finds them moved.
FOLLOWED_SECONDS = 0.5

app = typer.Typer(help="Show and move the clock of an account, for tests.", no_args_is_help=True)


@app.command()
@with_settings("account", "store")
def show(settings: Settings) -> None:
    """Print the account's time, and how it differs from the machine's."""
    _run(settings, None)


@app.command("set")
@with_settings("account", "store", "accept_clock")
def set_time(
    settings: Settings,
    time: Annotated[str, typer.Argument(metavar="TIME", help="Unix seconds, or a time such as 2027-04-30T12:00:00Z.")],
) -> None:
    """Set the clock to a time, earlier or later. Servers started with --test-clock follow within a second."""
    _run(settings, parse_clock_move({"set": time}))


@app.command()
@with_settings("account", "store", "accept_clock")
def advance(
    settings: Settings,
    duration: Annotated[str, typer.Argument(metavar="DURATION", help="Seconds, or 90s, 31m, 24h, 30d.")],
) -> None:
    """Put the clock ahead."""
    _run(settings, parse_clock_move({"advance": duration}))


@app.command()
@with_settings("account", "store", "accept_clock")
def freeze(settings: Settings) -> None:
    """Stop the clock; `set` and `advance` still move it."""
    _run(settings, ClockMove("freeze"))


@app.command()
@with_settings("account", "store", "accept_clock")
def resume(settings: Settings) -> None:
    """Let the clock go on from where it was stopped."""
    _run(settings, ClockMove("resume"))


@app.command()
@with_settings("account", "store", "accept_clock")
def reset(settings: Settings) -> None:
    """Put the clock back to the machine's time."""
    _run(settings, ClockMove("reset"))


def _run(settings: Settings, move: ClockMove | None) -> None:
    """Make a move, unless there is none, and print the clock."""
    if settings.store == "memory:":
        raise BadInput("a memory: store is empty when it is opened; move its clock with POST /_ticketfeed/clock")

    async def work() -> None:
        async with opened(settings.store, create=False, accept_clock=settings.accept_clock) as store:
            account, now = await choose_account(store, settings.account), system_clock()
            if move is None:
                clock = (await store.read_clocks()).get(account.account_id, MovedClock())
            else:
                clock = await store.write(account, lambda write: move_account_clock(write, move, now))
        print(f"{account.subdomain}\t{wire_second(clock.time(now))}\t{_difference(clock, now)}")

    run_async(work())
    if move is not None:
        machine.sleep(FOLLOWED_SECONDS)


def _difference(clock: MovedClock, now: int) -> str:
    """How a clock differs from the machine's."""
    ahead = clock.time(now) - now
    text = (
        f"{abs(ahead):,} s {'ahead of' if ahead > 0 else 'behind'} the machine's clock" if ahead else "machine's time"
    )
    return text if clock.frozen_at is None else f"{text}\tfrozen"
