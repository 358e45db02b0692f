"""Responses that are always the same, such as files of the package: made once, compressed once."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from isal import isal_zlib
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["MEDIA_TYPES", "StaticBody", "static_file_response"]

MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
# Compressed once a process, so the smallest result is worth its time (isal's highest level).
_GZIP_LEVEL = 3
_GZIP_CONTAINER = 31
_MAX_AGE_SECONDS = 3600


class StaticBody(NamedTuple):
    """A body that is the same for every request: plain, as gzip, and its entity tag."""

    plain: bytes
    compressed: bytes
    etag: str

    @classmethod
    def of(cls, plain: bytes) -> "StaticBody":
        """Takes as long as compressing it: make each once."""
        compressed: bytes = isal_zlib.compress(plain, _GZIP_LEVEL, _GZIP_CONTAINER)
        return cls(plain, compressed, f'"{sha256(plain).hexdigest()[:32]}"')

    def response(self, request: Request, media_type: str, headers: Mapping[str, str]) -> Response:
        """A response with this body: gzip where the client accepts it, 304 where its copy is current."""
        headers = {"cache-control": "no-cache", **headers, "etag": self.etag, "vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(self.compressed, media_type=media_type, headers=headers)
        return Response(self.plain, media_type=media_type, headers=headers)


def static_file_response(request: Request, file: Path, headers: Mapping[str, str]) -> Response:
    """A response with the contents of `file`, cached by browsers.

    `file` is chosen by the caller from a fixed list, never from the request's path.
    """
    cached = {**headers, "cache-control": f"max-age={_MAX_AGE_SECONDS}"}
    return _read(file).response(request, MEDIA_TYPES[file.suffix], cached)


@cache
def _read(file: Path) -> StaticBody:
    return StaticBody.of(file.read_bytes())
