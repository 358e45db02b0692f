"""The page in a real browser: Debian's chromium, driven by playwright. Skipped where neither is there."""

import contextlib
import http.client
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.process.conftest import PATH, TICKETS, TOKEN, Running, Start, run
from tests.waiting import SECONDS_MAX, wait_until
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.model import Position

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BASE = "/_ticketfeed/"
PARTS = ("", "feed", "feed?at=0", "consumers", "oauth", "requests", "tickets", "tickets?deleted=1", "login")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium, to test the page in it"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=1000 * SECONDS_MAX)  # never fails for its speed
    with sync_playwright() as playwright:
        options = {"executable_path": CHROMIUM, "chromium_sandbox": False, "timeout": 1000 * SECONDS_MAX}
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()


def watch(page: Page) -> list[str]:
    """What the browser says of the page from now on: its console and its errors. Each call makes a list of its own."""
    complaints: list[str] = []

    def add(message: str) -> None:
        if not message.startswith("Autofocus processing was blocked"):  # these tests type before the first frame
            complaints.append(message)

    page.on("console", lambda message: add(message.text))
    page.on("pageerror", lambda error: add(str(error)))
    return complaints


def sign_in(page: Page, secret: str = TOKEN, email: str = "a@example.com") -> None:
    page.get_by_label("Email").fill(email)
    page.get_by_label("API token or password").fill(secret)
    with page.expect_navigation():
        page.get_by_role("button", name="Sign in").click()


class Looking:
    """Somebody at the page. `complaints` are what the browser's console said."""

    def __init__(self, browser: Browser, server: Running, scheme: str = "light", width: int = 1200) -> None:
        self.root = f"http://localhost:{server.address[1]}{BASE}"
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        self.page: Page = context.new_page()
        self.page.set_default_timeout(1000 * SECONDS_MAX)
        self.complaints = watch(self.page)
        self.page.on("request", lambda request: self._check(request.url))

    def _check(self, url: str) -> None:
        if not url.startswith((self.root, "data:")):
            self.complaints.append(f"asked for {url}")

    def go(self, path: str = "") -> Page:
        self.page.goto(self.root + path)
        return self.page

    def sign_in(self, secret: str = TOKEN, email: str = "a@example.com") -> Page:
        """Returns the page that is the answer: whoever goes elsewhere before it is there was not signed in."""
        self.go("login")
        sign_in(self.page, secret, email)
        return self.page


@pytest.fixture(scope="module")
def looking(chromium: Browser, server: Running) -> Iterator[Looking]:
    server.ask(**{"User-Agent": "tap-zendesk/2"})
    found = Looking(chromium, server)
    found.sign_in()
    yield found
    assert found.complaints == []


def test_signing_in_and_out(chromium: Browser, server: Running) -> None:
    """A wrong token is told of, a right one leads to the overview, and after signing out there is only the form."""
    somebody = Looking(chromium, server)
    page = somebody.sign_in("wrong")
    expect(page.get_by_role("alert")).to_contain_text("There is no admin")
    page = somebody.sign_in()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    expect(somebody.go("tickets").get_by_role("heading", level=1)).to_have_text("Sign in")
    assert [text for text in somebody.complaints if "401" not in text] == []


def test_overview(looking: Looking) -> None:
    """It shows the tickets, draws the chart, and tells another span of time when asked."""
    page = looking.go()
    expect(page.locator("dl.cards")).to_contain_text(f"{TICKETS:,}")
    expect(page.locator("dl.cards")).to_contain_text(
        re.compile(r"[1-9][\d.]* [KMG]i?B.*tickets and .* records, measured")
    )
    expect(page.locator("#chart canvas")).to_be_visible()
    page.get_by_role("link", name="30 days").click()
    expect(page.get_by_role("link", name="30 days")).to_have_attribute("aria-current", "true")
    page.get_by_text("Show as a table").click()
    rows = page.get_by_role("region", name="Table of changes").get_by_role("row")
    expect(rows.nth(50)).to_be_attached()  # once they are counted


