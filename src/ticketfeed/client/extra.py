"""Whether the packages that speak to a source are installed."""

from ticketfeed.protocol.errors import BadInput

__all__ = ["require_export_extra"]


def require_export_extra(needed_by: str) -> None:
    """Raise BadInput if a package of the extra `export` is missing. `needed_by`: what the user asked for."""
    try:
        import ticketfeed.client.transport  # noqa: F401 - imports the packages of the extra
    except ModuleNotFoundError as error:
        raise BadInput(f"{needed_by} needs {error.name}: pip install 'ticketfeed[export]'") from None
