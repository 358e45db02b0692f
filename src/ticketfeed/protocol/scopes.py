"""Scopes: what an access token may do. `read` and `write` cover everything, `tickets:read` a part of it.

A token has its scopes as one text, separated by spaces, as a request names them.
"""

__all__ = [
    "DEFAULT_SCOPES",
    "KNOWN_SCOPES",
    "allows",
    "cut_scopes",
    "is_scope",
    "required_scopes",
    "resource_of",
]

DEFAULT_SCOPES = "read write"
_RESOURCES = (
    "tickets",
    "users",
    "organizations",
    "groups",
    "hc",
    "apps",
    "triggers",
    "automations",
    "targets",
    "webhooks",
    "macros",
    "requests",
    "satisfaction_ratings",
    "dynamic_content",
    "zis",
)
KNOWN_SCOPES = frozenset(
    {
        *("read", "write", "impersonate", "unrestricted"),
        *(f"{resource}:{access}" for resource in _RESOURCES for access in ("read", "write")),
        *("auditlogs:read", "security:read", "any_channel:write", "web_widget:write"),
    }
)
# The beginning of a path below /api/v2 -> the resource that a scope of its own covers. All others need `read` or
# `write`: custom fields, groups' memberships, the exports of events, ...
_RESOURCE_OF = {
    "/tickets": "tickets",
    "/deleted_tickets": "tickets",
    "/imports/tickets": "tickets",
    "/incremental/tickets": "tickets",
    "/incremental/users": "users",
    "/incremental/organizations": "organizations",
    "/users": "users",
    "/deleted_users": "users",
    "/organizations": "organizations",
    "/groups": "groups",
    "/macros": "macros",
    "/requests": "requests",
    "/satisfaction_ratings": "satisfaction_ratings",
    "/triggers": "triggers",
    "/automations": "automations",
    "/targets": "targets",
    "/webhooks": "webhooks",
    "/dynamic_content": "dynamic_content",
    "/help_center": "hc",
    "/audit_logs": "auditlogs",
}


def resource_of(path: str) -> str | None:
    """The resource that a path below /api/v2 belongs to; None where only `read` or `write` will do."""
    parts = path.split("/")
    return _RESOURCE_OF.get("/".join(parts[:3])) or _RESOURCE_OF.get("/".join(parts[:2]))


def required_scopes(method: str, resource: str | None) -> tuple[str, ...]:
    """The scopes of which a request needs one, the narrowest first."""
    access = "read" if method in ("GET", "HEAD") else "write"
    return (access,) if resource is None else (f"{resource}:{access}", access)


def allows(granted: str | None, scope: str) -> bool:
    """Whether these scopes contain `scope`, by name or as a part. None contains all."""
    if granted is None:
        return True
    names = granted.split()
    return scope in names or "unrestricted" in names or (":" in scope and scope.rpartition(":")[2] in names)


def cut_scopes(scopes: str, allowed: str | None) -> str:
    """Those of `scopes` that `allowed` contains."""
    return scopes if allowed is None else " ".join(scope for scope in scopes.split() if allows(allowed, scope))


def is_scope(name: str) -> bool:
    """Whether there is such a scope."""
    return name in KNOWN_SCOPES