@pytest.mark.usefixtures("folder")
def test_it_is_live(chromium: Browser, serve: Start, tmp_path: Path) -> None:
    """Consumers, requests and new tickets appear by themselves, unless that is switched off."""
    server = serve()
    somebody = Looking(chromium, server)
    page = somebody.sign_in()
    expect(page.get_by_text("No export has been read yet.")).to_be_visible()
    server.ask(f"{PATH}?start_time=0&per_page=100", **{"User-Agent": "tap-live/1"})
    row = page.get_by_role("row").filter(has_text="tap-live/1")
    expect(row).to_contain_text("OK")
    (tmp_path / "new.ndjson").write_text(json.dumps({"id": 9_000_001, "subject": "new"}))
    assert run("load", "new.ndjson", cwd=tmp_path).code == 0
    expect(page.locator("dl.cards")).to_contain_text(f"{TICKETS + 1:,}")
    for _ in range(3):
        server.ask(f"{PATH}?start_time=0&per_page=100", **{"User-Agent": "tap-live/1"})
    expect(row).to_contain_text("loop: the same page 4 times")
    page.get_by_label("Live updates").uncheck()
    server.ask(f"{PATH}?start_time=0", **{"User-Agent": "tap-late/1"})
    page.wait_for_timeout(4000)
    expect(page.get_by_role("row").filter(has_text="tap-late/1")).to_have_count(0)
    page.get_by_label("Live updates").check()
    expect(page.get_by_role("row").filter(has_text="tap-late/1")).to_have_count(1)
    assert somebody.complaints == []


def test_inspector(looking: Looking) -> None:
    """A cursor that is pasted is explained, and its tickets lead to their own pages."""
    page = looking.go("feed")
    page.get_by_label("Cursor, time").fill(encode_cursor(Position(1_600_000_000, 5)))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Position")).to_be_visible()
    expect(page.locator("main")).to_contain_text("All changes after ticket 5 in the second 2020-09-13 12:26:40 UTC")
    page.get_by_role("region", name="The next tickets").get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Ticket ")
    expect(page.locator("pre").first).to_contain_text('"generated_timestamp":')


def test_tickets(looking: Looking) -> None:
    """A ticket is found by its number; what is older is a page further."""
    page = looking.go("tickets")
    number = page.get_by_role("region", name="Tickets").get_by_role("link").nth(3).inner_text()
    page.get_by_label("Ticket number").fill(number)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Ticket {number}")
    page = looking.go("tickets")
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="Newest")).to_be_visible()


def test_copying(looking: Looking) -> None:
    """A line for curl is copied as it stands."""
    looking.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = looking.go()
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith("curl -s -u EMAIL/token:TOKEN 'http://localhost:")


def test_with_the_keyboard(looking: Looking) -> None:
    """The first stop leads past the navigation; every part is reached in order, and shows where it is."""
    page = looking.go()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page = looking.go()
    for name in ("Skip to content", "Overview", "Feed", "Consumers"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name=name)).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Consumers")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_for_everybody(chromium: Browser, server: Running, scheme: str) -> None:
    """axe finds nothing wrong with any part, in the light and in the dark: names, roles, contrast, order."""
    somebody = Looking(chromium, server, scheme)
    somebody.sign_in()
    found = {}
    for part in (*PARTS, "tickets/1"):
        page = somebody.go(part)
        results = Axe().run(page)
        found[part] = [(each["id"], each["nodes"][0]["html"]) for each in results.response["violations"]]
    assert not [part for part, wrong in found.items() if wrong], found


def test_on_a_telephone(chromium: Browser, server: Running) -> None:
    """Nothing is wider than a narrow screen; tables scroll within themselves."""
    somebody = Looking(chromium, server, width=360)
    somebody.sign_in()
    for part in PARTS:
        page = somebody.go(part)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, part


