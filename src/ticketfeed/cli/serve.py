"""serve, demo, get: data out."""

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ticketfeed.cli.ca import CaDirOption, TlsCertOption, TlsKeyOption, TlsOption, choose_tls
from ticketfeed.cli.options import (
    DEFAULT_STORE,
    AccountOption,
    StoreOption,
    choose_account,
    note,
    opened,
    run_async,
)
from ticketfeed.cli.rules import choose_rules
from ticketfeed.clock import system_clock
from ticketfeed.data.demo import fill_demo
from ticketfeed.inprocess import Answer, call_app
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.server.app import create_app
from ticketfeed.server.ops.traces import require_telemetry
from ticketfeed.server.run import ServePlan, bind
from ticketfeed.server.run import serve as serve_plan
from ticketfeed.settings import DEFAULT_KEPT_PAGES_MIB, PROFILES, RULES, ProfileName, Settings
from ticketfeed.storage import Store, open_store

__all__ = ["MarginOption", "ProfileOption", "RuleOption", "SettleOption", "make_settings", "register"]

TOKEN_CHARS_MIN = 16

HostOption = Annotated[str, typer.Option(envvar="TICKETFEED_HOST", help="Address to listen on.")]
PortOption = Annotated[
    int,
    typer.Option(envvar="TICKETFEED_PORT", min=0, max=65535, help="Port to listen on; 0 takes a free one."),
]
ProfileOption = Annotated[
    ProfileName,
    typer.Option(
        envvar="TICKETFEED_PROFILE",
        help="open: changes show within a second, no limits. zendesk: a minute is withheld, 10 exports a minute.",
    ),
]
SettleOption = Annotated[
    int | None,
    typer.Option(envvar="TICKETFEED_SETTLE_SECONDS", min=0, help="How far behind now a page ends. From the profile."),
]
MarginOption = Annotated[
    int | None,
    typer.Option(
        envvar="TICKETFEED_START_TIME_MARGIN_SECONDS",
        min=0,
        help="How old start_time must be; 0 allows any. From the profile.",
    ),
]
RuleOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=NUMBER",
        envvar="TICKETFEED_RULE",
        help="One rule of the profile; repeatable, in the environment separated by spaces. Known: " + ", ".join(RULES),
    ),
]
ReadStoreOption = Annotated[
    list[str] | None,
    typer.Option(
        envvar="TICKETFEED_READ_STORE",
        help="A PostgreSQL replica to read pages from. Repeatable; in the environment separated by spaces.",
    ),
]
PublicUrlOption = Annotated[
    str | None,
    typer.Option(envvar="TICKETFEED_PUBLIC_URL", help="Scheme and host for after_url, where a proxy hides them."),
]
KeptPagesOption = Annotated[
    int,
    typer.Option(
        envvar="TICKETFEED_KEPT_PAGES_MIB",
        min=0,
        help="Disk that each process may use to keep pages as they were sent, plain and gzip; 0 keeps none.",
    ),
]


PageOption = Annotated[
    bool,
    typer.Option("--page/--no-page", envvar="TICKETFEED_PAGE", help="Let admins look in with a browser."),
]
MetricsTokenOption = Annotated[
    str | None,
    typer.Option(
        envvar="TICKETFEED_METRICS_TOKEN",
        help="A bearer token that opens the metrics of all accounts; admins are told those of their own.",
    ),
]
TelemetryOption = Annotated[
    bool,
    typer.Option("--telemetry", envvar="TICKETFEED_TELEMETRY", help="Send traces to where the variables OTEL_... say."),
]

# Scheme, host, port, and the path below which a proxy serves us.
_PUBLIC_URL = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%/-]*)?", re.IGNORECASE
)


def register(app: typer.Typer) -> None:
    app.command()(demo)
    app.command()(serve)
    app.command("get")(get_path)


def serve(
    store: StoreOption = DEFAULT_STORE,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    workers: Annotated[int, typer.Option(envvar="TICKETFEED_WORKERS", min=1, help="Serving processes.")] = 1,
    profile: ProfileOption = "open",
    public_url: PublicUrlOption = None,
    read_store: ReadStoreOption = None,
    settle_seconds: SettleOption = None,
    start_time_margin_seconds: MarginOption = None,
    rule: RuleOption = None,
    kept_pages_mib: KeptPagesOption = DEFAULT_KEPT_PAGES_MIB,
    page: PageOption = True,
    metrics_token: MetricsTokenOption = None,
    telemetry: TelemetryOption = False,
    tls: TlsOption = False,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    ca_dir: CaDirOption = None,
) -> None:
    """Serve a store over HTTP until SIGTERM. Prints `ready: http://...` once it answers."""
    make_context = choose_tls(tls, tls_cert, tls_key, ca_dir)
    settings = make_settings(profile, public_url, settle_seconds, start_time_margin_seconds, rule, kept_pages_mib)
    if telemetry:
        require_telemetry()
    settings = replace(settings, page=page, metrics_token=_checked_token(metrics_token), telemetry=telemetry)
    if workers > 1 and store == "memory:":
        raise BadInput("memory: lives in one process; use a file to serve with several workers")
    with bind(host, port) as bound:
        if not run_async(_count_accounts(store, read_store or ())):
            note("ticketfeed: this store is empty; load tickets, and make a token with: ticketfeed token create")
        plan = ServePlan(store, settings, workers, tuple(read_store or ()), tls=make_context)
        serve_plan(plan, bound, _print_ready)


