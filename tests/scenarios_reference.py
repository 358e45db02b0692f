"""docs/reference/scenarios.md, made from the scenarios of the package and the keys of their model."""

import msgspec

from ticketfeed.faults import shipped_scenarios
from ticketfeed.protocol.scenarios import (
    FaultDrip,
    FaultEffect,
    FaultTrigger,
    FaultWorld,
    PageEdit,
    Scenario,
)

__all__ = ["render"]

_HEAD = """# Scenarios

What a server can do wrong on purpose: see [Make requests fail](../how-to/make-requests-fail.md). Each scenario is named
after what happens, and links to a report of where it happened, or to the documentation of what may happen. *Right* is
what a connector may do: `completes` reads everything in the end, `stops` ends soon with an exit code that is not 0,
`waits` sends no request for as long as it was told to. This page is made from the files in `src/ticketfeed/faults` by
`python -m tests.references`.

| scenario | what happens | right | times | incident |
|---|---|---|---|---|
"""
_KEYS_HEAD = """
## Scenarios of your own

A TOML file, or the same as a JSON object. `name`, `description` and `[what]` are needed, with one effect at least.
A scenario may have several effects: it may delay an answer, change its page and cut the connection.

```toml
name = "late-and-cut"
description = "Every third page after the first comes late and is cut after 1,000 bytes."
incident = "https://example.com/issues/1"
expect = ["completes", "stops"]
times = 4

[when]
request = 2
every = 3

[what]
cut_after_bytes = 1000
drip = { pieces = 10, every_seconds = 0.2 }
```

| key | meaning |
|---|---|
"""
# Table of the file -> its class, and what its keys mean.
_KEYS: dict[str, tuple[type[msgspec.Struct], dict[str, str]]] = {
    "": (
        Scenario,
        {
            "name": "Lower-case letters, digits and hyphens.",
            "description": "What happens, in a sentence.",
            "incident": "The URL of a report.",
            "expect": "`completes` (the default), `stops`, `waits` or `any`; several are a list.",
            "times": "How often it fires at most; 1 by default.",
            "again": "`true` if a connector is right that has everything only after its second run.",
            "when": "Which requests are counted, and at which of them it fires.",
            "what": "What happens then.",
        },
    ),
    "when": (
        FaultTrigger,
        {
            "address": "Path of the requests, `*` for any text; an ending `.json` makes no difference. By default all "
            "incremental exports.",
            "request": "It fires from this one of the counted requests on; 1 by default.",
            "every": "From there on at each so many; 1 by default.",
            "every_seconds": "At most once in so many seconds.",
            "chance": "With this probability, 0 to 1. Which requests that are depends on the seed alone.",
            "above_per_page": "Counts only requests for larger pages than this.",
            "page": "`more`: counts only pages with records that others follow; `last`: only those at the end of the "
            "stream.",
            "credential": "`api_token` or `access_token`: counts only requests with such a credential.",
            "grant_type": "Counts only requests to the token endpoint with this grant.",
            "after": "`end_of_stream` or `token`: counts only what follows a page at the end of the stream, or a token "
            "that was issued.",
        },
    ),
    "what": (
        FaultEffect,
        {
            "status": "Of the answer.",
            "headers": "Set in the answer. `{http_date+5}` is the date in five seconds, by the account's clock.",
            "body": "The whole answer is this text, and the request is not carried out. Without it the request is, and "
            "the other keys change its answer.",
            "date_skew_seconds": "Added to the header `Date`.",
            "delay_seconds": "Before the request is carried out.",
            "cut": "Where the connection ends: `head` (before any byte, by a reset), `before_body`, `inside_body`, "
            "`after_body` (all bytes of a chunked body without its end), `after_answer` (a whole answer).",
            "cut_after_bytes": "The connection ends after so many bytes of the body.",
            "drip": "The body comes in pieces.",
            "truncate_gzip": "`true`: the second half of the compressed body is missing, and the answer is complete. "
            "Counts only compressed answers.",
            "remove_keys": "Top-level keys that the JSON answer lacks.",
            "page": "Changes of the page of an export.",
            "world": "Changes of the account's tickets. They are part of the feed from then on, and the answer is sent "
            "once they can be read.",
            "token": "`expire`: the token of the request is refused from now on, a new one is not. `end`: the refresh "
            "token of the request has been used by another process.",
            "kill": "`true`: the answer is withheld for five seconds, for a runner that kills the command meanwhile.",
        },
    ),
    "what.drip": (
        FaultDrip,
        {"pieces": "How many, of equal size.", "every_seconds": "The pause before each."},
    ),
    "what.page": (
        PageEdit,
        {
            "cursor": "`stuck` points to the page itself; `null` and `missing`: no cursor and no URL.",
            "end_of_stream": "`true`, `false` or `missing`.",
            "records": "`none`: an empty page from which the walk goes on; `repeat`: those of the page before come "
            "first.",
            "after_url": "`missing`, `null`, or `without_host`. In time-based exports this is `next_page`.",
        },
    ),
    "what.world": (
        FaultWorld,
        {
            "create": "So many new tickets, in one second.",
            "touch": "So many tickets change, those read first, in one second.",
            "given": "`true`: the first ticket of the page changes.",
            "system": "`true`: changed tickets keep their `updated_at`, as with changes that Zendesk makes itself.",
            "delete": "So many tickets are deleted, of those read first.",
            "scrub": "So many tickets are deleted permanently, of those not read yet.",
            "values": "Keys that new and changed tickets are given.",
            "custom_field": "The value of their first custom field.",
            "description_bytes": "The size of their description.",
        },
    ),
}


def render() -> str:
    """The page."""
    rows = [_row(scenario) for scenario in shipped_scenarios().values()]
    keys = [
        f"| `{f'{table}.' if table else ''}{key}` | {texts[key]} |"
        for table, (kind, texts) in _KEYS.items()
        for key in kind.__struct_fields__
    ]
    return _HEAD + "\n".join(rows) + "\n" + _KEYS_HEAD + "\n".join(keys) + "\n"


def _row(scenario: Scenario) -> str:
    right = ", ".join(f"`{each}`" for each in scenario.expect) + (", after a second run" if scenario.again else "")
    link = f"[{_title(scenario.incident)}]({scenario.incident})"
    return f"| `{scenario.name}` | {scenario.description} | {right} | {scenario.times:,} | {link} |"


def _title(url: str) -> str:
    """`owner/name #5` for a thread of GitHub, else the host."""
    parts = url.split("/")
    return f"{parts[3]}/{parts[4]} #{parts[6]}" if parts[2] == "github.com" else parts[2]
