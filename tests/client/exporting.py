"""A process that exports, to be killed: `python -m tests.client.exporting SOURCE TARGET PER_PAGE`."""

import sys
from typing import Any

from ticketfeed.client.exporter import Exporter
from ticketfeed.client.run import Run
from ticketfeed.client.sinks import SinkOptions, open_sink

STREAMS = ("tickets",)


def identity_of(source: str) -> dict[str, Any]:
    """What the target of such a run belongs to."""
    return {"source": source, "account": None, "streams": list(STREAMS), "since": 0, "until": None}


def main(source: str, target: str, per_page: int) -> None:
    """Export all tickets, and print a line for each page that was stored."""
    identity = identity_of(source)
    with Exporter(source, per_page=per_page) as exporter, open_sink(target, STREAMS, SinkOptions()) as sink:
        checkpoint = sink.open(identity)
        exporter.states.update(checkpoint.streams if checkpoint else {})
        Run(exporter, sink, identity, checkpoint, lambda page, _held: print(len(page.records), flush=True)).run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
