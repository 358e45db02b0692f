"""ticketfeed faults: make the requests of a running server fail, scenario by scenario, for tests."""

import contextlib
import http.client
import ssl
from base64 import b64encode
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import msgspec
import typer

from ticketfeed.cli.options import with_settings
from ticketfeed.client.auth import find_credentials
from ticketfeed.client.oauth import Basic, Bearer
from ticketfeed.data.demo import DEMO_USERS
from ticketfeed.faults import find_scenario, read_scenario_file, shipped_scenarios
from ticketfeed.protocol.errors import BadInput
from ticketfeed.server.run import connect_to_self
from ticketfeed.settings import Settings

__all__ = ["app"]

TIMEOUT_SECONDS = 10.0
_PATH = "/_ticketfeed/faults"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

app = typer.Typer(
    help="Make requests of a running server fail, for tests: demo, or serve --faults.", no_args_is_help=True
)
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The server, instead of host and port; its host names the account. Credentials of an admin: "
        "TICKETFEED_SOURCE_EMAIL and _TOKEN, _BEARER, or ~/.netrc; without any, those of the demo.",
    ),
]


class _Active(msgspec.Struct):
    """A scenario that is switched on."""

    name: str
    description: str
    expect: list[str]
    times: int
    counted: int
    fired: int


class _Answer(msgspec.Struct):
    scenarios: list[_Active]


@app.command("list")
@with_settings("host", "port")
def list_scenarios(
    settings: Settings,
    url: UrlOption = None,
    active: Annotated[bool, typer.Option("--active", help="Only those that are switched on.")] = False,
) -> None:
    """List the scenarios: name, how often each fired if it is switched on, what is right, what happens."""
    try:
        switched = {each.name: each for each in _ask(url or _default_url(settings), "GET").scenarios}
    except _Unreachable:
        if active or url is not None:
            raise
        switched = {}
    for name, each in switched.items():
        _print(name, f"fired {each.fired} of {each.times}", each.expect, each.description)
    for name, scenario in shipped_scenarios().items():
        if not active and name not in switched:
            _print(name, "off", scenario.expect, scenario.description)


@app.command()
@with_settings("host", "port")
def add(
    settings: Settings,
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="A name of the list, or a file FILE.toml.")],
    url: UrlOption = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other requests, where chance decides.")] = 1,
    times: Annotated[
        int | None, typer.Option(metavar="N", help="How often it fires at most, instead of what it says.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Only for requests with this token, client identifier or client secret."),
    ] = None,
) -> None:
    """Switch a scenario on for the account, from its beginning."""
    if scenario.endswith(".toml"):
        sent: Any = msgspec.to_builtins(read_scenario_file(Path(scenario)))
        name = sent["name"]
    else:
        sent = name = find_scenario(scenario).name
    body = {"scenario": sent, "seed": seed, "times": times, "token": token}
    answer = _ask(
        url or _default_url(settings), "POST", {key: value for key, value in body.items() if value is not None}
    )
    each = next(each for each in answer.scenarios if each.name == name)
    _print(name, f"on, at most {each.times} {'time' if each.times == 1 else 'times'}", each.expect, each.description)


@app.command()
@with_settings("host", "port")
def clear(
    settings: Settings,
    scenario: Annotated[str | None, typer.Argument(metavar="[SCENARIO]", help="Default: all.")] = None,
    url: UrlOption = None,
) -> None:
    """Switch one scenario off, or all."""
    query = f"?scenario={quote(scenario)}" if scenario is not None else ""
    _ask(url or _default_url(settings), "DELETE", query=query)


def _default_url(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}"


def _print(name: str, state: str, expect: Any, description: str) -> None:
    print(f"{name}\t{state}\t{' or '.join(expect)}\t{description}")


class _Unreachable(BadInput):
    """No server answers."""


def _ask(url: str, method: str, body: object = None, query: str = "") -> _Answer:
    """Raises BadInput with what the server says."""
    connection, host = _connect(url)
    headers = {"Authorization": _authorization(url, host), "Content-Type": "application/json"}
    try:
        with contextlib.closing(connection):
            connection.request(method, _PATH + query, None if body is None else msgspec.json.encode(body), headers)
            answer = connection.getresponse()
            status, content = answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise _Unreachable(f"no server at {url}: {getattr(error, 'strerror', None) or error}") from None
    if status != 200:
        raise BadInput(_refusal(url, status, content))
    try:
        return msgspec.json.decode(content, type=_Answer)
    except msgspec.DecodeError:
        raise BadInput(f"{url} is not a ticketfeed server") from None


def _connect(url: str) -> tuple[http.client.HTTPConnection, str]:
    """A connection, and the host."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in ("http", "https") or not host:
        raise BadInput(f"{url!r} is not a URL such as http://127.0.0.1:8080")
    has_tls = parts.scheme == "https"
    port = port or (443 if has_tls else 80)
    if _is_loopback(host):
        return connect_to_self(host, port, has_tls), host
    if has_tls:
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context), host
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS), host


def _is_loopback(host: str) -> bool:
    return host in _LOOPBACK or host.endswith(".localhost")


def _authorization(url: str, host: str) -> str:
    """The header. On this machine, the demo's well-known admin where nothing else is set."""
    answers = iter((DEMO_USERS[0][0], DEMO_USERS[0][2]))
    credentials = find_credentials(url, ask=(lambda _prompt: next(answers)) if _is_loopback(host) else None)
    match credentials:
        case Basic(email, token):
            return "Basic " + b64encode(f"{email}/token:{token}".encode()).decode()
        case Bearer(token):
            return f"Bearer {token}"
    raise BadInput("faults needs an email and an API token, or a bearer token, of an admin")


def _refusal(url: str, status: int, content: bytes) -> str:
    """What the server says, in one line."""
    with contextlib.suppress(msgspec.DecodeError):
        body = msgspec.json.decode(content, type=dict[str, Any])
        error = body.get("error")
        text = body.get("description") or body.get("error_description")
        text = text or (error.get("message") if isinstance(error, dict) else error)
        if text:
            return f"{url} answers {status}: {text}"
    return f"{url} answers {status}: is it a ticketfeed server?"
