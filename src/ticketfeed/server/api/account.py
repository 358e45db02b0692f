"""The account and its caller: what connectors read before they start. The user, the token, the settings, the tags."""

from collections import Counter
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.source import read_page
from ticketfeed.protocol.api_tokens import accepts_api_tokens
from ticketfeed.protocol.envelope import join_object
from ticketfeed.protocol.list_request import parse_list_request, slice_rows
from ticketfeed.protocol.model import Account, Filters, Identity, Position, Slice
from ticketfeed.protocol.query import PAGE_LIMIT_MAX, ExportRequest
from ticketfeed.protocol.rows import ListRow
from ticketfeed.protocol.shapes import ANONYMOUS_USER
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.server.api.call import ANONYMOUS, ApiCall
from ticketfeed.server.api.lists import count_response, list_response, read_rows
from ticketfeed.server.responses import body_response
from ticketfeed.storage.batches import all_rows, list_batches

__all__ = ["count_tags", "list_tags", "show_me", "show_settings"]

# As on the wire, tags are counted in the tickets that changed within 60 days.
TAGS_SECONDS = 60 * 24 * 3600
# Bounds the time of one request; the tickets that changed first are counted.
TAGGED_TICKETS_MAX = 20_000


# More than any plan allows.
BRANDS_MAX = 1000


class _Brand(msgspec.Struct):
    default: bool | None = None


_BRAND = StoredDecoder(_Brand)


async def show_me(request: Request, call: ApiCall) -> Response:
    """The caller. Without credentials, or with a wrong password, that is the anonymous user."""
    if call.identity is ANONYMOUS:
        return body_response(request, join_object("user", ANONYMOUS_USER, ()))
    rows = await call.service.store.read_records(call.account, "users", [call.identity.user_id])
    body = rows[0].body if rows else _bare_user(call.identity)
    return body_response(request, join_object("user", body, ()))


async def show_settings(request: Request, call: ApiCall) -> Response:
    """The settings that connectors read when they test a connection. In `api` the booleans are texts."""
    has_tokens = accepts_api_tokens(call.service.settings.api_tokens, call.now)
    api = {"accepted_api_agreement": True, "api_password_access_end_users": "true"}
    settings = {
        "branding": {"header_color": "78A300", "page_background_color": "333333", "favicon_url": None},
        "api": {**api, "api_token_access": "true" if has_tokens else "false"},
        "tickets": {
            "comments_public_by_default": True,
            "is_first_comment_private_enabled": True,
            "list_newest_comments_first": False,
            "collaboration": True,
            "agent_collision": False,
            "has_custom_statuses": True,
        },
        "active_features": {
            "customer_satisfaction": True,
            "custom_statuses": True,
            "organization_access_enabled": True,  # Airbyte's check of a connection fails without it
            "ticket_forms": True,
        },
        "ticket_form": {"ticket_forms_instructions": "", "raw_ticket_forms_instructions": ""},
        "brands": {"default_brand_id": await _default_brand(call), "require_brand_on_new_tickets": False},
        "localization": {"locale_ids": [1], "time_zone": "UTC"},
    }
    return body_response(request, msgspec.json.encode({"settings": settings}))


async def _default_brand(call: ApiCall) -> int | None:
    read = partial(call.service.store.list_records, call.account, "brands")
    brands = await all_rows(list_batches(read, Slice(BRANDS_MAX)))
    default = next((brand.id for brand in brands if _BRAND.decode(brand.body).default is True), None)
    return default or (brands[0].id if brands else None)


async def list_tags(request: Request, call: ApiCall) -> Response:
    """The tags of recently changed tickets, the most used first, each with the number of its tickets."""
    list_request = parse_list_request(call.query)
    counts = (await _count_tags(call, call.account)).most_common()
    rows = [
        ListRow(rank, rank, msgspec.json.encode({"name": name, "count": count}))
        for rank, (name, count) in enumerate(counts)
    ]
    page = read_rows(slice_rows(rows, list_request.part))
    return await list_response(request, call, "tags", list_request, page, len(rows))


async def count_tags(request: Request, call: ApiCall) -> Response:
    """The number of tags in that list."""
    return count_response(request, call, len(await _count_tags(call, call.account)))


class _Tagged(msgspec.Struct):
    tags: list[str] = []


_TAGGED = msgspec.json.Decoder(_Tagged)


async def _count_tags(call: ApiCall, account: Account) -> Counter[str]:
    now, counts, read = call.now, Counter[str](), 0
    after, ended = Position(max(0, now - TAGS_SECONDS), -1), False
    filters = Filters(exclude_deleted=True, support_type_scope="all")
    while not ended and read < TAGGED_TICKETS_MAX:
        export_request = ExportRequest(after, PAGE_LIMIT_MAX, filters, (), ())
        page = await read_page(call.service.store, account, export_request, now=now, settle_seconds=0)
        for row in page.rows:
            counts.update(_TAGGED.decode(row.body).tags)
        after, ended, read = page.after, page.end_of_stream, read + len(page.rows)
    return counts


def _bare_user(identity: Identity) -> bytes:
    user = {"id": identity.user_id, "name": identity.email, "email": identity.email, "role": identity.role}
    return msgspec.json.encode(user)
