"""ticketfeed oauth: create, list and delete OAuth clients; create, list and revoke their tokens."""

import json
import re
import secrets
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal, TypeVar

import typer

from ticketfeed.cli.options import choose_account, opened, run_async, with_settings
from ticketfeed.cli.output import print_err, utc_time
from ticketfeed.clock import system_clock
from ticketfeed.protocol.credentials import TOKEN_CHARS_MIN
from ticketfeed.protocol.errors import BadInput, InvalidScope, NotFound, RecordInvalid
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.oauth import Lifetimes, NewSecrets, OauthClient, OauthToken, choose_scopes
from ticketfeed.protocol.oauth_input import CLIENT_PARSER
from ticketfeed.protocol.oauth_views import client_view, token_answer, token_view
from ticketfeed.protocol.token_request import ACCESS_SECONDS_MAX, ACCESS_SECONDS_MIN
from ticketfeed.settings import Settings
from ticketfeed.storage.contract import Store
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.oauth import add_token
from ticketfeed.writing.oauth_clients import create_client, find_first_admin, user_with_email

__all__ = ["app"]

T = TypeVar("T")
app = typer.Typer(help="Create, list and delete OAuth clients and their tokens.", no_args_is_help=True)
client_app = typer.Typer(help="Create, list and delete OAuth clients.", no_args_is_help=True)
token_app = typer.Typer(help="Create, list and revoke OAuth tokens.", no_args_is_help=True)
app.add_typer(client_app, name="client")
app.add_typer(token_app, name="token")

_SECRET = re.compile(rf"[!-~]{{{TOKEN_CHARS_MIN},1000}}")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON with the keys of the API, one object per line.")]


def _run(settings: Settings, work: Callable[[Store, Account], Coroutine[Any, Any, T]]) -> T:
    """Run `work` with the store and account of the settings."""

    async def run() -> T:
        async with opened(
            settings.store, create=False, accept_clock=settings.accept_clock, test_clock=settings.test_clock
        ) as store:
            return await work(store, await choose_account(store, settings.account))

    return run_async(run())


