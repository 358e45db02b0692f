"""The OpenAPI 3.1 document of everything that is served, made from the table of operations."""

from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ticketfeed.server.api.operations import OPERATIONS, PARAMETERS, Operation
from ticketfeed.server.api.write_operations import WRITE_OPERATIONS, WriteOperation

__all__ = ["OPENAPI_ROUTES", "openapi_document"]

_TYPES: dict[str, dict[str, Any]] = {
    "array": {"type": "array", "items": {"type": "object"}},
    "string?": {"type": ["string", "null"]},
    "object?": {"type": ["object", "null"]},
}
_ERRORS = {
    "400": "A parameter is missing, cannot be read, or is too recent.",
    "401": "No credentials, or wrong ones.",
    "403": "The role is too low, or the feature is missing.",
    "404": "No such record.",
    "409": "The ticket has changed since updated_stamp.",
    "413": "The body is too large.",
    "422": "A record is not valid; details says for each field why.",
    "429": "A budget is used up; Retry-After says for how long.",
    "503": "The store cannot serve now; Retry-After says when to ask again.",
}


@cache
def openapi_document() -> bytes:
    """The document as JSON."""
    error: dict[str, Any] = {
        "description": "An error, in one of the shapes of the wire.",
        "type": "object",
        "minProperties": 1,
    }
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "ticketfeed",
                "version": version("ticketfeed"),
                "description": "Every address below /api/v2 answers with and without .json behind it, and to HEAD.",
            },
            "servers": [{"url": "/"}],
            "security": [{"basic": []}, {"bearer": []}],
            "paths": _paths() | {"/_ticketfeed/health": {"get": _health()}},
            "components": {
                "schemas": {"Error": error},
                "securitySchemes": {
                    "basic": {"type": "http", "scheme": "basic", "description": "EMAIL/token and an API token."},
                    "bearer": {"type": "http", "scheme": "bearer", "description": "Any token of the store."},
                },
            },
        }
    )


def _paths() -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {}
    for path, operation in OPERATIONS.items():
        paths[f"/api/v2{path}"] = {"get": _operation("get", path, operation, ("200",))}
    for (method, path), write in WRITE_OPERATIONS.items():
        described = _operation(method.lower(), path, write, write.statuses)
        if write.takes:
            schema = {"type": "object", "properties": {key: _schema(key, kind) for key, kind in write.takes.items()}}
            described["requestBody"] = {"content": {"application/json": {"schema": schema}}}
        paths.setdefault(f"/api/v2{path}", {})[method.lower()] = described
    return paths


def _operation(
    method: str, path: str, operation: Operation | WriteOperation, statuses: tuple[str, ...]
) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "query", "description": PARAMETERS[name][1], "schema": PARAMETERS[name][0]}
        for name in operation.parameters
    ]
    if "{id}" in path:
        schema = {"type": "string"} if "job_statuses" in path else {"type": "integer", "minimum": 0}
        parameters.insert(0, {"name": "id", "in": "path", "required": True, "schema": schema})
    properties = {key: _schema(key, kind) for key, kind in operation.keys.items()}
    answer = {"type": "object", "required": list(properties), "properties": properties}
    responses: dict[str, Any] = {status: {"description": operation.summary} for status in statuses}
    for status in statuses:
        if status != "204":
            responses[status]["content"] = {"application/json": {"schema": answer}}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    responses |= {status: {"description": text, "content": content} for status, text in _ERRORS.items()}
    return {
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": f"For: {operation.role}.",
        "operationId": ("" if method == "get" else f"{method}_")
        + path.strip("/").replace("/", "_").replace("{", "").replace("}", "")
        or "root",
        "parameters": parameters,
        "responses": responses,
    }


def _schema(key: str, kind: str) -> dict[str, Any]:
    if key == "tags":  # names alone, or names with their counts
        return {"type": "array"}
    return _TYPES.get(kind, {"type": kind})


def _health() -> dict[str, Any]:
    answer: dict[str, Any] = {"type": "object", "required": ["status"], "properties": {"status": {"const": "alive"}}}
    content = {"application/json": {"schema": answer}}
    responses = {"200": {"description": "The process serves.", "content": content}}
    return {"tags": ["ticketfeed"], "summary": "Alive", "operationId": "health", "security": [], "responses": responses}


async def _document(_request: Request) -> Response:
    return Response(openapi_document(), media_type="application/json")


OPENAPI_ROUTES: list[Route] = [
    Route("/_ticketfeed/openapi.json", _document, methods=["GET"]),
]
