"""Programs that fetch all tickets, as they are written today: `python export_clients.py NAME URL USER TOKEN OUT`.

Each prints one JSON object: tickets, and the CPU and wall seconds from after its imports to its end. `ours` is what
`ticketfeed export` does, without the command line around it.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

PATH = "/api/v2/incremental/tickets/cursor.json"


def requests_json(url: str, user: str, token: str, out: str) -> Callable[[], int]:
    """As Singer taps do it: requests, its .json(), a line a ticket by json.dumps."""
    import requests

    def run() -> int:
        session, count = requests.Session(), 0
        session.auth = (user, token)
        address, parameters = url + PATH, {"start_time": "0", "per_page": "1000", "support_type_scope": "all"}
        with open(out, "w") as file:
            while True:
                page = session.get(address, params=parameters, timeout=60).json()
                for ticket in page["tickets"]:
                    file.write(json.dumps(ticket) + "\n")
                count += len(page["tickets"])
                if page["end_of_stream"]:
                    return count
                parameters = {**parameters, "cursor": page["after_cursor"]}
                parameters.pop("start_time", None)

    return run


def httpx_orjson(url: str, user: str, token: str, out: str) -> Callable[[], int]:
    """A plain loop of httpx and orjson."""
    import httpx
    import orjson

    def run() -> int:
        count = 0
        parameters = {"start_time": "0", "per_page": "1000", "support_type_scope": "all"}
        with httpx.Client(auth=(user, token), timeout=60) as client, open(out, "wb") as file:
            while True:
                page = orjson.loads(client.get(url + PATH, params=parameters).content)
                for ticket in page["tickets"]:
                    file.write(orjson.dumps(ticket) + b"\n")
                count += len(page["tickets"])
                if page["end_of_stream"]:
                    return count
                parameters = {**parameters, "cursor": page["after_cursor"]}
                parameters.pop("start_time", None)

    return run


def zenpy(url: str, user: str, token: str, out: str) -> Callable[[], int]:
    """zenpy's generator, its objects turned into lines."""
    import os

    scheme, _, host = url.partition("://")
    os.environ.update(ZENPY_FORCE_SCHEME=scheme, ZENPY_FORCE_NETLOC=host)
    from zenpy import Zenpy

    def run() -> int:
        desk, count = Zenpy(subdomain="demo", email=user.removesuffix("/token"), token=token), 0
        with open(out, "w") as file:
            for ticket in desk.tickets.incremental(start_time=0, paginate_by_time=False):
                file.write(json.dumps(ticket.to_dict()) + "\n")
                count += 1
        return count

    return run


def ours(url: str, user: str, token: str, out: str) -> Callable[[], int]:
    """The exporter into the target that OUT names."""
    from ticketfeed.client.exporter import Exporter
    from ticketfeed.client.oauth import Basic
    from ticketfeed.client.run import Run
    from ticketfeed.client.sinks import SinkOptions, open_sink

    def run() -> int:
        count, identity = 0, {"source": url, "streams": ["tickets"]}

        def seen(page: Any, _held: Any) -> None:
            nonlocal count
            count += len(page.records)

        credentials = Basic(user.removesuffix("/token"), token)
        with Exporter(url, credentials=credentials) as exporter, open_sink(out, ["tickets"], SinkOptions()) as sink:
            Run(exporter, sink, identity, sink.open(identity), seen).run()
        return count

    return run


def dlt_rest(url: str, user: str, token: str, out: str) -> Callable[[], int]:
    """dlt's own rest_api source over the same pages, into DuckDB or Parquet files by the ending of OUT."""
    import dlt
    from dlt.sources.rest_api import rest_api_source

    def run() -> int:
        config: Any = {
            "client": {"base_url": url, "auth": {"type": "http_basic", "username": user, "password": token}},
            "resources": [
                {
                    "name": "tickets",
                    "max_table_nesting": 0,
                    "endpoint": {
                        "path": PATH,
                        "params": {"start_time": "0", "per_page": "1000", "support_type_scope": "all"},
                        "data_selector": "tickets",
                        "paginator": {
                            "type": "cursor",
                            "cursor_path": "after_cursor",
                            "cursor_param": "cursor",
                        },
                    },
                }
            ],
        }
        is_duckdb = out.endswith(".duckdb")
        destination = dlt.destinations.duckdb(out) if is_duckdb else dlt.destinations.filesystem(f"file://{out}")
        pipeline = dlt.pipeline("bench", destination=destination, dataset_name="desk", pipelines_dir=f"{out}-state")
        pipeline.run(rest_api_source(config), loader_file_format="parquet")
        return int(pipeline.last_trace.last_normalize_info.row_counts["tickets"])

    return run


CLIENTS = {
    "requests_json": requests_json,
    "httpx_orjson": httpx_orjson,
    "zenpy": zenpy,
    "ours": ours,
    "dlt_rest": dlt_rest,
}


def main() -> None:
    name, url, user, token, out = sys.argv[1:]
    run = CLIENTS[name](url, user, token, out)
    wall, cpu = time.perf_counter(), time.process_time()
    tickets = run()
    figures = {
        "tickets": tickets,
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
