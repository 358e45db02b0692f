"""Ids that are written as whole floats, as data frames write a column of ids with gaps: `397013466912.0`."""

import re
from decimal import Decimal

__all__ = ["without_whole_floats"]

_NUMBER = rb"-?[0-9]+(?:[.][0-9]+)?(?:[eE][+-]?[0-9]{1,2})?"
# In JSON a quote inside a text is escaped, so these are keys and never text.
_KEY = rb"""("(?:id|[a-z_]+_id|timestamp|generated_timestamp)"\s*:\s*)(%s)(?=\s*[,}])""" % _NUMBER
_LIST = rb"""("[a-z_]+_ids"\s*:\s*\[)([-+0-9.eE,\s]*)(?=\])"""
# Beyond this a float is not exact.
_EXACT_MAX = 2**53


def without_whole_floats(data: bytes) -> bytes:
    """The record with those ids as integers; any other value stays as it is."""
    data = re.sub(_KEY, lambda match: match[1] + _whole(match[2]), data)
    number = re.compile(_NUMBER)
    return re.sub(_LIST, lambda match: match[1] + number.sub(lambda found: _whole(found[0]), match[2]), data)


def _whole(text: bytes) -> bytes:
    number = Decimal(text.decode())
    if text.isdigit() or abs(number) > _EXACT_MAX or number != number.to_integral_value():
        return text
    return b"%d" % int(number)
