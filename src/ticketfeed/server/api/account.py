"""What a connector asks before it starts: who am I, what is this token, what account is this, which tags are there."""

from collections import Counter

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.source import read_page
from ticketfeed.protocol.envelope import join_object
from ticketfeed.protocol.errors import FeatureMissing, NotAuthenticated
from ticketfeed.protocol.list_request import parse_list_request, slice_rows
from ticketfeed.protocol.model import Account, Filters, Identity, Position
from ticketfeed.protocol.query import PAGE_LIMIT_MAX, ExportRequest, parse_query
from ticketfeed.protocol.rows import ListRow
from ticketfeed.protocol.shapes import ANONYMOUS_USER
from ticketfeed.server.api.call import ApiCall, admit
from ticketfeed.server.api.lists import list_response
from ticketfeed.server.responses import body_response

__all__ = ["feature_missing", "list_tags", "show_me", "show_settings", "show_token"]

# Tags are counted in the tickets of this long, as on the wire, and of those in no more than the newest so many.
TAGS_SECONDS = 60 * 24 * 3600
TAGGED_TICKETS_MAX = 20_000


async def show_me(request: Request) -> Response:
    """The caller. Without credentials, or with a wrong password, that is the anonymous user, and no error."""
    try:
        call = await admit(request)
    except NotAuthenticated as error:
        if error.with_token:
            raise
        return body_response(request, join_object("user", ANONYMOUS_USER, ()))
    await call.spend(request)
    rows = await call.service.store.read_records(call.account, "users", [call.identity.user_id])
    body = rows[0].body if rows else _bare_user(call.identity)
    return body_response(request, join_object("user", body, ()))


async def show_token(request: Request, call: ApiCall) -> Response:
    """The token in use: it never expires by itself."""
    token = {
        "url": f"https://{call.account.subdomain}.zendesk.com/api/v2/oauth/tokens/1.json",
        "id": 1,
        "user_id": call.identity.user_id,
        "client_id": 1,
        "expires_at": None,
        "refresh_token_expires_at": None,
        "scopes": ["read"],
    }
    return body_response(request, msgspec.json.encode({"token": token}))


async def show_settings(request: Request, _call: ApiCall) -> Response:
    """What connectors look at when they test a connection."""
    settings = {
        "branding": {"header_color": "78A300", "page_background_color": "333333", "favicon_url": None},
        "api": {"accepted_api_agreement": True, "api_password_access": "true", "api_token_access": "true"},
        "tickets": {
            "comments_public_by_default": True,
            "is_first_comment_private_enabled": True,
            "list_newest_comments_first": False,
            "collaboration": True,
            "agent_collision": False,
            "has_custom_statuses": True,
        },
        "active_features": {"customer_satisfaction": True, "custom_statuses": True, "ticket_forms": True},
        "ticket_form": {"ticket_forms_instructions": "", "raw_ticket_forms_instructions": ""},
        "brands": {"default_brand_id": None, "require_brand_on_new_tickets": False},
        "localization": {"locale_ids": [1], "time_zone": "UTC"},
    }
    return body_response(request, msgspec.json.encode({"settings": settings}))


async def list_tags(request: Request, call: ApiCall) -> Response:
    """The tags of recently changed tickets, the most used first, each with how many tickets carry it."""
    asked = parse_list_request(parse_query(request.scope["query_string"].decode("latin-1")))
    counts = await _count_tags(call, call.account)
    named = [(-count, place, name) for place, (name, count) in enumerate(counts.most_common())]
    rows = [
        ListRow(place, place, msgspec.json.encode({"name": name, "count": -count}))
        for count, place, name in sorted(named)
    ]
    return list_response(request, call, "tags", asked, slice_rows(rows, asked.part), len(rows))


async def feature_missing(_request: Request, _call: ApiCall) -> Response:
    """What only help desks with that product have."""
    raise FeatureMissing


class _Tagged(msgspec.Struct):
    tags: list[str] = []


_TAGGED = msgspec.json.Decoder(_Tagged)


async def _count_tags(call: ApiCall, account: Account) -> Counter[str]:
    now, counts, seen = call.service.clock(), Counter[str](), 0
    after, ended = Position(max(0, now - TAGS_SECONDS), -1), False
    filters = Filters(exclude_deleted=True, support_type_scope="all")
    while not ended and seen < TAGGED_TICKETS_MAX:
        asked = ExportRequest(after, PAGE_LIMIT_MAX, filters, (), ())
        page = await read_page(call.service.store, account, asked, now=now, settle_seconds=0)
        for row in page.rows:
            counts.update(_TAGGED.decode(row.body).tags)
        after, ended, seen = page.after, page.end_of_stream, seen + len(page.rows)
    return counts


def _bare_user(identity: Identity) -> bytes:
    user = {"id": identity.user_id, "name": identity.email, "email": identity.email, "role": identity.role}
    return msgspec.json.encode(user)
