"""Runs that are killed with SIGKILL at random moments, each continued by the next, until the target must be whole.

`python -m tests.client.crash KILLS [TARGET ...]` prints a line for each target. Runs are forked from a process that has
loaded the libraries and not used them, so that many can be killed in a second.
"""

import json
import os
import random
import select
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from tests.client.targets import TARGETS, Target, latest
from tests.client.traps import plain_ticket
from ticketfeed.client.sinks import Batch, Checkpoint, SinkOptions, open_sink, parquet, parts

IDENTITY = {"source": "https://acme.zendesk.com", "streams": ["tickets"]}
IDS = 150
PAGE_TICKETS = 25
# Runs that end between kills, so that the steps at the end are met as well.
PAGES_PER_END = 6
SECONDS_MAX = 0.3
COMPACT = replace(TARGETS[0], name="ndjson compact", options=SinkOptions(compact=True))
CASES = [*TARGETS, COMPACT]


def page(number: int) -> list[bytes]:
    chance = random.Random(number)
    ids = chance.choices(range(1, IDS + 1), k=PAGE_TICKETS)
    states = ("open", "solved", "deleted")
    return [
        plain_ticket(id, subject=f"page {number} place {place}", status=chance.choice(states), external_id="x" * 400)
        for place, id in enumerate(ids)
    ]


def point(number: int) -> Checkpoint:
    return Checkpoint(IDENTITY, {"tickets": {"page": number}}, {})


def run(path: str, options: SinkOptions, until: int | None, report: int) -> None:
    """Write pages behind the checkpoint. Reports where it continues, and each page when it is stored."""
    with open_sink(path, ["tickets"], options) as sink:
        held = sink.open(IDENTITY)
        number = held.streams["tickets"]["page"] if held else 0
        os.write(report, f"{number}\n".encode())
        while until is None or number < until:
            number += 1
            sink.write([Batch("tickets", page(number))], point(number))
            os.write(report, f"{number}\n".encode())
            if number % PAGES_PER_END == 0:
                sink.finish(point(number))
        sink.finish(point(number))


def start(path: str, options: SinkOptions, until: int | None) -> tuple[int, int]:
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    os.close(reading)
    try:
        run(path, options, until, writing)
        os._exit(0)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)


def reported(reading: int) -> list[int]:
    text = b""
    while piece := os.read(reading, 65536):
        text += piece
    os.close(reading)
    return [int(line) for line in text.split(b"\n")[:-1]]


def kill(path: str, options: SinkOptions, chance: random.Random) -> list[int]:
    """One run, killed while it opens, writes or finishes; what it has reported."""
    child, reading = start(path, options, None)
    if chance.random() < 0.8:  # else while it opens
        select.select([reading], [], [], 30)
    time.sleep(chance.random() ** 2 * SECONDS_MAX)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, "it had ended by itself"
    return reported(reading)


def check(target: Target, kills: int, seed: int, folder: Path) -> str:
    """Kill so many runs of one target. Raises AssertionError where a row is missing, torn or double."""
    # Small, so that journals become parts, and parts of several row groups are joined, all the time.
    parquet.PART_ROWS, parquet._SMALL_ROWS, parts._GROUP_ROWS = 200, 50, 60
    chance = random.Random(seed)
    path = target.path(folder)
    acknowledged = repeated = 0
    for _ in range(kills):
        pages = kill(path, target.options, chance)
        if pages:
            assert acknowledged <= pages[0] <= acknowledged + 1, (pages[0], acknowledged)
            acknowledged = pages[-1]
            repeated += pages[0] != acknowledged
    child, reading = start(path, target.options, acknowledged + 5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    last = reported(reading)[-1]
    assert last >= acknowledged
    wanted: list[Any] = [json.loads(record) for number in range(1, last + 1) for record in page(number)]
    found = target.read(Path(path), "tickets")
    if target.keyed or target.options.compact:
        wanted, found = (sorted(latest(list_), key=lambda r: r["id"]) for list_ in (wanted, found))
    assert len(target.read(Path(path), "tickets")) == len(wanted), "a row is there twice"
    assert found == wanted
    return f"{target.name}: {kills} runs killed, {last} pages, {len(found)} rows, nothing missing, torn or double"


def main() -> None:
    kills, names = int(sys.argv[1]), sys.argv[2:]
    seed = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"SEED={seed}", flush=True)
    for target in CASES:
        if not names or target.name in names:
            child = os.fork()
            if not child:
                _check_here(target, kills, seed)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
                sys.exit(f"{target.name} failed")


def _check_here(target: Target, kills: int, seed: int) -> NoReturn:
    code = 1
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(check(target, kills, seed, Path(folder)), flush=True)
        code = 0
    except BaseException:
        traceback.print_exc()
    os._exit(code)


if __name__ == "__main__":
    main()
