"""A store of two accounts, programs of several kinds that walk the export of one, and what they must print."""

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.process.conftest import Done, run

PATH = "/api/v2/incremental/tickets/cursor.json"
ACCOUNTS = {"acme": 230, "beta": 40}
URL = f"https://acme.zendesk.com{PATH}"
# A client's program is given a URL and a token, follows after_url to the end, and prints each page as a line.
WALK = """
import json, sys
{preparation}
url, token = sys.argv[1:]
while True:
    page = json.loads(fetch(url, {{"Authorization": "Bearer " + token}}))
    print(json.dumps(page), flush=True)
    if page["end_of_stream"]:
        break
    url = page["after_url"]
"""
PYTHON = {
    "requests": "import requests\ndef fetch(url, headers): return requests.get(url, headers=headers).text",
    "httpx": "import httpx\ndef fetch(url, headers): return httpx.get(url, headers=headers).text",
    "urllib": "import urllib.request\ndef fetch(url, headers):\n"
    "    return urllib.request.urlopen(urllib.request.Request(url, headers=headers)).read()",
    "curl": "import subprocess\ndef fetch(url, headers):\n"
    "    heads = [text for name in headers for text in ('-H', f'{name}: {headers[name]}')]\n"
    "    return subprocess.run(['curl', '-sSf', *heads, url], check=True, capture_output=True).stdout",
}
NODE = """
let [url, token] = process.argv.slice(-2);
for (;;) {
    const page = await (await fetch(url, {headers: {authorization: `Bearer ${token}`}})).json();
    console.log(JSON.stringify(page));
    if (page.end_of_stream) break;
    url = page.after_url;
}
"""


@functools.cache
def can_isolate() -> bool:
    """Whether this system has user namespaces for everybody, by another program's word."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "--net", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, check=False).returncode == 0


def fill_home(folder: Path) -> Path:
    """A store of two accounts under the default name; NAME-token-of-tests is an admin's of NAME."""
    for name, count in ACCOUNTS.items():
        token = ["token", "create", "--email", "a@example.com", "--token", f"{name}-token-of-tests"]
        for arguments in (["generate", str(count)], token):
            done = run(*arguments, "--account", name, cwd=folder)
            assert done.code == 0, done.err
    return folder


def read_stored(home: Path) -> dict[str, list[Any]]:
    """Every ticket of each account, in order, read without a server."""

    def read(name: str) -> list[Any]:
        done = run("get", f"{PATH}?start_time=0", "--account", name, cwd=home)
        page = json.loads(done.out)
        assert page["end_of_stream"]
        return list(page["tickets"])

    return {name: read(name) for name in ACCOUNTS}


def check_walk(done: Done, expected: list[Any], account: str = "acme") -> None:
    assert (done.code, done.err) == (0, "")
    pages = [json.loads(line) for line in done.out.splitlines()]
    assert len(pages) > 1
    assert [ticket for page in pages for ticket in page["tickets"]] == expected
    assert all(page["after_url"].startswith(f"https://{account}.zendesk.com{PATH}?cursor=") for page in pages)