def _checked_token(token: str | None) -> str | None:
    if token is not None and len(token) < TOKEN_CHARS_MIN:
        raise BadInput(f"the metrics token is too short to be a secret: it needs {TOKEN_CHARS_MIN} characters or more")
    return token


async def _count_accounts(store_url: str, read_urls: Sequence[str]) -> int:
    """Also finds out, before any process is started, whether the store can be opened."""
    async with opened(store_url, read_urls=read_urls) as store:
        return len(await store.list_accounts())


def demo(
    store: Annotated[
        str | None,
        # Not from the environment: well-known credentials must not end up in a store that is in use.
        typer.Option(help="Keep the demo here; otherwise in a temporary folder."),
    ] = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    tickets: Annotated[int, typer.Option(min=0, help="How many tickets to generate.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Another seed gives another world.")] = 1,
    profile: ProfileOption = "open",
    rule: RuleOption = None,
) -> None:
    """Make a help desk with well-known credentials and serve it: the quickest way to try a client."""
    settings = make_settings(profile, rules=rule)
    with bind(host, port) as bound, _demo_store(store) as store_url:
        in_memory = run_async(_make_demo(store_url, tickets, seed))
        serve_plan(ServePlan(store_url, settings, store=in_memory), bound, lambda url: _print_demo(url, profile))


@contextmanager
def _demo_store(store_url: str | None) -> Iterator[str]:
    if store_url:
        yield store_url
        return
    with tempfile.TemporaryDirectory(prefix="ticketfeed-demo-") as folder:
        yield f"sqlite:///{Path(folder) / 'demo.db'}"


async def _make_demo(store_url: str, tickets: int, seed: int) -> Store | None:
    """Fill the store. It is closed, to be opened anew by the server, unless it lives in memory: then it is returned."""
    store = await open_store(store_url)
    try:
        account = await store.create_account("demo")
        if (await store.read_state(account)).ticket_count == 0:
            note(f"generating {tickets:,} tickets ...")
        await fill_demo(store, account, tickets, seed, system_clock())
    except BaseException:
        await store.close()
        raise
    if store_url == "memory:":
        return store
    await store.close()
    return None


def _print_ready(url: str) -> None:
    print(f"ready: {url}", flush=True)


def _print_demo(url: str, profile: str) -> None:
    other = next(name for name in PROFILES if name != profile)
    path = "/api/v2/incremental/tickets/cursor.json?start_time=0&per_page=2"
    print(
        f"ready: {url}\n"
        f"  page      {url}/_ticketfeed/   (sign in as the admin, with the API token)\n"
        f"  account   demo\n"
        f"  admin     admin@example.com   API token demo-token\n"
        f"  agent     agent@example.com   API token agent-token  (may not export: 403)\n"
        f"  profile   {profile}; for the other rules: ticketfeed demo --profile {other}\n"
        f"Try it:\n"
        f"  curl -s -u admin@example.com/token:demo-token '{url}{path}'\n"
        f"Stop with Ctrl-C.",
        flush=True,
    )


def get_path(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Such as '/api/v2/incremental/tickets/cursor?start_time=0'")
    ],
    account: AccountOption = None,
    store: StoreOption = DEFAULT_STORE,
    profile: ProfileOption = "open",
) -> int:
    """Answer one GET without a server, as an admin of the account, and print the body."""
    if not path.startswith("/"):
        raise BadInput(f"{path!r} is not a path; it begins with /api/v2/")
    answer = run_async(_get(path, account, store, profile))
    sys.stdout.buffer.write(answer.body + b"\n")
    if answer.status >= 400:
        if answer.status < 500:  # otherwise the log has said why
            note(f"ticketfeed: the answer is {answer.status}")
        return 2
    return 0


async def _get(path: str, name: str | None, store_url: str, profile: ProfileName) -> Answer:
    async with opened(store_url, create=False) as store:
        account = await choose_account(store, name)
        app = create_app(make_settings(profile, kept_pages_mib=0), store, authenticate=_trust)
        return await call_app(app, path, host=f"{account.subdomain}.localhost")


async def _trust(_account: Account, _authorization: str | None) -> Identity:
    """Whoever can open the store's file can read all of it anyway."""
    return Identity(0, "", "admin")


def make_settings(
    profile: ProfileName,
    public_url: str | None = None,
    settle: int | None = None,
    margin: int | None = None,
    rules: Sequence[str] | None = None,
    kept_pages_mib: int = DEFAULT_KEPT_PAGES_MIB,
) -> Settings:
    """The rules that the options say."""
    if public_url is not None and not _PUBLIC_URL.fullmatch(public_url.replace("{account}", "account")):
        raise BadInput(f"--public-url {public_url!r} is not an address such as https://tickets.example.com")
    said = choose_rules(rules, {"settle_seconds": settle, "start_time_margin_seconds": margin})
    values = {name: each.value for name, each in said.items()}
    return Settings.of_profile(profile, public_url=public_url, kept_pages_mib=kept_pages_mib, **values)
