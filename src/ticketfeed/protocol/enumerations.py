"""The enumerations of the wire, and which values of a record are not in them.

Such a value comes with tickets that another help desk made. It is stored and served as it is; a load reports it.
"""

from collections.abc import Iterator

import msgspec

__all__ = ["ENUMERATIONS", "foreign_values"]

# Kind -> key -> its values.
ENUMERATIONS: dict[str, dict[str, frozenset[str]]] = {
    "tickets": {
        "type": frozenset({"problem", "incident", "question", "task"}),
        "priority": frozenset({"urgent", "high", "normal", "low"}),
        "status": frozenset({"new", "open", "pending", "hold", "solved", "closed", "deleted"}),
        "support_type": frozenset({"agent", "ai_agent"}),
    },
    "users": {"role": frozenset({"end-user", "agent", "admin"})},
}
_DECODERS = {
    kind: msgspec.json.Decoder(
        msgspec.defstruct(f"{kind}_enumerations", [(key, str | None, None) for key in enumerations])
    )
    for kind, enumerations in ENUMERATIONS.items()
}


def foreign_values(kind: str, data: bytes) -> Iterator[tuple[str, str]]:
    """(key, value) of each value of a record, which has been parsed, that is not in the enumeration of its key."""
    if kind not in ENUMERATIONS:
        return
    record = _DECODERS[kind].decode(data)
    for key, known in ENUMERATIONS[kind].items():
        value = getattr(record, key)
        if value is not None and value not in known:
            yield key, value
