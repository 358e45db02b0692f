"""The JSON schemas that published connectors carry, as validators of the records that the connector reads."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from jsonschema import Draft7Validator, FormatChecker

__all__ = ["Failure", "failures", "load_schemas", "with_custom_fields"]


class Failure(NamedTuple):
    """Where a record does not fit its schema. `path`: its keys, without the places in lists."""

    path: str
    type: str
    message: str


_FORMATS = FormatChecker(())
# The type of a field -> the type of its values, as tap-zendesk adds them to its schemas (`process_custom_field`).
_CUSTOM_TYPES = {"integer": "integer", "decimal": "number", "checkbox": "boolean", "lookup": "integer"}


@_FORMATS.checks("date-time", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def load_schemas(folder: Path) -> dict[str, dict[str, Any]]:
    """The schema of each stream; a reference is the name of a file in the folder or in `shared`."""

    def read(path: Path) -> Any:
        return resolve(json.loads(path.read_bytes()))

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return read(folder / "shared" / Path(value["$ref"]).name)
            return {key: resolve(item) for key, item in value.items() if key != "$schema"}
        return [resolve(item) for item in value] if isinstance(value, list) else value

    return {path.stem: read(path) for path in sorted(folder.glob("*.json"))}


def with_custom_fields(schema: dict[str, Any], key: str, fields: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The schema with a type for each field that users or organizations of this account have."""
    values = {}
    for field in fields:
        values[field["key"]] = {"type": [_CUSTOM_TYPES.get(field["type"], "string"), "null"]}
        if field["type"] == "dropdown":
            values[field["key"]]["enum"] = [*(option["value"] for option in field["custom_field_options"]), None]
    properties = schema["properties"]
    return {**schema, "properties": {**properties, key: {**properties[key], "properties": values}}}


def failures(schema: dict[str, Any], records: Iterable[Any]) -> Iterator[Failure]:
    """All that does not fit, each path with one value of each type."""
    validator = Draft7Validator(schema, format_checker=_FORMATS)
    found = set()
    for record in records:
        for error in validator.iter_errors(record):
            path = ".".join(part for part in error.absolute_path if isinstance(part, str))
            failure = Failure(path, type(error.instance).__name__, error.message[:200])
            if failure[:2] not in found:
                found.add(failure[:2])
                yield failure
