"""ca, and the options that concern certificates."""

import functools
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticketfeed.clock import system_clock
from ticketfeed.protocol.errors import BadInput
from ticketfeed.wrap.ca_folder import CERTIFICATE_NAME, choose_ca_folder, open_authority
from ticketfeed.wrap.contexts import MakeContext, file_context, local_context, read_certificate

if TYPE_CHECKING:
    from ticketfeed.wrap.authority import Authority

__all__ = [
    "CaDirOption",
    "TlsCertOption",
    "TlsKeyOption",
    "TlsOption",
    "choose_authority",
    "choose_tls",
    "register",
    "require_tls_extra",
]

CaDirOption = Annotated[
    Path | None,
    typer.Option(
        envvar="TICKETFEED_CA_DIR",
        help="Private folder of this machine's certificate authority. [$XDG_STATE_HOME/ticketfeed]",
    ),
]
TlsOption = Annotated[
    bool,
    typer.Option(
        "--tls",
        envvar="TICKETFEED_TLS",
        help="Serve https, for localhost, its subdomains and *.zendesk.com. See: ticketfeed ca",
    ),
]
TlsCertOption = Annotated[
    Path | None, typer.Option(envvar="TICKETFEED_TLS_CERT", help="Serve https with this certificate (PEM, with chain).")
]
TlsKeyOption = Annotated[
    Path | None, typer.Option(envvar="TICKETFEED_TLS_KEY", help="Its key (PEM), where that is not in the same file.")
]


def register(app: typer.Typer) -> None:
    app.command("ca")(show_ca)


def show_ca(ca_dir: CaDirOption = None) -> None:
    """Print where the certificate is that clients of `run` and `serve --tls` must trust; made when missing."""
    require_tls_extra()
    folder, _ = choose_authority(ca_dir)
    print(folder / CERTIFICATE_NAME)


def choose_authority(ca_dir: Path | None) -> "tuple[Path, Authority]":
    """The folder meant by `--ca-dir`, and the authority in it."""
    folder = (ca_dir or choose_ca_folder(os.environ)).absolute()
    return folder, open_authority(folder, system_clock())


def choose_tls(tls: bool, certificate: Path | None, key: Path | None, ca_dir: Path | None) -> MakeContext | None:
    """What the options for https come to; None without any. Raises BadInput."""
    if certificate is not None:
        return functools.partial(file_context, read_certificate(certificate, key))
    if key is not None:
        raise BadInput("--tls-key needs --tls-cert")
    if not tls:
        return None
    require_tls_extra()
    _, authority = choose_authority(ca_dir)
    return functools.partial(local_context, authority.root_pem, authority.issuer_pem)


def require_tls_extra() -> None:
    """Raises BadInput where certificates cannot be made."""
    if importlib.util.find_spec("cryptography") is None:
        raise BadInput("certificates need the package cryptography: pip install 'ticketfeed[tls]'")
