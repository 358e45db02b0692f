"""The API explorer in a real browser. Skipped where there is no chromium."""

from playwright.sync_api import Browser, expect

from tests.process.conftest import TOKEN, Running
from tests.process.test_dashboard import chromium, pytestmark
from tests.waiting import SECONDS_MAX

__all__ = ["chromium", "pytestmark"]


def test_a_request_is_sent(chromium: Browser, server: Running) -> None:
    """Open, find the cursor export, authorize, send: the answer is 200. Nothing is asked of another host, and the
    browser reports no error."""
    root = f"http://localhost:{server.address[1]}/"
    page = chromium.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(1000 * SECONDS_MAX)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda r: problems.append(r.url) if not r.url.startswith((root, "data:")) else None)
    page.goto(f"{root}_ticketfeed/api")
    page.get_by_role("button", name="Authorize").click()
    page.get_by_label("auth-bearer-value").fill(TOKEN)
    page.get_by_role("button", name="Apply credentials").nth(1).click()
    page.get_by_role("button", name="Close").first.click()
    page.get_by_placeholder("Filter by tag or path").fill("incremental/tickets/cursor")
    path = page.locator('[data-path="/api/v2/incremental/tickets/cursor"]')
    operation = page.locator(".opblock", has=path).first
    if not operation.is_visible():
        page.locator("#operations-tag-Exports").click()
    operation.locator(".opblock-summary").click()
    operation.locator('tr[data-param-name="start_time"] input').fill("0")
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table tr.response td.response-col_status").first).to_contain_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text("end_of_stream")
    assert problems == []
