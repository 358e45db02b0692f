"""The pages of docs/reference that are made from the code: `python -m tests.references` writes them all."""

from collections.abc import Callable
from pathlib import Path

from tests import cli_reference, endpoints_reference
from ticketfeed.protocol import errors
from ticketfeed.protocol.envelope import encode_error
from ticketfeed.server.ops.metrics import METRICS
from ticketfeed.settings import RULES, SETTINGS, Setting

FOLDER = Path(__file__).parent.parent / "docs/reference"

SETTINGS_HEAD = """# Settings

A setting can be given as an option, as an environment variable, or as a key in `ticketfeed.toml` (in the current
directory, or the file that `ticketfeed --config FILE ...` or `TICKETFEED_CONFIG` names). The option takes precedence
over the variable, the variable over the file, and the file over the profile or the default. `ticketfeed config show`
prints the effective settings of `serve`, and where each comes from. Which commands use a setting: see
[Command line](cli.md).

| key in the file | environment | option | default | meaning |
|---|---|---|---|---|
"""
RULES_HEAD = """
## Rules

Settings that the profile decides. Each can be overridden: `--rule NAME=VALUE`,
`TICKETFEED_RULE="NAME=VALUE NAME=VALUE"`, or a key under `[rules]` in the file. A rate limit of 0 means unlimited.

| rule | `open` | `zendesk` | unit | meaning |
|---|---|---|---|---|
"""
METRICS_HEAD = """# Metrics

At `/_ticketfeed/metrics`, in the text format of Prometheus, for admins (of their own account) and for the holder of
the [metrics token](settings.md) (of all). Counters are of all processes of one server, and begin anew with it; what
stands in the store is the same at every server. How to use them: [Operate a server](../how-to/operate.md).

| name | type | labels | what it is |
|---|---|---|---|
"""
ERRORS_HEAD = """# Errors

Every error of the API, as it stands on the wire. Decided in this order: path, host, credentials, role, budget,
parameters. A `Retry-After` says when to come again. A command ends with 2 and one line on standard error instead.

| status | when | body |
|---|---|---|
"""
# An error of each kind, and when it is met.
MET: list[tuple[errors.WireError, str]] = [
    (
        errors.MalformedRequest("The Host header is not a host name"),
        "a Host header or a body that is none",
    ),
    (errors.ParameterMissing("start_time"), "a parameter that has to be there is not"),
    (errors.InvalidValue("start_time must be a time in Unix seconds"), "a parameter that cannot be read"),
    (errors.StartTimeTooRecent(60), "a `start_time` within the last minute, with the profile `zendesk`"),
    (errors.InvalidCursor(), "a cursor that cannot be read"),
    (errors.TooManyValues(100), "more ids than one request may name"),
    (errors.IdempotentRequestError(), "an `Idempotency-Key` that was used for another request"),
    (errors.InvalidPaginationParameter("page[size] must be a number"), "a parameter of a list that cannot be read"),
    (errors.InvalidPaginationDepth(10_000), "a list by numbered pages, too deep"),
    (errors.NotAuthenticated(), "no credentials, or wrong ones"),
    (errors.InvalidToken(), "a Bearer token that is unknown or revoked"),
    (errors.RoleTooLow(), "a user whose role does not allow it"),
    (errors.FeatureMissing(), "a feature that this server has not"),
    (errors.InvalidEndpoint(), "an address that is unknown, or not with this method"),
    (errors.RecordNotFound(), "a record that is not there"),
    (errors.UnknownAccount("nobody.example.com"), "a host that names no account"),
    (errors.UpdateConflict(), "a ticket that has changed since `updated_stamp`"),
    (errors.BodyTooLarge(1048576), "a body that is too large"),
    (
        errors.RecordInvalid(subject=("cannot be blank", "BlankValue")),
        "a record that is not valid, field by field",
    ),
    (errors.APIRateLimitExceeded("Number of allowed API requests per minute exceeded", 30, {}), "a budget is used up"),
    (errors.InternalServerError(), "a fault of ours; the log has it under the answer's `X-Request-Id`"),
    (errors.StoreUnavailable("away"), "the store cannot serve now"),
    (errors.ServerBusy("too many requests under way", 5), "more requests than the process takes on"),
]


def settings() -> str:
    rows = [_setting(row) for row in SETTINGS.values() if row.has_option]
    return SETTINGS_HEAD + "\n".join(rows) + "\n" + RULES_HEAD + "\n".join(map(_rule, RULES.values())) + "\n"


def _setting(row: Setting) -> str:
    option = f"`{row.option}`" + (f", `--no-{row.option[2:]}`" if row.default is True else "")
    default = "" if row.default in (None, ()) else f"`{str(row.default).lower()}`"
    default = "from the profile" if row.is_rule else default
    former = f" Formerly `{'`, `'.join(row.aliases)}`." if row.aliases else ""
    return f"| `{row.name}` | `{row.variable}` | {option} | {default} | {row.help}{former} |"


def _rule(row: Setting) -> str:
    values = [f"`{value}`" if isinstance(value, str) else str(value) for value in row.profiles.values()]
    return f"| `{row.name}` | {' | '.join(values)} | {row.unit} | {row.help} |"


def metrics() -> str:
    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |"
        for name, (kind, labels, text) in METRICS.items()
    ]
    return METRICS_HEAD + "\n".join(rows) + "\n"


def wire_errors() -> str:
    rows = [
        f"| {error.status} | {when} | `{encode_error(error).decode()}` |"
        for error, when in sorted(MET, key=lambda pair: pair[0].status)
    ]
    return ERRORS_HEAD + "\n".join(rows) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_reference.render,
    "http-api.md": endpoints_reference.render,
    "errors.md": wire_errors,
    "metrics.md": metrics,
    "settings.md": settings,
}

if __name__ == "__main__":
    for name, render in PAGES.items():
        (FOLDER / name).write_text(render())
