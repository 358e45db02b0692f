"""A browser for the page, as far as cookies and forms go, without a socket."""

import asyncio
import re
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from tests.server.desk import Desk, tickets
from ticketfeed.inprocess import Answer, call_app
from ticketfeed.server.dashboard.views import VIEWS

BASE = "/_ticketfeed/"
PAGES = [path.replace("{id}", "1") for path in VIEWS]


def desk_of(count: int = 10, **options: Any) -> Desk:
    desk = Desk(**options)
    desk.put("tickets", *tickets(*range(1, count + 1), subject="Printer"))
    return desk


class Browser:
    """Keeps cookies, sends forms."""

    def __init__(self, desk: Desk, host: str = "acme.localhost") -> None:
        self.desk, self.host, self.client = desk, host, "127.0.0.1"
        self.cookies: dict[str, str] = {}

    def go(self, path: str = "", form: dict[str, str] | None = None, scheme: str = "http") -> Answer:
        headers = [("cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))]
        method, body = ("GET", b"") if form is None else ("POST", urlencode(form).encode())
        target = path if path.startswith("/") else BASE + path
        asked = call_app(
            self.desk.app,
            target,
            host=self.host,
            method=method,
            headers=headers,
            body=body,
            scheme=scheme,
            client=self.client,
        )
        self.answer = asyncio.run(asked)
        for line in self.answer.headers.getlist("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        return self.answer

    def field(self, name: str) -> str:
        found = re.search(rf'name="{name}" value="([^"]*)"', self.answer.body.decode())
        assert found, self.answer.body
        return found[1]

    def sign_in(self, email: str = "admin@example.com", secret: str = "admin-token", target: str = "") -> Answer:
        self.go(f"login?next={target}")
        form = {"csrf": self.field("csrf"), "next": self.field("next"), "email": email, "secret": secret}
        return self.go("login", form)
