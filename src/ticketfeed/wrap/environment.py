"""Environment variables that make programs use the proxy and trust its certificates, as one table.

Python, curl, Go, Ruby and .NET read the first ones; Node and Java have their own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ticketfeed.wrap.hosts import Address

__all__ = ["JAVA_STORE_PASSWORD", "TrustFiles", "proxied_environment"]

# The store holds nothing secret, but Java requires a password.
JAVA_STORE_PASSWORD = "changeit"
# Replaces the caller's NO_PROXY: an entry for zendesk.com in it would bypass the proxy.
DIRECT_HOSTS = "localhost,127.0.0.1,::1"


class TrustFiles(NamedTuple):
    """Certificates to trust. `all_roots`: public ones and ours. `extra_root`: ours. `java_store`: all, for Java."""

    all_roots: Path
    extra_root: Path
    java_store: Path


def proxied_environment(environ: Mapping[str, str], proxy: Address, files: TrustFiles) -> dict[str, str]:
    """The caller's environment, with the proxy and the certificates set."""
    url, roots = f"http://{proxy.host}:{proxy.port}", str(files.all_roots)
    return {
        **environ,
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), url),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), DIRECT_HOSTS),
        **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), roots),
        "NODE_EXTRA_CA_CERTS": str(files.extra_root),
        "NODE_USE_ENV_PROXY": "1",
        "JAVA_TOOL_OPTIONS": _java_options(environ.get("JAVA_TOOL_OPTIONS", ""), proxy, files.java_store),
    }


def _java_options(before: str, proxy: Address, store: Path) -> str:
    """Append to the caller's options: of two values for one property, Java uses the last."""
    properties = {
        "javax.net.ssl.trustStore": store,
        "javax.net.ssl.trustStoreType": "PKCS12",
        "javax.net.ssl.trustStorePassword": JAVA_STORE_PASSWORD,
        "https.proxyHost": proxy.host,
        "https.proxyPort": proxy.port,
        "http.proxyHost": proxy.host,
        "http.proxyPort": proxy.port,
    }
    options = (f"-D{name}={value}" for name, value in properties.items())
    return " ".join([*([before] if before else []), *(f'"{each}"' if " " in each else each for each in options)])
