"""From the settings for https to a certificate: one that the user has, or one of the local authority."""

import functools
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ticketfeed.clock import system_clock
from ticketfeed.protocol.errors import BadInput
from ticketfeed.settings import Settings
from ticketfeed.wrap.ca_folder import choose_ca_folder, open_authority
from ticketfeed.wrap.contexts import MakeContext, file_context, local_context, read_certificate

if TYPE_CHECKING:
    from ticketfeed.wrap.authority import Authority

__all__ = ["choose_authority", "choose_tls", "require_tls_extra"]


def choose_authority(ca_dir: Path | None) -> "tuple[Path, Authority]":
    """The directory of the local authority, and the authority in it."""
    folder = (ca_dir or choose_ca_folder(os.environ)).absolute()
    return folder, open_authority(folder, system_clock())


def choose_tls(settings: Settings) -> MakeContext | None:
    """How to make the TLS context of a server; None for plain http. Raises BadInput."""
    if settings.tls_cert is not None:
        return functools.partial(file_context, read_certificate(settings.tls_cert, settings.tls_key))
    if settings.tls_key is not None:
        raise BadInput("--tls-key needs --tls-cert")
    if not settings.tls:
        return None
    require_tls_extra()
    _, authority = choose_authority(settings.ca_dir)
    return functools.partial(local_context, authority.root_pem, authority.issuer_pem)


def require_tls_extra() -> None:
    """Raise BadInput if the package that makes certificates is not installed."""
    if importlib.util.find_spec("cryptography") is None:
        raise BadInput("certificates need the package cryptography: pip install 'ticketfeed[tls]'")
