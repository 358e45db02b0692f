"""What a command's environment says so that programs of many languages find the proxy and trust it, as one table.

Python, curl, Go, Ruby and .NET read the first kind; Node and Java have their own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ticketfeed.wrap.hosts import Address

__all__ = ["JAVA_STORE_PASSWORD", "TrustFiles", "proxied_environment"]

# Nothing secret is in such a store; Java insists on a password.
JAVA_STORE_PASSWORD = "changeit"
# What is on this machine is reached without us. Whatever else the caller kept from proxies would go round us.
DIRECT_HOSTS = "localhost,127.0.0.1,::1"


class TrustFiles(NamedTuple):
    """The same trust in three forms: all roots and ours; ours, beside what a program trusts by itself; Java's store."""

    all_roots: Path
    extra_root: Path
    java_store: Path


def proxied_environment(environ: Mapping[str, str], proxy: Address, files: TrustFiles) -> dict[str, str]:
    """The caller's environment with ours in its place."""
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
    """Of two values for one property the last one counts."""
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
