"""The options of commands that are settings, and other things that several commands share.

A command names the settings that it uses: `@with_settings("store", "account")`. It gets an option for each, and is
called with the resolved `Settings` as its first argument.
"""

import asyncio
import functools
import inspect
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

import typer

from ticketfeed.cli.resolver import RULE, Value, environment_source, make_settings, option_source, resolve
from ticketfeed.cli.termination import exit_code
from ticketfeed.protocol.account_names import check_account_name
from ticketfeed.protocol.errors import NotFound
from ticketfeed.protocol.model import Account
from ticketfeed.settings import RULES, SETTINGS, Setting, Settings, option_name, variable_name
from ticketfeed.storage import ClockCheck, Store, open_store
from ticketfeed.storage.account_names import list_account_names

__all__ = [
    "DEFAULT_ACCOUNT",
    "DEFAULT_CLOCK_ERROR_SECONDS",
    "EMPTY_STORE",
    "SERVE_SETTINGS",
    "ClockErrorOption",
    "choose_account",
    "new_account",
    "opened",
    "run_async",
    "with_settings",
    "with_values",
]

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_ACCOUNT = "demo"
EMPTY_STORE = "ticketfeed: the store is empty; load tickets, and create a token with: ticketfeed token create"
INTERRUPTED_SECONDS_MAX = 2.0
RULE_HELP = (
    "Set one rule of the profile. Repeatable; separated by spaces in the environment. Rules: " + ", ".join(RULES) + "."
)

_SETTINGS_OF_OTHER_COMMANDS = {"account", "allow_host", "isolate", "host_port"}
SERVE_SETTINGS = (
    *(name for name, row in SETTINGS.items() if row.has_option and name not in _SETTINGS_OF_OTHER_COMMANDS),
    RULE,
)

# Of numbers without a natural bound: none is reached by what makes sense, and none exceeds what a store can hold.
TICKETS_MAX = 100_000_000
DAYS_MAX = 36_500
REQUESTS_PER_MINUTE_MAX = 1_000_000

DEFAULT_CLOCK_ERROR_SECONDS = 5
# A watermark is never lowered: a larger value, given by mistake, would hold every change back for days.
CLOCK_ERROR_SECONDS_MAX = 86400
ClockErrorOption = Annotated[
    int,
    typer.Option(
        "--clock-error",
        metavar="SECONDS",
        min=0,
        max=CLOCK_ERROR_SECONDS_MAX,
        help="How far this machine's clock may be behind the clock of the machine that served the store.",
    ),
]


def with_settings(*names: str) -> Callable[[Callable[Concatenate[Settings, P], T]], Callable[..., T]]:
    """Decorate a command that uses these settings: it is called with `Settings` in place of their options."""

    def decorate(command: Callable[Concatenate[Settings, P], T]) -> Callable[..., T]:
        @functools.wraps(command)
        def with_values_of(values: dict[str, Value], /, *args: P.args, **kwargs: P.kwargs) -> T:
            return command(make_settings(values), *args, **kwargs)

        return with_values(*names)(with_values_of)

    return decorate


def with_values(*names: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorate a command that uses these settings: its first argument is a dict of each value with its origin."""
    options = {option.name: option for name in names for option in _option_parameters(name)}

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(command)
        def with_options(context: typer.Context, **arguments: Any) -> T:
            given = {name: arguments.pop(name) for name in options}
            sources = [option_source(given), environment_source(os.environ), context.obj]
            return command(resolve(names, sources), **arguments)

        own = list(inspect.signature(command).parameters.values())[1:]
        context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        parameters = [context, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *options.values()]
        # typer reads the options of a command from its signature; a function's type does not declare the attribute.
        with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        with_options.__annotations__ = {each.name: each.annotation for each in parameters}
        return with_options

    return decorate


_METAVARS = {int: "<int>", Path: "<path>"}


def _option_parameters(name: str) -> Iterator[inspect.Parameter]:
    """The parameter of a setting's option, and a hidden one for each of its former names."""
    if name == RULE:
        yield _parameter(RULE, list[str], option_name(RULE), _help(RULE_HELP, variable_name(RULE)), "NAME=VALUE")
        return
    row = SETTINGS[name]
    # All but lists and flags are text here; settings.py parses them, wherever they come from.
    kind: Any = list[str] if row.is_list else bool if row.kind is bool else str
    metavar = f"<{'|'.join(row.choices)}>" if row.choices else _METAVARS.get(row.kind)
    for each in (row.name, *row.aliases):
        spelling = option_name(each) + (f"/--no-{option_name(each)[2:]}" if row.default is True else "")
        yield _parameter(each, kind, spelling, _help(row.help, row.variable, _default_text(row)), metavar, each != name)


def _parameter(
    name: str, kind: Any, spelling: str, help: str, metavar: str | None, is_hidden: bool = False
) -> inspect.Parameter:
    option = typer.Option(spelling, help=help, metavar=metavar, hidden=is_hidden, show_default=False)
    annotation = Annotated[kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(text: str, variable: str, default: str = "") -> str:
    # The backslash keeps rich from reading the bracket as markup.
    return f"{text} \\[env var: {variable}{f'; default: {default}' if default else ''}]"


def _default_text(row: Setting) -> str:
    if row.is_rule:
        return "from the profile"
    return "" if row.kind is bool or row.default in (None, ()) else str(row.default)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    return asyncio.run(work)


@asynccontextmanager
async def opened(
    store_url: str,
    *,
    read_urls: Sequence[str] = (),
    create: bool = True,
    accept_clock: bool = False,
    test_clock: bool = False,
) -> AsyncIterator[Store]:
    """Open a store, and close it when the block ends. `test_clock`: go by the clocks of accounts that were moved."""
    clock_check = ClockCheck(is_accepted=accept_clock)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # lost connections are told by the errors of the store
    store = await open_store(store_url, read_urls=read_urls, create=create, clock_check=clock_check)
    try:
        if test_clock:
            store.clocks.replace(await store.read_clocks())
        yield store
    except asyncio.CancelledError:
        # A write in progress notices the interrupt at its next record, or when the engine answers. Exiting in the
        # middle of a transaction is safe: it is rolled back.
        exiting = threading.Timer(INTERRUPTED_SECONDS_MAX, os._exit, (exit_code(),))
        exiting.daemon = True
        exiting.start()
        raise
    finally:
        await store.close()


async def choose_account(store: Store, name: str | None) -> Account:
    """The account called `name`, or the default account for None. Raises NotFound, and BadInput for what is no name."""
    if name is None and (default := await store.find_default_account()):
        return default
    name = check_account_name(DEFAULT_ACCOUNT if name is None else name)
    account = await store.find_account(name)
    if account is None:
        known = await list_account_names(store)
        raise NotFound(f"there is no account {name!r}{known}; create it with: ticketfeed account create {name}")
    return account


async def new_account(store: Store, name: str | None, *, among_others: bool = False) -> Account:
    """As `choose_account`, or an account that is not stored yet, for `load_records` to store with its records.

    In a store that has accounts another one is made only if `among_others`: its name may be mistyped. Raises NotFound.
    """
    try:
        return await choose_account(store, name)
    except NotFound:
        name = DEFAULT_ACCOUNT if name is None else name
        if not among_others and await store.list_accounts(limit=1):
            raise
        return Account(0, name)
