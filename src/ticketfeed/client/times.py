"""Times as people and other tools write them: ISO 8601, or Unix seconds."""

import math
from datetime import UTC, datetime
from typing import Any

__all__ = ["parse_seconds"]


def parse_seconds(value: Any) -> int | None:
    """Whole Unix seconds, rounded down; a time without a zone is UTC. None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            number = moment.timestamp()
        except (ValueError, OverflowError):
            return None
    # 11 digits and more are milliseconds, or no time at all; either would begin far behind all there is.
    return math.floor(number) if 0 <= number < 1e11 else None
