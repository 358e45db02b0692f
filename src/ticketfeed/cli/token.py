"""ticketfeed token: create, list and revoke credentials."""

import re
import secrets
import sys
from typing import Annotated

import typer

from ticketfeed.cli.options import choose_account, opened, run_async, with_settings
from ticketfeed.cli.output import print_err, utc_time
from ticketfeed.protocol.errors import BadInput, NotFound
from ticketfeed.protocol.model import INT64_MAX
from ticketfeed.settings import Settings
from ticketfeed.storage.write_contract import CredentialKind, WriteTransaction
from ticketfeed.writing.credentials import Role, add_user_credential

__all__ = ["app"]

app = typer.Typer(help="Create, list and revoke credentials.", no_args_is_help=True)

# In Basic credentials the name ends at the first colon. A token is sent in a header as it is.
_EMAIL = re.compile(r"[^\s:@\ud800-\udfff]+@[^\s:@\ud800-\udfff]+")
_TOKEN = re.compile(r"[!-~]{1,1000}")


@app.command()
@with_settings("account", "store", "accept_clock", "test_clock")
def create(
    settings: Settings,
    email: Annotated[str, typer.Option(help="User that the token authenticates; created if it does not exist.")],
    role: Annotated[Role | None, typer.Option(help="Role of a new user. Default: admin.")] = None,
    token: Annotated[str | None, typer.Option(help="Use this value instead of a random one.")] = None,
    password: Annotated[bool, typer.Option("--password", help="Read a password and store it instead of a token.")] = (
        False
    ),
) -> None:
    """Create an API token and print it. Only a hash is stored, so it cannot be shown again."""
    if not _EMAIL.fullmatch(email.strip()):
        raise BadInput(f"{email!r} is not an email address")
    secret = _read_password() if password else (token if token is not None else secrets.token_urlsafe(30))
    if not secret.strip():
        raise BadInput("the token or password is empty")
    if not password and not _TOKEN.fullmatch(secret):
        raise BadInput("invalid token: use 1-1000 printable ASCII characters without spaces")
    kind: CredentialKind = "password" if password else "api_token"

    async def work() -> None:
        async with opened(
            settings.store, create=False, accept_clock=settings.accept_clock, test_clock=settings.test_clock
        ) as store:
            account = await choose_account(store, settings.account)
            await add_user_credential(store, account, email, role, kind, secret)

    run_async(work())
    print("password stored" if password else secret)


def _read_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


@app.command("list")
@with_settings("account", "store")
def list_tokens(settings: Settings) -> None:
    """List all credentials: ID, email, kind, creation time, and whether they are active or revoked."""

    async def work() -> None:
        async with opened(settings.store, create=False) as store:
            account = await choose_account(store, settings.account)
            for token in await store.list_credentials(account):
                status = "active" if token.revoked_at is None else "revoked"
                print(f"{token.id}\t{token.email}\t{token.kind}\t{utc_time(token.created_at)}\t{status}")

    run_async(work())


@app.command()
@with_settings("account", "store", "accept_clock", "test_clock")
def revoke(
    settings: Settings, credential_id: Annotated[int, typer.Argument(metavar="ID", help="As shown by `token list`.")]
) -> None:
    """Revoke a token or password. The next request that uses it is refused."""

    def revoke_one(transaction: WriteTransaction) -> None:
        if not 0 < credential_id <= INT64_MAX or not transaction.revoke_credential(credential_id):
            raise NotFound(f"there is no active token {credential_id}; see: ticketfeed token list")

    async def work() -> None:
        async with opened(
            settings.store, create=False, accept_clock=settings.accept_clock, test_clock=settings.test_clock
        ) as store:
            await store.write(await choose_account(store, settings.account), revoke_one)

    run_async(work())
    print_err(f"revoked {credential_id}")
