"""export: an account's tickets and other streams into a file or a database."""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ticketfeed.cli.options import REQUESTS_PER_MINUTE_MAX
from ticketfeed.cli.output import print_err
from ticketfeed.client.extra import require_export_extra
from ticketfeed.clock import system_clock
from ticketfeed.protocol.errors import BadInput, TicketfeedError

if TYPE_CHECKING:
    from ticketfeed.client.sinks.contract import Checkpoint

__all__ = ["ask_on_terminal", "export", "parse_duration"]

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def export(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="https://NAME.zendesk.com, another base address, or a store URL.")
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="By its ending: .ndjson[.gz|.zst], .csv[.gz], .parquet, .duckdb, .sqlite, folder/; - is NDJSON and "
            "singer: are Singer messages on standard output.",
        ),
    ],
    stream: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="What to export, repeatable: tickets (the default), users, ..., or all."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what changed at this time or later: ISO 8601, or seconds.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what last changed before this time; lists are read whole.")
    ] = None,
    exclude_deleted: Annotated[
        bool, typer.Option(help="Leave deleted tickets out, and remove them where rows are kept by id.")
    ] = False,
    follow: Annotated[bool, typer.Option(help="Poll for changes after the end, until ^C.")] = False,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(
            min=0, max=REQUESTS_PER_MINUTE_MAX, help="10 below zendesk.com and unlimited elsewhere; 0 is unlimited."
        ),
    ] = None,
    resume_from: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|CURSOR",
            help="Begin where another tool ended: its state (Airbyte, Singer, dlt), or a cursor.",
        ),
    ] = None,
    verify: Annotated[bool, typer.Option(help="Compare TARGET with SOURCE, and write nothing.")] = False,
    format: Annotated[Literal["parquet", "ndjson"], typer.Option(help="Of a folder/.")] = "parquet",
    custom_fields: Annotated[
        Literal["json", "columns"], typer.Option(help="Custom fields of tickets as one column, or as one column each.")
    ] = "json",
    compact: Annotated[bool, typer.Option(help="Rewrite TARGET so that it holds each record once.")] = False,
    give_up_after: Annotated[
        str, typer.Option(metavar="DURATION", help="How long faults that pass are waited out: 90s, 30m, 1h.")
    ] = "1h",
    account: Annotated[str | None, typer.Option(help="Of a store URL that has several.")] = None,
) -> int:
    """Export tickets, users and the rest into a file or a database; the next run continues where this one ended.

    Credentials of SOURCE are read from TICKETFEED_SOURCE_EMAIL and TICKETFEED_SOURCE_TOKEN, from
    TICKETFEED_SOURCE_BEARER, from TICKETFEED_SOURCE_CLIENT_ID with TICKETFEED_SOURCE_CLIENT_SECRET or
    TICKETFEED_SOURCE_REFRESH_TOKEN_FILE, or from a netrc file; on a terminal they are asked for.
    """
    if follow and until is not None:
        raise BadInput("--follow has no end, and --until sets one")
    if verify and (follow or resume_from is not None or compact):
        raise BadInput("--verify writes nothing, so it goes with none of --follow, --resume-from and --compact")
    require_export_extra("export")
    from ticketfeed.client.sinks.contract import SinkOptions

    options = SinkOptions(format, custom_fields, exclude_deleted, compact)
    export = _Export(source, to, stream or [], _seconds("--since", since) or 0, _seconds("--until", until), options)
    export.connect(account, follow, requests_per_minute, parse_duration("--give-up-after", give_up_after))
    with contextlib.closing(export):
        return export.verify() if verify else export.run(resume_from)


