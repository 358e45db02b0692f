"""Calls of an admin of the account to the addresses below /_ticketfeed that programs use."""

from typing import Any

import msgspec
from starlette.requests import Request

from ticketfeed.protocol.errors import InvalidValue, MissingScope, RoleTooLow
from ticketfeed.protocol.scopes import allows
from ticketfeed.server.api.call import ApiCall, admit, refuse_cross_site
from ticketfeed.server.api.requests import read_body
from ticketfeed.server.request_context import request_context

__all__ = ["admit_admin", "read_json"]


async def admit_admin(request: Request, endpoint: str, scope: str, *parameters: str) -> ApiCall:
    """The call of an admin, with a token that has the scope. `parameters`: of the query; others are refused.

    Raises WireError.
    """
    if scope == "write":
        refuse_cross_site(request)
    request_context(request.scope).endpoint = endpoint
    call = await admit(request)
    if call.identity.scopes is not None and not allows(call.identity.scopes, scope):
        raise MissingScope([scope])
    if call.identity.role != "admin":
        raise RoleTooLow
    if unknown := sorted(call.query.keys() - set(parameters)):
        known = f"; there is: {', '.join(parameters)}" if parameters else ""
        raise InvalidValue(f"there is no parameter {unknown[0]}{known}")
    return call


async def read_json(request: Request, kind: type[msgspec.Struct] | None = None) -> Any:
    """The body: an object of this kind, or any JSON. Raises InvalidValue."""
    data = await read_body(request)
    try:
        return msgspec.json.decode(data, type=kind or Any)
    except msgspec.ValidationError as error:
        members = ", ".join(kind.__struct_fields__) if kind else ""
        raise InvalidValue(f"the body must be an object with {members}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidValue("the body must be JSON") from None
