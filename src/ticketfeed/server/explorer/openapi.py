"""The OpenAPI 3.1 document, made from the table of routes."""

import re
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ticketfeed.server.api.call import ApiRoute
from ticketfeed.server.api.parameters import PARAMETERS
from ticketfeed.server.api.routes import API_ROUTES
from ticketfeed.server.static_files import StaticBody

__all__ = ["OPENAPI_ROUTES", "openapi_document"]

_PATH_PARAMETER = re.compile(r"\{(\w+)(:int)?\}")
_SCHEMA = "#/components/schemas/{name}"
_TYPES: dict[str, dict[str, Any]] = {
    "array": {"type": "array", "items": {"type": "object"}},
    "string?": {"type": ["string", "null"]},
    "object?": {"type": ["object", "null"]},
}
_ERRORS = {
    "400": "A parameter is missing, invalid or too recent.",
    "401": "Missing or wrong credentials.",
    "403": "The role is too low, or the feature is not available.",
    "404": "No such record.",
    "409": "The ticket has changed since updated_stamp.",
    "413": "The body is too large.",
    "422": "The record is invalid; details has the reason for each field.",
    "429": "Rate limit exceeded; Retry-After says when to retry.",
    "503": "The store is unavailable; Retry-After says when to retry.",
}


@cache
def openapi_document() -> bytes:
    """The document as JSON."""
    error: dict[str, Any] = {"description": "An error.", "type": "object", "minProperties": 1}
    body_types = [type_ for route in API_ROUTES for type_ in route.body.values()]
    _, inputs = msgspec.json.schema_components(body_types, ref_template=_SCHEMA)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "ticketfeed",
                "version": version("ticketfeed"),
                "description": "Each path below /api/v2 may end in .json. A path with GET also answers HEAD.",
            },
            "servers": [{"url": "/"}],
            "security": [{"basic": []}, {"bearer": []}],
            "paths": _paths() | {"/_ticketfeed/health": {"get": _health()}},
            "components": {
                "schemas": {"Error": error, **inputs},
                "securitySchemes": {
                    "basic": {"type": "http", "scheme": "basic", "description": "EMAIL/token and an API token."},
                    "bearer": {"type": "http", "scheme": "bearer", "description": "Any token of the store."},
                },
            },
        }
    )


def _paths() -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {}
    for route in API_ROUTES:
        paths.setdefault(f"/api/v2{route.template}", {})[route.method.lower()] = _operation(route)
    return paths


def _operation(route: ApiRoute) -> dict[str, Any]:
    name = route.template.strip("/").replace("/", "_").replace("{", "").replace("}", "")
    operation = {
        "tags": [route.tag],
        "summary": route.summary,
        "description": f"For: {route.role}.",
        "operationId": name if route.method == "GET" else f"{route.method.lower()}_{name}",
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.body:
        schemas, _ = msgspec.json.schema_components(route.body.values(), ref_template=_SCHEMA)
        body = {"type": "object", "properties": dict(zip(route.body, schemas, strict=True))}
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation


def _parameters(route: ApiRoute) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    for name, convertor in _PATH_PARAMETER.findall(route.path):
        schema = {"type": "integer", "minimum": 0} if convertor else {"type": "string"}
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    for name in route.parameters:
        schema, meaning = PARAMETERS[name]
        parameters.append({"name": name, "in": "query", "description": meaning, "schema": schema})
    return parameters


def _responses(route: ApiRoute) -> dict[str, Any]:
    properties = {key: _schema(key, type_) for key, type_ in route.answer.items()}
    answer = {"type": "object", "required": list(properties), "properties": properties}
    responses: dict[str, Any] = {str(status): {"description": route.summary} for status in route.statuses}
    for status, response in responses.items():
        if status != "204":
            response["content"] = {"application/json": {"schema": answer}}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return responses | {status: {"description": text, "content": content} for status, text in _ERRORS.items()}


def _schema(key: str, type_: str) -> dict[str, Any]:
    if key == "tags":  # an array of names, or of objects with a name and a count
        return {"type": "array"}
    return _TYPES.get(type_, {"type": type_})


def _health() -> dict[str, Any]:
    answer: dict[str, Any] = {"type": "object", "required": ["status"], "properties": {"status": {"const": "alive"}}}
    content = {"application/json": {"schema": answer}}
    responses = {"200": {"description": "The process is alive.", "content": content}}
    return {
        "tags": ["ticketfeed"],
        "summary": "Liveness check",
        "operationId": "health",
        "security": [],
        "responses": responses,
    }


@cache
def _static_document() -> StaticBody:
    return StaticBody.of(openapi_document())


async def _document(request: Request) -> Response:
    return _static_document().response(request, "application/json", {})


OPENAPI_ROUTES: list[Route] = [
    Route("/_ticketfeed/openapi.json", _document, methods=["GET"]),
]