class _Export:
    """One call of the command."""

    def __init__(
        self, source: str, target: str, streams: list[str], since: int, until: int | None, options: Any
    ) -> None:
        from ticketfeed.client.sinks import takes_tables
        from ticketfeed.client.sources import parse_source
        from ticketfeed.client.streams import choose_streams

        self.source, self.target, self.options = parse_source(source), target, options
        self.asked, self.streams = streams, choose_streams(streams)
        if options.custom_fields == "columns" and "tickets" in self.streams and takes_tables(target):
            self.streams = choose_streams([*self.streams, "ticket_fields"])  # what the columns are called, and may hold
        self.since, self.until = since, until
        if until is not None and until <= since:
            raise BadInput("--until must lie behind --since")
        if since > system_clock():
            raise BadInput("--since lies in the future")

    def connect(
        self, account: str | None, follow: bool, requests_per_minute: int | None, give_up_after_seconds: float
    ) -> None:
        from ticketfeed.client.auth import find_credentials
        from ticketfeed.client.exporter import Exporter

        ask = ask_on_terminal if sys.stdin.isatty() and sys.stderr.isatty() else None
        credentials = find_credentials(self.source.url, os.environ, ask) if self.source.kind == "http" else None
        self.limit = self.source.requests_per_minute if requests_per_minute is None else requests_per_minute or None
        self.exporter = Exporter(
            self.source,
            streams=["all"] if "all" in self.asked else self.streams,
            credentials=credentials,
            account=account,
            since=self.since,
            until=self.until,
            follow=follow,
            requests_per_minute=requests_per_minute,
            give_up_after_seconds=give_up_after_seconds,
        )

    def close(self) -> None:
        self.exporter.close()

    @property
    def identity(self) -> dict[str, Any]:
        """What a target belongs to: a run with anything else in it is another one."""
        return {
            "source": self.source.name,
            "account": self.exporter.account,
            "streams": list(self.streams),
            "since": self.since,
            "until": self.until,
            "exclude_deleted": self.options.exclude_deleted,
        }

    def run(self, resume_from: str | None) -> int:
        from ticketfeed.cli.export_progress import ExportProgress, summary_text
        from ticketfeed.client.run import Run
        from ticketfeed.client.sinks import is_begun, open_sink
        from ticketfeed.client.totals import RunCounts

        with open_sink(self.target, self.streams, self.options) as sink, _Interrupts() as interrupts:
            is_open = is_begun(self.target)
            checkpoint = sink.open(self.identity) if is_open else None
            self._choose_states(checkpoint, resume_from)
            counts = RunCounts(_began_at(self.exporter.states.get("tickets"), self.since))
            with ExportProgress(counts, self.exporter.session, self.limit) as progress:
                self.exporter.sleep = progress.sleep
                run = Run(self.exporter, sink, self.identity, checkpoint, progress.seen, interrupts.shield, is_open)
                ended = "complete"
                try:
                    run.run()
                except KeyboardInterrupt:
                    ended = "interrupted; the next run continues here"
                    raise
                except (TicketfeedError, OSError):
                    ended = ""  # the error is told, in one line
                    raise
                finally:
                    text = summary_text(counts, self.exporter.session, progress.seconds)
                    progress.leave(f"{ended}: {text}" if ended else "")
        return 0

    def _choose_states(self, checkpoint: "Checkpoint | None", resume_from: str | None) -> None:
        if checkpoint is not None:
            self.exporter.states = dict(checkpoint.streams)
            if resume_from is not None:
                print_err(f"{self.target} continues from its own checkpoint; --resume-from is for a new target")
        elif resume_from is not None:
            from ticketfeed.client.resume import read_resume_point

            self.exporter.states.update(read_resume_point(resume_from, self.streams))
            for name in self.streams:
                if name not in self.exporter.states:
                    print_err(f"{resume_from} has no state of {name}, which begins at the beginning")

    def verify(self) -> int:
        """Print what differs, one line each; 1 where anything does."""
        from ticketfeed.client.drivers import returned
        from ticketfeed.client.sinks import is_begun, open_sink
        from ticketfeed.client.verify import held_by, verify

        if "tickets" not in self.streams:
            raise BadInput("--verify compares tickets, and --stream leaves them out")
        if self.target not in ("-", "singer:") and not is_begun(self.target):
            raise BadInput(f"there is no {self.target} to verify")
        with open_sink(self.target, self.streams, self.options) as sink:
            checkpoint = sink.open(self.identity)
            if checkpoint is None or "tickets" not in checkpoint.streams:
                raise BadInput(f"{self.target} holds no tickets yet")
            state, totals = checkpoint.streams["tickets"], checkpoint.totals.get("tickets", {})
            held = held_by(state, totals, self.identity, lambda: sink.positions("tickets"))
            verdict = returned(verify(held, self.exporter.session), self.exporter.transport, self.exporter.token_file)
        for line in verdict.differences:
            print(line)
        changed = f", {verdict.changed:,} changed in the source since" if verdict.changed else ""
        print_err(f"compared {verdict.count:,} tickets, {len(verdict.differences):,} differ{changed}: {verdict.how}")
        return 1 if verdict.differences else 0


def _began_at(state: Any, since: int) -> int:
    """The second of the position that a run continues from."""
    from ticketfeed.protocol.cursor import decode_cursor
    from ticketfeed.protocol.errors import InvalidCursor

    if state and state.get("cursor"):
        with contextlib.suppress(InvalidCursor):
            return max(0, decode_cursor(state["cursor"]).generated_timestamp)
    return int(state["start_time"]) if state and "start_time" in state else since


class _Interrupts:
    """^C ends a run between two writes of its target: one that comes during a write is raised right behind it, and a
    second one at once."""

    def __init__(self) -> None:
        self._shielded = False
        self._pending = 0
        self._before: Any = None

    def __enter__(self) -> "_Interrupts":
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
        if self._pending == 1:
            self._pending = 2  # what follows is the end, which a further ^C may cut short
            raise KeyboardInterrupt

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        self._pending += 1
        if not self._shielded or self._pending > 1:
            self._pending = max(self._pending, 2)
            raise KeyboardInterrupt


def ask_on_terminal(prompt: str) -> str:
    """Ask for a line, hidden where it is a secret."""
    answer: str = typer.prompt(
        prompt, prompt_suffix="", default="", show_default=False, hide_input="oken:" in prompt, err=True
    )
    return answer


def _seconds(option: str, text: str | None) -> int | None:
    from ticketfeed.client.times import parse_seconds

    if text is None:
        return None
    seconds = parse_seconds(text)
    if seconds is None:
        raise BadInput(f"{option} {text!r} is no time: use ISO 8601, as 2026-01-31T12:00:00Z, or Unix seconds")
    return seconds


def parse_duration(option: str, text: str) -> float:
    """Seconds. Raises BadInput."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhd]?)", text.strip())
    if match is None:
        raise BadInput(f"{option} {text!r} is no duration: use a number with s, m, h or d")
    return float(match[1]) * _UNITS[match[2]]
