"""One HTML page about a run of scenarios: a matrix, and a section for each. It needs no other file, and no script."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from ticketfeed.protocol.scenarios import Expectation
from ticketfeed.protocol.verdict import Outcome, Verdict
from ticketfeed.torture.results import Attempt, ScenarioResult, ScenarioRun, count
from ticketfeed.torture.timeline import REQUESTS_SHOWN, draw_timeline, status_text

__all__ = ["html_report"]

_EXPECTED: dict[Expectation, str] = {
    "completes": "it reads everything in the end, and ends with exit code 0",
    "stops": "it stops soon, with an exit code that is not 0 and without a flood of requests",
    "waits": "it sends no request for as long as it was told to wait",
    "any": "it ends",
}
_IDS_SHOWN = 20


def html_report(
    results: Sequence[ScenarioResult],
    commands: Mapping[str, Sequence[str]],
    seed: int,
    versions: Mapping[str, str],
    now: int,
) -> bytes:
    """The page. `commands`: by label, as they were given."""
    style = Path(__file__).with_name("report.css").read_text()
    counts = ", ".join(f"{number} {outcome}" for outcome, number in count(results).items() if number)
    body = [
        f"<header><h1>Torture of {escape(_title(commands))}</h1>",
        f"<p>{len(results)} scenarios: {counts}.</p>",
        _facts(_run_facts(commands, seed, versions, now)),
        "</header><main>",
        '<section aria-labelledby="matrix"><h2 id="matrix">Matrix</h2>',
        _matrix(results),
        _legend(),
        "</section>",
        *map(_section, results),
        "</main><footer><p class=soft>Made by <code>ticketfeed torture</code>.</p></footer>",
    ]
    head = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(_title(commands))}: {counts}</title><style>{style}</style></head><body>"
    )
    return "\n".join([head, *body, "</body></html>\n"]).encode()


def _title(commands: Mapping[str, Sequence[str]]) -> str:
    return " and ".join(Path(command[0]).name for command in commands.values())


def _run_facts(
    commands: Mapping[str, Sequence[str]], seed: int, versions: Mapping[str, str], now: int
) -> Iterator[tuple[str, str]]:
    for label, command in commands.items():
        yield label, f"<code>{escape(shlex.join(command))}</code>"
    yield "seed", str(seed)
    yield "versions", escape(", ".join(f"{name} {version}" for name, version in versions.items()))
    yield "at", datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _facts(facts: Iterator[tuple[str, str]]) -> str:
    """Names as text, values as HTML."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in facts) + "</dl>"


def _scrolled(label: str, content: str) -> str:
    """What may be wider than the page: by keyboard, too."""
    return f'<div class="wide" role="region" aria-label="{escape(label)}" tabindex="0">{content}</div>'


def _outcome(outcome: Outcome) -> str:
    return f'<span class="outcome {outcome}">{outcome}</span>'


def _matrix(results: Sequence[ScenarioResult]) -> str:
    labels = list(results[0].runs) if results and len(results[0].runs) > 1 else []
    heads = ["Scenario", "Outcome", *labels, "Fired", "Seconds", "Reason"]
    rows = ["<table><thead><tr>", *(f'<th scope="col">{escape(each)}</th>' for each in heads), "</tr></thead><tbody>"]
    for each in results:
        cells = [_outcome(each.outcome), *(_outcome(each.runs[label].outcome) for label in labels)]
        rows.append(
            f'<tr><th scope="row"><a href="#{each.name}">{each.name}</a></th>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + f'<td class="number">{each.fired}</td><td class="number">{each.seconds:.1f}</td>'
            f"<td>{escape(each.reason)}</td></tr>"
        )
    return _scrolled("Matrix of scenarios", "".join([*rows, "</tbody></table>"]))


def _legend() -> str:
    return (
        "<p class=soft>PASS: the fault fired, and COMMAND did right. FAIL: it did not. INCONCLUSIVE: the fault never "
        "fired, or COMMAND did nothing. UNSUPPORTED: COMMAND does not use what the scenario is about.</p>"
    )


