"""Where the credentials of a source are found."""

from pathlib import Path

import pytest

from ticketfeed.client.auth import find_credentials
from ticketfeed.client.oauth import Basic, Bearer, ClientCredentials, RefreshToken
from ticketfeed.protocol.errors import BadInput

SOURCE = "https://acme.zendesk.com"
P = "TICKETFEED_SOURCE_"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "credentials"),
    [
        ({"EMAIL": "a@b.c", "TOKEN": "t"}, Basic("a@b.c", "t")),
        ({"EMAIL": "a@b.c/token", "TOKEN": "t"}, Basic("a@b.c", "t")),
        ({"BEARER": "t"}, Bearer("t")),
        ({"CLIENT_ID": "c", "CLIENT_SECRET": "s"}, ClientCredentials("c", "s")),
        ({"CLIENT_ID": "c", "CLIENT_SECRET": "s", "REFRESH_TOKEN_FILE": "f"}, RefreshToken("c", "s", "f")),
        ({"CLIENT_ID": "c", "REFRESH_TOKEN_FILE": "f"}, RefreshToken("c", None, "f")),
        ({"EMAIL": "", "BEARER": "t"}, Bearer("t")),
    ],
)
def test_environment(environment: dict[str, str], credentials: object) -> None:
    """Each way in has its variables; an empty one is none."""
    assert find_credentials(SOURCE, {P + name: value for name, value in environment.items()}) == credentials


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({}, "no credentials for acme.zendesk.com"),
        ({"EMAIL": "a@b.c"}, "TOKEN is not set"),
        ({"TOKEN": "t"}, "EMAIL is not set"),
        ({"CLIENT_ID": "c"}, "needs TICKETFEED_SOURCE_CLIENT_SECRET"),
        ({"CLIENT_SECRET": "c"}, "CLIENT_ID is not"),
        ({"REFRESH_TOKEN_FILE": "c"}, "CLIENT_ID is not"),
        ({"EMAIL": "a", "TOKEN": "t", "BEARER": "x"}, "one of"),
        ({"BEARER": "to\nken"}, "characters that cannot be sent"),
        ({"EMAIL": "a:b", "TOKEN": "t"}, "characters that cannot be sent"),
    ],
)
def test_environment_that_does_not_fit(environment: dict[str, str], word: str) -> None:
    """What is missing or too much is named."""
    with pytest.raises(BadInput, match=word):
        find_credentials(SOURCE, {P + name: value for name, value in environment.items()})


def test_netrc(home: Path) -> None:
    """A netrc entry of the host: an email with its API token, or `oauth` with an access token."""
    (home / ".netrc").write_text(
        "machine acme.zendesk.com login a@b.c password t\nmachine x.example login oauth password u"
    )
    (home / ".netrc").chmod(0o600)
    assert find_credentials(SOURCE, {}) == Basic("a@b.c", "t")
    assert find_credentials("https://x.example/base", {}) == Bearer("u")
    with pytest.raises(BadInput, match="no credentials for y"):
        find_credentials("https://y.example", {})
    other = home / "other"
    other.write_text("machine acme.zendesk.com login z@b.c password t")
    assert find_credentials(SOURCE, {"NETRC": str(other)}) == Basic("z@b.c", "t")
    with pytest.raises(BadInput, match="cannot be read"):
        find_credentials(SOURCE, {"NETRC": str(home / "gone")})


def test_prompt() -> None:
    """Asked for last of all: an email and its API token, or without an email an access token."""
    answers = iter(["a@b.c", "t", "", "u"])
    assert find_credentials(SOURCE, {}, lambda _prompt: next(answers)) == Basic("a@b.c", "t")
    assert find_credentials(SOURCE, {}, lambda _prompt: next(answers)) == Bearer("u")
