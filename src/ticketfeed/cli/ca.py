"""ticketfeed ca: where the certificate of the local authority is."""

from ticketfeed.cli.options import with_settings
from ticketfeed.cli.tls import choose_authority, require_tls_extra
from ticketfeed.settings import Settings
from ticketfeed.wrap.ca_folder import CERTIFICATE_NAME

__all__ = ["ca"]


@with_settings("ca_dir")
def ca(settings: Settings) -> None:
    """Print the path of the certificate that clients of `run` and `serve --tls` must trust. Created if missing."""
    require_tls_extra()
    folder, _ = choose_authority(settings.ca_dir)
    print(folder / CERTIFICATE_NAME)
