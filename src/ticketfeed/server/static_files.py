"""Static files that are part of the package: read once, compressed once, cached by browsers."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from isal import isal_zlib
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["MEDIA_TYPES", "static_file_response"]

MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
# Compressed once a process, so the smallest result is worth its time (isal's highest level).
_GZIP_LEVEL = 3
_GZIP_CONTAINER = 31
_MAX_AGE_SECONDS = 3600


def static_file_response(request: Request, file: Path, headers: Mapping[str, str]) -> Response:
    """A response with the contents of `file`: gzip where the client accepts it, 304 where its copy is current.

    `file` is chosen by the caller from a fixed list, never from the request's path.
    """
    plain, compressed, etag = _read(file)
    headers = {**headers, "cache-control": f"max-age={_MAX_AGE_SECONDS}", "etag": etag, "vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(compressed, media_type=MEDIA_TYPES[file.suffix], headers=headers)
    return Response(plain, media_type=MEDIA_TYPES[file.suffix], headers=headers)


@cache
def _read(file: Path) -> tuple[bytes, bytes, str]:
    """The contents, the same as gzip, and an entity tag."""
    plain = file.read_bytes()
    compressed: bytes = isal_zlib.compress(plain, _GZIP_LEVEL, _GZIP_CONTAINER)
    return plain, compressed, f'"{sha256(plain).hexdigest()[:32]}"'
