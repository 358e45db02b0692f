"""From whom a server believes where a request came from."""

import json

import pytest

from tests.process.conftest import PATH, Start
from tests.waiting import wait_until

FORWARDED = {"X-Forwarded-For": "203.0.113.9, 192.0.2.7, 10.1.2.3", "X-Forwarded-Proto": "https"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("options", "client", "scheme"),
    [
        ((), "127.0.0.1", "http"),
        (("--trusted-proxy", "10.0.0.0/8"), "127.0.0.1", "http"),
        (("--trusted-proxy", "127.0.0.1", "--trusted-proxy", "10.0.0.0/8"), "192.0.2.7", "https"),
    ],
)
def test_forwarded_addresses(serve: Start, options: tuple[str, ...], client: str, scheme: str) -> None:
    """What a client says of itself counts for nothing, also on this machine; what a trusted proxy says, does: the last
    address that is no proxy of ours, and the scheme."""
    server = serve(*options, env={"FORWARDED_ALLOW_IPS": "*"})
    page = json.loads(server.ask(f"{PATH}?start_time=0&per_page=1", **FORWARDED).body)
    assert page["after_url"].startswith(f"{scheme}://")
    wait_until(lambda: any(line.get("path") == PATH for line in server.logs))
    assert [line["client"] for line in server.logs if line.get("path") == PATH] == [client]
