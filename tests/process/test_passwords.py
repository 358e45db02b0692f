"""A server that is sent wrong passwords without end."""

import http.client
import itertools
import json
import statistics
import threading
import time
from collections import Counter

import pytest

from tests.process.conftest import PATH, TOKEN, Running, Start, run
from tests.server.desk import basic

# More connections than wrong passwords are allowed at once, so some are refused however slowly they are checked.
FLOOD_SECONDS, CONNECTIONS, A_SECOND = 5.0, 25, 50


def flood(server: Running, first: int, until: float, statuses: Counter[int]) -> None:
    """Wrong passwords on one of the connections, each with a name and a password of its own."""
    connection, begun = http.client.HTTPConnection(*server.address, timeout=30), time.monotonic()
    for number in itertools.count(first, CONNECTIONS):
        time.sleep(max(0.0, begun + (number - first) / A_SECOND - time.monotonic()))
        if time.monotonic() > until:
            break
        authorization = basic(f"user{number % 7}@example.com:wrong {number}")
        connection.request("GET", f"{PATH}?start_time=0", headers={"Authorization": authorization})
        answer = connection.getresponse()
        answer.read()
        statuses[answer.status] += 1
    connection.close()


@pytest.mark.usefixtures("folder")
def test_a_flood_of_wrong_passwords(serve: Start, tmp_path: object) -> None:
    """While fifty wrong passwords a second come from one address, an admin at the same address who is known reads and
    writes with a token and a password, is never refused, and waits less than two seconds (p99)."""
    done = run("token", "create", "--email", "a@example.com", "--password", cwd=tmp_path, input=b"correct horse\n")
    assert done.code == 0, done.err
    server = serve()
    connection = http.client.HTTPConnection(*server.address, timeout=30)

    def ask(method: str, target: str, authorization: str, body: bytes = b"") -> float:
        begun = time.monotonic()
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        connection.request(method, target, body=body or None, headers=headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 201), (answer.status, text)
        return time.monotonic() - begun

    password, token = basic("a@example.com:correct horse"), f"Bearer {TOKEN}"
    page, ticket = f"{PATH}?start_time=0&per_page=100", json.dumps({"ticket": {"comment": {"body": "x"}}}).encode()
    ask("GET", page, password)
    statuses: Counter[int] = Counter()
    until = time.monotonic() + FLOOD_SECONDS
    flooding = [threading.Thread(target=flood, args=(server, n, until, statuses)) for n in range(CONNECTIONS)]
    for thread in flooding:
        thread.start()
    seconds = []
    while time.monotonic() < until:
        seconds += [ask("GET", page, password), ask("GET", page, token)]
        seconds += [ask("POST", "/api/v2/tickets", authorization, ticket) for authorization in (password, token)]
    for thread in flooding:
        thread.join()
    connection.close()
    figures = f"{statuses}, {len(seconds)} requests, p99 {statistics.quantiles(seconds, n=100)[98]:.3f} s"
    assert set(statuses) == {401, 429}, figures
    assert statuses[401] <= 20 + 3, figures  # one more in ten seconds
    assert statistics.quantiles(seconds, n=100)[98] < 2, figures
