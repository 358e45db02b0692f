"""HTML pages and their forms. The content security policy of a page allows no other host."""

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.errors import BodyTooLarge
from ticketfeed.server.dashboard.filters import FILTERS
from ticketfeed.server.dashboard.session import BASE
from ticketfeed.server.middleware.overload import limit_anonymous

__all__ = ["PAGE_HEADERS", "page_headers", "read_form", "render"]

FORM_BYTES_MAX = 16 * 1024


def page_headers(form_targets: str = "'self'") -> dict[str, str]:
    """The headers of a page. `form_targets`: where its forms may lead, as the content security policy writes it."""
    return {
        "cache-control": "no-store",
        "content-security-policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            f"base-uri 'none'; form-action {form_targets}; frame-ancestors 'none'"
        ),
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


PAGE_HEADERS = page_headers()


def render(name: str, status: int = 200, **values: Any) -> Response:
    """A page made from a template."""
    text = _templates().get_template(f"{name}.html").render(base=BASE, name=name, **values)
    return Response(text, status, {**PAGE_HEADERS, "content-type": "text/html; charset=utf-8"})


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form that was sent. Raises BodyTooLarge."""
    body = b""
    limit_anonymous(request.scope)
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES_MAX:
            raise BodyTooLarge(FORM_BYTES_MAX)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


@cache
def _templates() -> Environment:
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters.update(FILTERS)
    return made
