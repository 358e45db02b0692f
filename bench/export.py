"""`make bench-export`: the exporter beside programs that fetch the same pages from the same server.

CPU is that of the client from after its imports to its end; wall time and memory are those of the whole process. A
client that is not installed, or cannot run here, says so in its row.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.processes import Unavailable, environment, pin_load
from bench.servers import serve_ticketfeed
from bench.world import Credentials

RESULTS = Path(__file__).parent / "results" / "export.json"
CLIENTS = Path(__file__).parent / "peers" / "export_clients.py"
CREDENTIALS = Credentials("admin@example.com/token", "token-of-the-bench")
SECONDS_MAX = 3600
# (what is measured, our target, the other client, its output, what is compared, at least, aim)
ROWS = (
    ("NDJSON, requests + json", "ours.ndjson", "requests_json", "other.ndjson", "cpu", 4.0, 6.0),
    ("NDJSON, zenpy", "ours.ndjson", "zenpy", "zenpy.ndjson", "cpu", 6.0, 10.0),
    ("NDJSON, httpx + orjson", "ours.ndjson", "httpx_orjson", "httpx.ndjson", "cpu", 1.5, 2.0),
    ("Parquet, dlt rest_api", "ours.parquet", "dlt_rest", "dlt-parquet", "process", 3.0, 5.0),
    ("DuckDB, dlt rest_api", "ours.duckdb", "dlt_rest", "dlt.duckdb", "process", 3.0, 5.0),
)
KILLED = ("ndjson", "csv.gz", "parquet", "duckdb", "sqlite")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.export")
    parser.add_argument("--tickets", type=int, default=100_000)
    parser.add_argument("--memory-tickets", type=int, default=1_000_000, help="beside 10,000; 0 for not at all")
    parser.add_argument("--kills", type=int, default=100, help="of each target; 0 for none")
    asked = parser.parse_args(arguments)
    cores = pin_load()
    results: dict[str, Any] = {"tickets": asked.tickets, "rows": {}}
    with tempfile.TemporaryDirectory(prefix="ticketfeed-bench-") as name:
        folder = Path(name)
        store = _fill(folder, asked.tickets)
        with serve_ticketfeed(store, cores.server) as server:
            results["rows"] = _compare(folder, "http://{}:{}".format(*server.address))
        if asked.memory_tickets:
            results["memory"] = _memory(folder, (10_000, asked.memory_tickets))
        if asked.kills:
            results["kills"] = _kills(folder, asked.kills)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def _fill(folder: Path, tickets: int) -> str:
    store = f"sqlite:///{folder / f'{tickets}.db'}"
    _tell(f"generating {tickets:,} tickets")
    token = ["token", "create", "--email", "admin@example.com", "--token", CREDENTIALS.password]
    for command in (["generate", str(tickets), "--no-histories", "--account", "demo"], token):
        whole = [sys.executable, "-m", "ticketfeed", *command, "--store", store]
        subprocess.run(whole, check=True, env=environment(), stdout=subprocess.DEVNULL)
    return store


def _compare(folder: Path, url: str) -> dict[str, Any]:
    ours, rows = {}, {}
    print(f"{'row':28} {'ours':>10} {'other':>10} {'ratio':>7} {'at least':>9} {'aim':>5}")
    for title, target, client, output, measure, least, aim in ROWS:
        try:
            if target not in ours:
                _tell(f"exporting to {target}")
                ours[target] = _measure("ours", url, folder / target)
            _tell(title)
            other = _measure(client, url, folder / output)
        except Unavailable as error:
            print(f"{title:28} {error}")
            rows[title] = {"unavailable": str(error)}
            continue
        # By ticket: zenpy cannot ask for those that an AI agent alone has handled.
        ratio = (other[measure] / other["tickets"]) / (ours[target][measure] / ours[target]["tickets"])
        rows[title] = {"ours": ours[target], "other": other, "ratio": ratio, "at_least": least, "aim": aim}
        print(f"{title:28} {ours[target][measure]:9.2f}s {other[measure]:9.2f}s {ratio:6.1f}x {least:8g}x {aim:4g}x")
    return rows


def _measure(client: str, url: str, output: Path) -> dict[str, float]:
    """Raises Unavailable."""
    command = [sys.executable, str(CLIENTS), client, url, CREDENTIALS.username, CREDENTIALS.password, str(output)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        # A client that writes much to standard error must not be stopped by a full pipe.
        out, errors = process.communicate(timeout=SECONDS_MAX)
    if process.returncode:
        raise Unavailable(errors.decode().strip().splitlines()[-1][:100] if errors.strip() else "failed")
    figures: dict[str, float] = json.loads(out.splitlines()[-1])
    return {**figures, "process": time.perf_counter() - began}


def _memory(folder: Path, sizes: Sequence[int]) -> dict[str, float]:
    """The largest resident size of an export to each kind of target, at both sizes."""
    found: dict[str, float] = {}
    for size in sizes:
        store = _fill(folder, size)
        with serve_ticketfeed(store, pin_load().server) as server:
            for ending in ("ndjson", "parquet", "duckdb", "sqlite"):
                _tell(f"memory of {size:,} tickets to {ending}")
                url, target = "http://{}:{}".format(*server.address), folder / f"memory-{size}.{ending}"
                peak = _measure("ours", url, target)["peak_mib"]
                found[f"{ending} {size}"] = peak
                print(f"memory, {ending:8} {size:>9,} tickets: {peak:6.0f} MiB")
    return found


def _kills(folder: Path, kills: int) -> dict[str, int]:
    """Rows missing or double after so many kills at random moments, for each target: all must be 0."""
    found = {}
    with serve_ticketfeed(_fill(folder, 3000), set()) as server:
        url = "http://{}:{}".format(*server.address)
        for ending in KILLED:
            _tell(f"{kills} kills of an export to {ending}")
            found[ending] = _kill(folder / f"killed.{ending}", url, kills)
            print(f"after {kills} kills, {ending:8}: {found[ending]} rows missing or double")
    return found


def _kill(target: Path, url: str, kills: int) -> int:
    from tests.client.exporting import identity_of
    from ticketfeed.client.sinks import SinkOptions, open_sink

    command = [sys.executable, "-m", "tests.client.exporting", url, str(target), "10"]
    variables = environment(TICKETFEED_SOURCE_BEARER=CREDENTIALS.password)
    chance, done = random.Random(target.name), 0
    while done < kills:
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=variables) as process:
            assert process.stdout
            for _ in range(chance.randrange(0, 6)):
                process.stdout.readline()
            time.sleep(chance.random() * 0.03)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        done += 1
    subprocess.run(command, stdout=subprocess.DEVNULL, env=variables, check=True)
    with open_sink(str(target), ["tickets"], SinkOptions()) as sink:
        checkpoint = sink.open(identity_of(url))
        assert checkpoint is not None
        positions = list(sink.positions("tickets"))
    given = checkpoint.totals["tickets"]["records"]
    return abs(given - len(positions)) + len(positions) - len(set(positions)) + abs(3000 - len(positions))


def _tell(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
