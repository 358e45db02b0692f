"""Reports of scenarios: JUnit XML that a parser takes, and one HTML page that everybody can read."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from tests.torture.threads import run_in_thread
from ticketfeed.faults import find_scenario
from ticketfeed.torture.report_html import html_report
from ticketfeed.torture.report_junit import junit_report
from ticketfeed.torture.results import Attempt, ScenarioResult
from ticketfeed.torture.world import World

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VERSIONS = {"ticketfeed": "1.0"}
PRINTED = "\x1b[31mred\x1b[0m <b>&amp; \x00 ]]> \udc80"


async def run_two(folder: Path) -> list[ScenarioResult]:
    """One that passes, and one with a bug that fails, which has been run before and after."""
    world = await World.make(150, 1)
    right = await run_in_thread(find_scenario("maintenance"), "", world, folder / "right")
    wrong = await run_in_thread(find_scenario("gateway-timeout"), "quits_at_504", world, folder / "wrong")
    attempt = Attempt(["x"], 1, "", PRINTED, wrong.attempts[0].began_at, 1.0)
    wrong = replace(wrong, attempts=[*wrong.attempts, attempt], notes=["refused <host>"])
    return [
        ScenarioResult(find_scenario("maintenance"), "PASS", "all", "repeat me", {"COMMAND": right}),
        ScenarioResult(
            find_scenario("gateway-timeout"),
            "FAIL",
            "<lost>",
            "x '{url}'",
            {"before": wrong, "after": right},
            True,
            1.5,
        ),
        ScenarioResult(find_scenario("scope-cut"), "INCONCLUSIVE", "never", "x", {"COMMAND": right}, is_named=True),
        ScenarioResult(find_scenario("huge-ticket"), "UNSUPPORTED", "never", "x", {"COMMAND": right}),
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[ScenarioResult]:
    return asyncio.run(run_two(tmp_path_factory.mktemp("runs")))


def test_junit(results: list[ScenarioResult]) -> None:
    """Counts that agree with the cases, whatever a command has printed."""
    suites = ElementTree.fromstring(junit_report(results, 7, VERSIONS))
    suite = suites[0]
    counted = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    found = {case.get("name"): [each.tag for each in case] for case in suite.iter("testcase")}
    assert found["maintenance"] == []
    assert found["gateway-timeout"] == ["failure", "system-out"]
    assert suite.findtext("testcase[@name='gateway-timeout']/system-out", "").strip().startswith("red <b>&amp;  ]]>")
    assert suite.find("testcase/failure[@message='<lost>']") is not None


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium, to test the page in it")
def test_html(results: list[ScenarioResult], tmp_path: Path) -> None:
    """axe finds nothing wrong in the light and in the dark; no script, nothing loaded, nothing too wide."""
    page_file = tmp_path / "report.html"
    commands = {"before": ["old", "<x>"], "after": ["new"]}
    page_file.write_bytes(html_report(results, commands, 7, VERSIONS, 1_800_000_000))
    text = page_file.read_text()
    assert "<script" not in text
    assert "red" in text
    assert "\x00" not in text
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False)
        requested: list[str] = []
        for scheme in ("light", "dark"):
            page = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 800}).new_page()
            page.on("request", lambda request: requested.append(request.url))
            page.goto(page_file.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            wrong = Axe().run(page).response["violations"]
            assert [(each["id"], each["nodes"][0]["html"]) for each in wrong] == []
            assert page.get_by_role("img").count() == 5
            assert page.get_by_role("link", name="gateway-timeout").get_attribute("href") == "#gateway-timeout"
        browser.close()
    assert requested == [page_file.as_uri()] * 2
