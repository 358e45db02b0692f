"""The fixture for test suites, as a suite of somebody else uses it: pytester runs that in a pytest of its own."""

import re

import pytest

pytest_plugins = ["pytester"]

# Ours is installed as any plugin is; what else is installed here does not belong to the suites below.
# Without what a suite of ours has beside the plugin, which takes longer to load than most of these tests to run.
OTHERS = ("xdist", "cacheprovider", "hypothesispytest", "schemathesis", "anyio")
ALONE = (*(word for name in OTHERS for word in ("-p", f"no:{name}")), "-q")


def run(pytester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(text)
    return pytester.runpytest_subprocess(*ALONE, *options)


@pytest.mark.parametrize("page", ["test-a-connector.md", "test-oauth.md", "torture-a-connector.md"])
def test_of_how_to(pytester: pytest.Pytester, page: str) -> None:
    """What the how-to shows passes as it stands."""
    from tests.test_docs import ROOT

    text = (ROOT / "docs/how-to" / page).read_text()
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "def test_" in block]
    assert blocks
    run(pytester, "\n\n".join(blocks)).assert_outcomes(passed=sum(block.count("def test_") for block in blocks))


def test_each_test_has_a_desk_as_new(pytester: pytest.Pytester) -> None:
    """What one test stored, read and moved is not there in the next; the server is the same."""
    text = """
    import requests

    PATH = "/api/v2/incremental/tickets/cursor"
    urls = []

    def ids(desk):
        asked = {"start_time": 0, "support_type_scope": "all"}
        answer = requests.get(f"{desk.url}{PATH}", params=asked, auth=desk.auth)
        assert answer.status_code == 200
        return {ticket["id"] for ticket in answer.json()["tickets"]}

    def test_first(ticketfeed):
        assert len(ids(ticketfeed)) == 200
        ticketfeed.put("tickets", {"id": 999999, "subject": "new"})
        assert 999999 in ids(ticketfeed)
        assert len(ticketfeed.requests()) == 2
        ticketfeed.clock.advance(10_000)
        urls.append(ticketfeed.url)

    def test_second(ticketfeed):
        assert ticketfeed.requests() == []
        assert ticketfeed.consumers() == []
        assert len(ids(ticketfeed)) == 200
        assert abs(ticketfeed.clock.now - __import__("time").time()) < 100
        assert urls == [ticketfeed.url]
    """
    run(pytester, text).assert_outcomes(passed=2)


def test_the_world_of_desks_is_made_once(pytester: pytest.Pytester) -> None:
    """However many tests have a desk of their own."""
    pytester.makeconftest("""
    import ticketfeed.testing

    fill, made = ticketfeed.testing.fill_demo, []

    async def fill_counted(*arguments):
        made.append(arguments)
        await fill(*arguments)

    ticketfeed.testing.fill_demo = fill_counted
    """)
    text = """
    import pytest
    from conftest import made

    @pytest.mark.parametrize("number", range(10))
    def test_desk(ticketfeed, number):
        assert ticketfeed.get("/api/v2/tickets/count")["count"]["value"] > 100
        assert [tickets for _, _, tickets, *_ in made] == [0, 200]  # the first before any test
    """
    run(pytester, text).assert_outcomes(passed=10)


def test_markers_and_options(pytester: pytest.Pytester) -> None:
    """A marker says what desk a test has; the ini options say it for all."""
    pytester.makeini("[pytest]\nticketfeed_tickets = 7\n")
    text = """
    import pytest
    import requests

    def count(desk):
        page = desk.get("/api/v2/incremental/tickets/cursor?start_time=0&support_type_scope=all")
        return len(page["tickets"])

    def test_ini(ticketfeed):
        assert count(ticketfeed) == 7

    @pytest.mark.ticketfeed(tickets=3, seed=5)
    def test_marker(ticketfeed):
        assert count(ticketfeed) == 3

    @pytest.mark.ticketfeed(profile="zendesk", rules={"incremental_exports": 1, "api_tokens": "allowed"})
    def test_limits(ticketfeed):
        asked = [
            requests.get(
                f"{ticketfeed.url}/api/v2/incremental/tickets/cursor?start_time=0", auth=ticketfeed.auth
            ).status_code
            for _ in range(2)
        ]
        assert asked == [200, 429]
    """
    run(pytester, text, "--strict-markers").assert_outcomes(passed=3)


def test_wrong_markers_and_options(pytester: pytest.Pytester) -> None:
    """They are refused in words."""
    text = "import pytest\n@pytest.mark.ticketfeed(ticket=3)\ndef test_it(ticketfeed): pass\n"
    result = run(pytester, text)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the marker ticketfeed takes tickets, seed, profile, rules by name*"])
    pytester.makeini("[pytest]\nticketfeed_tickets = many\n")
    result = run(pytester, "def test_it(ticketfeed): pass")
    result.stdout.fnmatch_lines(["*ticketfeed_tickets is 'many', which is not a whole number*"])


CLIENT = """
import requests
import sys

address = "https://anything.zendesk.com/api/v2/incremental/tickets/cursor.json?start_time=0&per_page=50"
for _ in range(int(sys.argv[1])):
    page = requests.get(address, auth=("admin@example.com/token", "demo-token"), headers={"User-Agent": "mine"})
print(len(page.json()["tickets"]))
"""


def test_run(pytester: pytest.Pytester) -> None:
    """A command for which zendesk.com is the desk: its output and exit code, and what it did as a consumer."""
    pytester.makepyfile(client=CLIENT)
    text = """
    import subprocess
    import sys
    import pytest

    def test_output(ticketfeed):
        assert ticketfeed.run([sys.executable, "client.py", "1"]).stdout == "50\\n"
        (standing,) = ticketfeed.consumers()
        assert (standing.consumer.user_agent, standing.consumer.tickets) == ("mine", 50)
        assert standing.pending > 100

    def test_a_loop(ticketfeed):
        ticketfeed.run([sys.executable, "client.py", "4"])
        (standing,) = ticketfeed.consumers()
        assert standing.consumer.is_looping

    def test_failure(ticketfeed):
        with pytest.raises(subprocess.CalledProcessError):
            ticketfeed.run([sys.executable, "-c", "raise SystemExit(3)"])
        assert ticketfeed.run([sys.executable, "-c", "raise SystemExit(3)"], check=False).returncode == 3
    """
    run(pytester, text).assert_outcomes(passed=3)


def test_nothing_is_imported_before(pytester: pytest.Pytester) -> None:
    """A suite that does not use the fixture does not pay for it."""
    text = "import sys\ndef test_it(): assert not [name for name in sys.modules if name.startswith('ticketfeed')]\n"
    run(pytester, text).assert_outcomes(passed=1)