def _section(result: ScenarioResult) -> str:
    scenario = result.scenario
    expected = ", or ".join(_EXPECTED[each] for each in scenario.expect)
    facts = [
        ("expected", escape(f"{expected}{'; a second run may be needed' if scenario.again else ''}")),
        ("happened", f"{_outcome(result.outcome)}: {escape(result.reason)}"),
    ]
    if scenario.incident:
        facts.append(("incident", f'<a href="{escape(scenario.incident)}">{escape(scenario.incident)}</a>'))
    parts = [
        f'<section aria-labelledby="{scenario.name}"><h2 id="{scenario.name}">{scenario.name}</h2>',
        f"<p>{escape(scenario.description)}</p>",
        _facts(iter(facts)),
        f'<p>To repeat it:</p><pre tabindex="0">{escape(result.repeat)}</pre>',
    ]
    for label, run in result.runs.items():
        name = f"{scenario.name}, {label}" if len(result.runs) > 1 else scenario.name
        if len(result.runs) > 1:
            parts.append(f"<h3>{escape(label)}: {_outcome(run.outcome)}</h3><p>{escape(run.reason)}</p>")
        parts += _run(run, name)
    return "\n".join([*parts, '<p><a href="#matrix">To the matrix</a></p></section>'])


def _run(run: ScenarioRun, name: str) -> Iterator[str]:
    yield _facts(_verdict_facts(run.verdict))
    yield from (f"<p>{escape(note)}</p>" for note in run.notes[:_IDS_SHOWN])
    yield draw_timeline(run, f"Time line of {name}")
    yield from (_attempt(number, each) for number, each in enumerate(run.attempts, 1))
    if run.requests:
        yield _requests(run, name)


def _verdict_facts(verdict: Verdict) -> Iterator[tuple[str, str]]:
    yield "tickets", f"{verdict.tickets:,} to read, {verdict.missed:,} not given{_ids(verdict.missed_ids)}"
    others = (
        ("pages given again", verdict.given_twice),
        ("loops", verdict.loops),
        ("too early after Retry-After", verdict.ignored_retry_after),
        ("refused by the account's limit", verdict.over_budget),
    )
    yield "requests", f"{verdict.requests:,}" + "".join(f"; {name}: {number:,}" for name, number in others if number)
    output = verdict.output
    if output is not None:
        yield "output", f"{output.tickets:,} tickets" + ("" if output.is_none else f"; {escape(output.summary())}")
        for name, ids in (("missing", output.missing), ("stale", output.stale), ("still alive", output.alive)):
            if ids:
                yield name, _ids(ids).removeprefix(": ")
        if output.torn:
            yield "torn", escape("; ".join(output.torn[:_IDS_SHOWN]))


def _ids(ids: Sequence[int]) -> str:
    if not ids:
        return ""
    return f": {', '.join(map(str, ids[:_IDS_SHOWN]))}{', ...' if len(ids) > _IDS_SHOWN else ''}"


def _attempt(number: int, attempt: Attempt) -> str:
    ended = attempt.ended or f"exit code {attempt.exit_code}"
    head = f"Run {number}: {ended}, {attempt.seconds:.1f} s"
    if not attempt.printed.strip():
        return f"<p>{escape(head)}; it printed nothing</p>"
    return f"<details><summary>{escape(head)}</summary><pre>{escape(_plain(attempt.printed))}</pre></details>"


def _plain(text: str) -> str:
    """Without control characters, which HTML does not allow."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text)


def _requests(run: ScenarioRun, name: str) -> str:
    began = run.requests[0].started_at
    actions = {each.request_id: each.action for each in run.firings}
    heads = "".join(f'<th scope="col">{each}</th>' for each in ("At", "Request", "Status", "ms", "Tickets", "Fault"))
    rows = []
    for each in run.requests[:REQUESTS_SHOWN]:
        query = "&".join(f"{key}={value}" for key, value in each.query.items())
        served = "" if each.served is None else f"{each.served.rows:,}"
        rows.append(
            f'<tr><td class="number">{each.started_at - began:.2f} s</td>'
            f"<td>{escape(each.method)} {escape(each.path)}{'?' if query else ''}{escape(query)}</td>"
            f'<td>{escape(status_text(each))}</td><td class="number">{each.ms:.0f}</td>'
            f'<td class="number">{served}</td><td>{escape(actions.get(each.request_id, ""))}</td></tr>'
        )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    more = f", the first {REQUESTS_SHOWN} of {len(run.requests):,}" if len(run.requests) > REQUESTS_SHOWN else ""
    content = _scrolled(f"Requests of {name}", table)
    return f"<details><summary>Requests{more or f' ({len(run.requests)})'}</summary>{content}</details>"
