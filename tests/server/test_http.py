"""Methods, paths, headers, compression."""

import gzip
import json

import pytest

from tests.server.desk import ALL, PATH, Desk, tickets
from ticketfeed.inprocess import Answer

EVERYWHERE = {
    "content-type": "application/json; charset=utf-8",
    "vary": "Accept-Encoding",
    "x-zendesk-api-version": "v2",
    "x-frame-options": "SAMEORIGIN",
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "X-Zendesk-API-Warn,X-Zendesk-User-Id,X-Zendesk-User-Session-Expires-At",
}


@pytest.fixture(scope="module")
def desk() -> Desk:
    desk = Desk()
    desk.put("tickets", *tickets(*range(1, 11), subject="long " * 50))
    return desk


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "X"])
def test_other_methods(desk: Desk, method: str) -> None:
    """Another method on the path is 404 InvalidEndpoint, before credentials are looked at."""
    answer = desk.ask(method=method, authorization=None)
    assert (answer.status, json.loads(answer.body)) == (404, {"error": "InvalidEndpoint", "description": "Not found"})


@pytest.mark.parametrize(
    "path",
    [
        *("/", "", "/api/v1/x", PATH.upper(), f"/api/v2/..{PATH}"),
        *(PATH + end for end in (".xml", "xjson", "%0A", ".json%0A", "%00", "%20", ";x", "%3Fx=0")),
    ],
)
def test_other_paths(desk: Desk, path: str) -> None:
    """Nothing but the two exact paths is found, and nothing is redirected."""
    answer = desk.ask(f"{path}?start_time=0")
    assert (answer.status, json.loads(answer.body)) == (404, {"error": "InvalidEndpoint", "description": "Not found"})
    assert answer.headers["cache-control"] == "no-cache"


def test_head(desk: Desk) -> None:
    """HEAD has the headers of GET, the length of its body included, and the errors of GET."""
    answers = [desk.ask(method=method) for method in ("GET", "HEAD")]
    got, head = ({k: v for k, v in each.headers.items() if k not in ("x-request-id", "x-runtime")} for each in answers)
    assert got == head
    assert int(head["content-length"]) == len(answers[0].body)
    assert desk.ask(method="HEAD", authorization=None).status == 401


def test_preflight(desk: Desk) -> None:
    """A browser's preflight is answered without credentials, and lets a bearer token through."""
    headers = [("Origin", "https://x.example"), ("Access-Control-Request-Method", "GET")]
    answer = desk.ask(method="OPTIONS", authorization=None, headers=headers)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert "GET" in answer.headers["access-control-allow-methods"]


def check_common(answer: Answer) -> None:
    assert EVERYWHERE.items() <= dict(answer.headers).items()
    assert int(answer.headers["x-rate-limit"]) >= int(answer.headers["x-rate-limit-remaining"]) > 1000
    assert answer.headers["ratelimit-limit"] == answer.headers["x-rate-limit"]
    assert int(answer.headers["ratelimit-remaining"]) > 1000
    assert int(answer.headers["ratelimit-reset"]) >= 1
    assert len(answer.headers["x-request-id"]) == 36
    assert float(answer.headers["x-runtime"]) >= 0
    assert "retry-after" not in answer.headers
    names = [name for name, _ in answer.headers.items()]
    assert len(names) == len(set(names))


def test_headers_of_success(desk: Desk) -> None:
    """A 200 carries the wire's headers, a weak ETag of 32 hex digits, and never Retry-After."""
    answer = desk.ask()
    check_common(answer)
    assert answer.headers["cache-control"] == "max-age=0, private, must-revalidate"
    assert answer.headers["etag"][:3] == 'W/"'
    assert int(answer.headers["etag"][3:-1], 16) >= 0
    assert len(answer.headers["etag"]) == 36


@pytest.mark.parametrize(
    ("target", "authorization", "status"),
    [("/x", None, 404), (ALL, None, 401), (ALL, "Bearer x", 401), (PATH, "Bearer admin-token", 400)],
)
def test_headers_of_errors(desk: Desk, target: str, authorization: str | None, status: int) -> None:
    """An error carries the same headers, is not cached, and has no ETag."""
    answer = desk.ask(target, authorization=authorization)
    assert answer.status == status
    check_common(answer)
    assert answer.headers["cache-control"] == "no-cache"
    assert "etag" not in answer.headers


def test_etag(desk: Desk) -> None:
    """The same page has the same tag; another page, address or account another one."""
    asked = [ALL, f"{ALL}&per_page=1", f"{ALL}&include=users", f"{PATH}.json?start_time=0"]
    tags = {desk.ask(target).headers["etag"] for target in asked for _ in range(2)}
    tags.add(desk.ask(host="elsewhere.localhost").headers["etag"])
    assert len(tags) == len(asked) + 1


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("GZip", True),
        ("gzip, deflate, br, zstd", True),
        ("deflate;q=1.0, gzip;q=0.5", True),
        ("gzip; q=0.001", True),
        ("gzip ; q = 1", True),
        ("*", True),
        ("*;q=0, gzip", True),
        ("identity;q=0, *", True),
        ("br,gzip;q=1,*;q=0", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("*, gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("", False),
        ("deflate, br", False),
        ("xgzip, gzipx", False),
        (",;,=;q,", False),
        ("gzip;q=", False),
    ],
)
def test_gzip(desk: Desk, accepted: str, packed: bool) -> None:
    """A page is packed exactly when the client takes gzip, and unpacks to the same bytes."""
    plain = desk.ask().body
    answer = desk.ask(headers=[("Accept-Encoding", accepted)])
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert (gzip.decompress(answer.body) if packed else answer.body) == plain


def test_gzip_over_lines(desk: Desk) -> None:
    """Several Accept-Encoding lines count as one."""
    answer = desk.ask(headers=[("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")])
    assert answer.headers["content-encoding"] == "gzip"


def test_small_answers_stay_plain(desk: Desk) -> None:
    """An answer too small to gain from packing is sent as it is."""
    answer = desk.ask("/x", headers=[("Accept-Encoding", "gzip")])
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("headers", [[("X-Large", "x" * 70_000)], [("X", "y" * 100)] * 1000])
def test_giant_head(desk: Desk, headers: list[tuple[str, str]]) -> None:
    """A head larger than any client sends is refused."""
    assert desk.ask(headers=headers).status == 431
    assert desk.ask(f"{ALL}&x={'y' * 70_000}").status == 431
    assert desk.ask(f"{ALL}&x={'y' * 30_000}").status == 200


def test_health(desk: Desk) -> None:
    """Our own health address answers without credentials, whatever the host."""
    for host in ("acme.localhost", "nobody", "bad host", None):
        answer = desk.ask("/_ticketfeed/health", authorization=None, host=host)
        assert (answer.status, json.loads(answer.body)) == (200, {"status": "alive"})
