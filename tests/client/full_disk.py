"""A disk that fills up under an export: what `test_sink_faults.py` runs, in a child where a limit is set.

`python -m tests.client.full_disk TARGET FOLDER` limits how large a file may grow, which no user can go around, root
included. Prints what the refused write said.
"""

import json
import resource
import sys
from pathlib import Path

from tests.client.crash import IDENTITY, page, point
from tests.client.targets import TARGETS, Target, latest
from ticketfeed.client.sinks import Batch, open_sink, parquet
from ticketfeed.protocol.errors import TargetError

PAGES_MAX = 500
ROOM_BYTES = 400_000


def limit(size: int | None) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def fill(target: Target, path: str) -> tuple[int, str]:
    """Write until the disk is full. Returns the last page that was acknowledged, and the reason."""
    number = 0
    limit(ROOM_BYTES)
    try:
        with open_sink(path, ["tickets"], target.options) as sink:
            sink.open(IDENTITY)
            while number < PAGES_MAX:
                sink.write([Batch("tickets", page(number + 1))], point(number + 1))
                number += 1
            sink.finish(point(number))
    except TargetError as error:
        return number, str(error)
    finally:
        limit(None)
    raise AssertionError("the disk did not fill up")


def main() -> None:
    target = next(target for target in TARGETS if target.name == sys.argv[1])
    path = target.path(Path(sys.argv[2]))
    parquet._JOURNAL_BYTES_MAX = 2 * ROOM_BYTES  # journals must meet the limit, too
    number, reason = fill(target, path)
    assert number, reason
    with open_sink(path, ["tickets"], target.options) as sink:
        assert sink.open(IDENTITY) == point(number)
        sink.write([Batch("tickets", page(number + 1))], point(number + 1))
        sink.finish(point(number + 1))
    wanted = [json.loads(record) for page_number in range(1, number + 2) for record in page(page_number)]
    found = target.read(Path(path), "tickets")
    if target.keyed:
        wanted, found = latest(wanted), sorted(found, key=lambda record: int(record["id"]))
        wanted.sort(key=lambda record: int(record["id"]))
    assert found == wanted
    print(reason)


if __name__ == "__main__":
    main()
