"""Requests to a source over HTTP. One connection is reused; a proxy and certificates come from the environment.

urllib3, measured against httpx, niquests, aiohttp and http.client on pages of 1000 compressed tickets: 0.4 ms of CPU a
page, where httpx takes 1.0 and niquests 0.5; aiohttp (0.2) cannot be called without an event loop. Inflating with
isal takes 2.5 ms and is the larger part, so answers are taken as they come and inflated here.
"""

import time
import urllib.request
from collections.abc import Iterable
from importlib.metadata import version
from typing import Protocol
from urllib.parse import urlsplit

import urllib3
from isal import igzip_lib, isal_zlib
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from ticketfeed.client.steps import Answer, Failed, Request
from ticketfeed.clock import system_instant

__all__ = ["HttpTransport", "Transport"]

# Zendesk's own gateway gives up after a minute; a page of 1000 large tickets takes it half of that.
CONNECT_SECONDS = 30.0
SILENCE_SECONDS = 90.0
ANSWER_SECONDS = 300.0
# A page of 1000 tickets has some MB; more than this is taken for a reason to ask for fewer.
ANSWER_BYTES_MAX = 512 * 2**20
_READ_BYTES = 256 * 1024
_GZIP = 31
# isal's stubs give its exception as an instance.
_CORRUPT: type[Exception] = vars(igzip_lib)["IsalError"]


class Transport(Protocol):
    """What sends a request. Never raises for what a source does."""

    def send(self, request: Request) -> Answer | Failed: ...

    def close(self) -> None: ...


class HttpTransport:
    """`base`: scheme, host, port and perhaps a path, as https://acme.zendesk.com."""

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/")
        headers = {
            "accept": "application/json",
            "accept-encoding": "gzip",
            "user-agent": f"ticketfeed/{version('ticketfeed')}",
        }
        self._pool = _make_pool(self._base, headers)
        self._headers = headers

    def send(self, request: Request) -> Answer | Failed:
        """Send it, and read the whole answer, decompressed. Redirects are not followed: they may name another host."""
        try:
            response = self._pool.request(
                request.method,
                self._base + request.target,
                body=request.body,
                headers={**self._headers, **request.headers},
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=SILENCE_SECONDS),
            )
        except (HTTPTimeoutError, TimeoutError) as error:
            return _failed(error, timed_out=not isinstance(error, ConnectTimeoutError))
        except (HTTPError, OSError) as error:
            return _failed(error)
        try:
            headers = {name.lower(): value for name, value in response.headers.items()}
            body = _read(response, headers.get("content-encoding", ""))
            response.release_conn()
            return Answer(response.status, headers, body, system_instant())
        except _TooMuch as error:
            response.close()
            return Failed(str(error), True, system_instant())
        except (HTTPTimeoutError, TimeoutError) as error:
            response.close()
            return _failed(error, timed_out=True)
        except (HTTPError, OSError, ValueError) as error:
            response.close()
            return _failed(error)

    def close(self) -> None:
        self._pool.clear()


class _TooMuch(Exception):
    """The answer takes too long or is too large: a smaller page may do."""


def _read(response: urllib3.BaseHTTPResponse, encoding: str) -> bytes:
    """The whole body. Raises _TooMuch, HTTPError, ValueError where it is cut off."""
    pieces, size = [], 0
    deadline = time.monotonic() + ANSWER_SECONDS
    for piece in response.stream(_READ_BYTES, decode_content=False):
        pieces.append(piece)
        size += len(piece)
        if size > ANSWER_BYTES_MAX:
            raise _TooMuch(f"the answer is larger than {ANSWER_BYTES_MAX >> 20} MiB")
        if time.monotonic() > deadline:
            raise _TooMuch(f"the answer was not whole after {ANSWER_SECONDS:.0f} s")
    if encoding.strip().lower() in ("gzip", "x-gzip"):
        return _inflate(pieces)
    if encoding.strip().lower() not in ("", "identity"):
        raise ValueError(f"the answer has the encoding {encoding!r}, which was not requested")
    return b"".join(pieces)


def _inflate(pieces: Iterable[bytes]) -> bytes:
    data = b"".join(pieces)
    inflated = []
    while data:
        inflater = isal_zlib.decompressobj(wbits=_GZIP)
        try:
            inflated.append(inflater.decompress(data, ANSWER_BYTES_MAX))
        except _CORRUPT as error:
            raise ValueError(f"the answer is no sound gzip: {error}") from None
        if inflater.unconsumed_tail:
            raise _TooMuch(f"the answer is larger than {ANSWER_BYTES_MAX >> 20} MiB")
        if not inflater.eof:
            raise ValueError("the answer is cut off: its gzip has no end")
        data = inflater.unused_data
    return inflated[0] if len(inflated) == 1 else b"".join(inflated)


def _failed(error: Exception, timed_out: bool = False) -> Failed:
    if isinstance(error, NewConnectionError):  # which urllib3 counts among timeouts
        cause = error.__cause__ or error.__context__
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)
        return Failed(f"no connection to the source: {reason}", False, system_instant())
    if isinstance(error, HTTPTimeoutError | TimeoutError):
        return Failed(f"the source does not answer in time: {error}", timed_out, system_instant())
    return Failed(f"no whole answer from the source: {error}", timed_out, system_instant())


def _make_pool(base: str, headers: dict[str, str]) -> urllib3.PoolManager:
    """Use the proxy of HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, unless NO_PROXY lists the host."""
    parts = urlsplit(base)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        proxy_parts = urlsplit(proxy)
        proxy_headers = None
        if proxy_parts.username:
            proxy_headers = urllib3.make_headers(
                proxy_basic_auth=f"{proxy_parts.username}:{proxy_parts.password or ''}"
            )
        return urllib3.ProxyManager(proxy, headers=headers, proxy_headers=proxy_headers, maxsize=1)
    return urllib3.PoolManager(headers=headers, maxsize=1)
