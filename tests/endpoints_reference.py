"""Makes docs/reference/http-api.md from the table of routes: `python -m tests.references`."""

from ticketfeed.server.api.call import ApiRoute
from ticketfeed.server.api.parameters import PARAMETERS
from ticketfeed.server.api.routes import API_ROUTES

__all__ = ["render"]


def render() -> str:
    """The page."""
    lines = [
        "# HTTP API reference",
        "",
        "Paths are relative to `/api/v2`. Each may end in `.json`, and each with `GET` also answers `HEAD`. The last",
        "column is the lowest role that may call it. This page is generated from the code.",
    ]
    for tag in dict.fromkeys(route.tag for route in API_ROUTES):
        lines += ["", f"## {tag}", "", "| path | summary | parameters | role |", "|---|---|---|---|"]
        lines += [_row(route) for route in API_ROUTES if route.tag == tag]
    lines += ["", "## Parameters", "", "| name | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, (_, meaning) in PARAMETERS.items()]
    lines += ["", "What differs from the original: [compatibility matrix](compatibility-matrix.md)."]
    return "\n".join(lines) + "\n"


def _row(route: ApiRoute) -> str:
    path = route.template if route.method == "GET" else f"{route.method} {route.template}"
    names = [f"`{name}`" for name in route.parameters] + [f"body: `{key}`" for key in route.body]
    return f"| `{path}` | {route.summary} | {', '.join(names)} | {route.role} |"
