"""Which hosts are help desks, which were allowed, and what can be an address at all."""

import pytest

from ticketfeed.protocol.errors import BadInput
from ticketfeed.wrap.hosts import is_allowed, is_served, is_zendesk, parse_address, parse_allowed_host

ZENDESK = {
    "acme.zendesk.com": True,
    "a.zendesk.com": True,
    "a-1.zendesk.com": True,
    f"{'a' * 63}.zendesk.com": True,
    f"{'a' * 64}.zendesk.com": False,
    "zendesk.com": False,
    ".zendesk.com": False,
    "evilzendesk.com": False,
    "acme.evilzendesk.com": False,
    "acme.zendesk.com.evil.org": False,
    "acme.zendesk.co": False,
    "acme.zendesk.community": False,
    "acmezzendesk.com": False,
    "acme.zendeskxcom": False,
    "a.b.zendesk.com": False,
    "-a.zendesk.com": False,
    "a-.zendesk.com": False,
    "a_b.zendesk.com": False,
    "*.zendesk.com": False,
    "acme.zendesk.com\n": False,
    "127.0.0.1": False,
    "localhost": False,
}


@pytest.mark.parametrize("host", ZENDESK)
def test_zendesk(host: str) -> None:
    """A help desk's host is one label and .zendesk.com, exactly."""
    assert is_zendesk(host) == ZENDESK[host]


ADDRESSES = {
    "acme.zendesk.com:443": ("acme.zendesk.com", 443),
    "ACME.Zendesk.COM:8443": ("acme.zendesk.com", 8443),
    "acme.zendesk.com.:443": ("acme.zendesk.com", 443),
    "127.0.0.1:1": ("127.0.0.1", 1),
    "[::1]:65535": ("::1", 65535),
    "some_host:80": ("some_host", 80),
    "acme.zendesk.com": None,
    "acme.zendesk.com:": None,
    "acme.zendesk.com:0": None,
    "acme.zendesk.com:65536": None,
    "acme.zendesk.com:+1": None,
    "acme.zendesk.com:443\n": None,
    "a:b:443": None,
    "::1:443": None,
    "[::1]": None,
    "[acme.zendesk.com]:443": None,
    ":443": None,
    ".:443": None,
    "": None,
    "a b:443": None,
    "caf\xe9.example.com:443": None,
    "\u0663.example.com:\u0663": None,
    "user@acme.zendesk.com:443": None,
    f"{'a' * 300}:443": None,
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_address(text: str) -> None:
    """HOST:PORT is read whole or not at all."""
    assert parse_address(text) == ADDRESSES[text]


def test_default_port() -> None:
    """Without a port of its own, an address has the one given."""
    assert parse_address("example.com", 80) == ("example.com", 80)
    assert parse_address("example.com:81", 80) == ("example.com", 81)
    assert parse_address("[::1]", 80) == ("::1", 80)


ALLOWED = [
    ("api.example.com", "api.example.com", True),
    ("api.example.com", "API.Example.com.", True),
    ("x.api.example.com", "api.example.com", False),
    ("example.com", "api.example.com", False),
    ("apixexample.com", "api.example.com", False),
    ("a.example.com", "*.example.com", True),
    ("a.b.example.com", "*.example.com", True),
    ("example.com", "*.example.com", False),
    ("evilexample.com", "*.example.com", False),
    ("example.com.evil.org", "*.example.com", False),
    ("::1", "[::1]", True),
    ("10.0.0.1", "10.0.0.1", True),
    ("zendesk.com", "zendesk.com", True),
    ("a.b.zendesk.com", "a.b.zendesk.com", True),
]


@pytest.mark.parametrize(("host", "option", "expected"), ALLOWED)
def test_allowed(host: str, option: str, expected: bool) -> None:
    """A name allows itself alone, and *.DOMAIN what lies below the domain."""
    assert is_allowed(host, {parse_allowed_host(option)}) == expected


REFUSED = ["", "*", "*.", "*.*", "a.*.com", "https://example.com", "example.com:443", "a b", "acme.zendesk.com"]


@pytest.mark.parametrize("option", [*REFUSED, "*.zendesk.com", "ACME.zendesk.com."])
def test_refused_option(option: str) -> None:
    """What is not a host is refused, and so are help desks: nothing meant for here may reach the real ones."""
    with pytest.raises(BadInput, match="--allow-host"):
        parse_allowed_host(option)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acme.zendesk.com", True),
        ("localhost", True),
        ("acme.localhost", True),
        ("a.b.localhost", False),
        ("example.com", False),
        ("zendesk.com", False),
        ("xlocalhost", False),
        ("", False),
    ],
)
def test_served(name: str, expected: bool) -> None:
    """Certificates are made for help desks and for this machine."""
    assert is_served(name) == expected
