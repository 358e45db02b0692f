"""The manifest of a target: the program and run that made it, and how far the run has come.

The text form is a JSON object; it is a file beside a file, `_manifest.json` in a folder, a row in a database and
metadata of a Parquet file. `layout` is how the sink stores records (its kind and the options that shape it), `details`
what it needs to find its place again.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ticketfeed.client.sinks.contract import Checkpoint, SinkOptions
from ticketfeed.client.sinks.durable import replace_file
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.request_body import UNREADABLE

__all__ = ["Manifest", "layout_of"]

_MADE_BY = "ticketfeed export"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    layout: Mapping[str, Any]
    identity: Mapping[str, Any]
    checkpoint: Checkpoint | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        point = self.checkpoint
        value = {
            "made_by": _MADE_BY,
            "version": _VERSION,
            "layout": self.layout,
            "identity": self.identity,
            "checkpoint": point and {"streams": point.streams, "totals": point.totals},
            "details": self.details,
        }
        return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"

    @classmethod
    def decode(cls, text: bytes | str, target: str) -> "Manifest":
        """Raises BadInput for what `encode` did not make."""
        try:
            value = msgspec.json.decode(text)
            if value["made_by"] != _MADE_BY or value["version"] != _VERSION:
                raise BadInput(f"the manifest of {target} is of another version of ticketfeed; choose another target")
            identity, point = value["identity"], value["checkpoint"]
            checkpoint = point and Checkpoint(identity, point["streams"], point["totals"])
            return cls(value["layout"], identity, checkpoint, value["details"])
        except (*UNREADABLE, KeyError, TypeError):
            raise BadInput(f"{target} was not made by ticketfeed export; choose another target") from None

    def at(self, checkpoint: Checkpoint | None, **details: Any) -> "Manifest":
        return dataclasses.replace(self, checkpoint=checkpoint, details={**self.details, **details})

    def check(self, wanted: "Manifest", target: str) -> None:
        """Raises BadInput when the target belongs to another run, or has another format."""
        for held, new in ((self.layout, wanted.layout), (self.identity, wanted.identity)):
            for name in sorted({*held, *new}):
                if held.get(name) != new.get(name):
                    raise BadInput(
                        f"{target} belongs to another run: its {name} is {_spell(held.get(name))}, not "
                        f"{_spell(new.get(name))}; choose another target, or remove it to start anew"
                    )

    def store(self, path: Path) -> None:
        """Replace the manifest file; durable when this returns."""
        replace_file(path, self.encode())

    @classmethod
    def load(cls, path: Path, target: str) -> "Manifest | None":
        """The manifest in a file; None where there is none."""
        try:
            return cls.decode(path.read_bytes(), target)
        except FileNotFoundError:
            return None

    @classmethod
    def new(cls, layout: Mapping[str, Any], identity: Mapping[str, Any]) -> "Manifest":
        """A manifest before the first checkpoint, its values as JSON has them, so that they compare."""
        return cls(plain(layout), plain(identity))


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return msgspec.json.decode(msgspec.json.encode(value), type=dict[str, Any])


def layout_of(kind: str, options: SinkOptions) -> dict[str, Any]:
    """How a sink stores records, for a manifest."""
    return {"kind": kind, "custom_fields": options.custom_fields, "exclude_deleted": options.exclude_deleted}


def _spell(value: Any) -> str:
    return "not set" if value is None else msgspec.json.encode(value).decode()
