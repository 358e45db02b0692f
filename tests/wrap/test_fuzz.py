"""Whatever bytes arrive at the proxy, it refuses them in its own words, and goes on."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.waiting import SECONDS_MAX
from tests.wrap.test_proxy import ask, with_proxy
from ticketfeed.wrap.hosts import Address
from ticketfeed.wrap.proxy import Refused, parse_head

WORDS = st.sampled_from(
    [b"CONNECT ", b"GET ", b"http://", b"https://", b"acme.zendesk.com", b":443", b" HTTP/1.1", b"\r\n"]
)
HEADS = st.lists(WORDS | st.binary(max_size=12), max_size=10).map(b"".join)


@settings(deadline=None, max_examples=400)
@given(HEADS)
def test_any_head(head: bytes) -> None:
    """Any bytes are a head or a refusal with a status from 400 on."""
    answer = b"HTTP/1.1 400"
    try:
        parse_head(head + b"\r\n\r\n")
    except Refused as refused:
        answer = refused.answer()
    assert 400 <= int(answer.split()[1]) < 500


def test_the_proxy_survives_noise() -> None:
    """After hundreds of connections full of noise, whole or cut off, the proxy still leads where it should."""
    chance = random.Random(1)

    async def test(proxy: Address, _server: Address, _reported: list[str]) -> None:
        for _ in range(200):
            noise = chance.randbytes(chance.randrange(300))
            answer = await ask(proxy, noise, ends=True)
            assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"heard "))
        head = b"CONNECT acme.zendesk.com:443 HTTP/1.1\r\n\r\n"
        assert (await asyncio.wait_for(ask(proxy, head + b"hello", ends=True), SECONDS_MAX)).endswith(b"heard hello")

    with_proxy(test)
