"""One budget for all processes that serve a store."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.process.conftest import PATH, Start, run


def test_processes_share_a_budget(folder: Path, serve: Start) -> None:
    """Two worker processes of one server and a second server on the same file together pass ten exports a minute,
    also when they are asked at once; what is counted stands beside the store."""
    profile = ("--profile", "zendesk", "--rule", "api_tokens=allowed")
    servers = [serve(*profile, "--workers", "2"), serve(*profile)]

    def ask(number: int) -> int:
        return servers[number % 2].ask(f"{PATH}?start_time=0&per_page=1").status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, range(60)))
    assert (statuses.count(200), statuses.count(429)) == (10, 50)
    assert (folder / "ticketfeed.db-sidecar").exists()


def test_a_rule_by_itself(folder: Path, serve: Start) -> None:
    """A rule of the profile can be set alone, by option or environment; one that is none is refused in one line."""
    server = serve("--rule", "incremental_exports=2", env={"TICKETFEED_PROFILE": "zendesk"})
    told = [
        server.ask(f"{PATH}?start_time=0&per_page=1").getheader("zendesk-ratelimit-incremental-exports") or ""
        for _ in range(2)
    ]
    assert [text.rpartition(";")[0] for text in told] == ["total=2; remaining=1", "total=2; remaining=0"]
    for rule, words in (("speed=1", "there is no rule 'speed'"), ("ticket_pages=x", "is not an integer")):
        assert words in run("serve", "--port", "0", "--rule", rule, cwd=folder).problem