def test_without_scripts(chromium: Browser, server: Running) -> None:
    """Everything but the drawing is there for a browser that runs no script."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"http://localhost:{server.address[1]}{BASE}")
    sign_in(page)
    expect(page.locator("dl.cards")).to_contain_text(f"{TICKETS:,}")
    page.get_by_role("link", name="30 days").click()  # in the last day, a Sunday, nothing may have changed
    wait_until(lambda: page.reload() and page.get_by_text("being counted").count() == 0)
    page.get_by_text("Show as a table").click()
    assert page.get_by_role("region", name="Table of changes").get_by_role("row").count() > 50
    context.close()


def test_a_mirror(chromium: Browser, serve: Start, server: Running, tmp_path: Path) -> None:
    """Of a mirror it shows live how it goes; it is paused, resumed and given a budget, by scripts or without; axe finds
    nothing wrong in the light and in the dark, and it fits a telephone."""
    source, store = f"http://{server.netloc}", ("--store", "sqlite:///mirror.db")
    env = {"TICKETFEED_SOURCE_BEARER": TOKEN}
    assert run("mirror", source, *store, "--once", "--requests-per-minute", "0", cwd=tmp_path, env=env).code == 0
    assert run("token", "create", "--email", "a@example.com", "--token", TOKEN, *store, cwd=tmp_path).code == 0
    mirror = serve(*store, "--mirror", source, env=env)
    somebody = Looking(chromium, mirror)
    page = somebody.sign_in()
    part = page.get_by_role("region", name="Mirror")
    expect(part).to_contain_text(f"This account mirrors {source} and is read-only.")
    expect(part).to_contain_text("following")
    assert run("mirror", "pause", *store, cwd=tmp_path).code == 0
    expect(part).to_contain_text("paused by an operator")
    page.get_by_role("button", name="Resume").click()
    expect(part).to_contain_text("following")
    page.get_by_label("Requests a minute").fill("30")
    page.get_by_role("button", name="Set budget").click()
    expect(part).to_contain_text("of 30 that may be sent")
    page.get_by_text("Streams").click()
    expect(page.get_by_role("row").filter(has_text="tickets")).to_contain_text(f"{TICKETS:,}")
    assert somebody.complaints == []
    for scheme in ("light", "dark"):
        somebody = Looking(chromium, mirror, scheme, width=360)
        page = somebody.sign_in()
        page.get_by_text("Streams").click()
        assert Axe().run(page).response["violations"] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context = chromium.new_context(java_script_enabled=False, storage_state=page.context.storage_state())
    page = context.new_page()
    page.goto(somebody.root)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("region", name="Mirror")).to_contain_text("paused by an operator")
    context.close()


def test_consent(chromium: Browser, server: Running) -> None:
    """A user signs in, sees what a client asks for, and is sent back to it by either button; axe finds no fault."""
    root = f"http://localhost:{server.address[1]}"
    callback = f"{root}{BASE}health"
    with contextlib.closing(http.client.HTTPConnection(*server.address)) as connection:
        client = {"name": "Connector", "identifier": "consent-test", "redirect_uri": [callback]}
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection.request("POST", "/api/v2/oauth/clients", json.dumps({"client": client}), headers)
        assert connection.getresponse().status == 201
    context = chromium.new_context()
    page = context.new_page()
    complaints = watch(page)
    asked = {"response_type": "code", "client_id": "consent-test", "redirect_uri": callback, "scope": "read"}
    address = f"{root}/oauth/authorizations/new?{urlencode({**asked, 'state': 'a b'})}"
    page.goto(address)
    assert Axe().run(page).response["violations"] == []
    sign_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Allow Connector to access this account?")
    assert Axe().run(page).response["violations"] == []
    assert complaints == []
    page.get_by_role("button", name="Deny").click()
    page.wait_for_url(f"{callback}?error=access_denied*state=a+b")
    page.goto(address)
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url(f"{callback}?code=*state=a+b")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_switching_scenarios(chromium: Browser, start: Start, scheme: str) -> None:
    """One click switches a scenario on, another one off; axe finds nothing wrong, and nothing is too wide."""
    somebody = Looking(chromium, start("demo", "--port", "0", "--tickets", "5"), scheme, width=360)
    page = somebody.sign_in("demo-token", "admin@example.com")
    page.get_by_role("link", name="Faults").click()
    page.get_by_role("button", name="Switch stuck-cursor on").click()
    region = page.get_by_role("region", name="Table of scenarios that are switched on")
    expect(region.get_by_role("rowheader")).to_have_text("stuck-cursor")
    assert Axe().run(page).response["violations"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Switch stuck-cursor off").click()
    expect(region.get_by_role("cell")).to_have_text("None.")
    assert somebody.complaints == []
