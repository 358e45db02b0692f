"""Calls of an admin of the account to the addresses below /_ticketfeed that programs use."""

from starlette.requests import Request

from ticketfeed.protocol.errors import MissingScope, RoleTooLow
from ticketfeed.protocol.scopes import allows
from ticketfeed.server.api.call import ApiCall, admit
from ticketfeed.server.request_context import request_context

__all__ = ["admit_admin"]


async def admit_admin(request: Request, endpoint: str, scope: str) -> ApiCall:
    """The call of an admin, with a token that has the scope. Raises WireError."""
    request_context(request.scope).endpoint = endpoint
    call = await admit(request)
    if call.identity.scopes is not None and not allows(call.identity.scopes, scope):
        raise MissingScope([scope])
    if call.identity.role != "admin":
        raise RoleTooLow
    return call
