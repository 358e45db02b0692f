"""account, token: who is served, and who may read."""

import re
import secrets
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from ticketfeed.cli.options import (
    DEFAULT_STORE,
    AccountOption,
    StoreOption,
    checked_name,
    choose_account,
    note,
    opened,
    run_async,
)
from ticketfeed.protocol.errors import BadInput, NotFound
from ticketfeed.storage.contract import CredentialKind
from ticketfeed.writing.credentials import Role, add_user_credential

__all__ = ["register"]

accounts = typer.Typer(help="Make and list accounts.", no_args_is_help=True)
tokens = typer.Typer(help="Make, list and revoke credentials.", no_args_is_help=True)


# The name in Basic credentials ends at the first colon; a header carries a token as it is.
_EMAIL = re.compile(r"[^\s:@\ud800-\udfff]+@[^\s:@\ud800-\udfff]+")
_TOKEN = re.compile(r"[!-~]{1,1000}")


def register(app: typer.Typer) -> None:
    app.add_typer(accounts, name="account")
    app.add_typer(tokens, name="token")


@accounts.command("create")
def create_account(name: Annotated[str, typer.Argument(metavar="NAME")], store: StoreOption = DEFAULT_STORE) -> None:
    """Make an account; nothing happens when it is there."""

    name = checked_name(name)

    async def work() -> None:
        async with opened(store) as opened_store:
            await opened_store.create_account(name)

    run_async(work())


@accounts.command("list")
def list_accounts(store: StoreOption = DEFAULT_STORE) -> None:
    """Every account, with how many tickets it holds."""

    async def work() -> None:
        async with opened(store, create=False) as opened_store:
            for account in await opened_store.list_accounts():
                state = await opened_store.read_state(account)
                print(f"{account.subdomain}\t{state.ticket_count} tickets")

    run_async(work())


@tokens.command("create")
def create_token(
    email: Annotated[str, typer.Option(help="The user that the token acts as; made when new.")],
    role: Annotated[Role | None, typer.Option(help="The role of a new user [admin].")] = None,
    token: Annotated[str | None, typer.Option(help="Use this value in place of a random one.")] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for a password, and store that instead.")] = False,
    account: AccountOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Make an API token and print it. It is not kept in readable form: this is the only time it is shown."""
    if not _EMAIL.fullmatch(email.strip()):
        raise BadInput(f"{email!r} is not an email address")
    secret = _ask_password() if password else (token if token is not None else secrets.token_urlsafe(30))
    if not secret.strip():
        raise BadInput("the token or password is empty")
    if not password and not _TOKEN.fullmatch(secret):
        raise BadInput("a token is made of up to 1000 letters, digits and signs of ASCII, without spaces")
    kind: CredentialKind = "password" if password else "api_token"

    async def work() -> None:
        async with opened(store) as opened_store:
            chosen = await choose_account(opened_store, account, create=True)
            await add_user_credential(opened_store, chosen, email, role, kind, secret)

    run_async(work())
    print("password stored" if password else secret)


def _ask_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


@tokens.command("list")
def list_tokens(account: AccountOption = None, store: StoreOption = DEFAULT_STORE) -> None:
    """Every credential: id, email, kind, when it was made, whether it is in force."""

    async def work() -> None:
        async with opened(store, create=False) as opened_store:
            chosen = await choose_account(opened_store, account)
            for token in await opened_store.list_credentials(chosen):
                made = datetime.fromtimestamp(token.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                force = "in force" if token.revoked_at is None else "revoked"
                print(f"{token.id}\t{token.email}\t{token.kind}\t{made}\t{force}")

    run_async(work())


@tokens.command("revoke")
def revoke_token(
    credential_id: Annotated[int, typer.Argument(metavar="ID", help="As `token list` shows it.")],
    account: AccountOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """End a token or password. It takes effect with the next request."""

    async def work() -> bool:
        async with opened(store, create=False) as opened_store:
            chosen = await choose_account(opened_store, account)
            return await opened_store.write(chosen, lambda transaction: transaction.revoke_credential(credential_id))

    if not run_async(work()):
        raise NotFound(f"there is no token {credential_id} in force; see: ticketfeed token list")
    note(f"revoked {credential_id}")
