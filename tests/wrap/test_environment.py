"""The environment of a command, variable by variable."""

from pathlib import Path

from ticketfeed.wrap.environment import TrustFiles, proxied_environment
from ticketfeed.wrap.hosts import Address

PROXY = Address("127.0.0.1", 4321)
FILES = TrustFiles(Path("/t/roots.pem"), Path("/t/root.pem"), Path("/t/roots.p12"))
JAVA = (
    "-Djavax.net.ssl.trustStore=/t/roots.p12 -Djavax.net.ssl.trustStoreType=PKCS12"
    " -Djavax.net.ssl.trustStorePassword=changeit -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4321"
    " -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=4321"
)
SET = {
    "HTTPS_PROXY": "http://127.0.0.1:4321",
    "https_proxy": "http://127.0.0.1:4321",
    "HTTP_PROXY": "http://127.0.0.1:4321",
    "http_proxy": "http://127.0.0.1:4321",
    "NO_PROXY": "localhost,127.0.0.1,::1",
    "no_proxy": "localhost,127.0.0.1,::1",
    "SSL_CERT_FILE": "/t/roots.pem",
    "REQUESTS_CA_BUNDLE": "/t/roots.pem",
    "CURL_CA_BUNDLE": "/t/roots.pem",
    "NODE_EXTRA_CA_CERTS": "/t/root.pem",
    "NODE_USE_ENV_PROXY": "1",
    "JAVA_TOOL_OPTIONS": JAVA,
}


def test_all_variables() -> None:
    """These variables and no others are set; the rest of the environment stays as it is."""
    assert proxied_environment({"PATH": "/bin", "LANG": "C"}, PROXY, FILES) == {"PATH": "/bin", "LANG": "C", **SET}


def test_callers_own() -> None:
    """What the caller had set is replaced, NO_PROXY too; what Java was told stays, before ours, which count."""
    before = dict.fromkeys(SET, "x") | {"NO_PROXY": "*", "JAVA_TOOL_OPTIONS": "-Xmx1g"}
    assert proxied_environment(before, PROXY, FILES) == {**SET, "JAVA_TOOL_OPTIONS": f"-Xmx1g {JAVA}"}


def test_java_and_spaces() -> None:
    """A path with a space in it stays one option."""
    files = FILES._replace(java_store=Path("/my files/roots.p12"))
    options = proxied_environment({}, PROXY, files)["JAVA_TOOL_OPTIONS"]
    assert options.startswith('"-Djavax.net.ssl.trustStore=/my files/roots.p12" -D')
