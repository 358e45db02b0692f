"""Tickets by dlt's source of REST APIs, into DuckDB: dlt_rest_api.py SUBDOMAIN EMAIL TOKEN FILE FOLDER."""

import os
import sys

subdomain, email, token, output, folder = sys.argv[1:]
os.environ |= {"DLT_DATA_DIR": folder, "RUNTIME__DLTHUB_TELEMETRY": "false"}

import dlt  # noqa: E402 - reads its environment when it is imported
from dlt.sources.rest_api import rest_api_source  # noqa: E402

source = rest_api_source(
    {
        "client": {
            "base_url": f"https://{subdomain}.zendesk.com/api/v2/",
            "auth": {"type": "http_basic", "username": f"{email}/token", "password": token},
        },
        "resource_defaults": {"primary_key": "id", "write_disposition": "merge", "max_table_nesting": 0},
        "resources": [
            {
                "name": "tickets",
                "endpoint": {
                    "path": "incremental/tickets/cursor.json",
                    "data_selector": "tickets",
                    "params": {"per_page": 1000, "start_time": "{incremental.start_value}"},
                    "incremental": {"cursor_path": "generated_timestamp", "initial_value": 0},
                    "paginator": {
                        "type": "cursor",
                        "cursor_path": "after_cursor",
                        "cursor_param": "cursor",
                        "stop_after_empty_page": True,
                    },
                },
            }
        ],
    }
)
destination = dlt.destinations.duckdb(output)
pipeline = dlt.pipeline("zendesk", destination=destination, dataset_name="desk", pipelines_dir=folder)
pipeline.run(source)
