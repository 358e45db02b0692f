"""Makes the last part of docs/reference/compatibility-matrix.md from the table of routes: `python -m tests.references`.

What stands before it is written by hand.
"""

from pathlib import Path

from ticketfeed.server.api.call import ApiRoute
from ticketfeed.server.api.routes import API_ROUTES

__all__ = ["render"]

PAGE = Path(__file__).parent.parent / "docs/reference/compatibility-matrix.md"
HEAD = """
## Query parameters

What becomes of the query parameters that Zendesk documents, and of some that clients send. **used**: it does what is
documented. **refused**: it is documented and not imitated; the answer is 400 `InvalidValue`, or
`InvalidPaginationParameter` for pages, and names it. **ignored**: Zendesk ignores it, too. `include=NAME` is one value
of `include`; all other unknown parameters, and unknown names in `include`, are ignored. Addresses without parameters
are left out. This part is generated from the code.

| address | used | refused | ignored |
|---|---|---|---|
"""


def render() -> str:
    """The page: the part written by hand as it is, the rest made anew."""
    written = PAGE.read_text().partition(HEAD.partition("\n\n")[0])[0]
    rows = [_row(route) for route in API_ROUTES if route.parameters or route.refused or route.ignored]
    return written + HEAD + "\n".join(rows) + "\n"


def _row(route: ApiRoute) -> str:
    path = route.template if route.method == "GET" else f"{route.method} {route.template}"
    used = [name for name in route.parameters if name != "include"] + [f"include={name}" for name in route.includes]
    return f"| `{path}` | {_names(used)} | {_names(route.refused)} | {_names(route.ignored)} |"


def _names(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
