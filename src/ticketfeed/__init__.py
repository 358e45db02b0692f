"""ticketfeed: a ticket store with an incremental, cursor-based export over HTTP.

Wire-compatible with Zendesk's incremental tickets endpoint; not affiliated with Zendesk. This is the whole public API.
"""

from importlib import import_module as _import_module
from importlib.metadata import version
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from ticketfeed.client.exporter import AsyncExporter, Exporter, export_tickets
    from ticketfeed.client.steps import ExportPage
    from ticketfeed.clock import Clock, system_clock
    from ticketfeed.data.import_files import InputRecord, open_input, read_input
    from ticketfeed.data.load import LoadSummary, load_records
    from ticketfeed.export.source import read_page
    from ticketfeed.protocol.cursor import decode_cursor, encode_cursor
    from ticketfeed.protocol.errors import TicketfeedError
    from ticketfeed.protocol.model import Account, FeedState, Filters, Identity, Page, Position
    from ticketfeed.protocol.query import ExportRequest, parse_export_request, parse_query
    from ticketfeed.protocol.records import RecordDraft, parse_record
    from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
    from ticketfeed.server.app import create_app
    from ticketfeed.settings import Settings
    from ticketfeed.storage import Store, open_store
    from ticketfeed.world import generate_world

__all__ = [
    "Account",
    "AsyncExporter",
    "Clock",
    "ExportPage",
    "ExportRequest",
    "Exporter",
    "FeedState",
    "Filters",
    "Identity",
    "InputRecord",
    "LoadSummary",
    "Page",
    "Position",
    "RecordDraft",
    "Settings",
    "Store",
    "TicketDraft",
    "TicketfeedError",
    "__version__",
    "create_app",
    "decode_cursor",
    "encode_cursor",
    "export_tickets",
    "generate_world",
    "load_records",
    "open_input",
    "open_store",
    "parse_export_request",
    "parse_query",
    "parse_record",
    "parse_ticket",
    "read_input",
    "read_page",
    "system_clock",
]

__version__ = version("ticketfeed")

_MODULES = {
    "Account": "protocol.model",
    "AsyncExporter": "client.exporter",
    "Clock": "clock",
    "ExportPage": "client.steps",
    "ExportRequest": "protocol.query",
    "Exporter": "client.exporter",
    "FeedState": "protocol.model",
    "Filters": "protocol.model",
    "Identity": "protocol.model",
    "InputRecord": "data.import_files",
    "LoadSummary": "data.load",
    "Page": "protocol.model",
    "Position": "protocol.model",
    "RecordDraft": "protocol.records",
    "Settings": "settings",
    "Store": "storage",
    "TicketDraft": "protocol.tickets",
    "TicketfeedError": "protocol.errors",
    "create_app": "server.app",
    "decode_cursor": "protocol.cursor",
    "encode_cursor": "protocol.cursor",
    "export_tickets": "client.exporter",
    "generate_world": "world",
    "load_records": "data.load",
    "open_input": "data.import_files",
    "open_store": "storage",
    "parse_export_request": "protocol.query",
    "parse_query": "protocol.query",
    "parse_record": "protocol.records",
    "parse_ticket": "protocol.tickets",
    "read_input": "data.import_files",
    "read_page": "export.source",
    "system_clock": "clock",
}


def __getattr__(name: str) -> object:
    """Each name is imported when it is first used: most programs need few, and the exporter needs an extra."""
    if name not in _MODULES:
        raise AttributeError(f"module 'ticketfeed' has no attribute {name!r}")
    try:
        found = getattr(_import_module(f"ticketfeed.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(f"{name} needs {error.name}: pip install 'ticketfeed[export]'") from error
    globals()[name] = found
    return found
