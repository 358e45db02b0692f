"""The pages of docs/reference that are made from the code: `python -m tests.references` writes them all."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

from tests import (
    cli_reference,
    compatibility_reference,
    endpoints_reference,
    errors_reference,
    scale_reference,
    scenarios_reference,
)
from ticketfeed.protocol.paging import PAGE_BYTES_MAX
from ticketfeed.server.api.password_checks import LINE_MAX
from ticketfeed.server.api.requests import BODY_BYTES_MAX
from ticketfeed.server.dashboard.pages import FORM_BYTES_MAX
from ticketfeed.server.limits import Limits
from ticketfeed.server.middleware.overload import PAGES_OF_ACCOUNT
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
the [metrics token](settings.md) (of all). Counters are summed over all processes of one server and start at 0 with it;
gauges are read from the store and are the same at every server. How to use them: [Operate a
server](../how-to/operate.md).

| name | type | labels | meaning |
|---|---|---|---|
"""

LIMITS_HEAD = """# Limits

What clients can make one server process hold, or wait for. They hold for every address, with and without credentials,
but for the shares of requests with and without. `connections` is a [setting](settings.md); the others are fixed, chosen
so that no known client meets them. Each has a test in `tests/server/test_limits.py` or `test_overload.py`.

| limit | value | of what | beyond |
|---|---|---|---|
"""
LIMITS_TAIL = """
Limits on the content of requests, which are answered in the API's own words:

| limit | value | of what | beyond |
|---|---|---|---|
"""
LIMITS_OF_ANSWERS = """
Limits on answers. They refuse nothing: no record is out of reach because of its neighbours. What is read of an answer
that is sent in parts, and waits for its reader, counts among the unsent bytes above.

| limit | value | of what | beyond |
|---|---|---|---|
"""


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


def limits() -> str:
    rows = [
        f"| `{each.name}` | {_amount(each.default, each.metadata['unit'])} | {each.metadata['help']} "
        f"| {each.metadata['beyond']} |"
        for each in fields(Limits)
    ]
    content = [
        ("body", BODY_BYTES_MAX, "bytes", "The body of a request.", "413"),
        ("form", FORM_BYTES_MAX, "bytes", "A form of the dashboard.", "413"),
        ("passwords in line", LINE_MAX, "checks", "Passwords that are checked, or wait for it.", "429"),
    ]
    of_answers = [
        (
            "page",
            PAGE_BYTES_MAX,
            "bytes",
            "Records that are read at once, and that are in one answer to a request by cursor.",
            "A page by cursor, of an export, a list or a search, ends early, behind the record that is beyond: "
            "`has_more` is true, or `end_of_stream` false. Other lists are whole: a page by `page` and `per_page`, "
            "`show_many`, a single second of a time-based export, and what `include` adds to lists are sent in parts, "
            "as they are read, without `Content-Length` and `ETag`.",
        ),
        (
            "pages of an account",
            PAGES_OF_ACCOUNT,
            "pages",
            "Exports, lists and searches of one account that are being read.",
            "Requests wait, then 503.",
        ),
    ]
    tables = ((LIMITS_HEAD, rows), (LIMITS_TAIL, _lines(content)), (LIMITS_OF_ANSWERS, _lines(of_answers)))
    return "".join(head + "\n".join(lines) + "\n" for head, lines in tables)


def _lines(rows: Sequence[tuple[str, float, str, str, str]]) -> list[str]:
    return [f"| {name} | {_amount(value, unit)} | {what} | {beyond} |" for name, value, unit, what, beyond in rows]


def _amount(value: float, unit: str) -> str:
    if unit.startswith("bytes"):
        size, prefix = (value / 2**20, "MiB") if value >= 2**20 else (value / 2**10, "KiB")
        return f"{size:g} {unit.replace('bytes', prefix)}"
    return f"{value:g} {unit}"


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_reference.render,
    "compatibility-matrix.md": compatibility_reference.render,
    "http-api.md": endpoints_reference.render,
    "errors.md": errors_reference.render,
    "limits.md": limits,
    "metrics.md": metrics,
    "../why/scale.md": scale_reference.render,
    "scenarios.md": scenarios_reference.render,
    "settings.md": settings,
}

if __name__ == "__main__":
    logging.disable()  # of errors that are provoked on purpose
    for name, render in PAGES.items():
        (FOLDER / name).write_text(render())
