"""The pictures of the docs, of the running page: `python -m tests.screenshots`.

A demo with clients that behave, and some that do not, so that every state of a consumer is in the picture.
"""

import base64
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURES = Path(__file__).parent.parent / "docs/pictures"
CREDENTIALS = base64.b64encode(b"admin@example.com/token:demo-token").decode()
EXPORT = "/api/v2/incremental/tickets/cursor.json"
SHOTS = {
    "overview": ("", "light"),
    "overview-dark": ("?span=month", "dark"),
    "feed": ("feed?at={cursor}", "light"),
    "consumers": ("consumers", "light"),
    "requests": ("requests", "light"),
}


class Client:
    def __init__(self, root: str, agent: str) -> None:
        self._root, self._agent = root, agent

    def ask(self, **parameters: object) -> dict[str, object]:
        headers = {"Authorization": f"Basic {CREDENTIALS}", "User-Agent": self._agent}
        address = f"{self._root}{EXPORT}?{urllib.parse.urlencode(parameters)}"
        request = urllib.request.Request(address, headers=headers)
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request) as answer:
            found: dict[str, object] = json.load(answer)
            return found
        return {}

    def walk(self, pages: int, **parameters: object) -> str:
        page = self.ask(**parameters)
        for _ in range(pages - 1):
            if page["end_of_stream"]:
                break
            page = self.ask(cursor=page["after_cursor"], per_page=parameters.get("per_page", 1000))
        return str(page["after_cursor"])


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("no chromium here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ticketfeed", "demo", "--port", str(port)]
        demo = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert demo.stdout
            root = re.sub(r"ready: (\S+)\s*", r"\1", demo.stdout.readline()).replace("127.0.0.1", "localhost")
            cursor = act(root)
            take(chromium, root, cursor)
        finally:
            demo.terminate()
            demo.wait(30)


def act(root: str) -> str:
    """Clients at work; a cursor of one of them."""
    yesterday = int(time.time()) - 2 * 86400
    Client(root, "warehouse-sync/1.4 (nightly)").walk(99, start_time=0)
    cursor = Client(root, "Singer tap-zendesk 2.4.0").walk(4, start_time=0)
    looping = Client(root, "homemade-exporter/0.1")
    for _ in range(5):
        looping.ask(start_time=0, per_page=100)
    skipping = Client(root, "dashboard-poller")
    skipping.walk(3, start_time=0)
    skipping.walk(1, start_time=yesterday)
    Client(root, "Mozilla/5.0 (a person)").ask(cursor="MTIzNA")
    Client(root, "warehouse-sync/1.4 (nightly)").walk(1, start_time=yesterday)
    time.sleep(2)
    return cursor


def take(chromium: str, root: str, cursor: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=False)
        for name, (path, scheme) in SHOTS.items():
            context = browser.new_context(
                color_scheme=scheme,
                viewport={"width": 1120, "height": 900},
            )
            page = context.new_page()
            page.goto(f"{root}/_ticketfeed/login")
            page.get_by_label("Email").fill("admin@example.com")
            page.get_by_label("API token or password").fill("demo-token")
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_selector("h1:text-is('Overview')")
            page.goto(f"{root}/_ticketfeed/{path.format(cursor=urllib.parse.quote(cursor))}")
            page.mouse.move(0, 0)
            page.wait_for_timeout(500)
            page.screenshot(path=PICTURES / f"{name}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
