"""Bulk writes: each request becomes a job, which is answered at once and done in the background."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.envelope import join_arrays
from ticketfeed.protocol.errors import BodyTooLarge, InvalidValue, MalformedRequest, RecordNotFound, TooManyValues
from ticketfeed.protocol.jobs import JOB_ITEMS_MAX, job_status
from ticketfeed.protocol.list_request import paginate, parse_ids, parse_list_request, slice_rows
from ticketfeed.protocol.model import INT64_MAX
from ticketfeed.protocol.record_types import SearchText
from ticketfeed.protocol.request_body import take_envelope
from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.protocol.rows import ListRow
from ticketfeed.server.api.call import ApiCall, Handler, path_id
from ticketfeed.server.api.requests import BODY_BYTES_MAX, read_body, read_envelope
from ticketfeed.server.ops.jobs import new_job_id
from ticketfeed.server.responses import body_response, written_response
from ticketfeed.writing.jobs import start_job

__all__ = ["create_many", "destroy_many", "list_jobs", "merge_tickets", "scrub_ticket", "show_job", "update_many"]

_JOB_ID = re.compile(r"V3-[0-9a-f]{32}")
# The kinds whose records can be named by their external_id.
_BY_EXTERNAL_ID = {kind for kind, resource in RESOURCES.items() if resource.has_external_id}


def create_many(kind: str, verb: str = "create") -> Handler:
    """Create a record of each object in the body's array."""

    async def create(request: Request, call: ApiCall) -> Response:
        records = _array(await read_envelope(request, kind))
        if len(records) > JOB_ITEMS_MAX:
            raise TooManyValues(JOB_ITEMS_MAX, kind)
        items = [msgspec.json.encode({"values": values}) for values in records]
        return await _start(request, call, f"{verb} {kind}", items)

    return create


def update_many(kind: str, singular: str) -> Handler:
    """Change all of `ids` or `external_ids` alike, or each record of the body's array by itself."""

    async def update(request: Request, call: ApiCall) -> Response:
        query, body = call.query, await read_body(request)
        named = _named(query, kind) if "ids" in query or ("external_ids" in query and _has(body, singular)) else []
        if named:
            values = Raw(take_envelope(body, singular))
            if len(values) * len(named) > BODY_BYTES_MAX:  # it counts as if it had been sent for each
                raise BodyTooLarge(BODY_BYTES_MAX)
            items = [msgspec.json.encode({**each, "values": values}) for each in named]
        else:
            items = [_own_change(each, kind) for each in _array(take_envelope(body, kind))]
        return await _start(request, call, f"update {kind}", items)

    return update


def destroy_many(kind: str, verb: str = "delete") -> Handler:
    """Delete each of `ids` or `external_ids`."""

    async def destroy(request: Request, call: ApiCall) -> Response:
        items = [msgspec.json.encode(each) for each in _named(call.query, kind)]
        return await _start(request, call, f"{verb} {kind}", items)

    return destroy


async def scrub_ticket(request: Request, call: ApiCall) -> Response:
    """Delete one ticket permanently."""
    ticket_id = path_id(request)
    rows = await call.service.store.read_tickets(call.account, [ticket_id])
    if not rows or rows[0].status != "deleted":
        raise RecordNotFound
    return await _start(request, call, "scrub_one tickets", [msgspec.json.encode({"id": ticket_id})])


async def merge_tickets(request: Request, call: ApiCall) -> Response:
    """Merge the tickets `ids` into this one, with a `target_comment` here and a `source_comment` there."""
    body = await read_body(request)
    try:
        merge = msgspec.json.decode(body, type=dict[str, Raw])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise MalformedRequest("The body is not a JSON object") from None
    merge["id"] = Raw(b"%d" % path_id(request))
    return await _start(request, call, "merge tickets", [msgspec.json.encode(merge)])


async def show_job(request: Request, call: ApiCall) -> Response:
    """One job with its progress."""
    id = request.path_params["id"].removesuffix(".json")
    found = await call.service.store.read_jobs(call.account, [id] if _JOB_ID.fullmatch(id) else [])
    if not found:
        raise RecordNotFound
    status = job_status(*found[0], call.account.subdomain)
    return body_response(request, msgspec.json.encode({"job_status": status}))


async def list_jobs(request: Request, call: ApiCall) -> Response:
    """The newest hundred jobs, or those of `ids`; with `page[size]` in pages by cursor."""
    ids = call.query.get("ids")
    known = None if ids is None else [id for id in ids.split(",") if _JOB_ID.fullmatch(id)][:JOB_ITEMS_MAX]
    found = await call.service.store.read_jobs(call.account, known)
    bodies = [msgspec.json.encode(job_status(job, results, call.account.subdomain)) for job, results in found]
    if not any(name.startswith("page[") for name in call.query):
        return body_response(request, join_arrays([("job_statuses", bodies)], {"count": len(bodies)}))
    listed = parse_list_request(call.query)
    rows = [ListRow(rank, rank, body) for rank, body in enumerate(bodies, 1)]
    page, ends = paginate(listed, slice_rows(rows, listed.part), None, call.address(request))
    return body_response(request, join_arrays([("job_statuses", [row.body for row in page])], ends))


async def _start(request: Request, call: ApiCall, action: str, items: Sequence[bytes]) -> Response:
    """Store and start a job; 200 with the job before its first item."""
    if len(items) > JOB_ITEMS_MAX:
        raise TooManyValues(JOB_ITEMS_MAX)
    job_id, actor_id = new_job_id(), call.identity.user_id
    job = await call.service.store.write(call.account, lambda write: start_job(write, job_id, actor_id, action, items))
    call.service.jobs.start(call.account, job_id)
    status = job_status(job, [], call.account.subdomain)
    return written_response(request, 200, msgspec.json.encode({"job_status": status}))


def _array(data: bytes) -> list[Raw]:
    try:
        return msgspec.json.decode(data, type=list[Raw])
    except msgspec.MsgspecError:
        raise InvalidValue("expected an array of objects") from None


class _Named(msgspec.Struct):
    """What names the record of one change."""

    id: int | None = None
    external_id: SearchText | Annotated[int, Meta(ge=-INT64_MAX, le=INT64_MAX)] | None = None


def _own_change(item: Raw, kind: str) -> bytes:
    try:
        named = msgspec.json.decode(item, type=_Named)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        named = _Named()
    if named.id is not None:
        return msgspec.json.encode({"id": named.id, "values": item})
    if named.external_id is None or kind not in _BY_EXTERNAL_ID:
        raise InvalidValue("each change needs the id of its record")
    return msgspec.json.encode({"external_id": str(named.external_id), "values": item})


def _named(query: Mapping[str, str], kind: str) -> list[dict[str, Any]]:
    """What the query names, by id or external_id. Raises InvalidValue, TooManyValues."""
    if "external_ids" not in query or kind not in _BY_EXTERNAL_ID:
        return [{"id": id} for id in parse_ids(query)]
    return [{"external_id": text.strip()} for text in query["external_ids"].replace("\0", "").split(",")]


def _has(body: bytes, key: str) -> bool:
    try:
        return key in msgspec.json.decode(body, type=dict[str, Raw])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
