"""Stoplight Prism as a mock of the endpoint: an OpenAPI document whose example is one page, as it was saved.

Started as `prism mock`, with no options but its address: the example is sent as it stands (nothing is made up,
`--dynamic`), and violations are logged rather than answered (`--errors`). It checks the parameters and that Basic
credentials are there, not whose they are; it reads no database, and the cursor makes no difference. Where there was a
choice the quicker one was taken: the document has no schema of a page, which Prism would check the example against on
every request.
"""

import os
import shutil
from pathlib import Path

import msgspec

from bench.processes import Unavailable

__all__ = ["find_prism", "write_document"]

_INSTALLED = Path(__file__).parent / "node_modules" / ".bin"
_PARAMETERS = {
    "cursor": {"type": "string"},
    "start_time": {"type": "integer"},
    "per_page": {"type": "integer", "minimum": 1, "maximum": 1000},
    "support_type_scope": {"type": "string", "enum": ["all", "agent", "ai_agent"]},
}


def find_prism() -> str:
    """Its command: BENCH_PRISM, or one in PATH, or what `npm install --prefix bench/peers` left. Raises Unavailable."""
    given = os.environ.get("BENCH_PRISM") or "prism"
    command = shutil.which(given) or shutil.which(given, path=str(_INSTALLED))
    if command is None:
        raise Unavailable("absent")
    return command


def write_document(folder: Path, page: bytes) -> Path:
    """An OpenAPI document in `folder`, with this page as the answer."""
    parameters = [{"name": name, "in": "query", "schema": schema} for name, schema in _PARAMETERS.items()]
    page_answer = {"description": "A page", "content": {"application/json": {"example": msgspec.Raw(page)}}}
    operation = {
        "operationId": "exportTickets",
        "parameters": parameters,
        "security": [{"basic": []}],
        "responses": {"200": page_answer, "401": {"description": "No credentials"}},
    }
    document = {
        "openapi": "3.0.3",
        "info": {"title": "Incremental ticket export", "version": "1"},
        "paths": {"/api/v2/incremental/tickets/cursor": {"get": operation}},
        "components": {"securitySchemes": {"basic": {"type": "http", "scheme": "basic"}}},
    }
    path = folder / "prism.json"
    path.write_bytes(msgspec.json.encode(document))
    return path