@client_app.command("create")
@with_settings("account", "store", "accept_clock", "test_clock")
def create(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the consent page calls the client.")],
    kind: Annotated[
        Literal["confidential", "public"], typer.Option(help="confidential: it has a secret. public: it has none.")
    ] = ("confidential"),
    redirect_uri: Annotated[
        list[str] | None, typer.Option(help="Where users are sent back to after they consented. Repeatable.")
    ] = None,
    scope: Annotated[
        str | None, typer.Option(help="Scopes that the client is allowed at most, such as 'read write'. Default: all.")
    ] = None,
    identifier: Annotated[str | None, typer.Option(help="client_id of its requests. Default: made from NAME.")] = None,
    secret: Annotated[str | None, typer.Option(help="Use this value instead of a random one.")] = None,
    email: Annotated[
        str | None, typer.Option(help="User that the client acts as by itself. Default: the account's first admin.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Create an OAuth client and print its client_id and client_secret. Only a hash of the secret is stored."""
    if secret is not None and kind == "public":
        raise BadInput("a public client has no secret")
    if secret is not None and not _SECRET.fullmatch(secret):
        raise BadInput(f"invalid secret: use {TOKEN_CHARS_MIN}-1000 printable ASCII characters without spaces")
    chosen = identifier if identifier is not None else re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    values = {"name": name, "identifier": chosen, "kind": kind, "redirect_uri": redirect_uri or []}
    if scope is not None:
        values["allowed_scopes"] = scope.split()
    made = secret or secrets.token_hex(32)

    async def work(store: Store, account: Account) -> dict[str, Any]:
        parsed = CLIENT_PARSER.convert(values)
        owner = None if email is not None else await find_first_admin(store, account)

        def write(transaction: WriteTransaction) -> OauthClient:
            user_id = owner if owner is not None else user_with_email(transaction, email or "")
            return create_client(transaction, parsed, user_id, made)

        client = await store.write(account, write)
        return client_view(client, account.subdomain, None if client.is_public else made)

    try:
        shown = _run(settings, work)
    except RecordInvalid as error:
        raise BadInput(error.reason()) from None
    if as_json:
        print(json.dumps(shown))
        return
    print(f"client_id\t{shown['identifier']}")
    if shown["secret"]:
        print(f"client_secret\t{shown['secret']}")


@client_app.command("list")
@with_settings("account", "store", "accept_clock", "test_clock")
def list_clients(settings: Settings, as_json: JsonOption = False) -> None:
    """List OAuth clients: ID, client_id, kind, name, allowed scopes, creation time."""

    async def work(store: Store, account: Account) -> None:
        for client in await store.list_oauth_clients(account):
            if as_json:
                print(json.dumps(client_view(client, account.subdomain)))
                continue
            scopes, created = client.allowed_scopes or "all scopes", utc_time(client.created_at)
            print(f"{client.id}\t{client.identifier}\t{client.kind}\t{client.name}\t{scopes}\t{created}")

    _run(settings, work)


@client_app.command("delete")
@with_settings("account", "store", "accept_clock", "test_clock")
def delete(
    settings: Settings, client: Annotated[str, typer.Argument(metavar="ID", help="The client_id, or the number.")]
) -> None:
    """Delete an OAuth client with all its tokens."""

    async def work(store: Store, account: Account) -> OauthClient:
        found = await _find_client(store, account, client)
        await store.write(account, lambda transaction: transaction.delete_client(found.id))
        return found

    print_err(f"deleted {_run(settings, work).identifier}")


async def _find_client(store: Store, account: Account, name: str) -> OauthClient:
    """The client with this identifier or number. Raises NotFound."""
    clients = await store.list_oauth_clients(account)
    for found in (each for key in ("identifier", "id") for each in clients if str(getattr(each, key)) == name):
        return found
    raise NotFound(f"there is no OAuth client {name!r}; see: ticketfeed oauth client list")


@token_app.command("create")
@with_settings("account", "store", "accept_clock", "test_clock")
def create_token(
    settings: Settings,
    client: Annotated[str, typer.Option(help="The client_id, or the number, of the OAuth client.")],
    email: Annotated[str | None, typer.Option(help="User that the token acts as. Default: that of the client.")] = None,
    scope: Annotated[str | None, typer.Option(help="Default: those that the client is allowed, or read write.")] = None,
    expires_in: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help=f"Lifetime, {ACCESS_SECONDS_MIN}-{ACCESS_SECONDS_MAX}. Default: 1800."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Create an access token, as if the user had consented, and print it; --json prints its refresh token, too."""
    if expires_in is not None and not ACCESS_SECONDS_MIN <= expires_in <= ACCESS_SECONDS_MAX:
        raise BadInput(f"--expires-in must be from {ACCESS_SECONDS_MIN} to {ACCESS_SECONDS_MAX}")
    made = NewSecrets(secrets.token_hex(32), secrets.token_hex(32))

    async def work(store: Store, account: Account) -> OauthToken:
        found = await _find_client(store, account, client)

        def write(transaction: WriteTransaction) -> OauthToken:
            user_id = found.user_id if email is None else user_with_email(transaction, email)
            scopes = choose_scopes(found, scope, None)
            return add_token(transaction, found, user_id, scopes, made, Lifetimes(expires_in))

        return await store.write(account, write)

    try:
        token = _run(settings, work)
    except InvalidScope:
        raise BadInput(f"the scope {scope!r} is unknown, or the client is not allowed it") from None
    print(json.dumps(token_answer(token, made, with_expires_in=True)) if as_json else made.access)


@token_app.command("list")
@with_settings("account", "store", "accept_clock", "test_clock")
def list_tokens(settings: Settings, as_json: JsonOption = False) -> None:
    """List tokens that can be used or renewed: ID, client, user, scopes, when created, last used, expiring."""

    async def work(store: Store, account: Account) -> None:
        now = store.clocks.at(account, system_clock())
        clients = {client.id: client.identifier for client in await store.list_oauth_clients(account)}
        for token in await store.list_oauth_tokens(account):
            if token.is_listed(now):
                line = _token_line(token, clients.get(token.client_id, "-"))
                print(json.dumps(token_view(token, account.subdomain)) if as_json else line)

    _run(settings, work)


def _token_line(token: OauthToken, client: str) -> str:
    used = "never used" if token.used_at is None else f"used {utc_time(token.used_at)}"
    ends = "never expires" if token.expires_at is None else f"expires {utc_time(token.expires_at)}"
    start = f"{token.access_start}..."
    columns = [token.id, client, f"user {token.user_id}", token.scopes, start, utc_time(token.created_at), used, ends]
    return "\t".join(map(str, columns))


@token_app.command("revoke")
@with_settings("account", "store", "accept_clock", "test_clock")
def revoke(
    settings: Settings, token_id: Annotated[int, typer.Argument(metavar="ID", help="As shown by `oauth token list`.")]
) -> None:
    """Revoke a token with its refresh token. The next request that uses it is refused."""

    async def work(store: Store, account: Account) -> bool:
        return await store.write(account, lambda transaction: transaction.end_oauth_token(token_id))

    if not 0 < token_id < 2**63 or not _run(settings, work):
        raise NotFound(f"there is no active OAuth token {token_id}; see: ticketfeed oauth token list")
    print_err(f"revoked {token_id}")
