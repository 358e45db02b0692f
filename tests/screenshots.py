"""The pictures of the docs, of the running page: `python -m tests.screenshots`.

A demo with clients that behave, and some that do not, so that every state of a consumer is in the picture.
"""

import base64
import contextlib
import json
import os
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

from playwright.sync_api import Browser, Page, sync_playwright

PICTURES = Path(__file__).parent.parent / "docs/pictures"
CREDENTIALS = base64.b64encode(b"admin@example.com/token:demo-token").decode()
MIRROR_TOKEN = "token-of-the-mirror"
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
            take_mirror(chromium, root, folder)
        finally:
            demo.terminate()
            demo.wait(30)


def take_mirror(chromium: str, source: str, folder: str) -> None:
    """A mirror of the demo, caught up, with its streams."""
    command = [sys.executable, "-m", "ticketfeed"]
    env = {**os.environ, "TICKETFEED_STORE": "sqlite:///mirror.db", "TICKETFEED_SOURCE_BEARER": "demo-token"}
    for arguments in (
        ["mirror", source, "--once", "--requests-per-minute", "60"],
        ["token", "create", "--email", "admin@example.com", "--token", MIRROR_TOKEN],
    ):
        subprocess.run([*command, *arguments], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    serve = [*command, "serve", "--port", "0", "--mirror", source]
    server = subprocess.Popen(serve, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout
        root = re.sub(r"ready: (\S+)\s*", r"\1", server.stdout.readline()).replace("127.0.0.1", "localhost")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=False)
            page = signed_in(browser, root, "light", MIRROR_TOKEN)
            page.get_by_text("following", exact=True).wait_for()
            page.get_by_text("Streams", exact=True).click()
            box = page.get_by_role("region", name="Mirror", exact=True).bounding_box()
            assert box
            margin = box["x"]
            clip = {"x": 0.0, "y": box["y"] - margin, "width": 1120.0, "height": box["height"] + 2 * margin}
            page.screenshot(path=PICTURES / "mirror.png", full_page=True, clip=clip)
            browser.close()
    finally:
        server.terminate()
        server.wait(30)


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
            page = signed_in(browser, root, scheme)
            page.goto(f"{root}/_ticketfeed/{path.format(cursor=urllib.parse.quote(cursor))}")
            page.mouse.move(0, 0)
            page.wait_for_timeout(500)
            page.screenshot(path=PICTURES / f"{name}.png")
            page.context.close()
        browser.close()


def signed_in(browser: Browser, root: str, scheme: str, token: str = "demo-token") -> Page:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1120, "height": 900})
    page = context.new_page()
    page.goto(f"{root}/_ticketfeed/login")
    page.get_by_label("Email").fill("admin@example.com")
    page.get_by_label("API token or password").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("h1:text-is('Overview')")
    return page


if __name__ == "__main__":
    main()
