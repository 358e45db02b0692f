"""A small connector that does right, and a switch for each of many classic bugs: python wrong_connectors.py BUG URL ...

It walks the cursor export into a file of NDJSON, keeps its cursor in a file of state, and waits and retries as it
should. It can use an API token, or an OAuth client with a refresh token that each use replaces.
"""

import email.utils
import gzip
import http.client
import json
import os
import ssl
import sys
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

ATTEMPTS = 6
WAIT_SECONDS_MAX = 86_400.0
Page = dict[str, Any]


class GiveUp(Exception):
    """It ends with an error."""


class Quit(Exception):
    """It ends without one, as some bugs do."""


class Ended(BaseException):
    """It was killed."""


class Connector:
    """`ended`: set by whoever kills it. `backoff`: seconds of the first pause."""

    def __init__(
        self,
        url: str,
        environ: Mapping[str, str],
        output: Path,
        state: Path,
        bug: str = "",
        ended: threading.Event | None = None,
        backoff: float = 0.2,
    ) -> None:
        self.url, self.environ, self.output, self.state, self.bug = urlsplit(url), environ, output, state, bug
        self.ended, self.backoff = ended or threading.Event(), backoff
        self.connection: http.client.HTTPConnection | None = None
        self.access = ""
        self.per_page = int(environ.get("PER_PAGE", "1000"))
        self.times: dict[int, str] = {}
        self.seen: set[int] = set()
        self.date = 0.0
        self.held: list[str] = []
        self.expires_at = 0.0

    def run(self) -> int:
        try:
            self.walk()
        except (Quit, Ended):
            return 0
        except GiveUp as error:
            print(error)
            return 1
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
            return 1
        finally:
            if self.connection is not None:
                self.connection.close()
        return 0

    # The walk

    def walk(self) -> None:
        cursor = self.state.read_text() if self.state.exists() else ""
        where: dict[str, Any] = {"cursor": cursor} if cursor else {"start_time": 0}
        if self.bug == "saves_time_not_cursor" and cursor:
            where = {"start_time": int(float(cursor)) - 60}
        bad_pages = 0
        while True:
            where["per_page"] = self.per_page
            page = self.get(f"/api/v2/incremental/tickets/cursor.json?{urlencode(where)}")
            problem = self.problem(page, where)
            if problem:
                bad_pages += 1
                if bad_pages >= 4:
                    raise GiveUp(problem)
                self.pause(self.backoff * 2**bad_pages)
                continue
            bad_pages = 0
            self.store(page)
            if self.is_end(page):
                break
            where = self.following(page, where)
        self.flush()

    def problem(self, page: Page, where: dict[str, Any]) -> str:
        """Why an answer is no page to go on from."""
        if not isinstance(page.get("tickets"), list):
            return "no page"
        cursor, is_end = page.get("after_cursor"), page.get("end_of_stream")
        if self.bug == "ends_at_null_cursor" and cursor is None and "after_cursor" in page:
            self.store(page)
            raise Quit
        if self.bug == "ends_without_cursor" and "after_cursor" not in page:
            self.store(page)
            raise Quit
        if self.bug == "ends_at_repeated_cursor" and cursor == where.get("cursor"):
            self.store(page)
            raise Quit
        if self.bug == "follows_stuck_cursor" and cursor:
            return ""
        if not isinstance(is_end, bool):
            if self.bug == "takes_missing_end_for_end":
                return ""
            if self.bug != "waits_for_end":
                return "no end_of_stream"
        if not is_end and (not cursor or cursor == where.get("cursor")) and self.bug != "waits_for_end":
            return "the cursor does not advance"
        return ""

    def is_end(self, page: Page) -> bool:
        if self.bug == "stops_at_empty_page" and not page["tickets"]:
            return True
        if self.bug == "stops_at_short_page" and len(page["tickets"]) < self.per_page:
            return True
        if self.bug == "takes_missing_end_for_end":
            return bool(page.get("end_of_stream", True))
        return bool(page.get("end_of_stream"))

    def following(self, page: Page, where: dict[str, Any]) -> dict[str, Any]:
        if self.bug == "trusts_start_time":
            newest = max((each["generated_timestamp"] for each in page["tickets"]), default=0)
            return {"start_time": newest + 1}
        if self.bug == "reads_next_page" and not page.get("next_page"):
            raise Quit
        if self.bug == "needs_after_url" and not page.get("after_url"):
            raise Quit
        if self.bug == "needs_absolute_url" and not str(page.get("after_url")).startswith(("http://", "https://")):
            raise Quit
        return {"cursor": page.get("after_cursor") or where.get("cursor", "")}

    # What it stores

    def store(self, page: Page) -> None:
        tickets = page["tickets"]
        cursor = page.get("after_cursor") or ""
        if self.bug == "saves_time_not_cursor":
            cursor = str(time.time())
        if self.bug == "ends_at_known_ticket" and any(each["id"] in self.seen for each in tickets):
            raise Quit
        self.seen.update(each["id"] for each in tickets)
        if self.bug == "saves_cursor_first" and cursor:
            self.flush()
            self.state.write_text(cursor)
        lines = [line for line in map(self.line, tickets) if line]
        if self.bug == "keeps_first_state":
            lines = [line for line, each in zip(lines, tickets, strict=True) if self.is_new(each)]
        if self.bug == "compares_updated_at":
            lines = [line for line, each in zip(lines, tickets, strict=True) if self.is_newer(each)]
        if self.bug == "drops_last_second":
            newest = max((each["generated_timestamp"] for each in tickets), default=0)
            kept = [each["generated_timestamp"] < newest for each in tickets]
            lines = [line for line, is_kept in zip(lines, kept, strict=True) if is_kept]
        self.held += lines
        if self.bug not in ("saves_cursor_first", "writes_at_the_end"):
            self.flush()
        if cursor:
            self.state.write_text(cursor)

    def line(self, ticket: dict[str, Any]) -> str:
        if self.bug == "ignores_deleted" and ticket["status"] == "deleted":
            return ""
        for each in ticket["custom_fields"]:
            if self.bug == "hashes_custom_fields":
                hash(each["value"])
            if self.bug == "strips_custom_fields" and each["value"] not in (None, True, False):
                each["value"] = (
                    [x.strip() for x in each["value"]] if isinstance(each["value"], list) else each["value"].strip()
                )
        if self.bug == "knows_all_keys" and "x_intent" in ticket:
            raise KeyError("x_intent")
        text = json.dumps(ticket)
        return text[:1_000_000] if self.bug == "cuts_long_lines" else text

    def is_new(self, ticket: dict[str, Any]) -> bool:
        is_new = ticket["id"] not in self.times
        self.times.setdefault(ticket["id"], "")
        return is_new

    def is_newer(self, ticket: dict[str, Any]) -> bool:
        known = self.times.get(ticket["id"], "")
        self.times[ticket["id"]] = max(known, ticket["updated_at"])
        return ticket["updated_at"] > known

    def flush(self) -> None:
        if self.ended.is_set():
            raise Ended
        with self.output.open("a") as file:
            file.writelines(f"{line}\n" for line in self.held)
        self.held = []

    # Requests

    def get(self, path: str) -> Page:
        attempt = 0
        renewed = 0
        while True:
            attempt += 1
            try:
                status, headers, body = self.send("GET", path, {"Authorization": self.authorization()})
                if status == 200 and (page := self.parse(body)) is not None:
                    return page
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if self.bug == f"dies_of_{type(error).__name__}" or self.bug == "never_retries":
                    raise GiveUp(str(error)) from None
                if self.bug == "ends_at_broken_connection":
                    raise Quit from None
                status, headers = 0, {}
            if self.bug == f"quits_at_{status}":
                raise Quit
            if self.bug == f"gives_up_at_{status}":
                raise GiveUp(str(status))
            if self.bug == f"repeats_{status}_at_once":
                attempt = 0
                continue
            if status == 401 and self.uses_oauth and (renewed < 1 or self.bug == "renews_for_ever"):
                renewed += 1
                self.access = ""
                continue
            if status == 403 and self.bug == "renews_at_403":
                self.access = ""
                continue
            if status in (401, 403):
                raise GiveUp(f"status {status}")
            if status == 504 and self.per_page > 100:
                self.per_page //= 2
                path = path.replace(f"per_page={self.per_page * 2}", f"per_page={self.per_page}")
            elif attempt >= ATTEMPTS:
                raise GiveUp(f"status {status}")
            self.pause(self.wait(status, headers, body if status else b"", attempt))

    def wait(self, status: int, headers: Mapping[str, str], body: bytes, attempt: int) -> float:
        """How long before the next attempt."""
        if status == 429 and self.bug == "reads_429_body":
            json.loads(body)["error"]
        after = headers.get("retry-after")
        if status == 429 and self.bug == "needs_retry_after" and after is None:
            raise KeyError("retry-after")
        if after is None or self.bug == "ignores_retry_after":
            return float(self.backoff * 2**attempt)
        if after.isdecimal() or self.bug == "retry_after_in_seconds_only":
            return float(int(after))
        then = email.utils.parsedate_to_datetime(after).timestamp()
        return float(max(0.0, then - self.date) + 0.5)

    def send(
        self, method: str, path: str, headers: dict[str, str], body: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        connection = self.connect()
        seconds = 2.5 if self.bug in ("dies_of_TimeoutError", "hurries_bodies") else 30.0
        connection.timeout = seconds
        started = time.monotonic()
        if connection.sock is not None:
            connection.sock.settimeout(seconds)
        connection.request(method, path, body or None, {"Accept-Encoding": "gzip", "User-Agent": "walker", **headers})
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        self.date = email.utils.parsedate_to_datetime(found["date"]).timestamp() if "date" in found else time.time()
        if self.bug == "refuses_other_clocks" and abs(self.date - time.time()) > 600:
            raise GiveUp("the clock of the server is wrong")
        data = b""
        while part := answer.read(1024):
            data += part
            if self.bug == "hurries_bodies" and time.monotonic() > started + seconds:
                raise GiveUp("the body takes too long")
        if answer.length:
            raise http.client.IncompleteRead(data, answer.length)
        if found.get("content-encoding") == "gzip":
            data = self.unpack(data)
        return answer.status, found, data

    def unpack(self, data: bytes) -> bytes:
        if self.bug == "trusts_gzip":
            return zlib.decompressobj(31).decompress(data)
        try:
            return gzip.decompress(data)
        except (EOFError, zlib.error) as error:
            if self.bug == "dies_of_gzip":
                raise GiveUp(str(error)) from None
            raise http.client.HTTPException(str(error)) from None

    def parse(self, body: bytes) -> Page | None:
        try:
            page = json.loads(body)
        except ValueError:
            if self.bug in ("quits_at_no_json", "trusts_gzip"):
                raise Quit from None
            return None
        return page if isinstance(page, dict) else None

    def connect(self) -> http.client.HTTPConnection:
        if self.ended.is_set():
            raise Ended
        if self.connection is None:
            host = self.url.netloc
            secure = self.url.scheme == "https"
            context = ssl.create_default_context() if secure else None
            kind: Callable[..., http.client.HTTPConnection] = (
                http.client.HTTPSConnection if secure else http.client.HTTPConnection
            )
            self.connection = kind(host, timeout=30, **({"context": context} if context else {}))
        return self.connection

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def pause(self, seconds: float) -> None:
        if self.ended.wait(min(seconds, WAIT_SECONDS_MAX)):
            raise Ended

    # Credentials

    @property
    def uses_oauth(self) -> bool:
        return "TICKETFEED_SOURCE_CLIENT_ID" in self.environ

    def authorization(self) -> str:
        if not self.uses_oauth:
            name, token = (self.environ[f"TICKETFEED_SOURCE_{key}"] for key in ("EMAIL", "TOKEN"))
            return f"Basic {b64encode(f'{name}/token:{token}'.encode()).decode()}"
        while not self.access or (self.bug == "takes_no_expiry_for_expired" and self.expires_at < time.time()):
            self.renew()
        return f"Bearer {self.access}"

    def renew(self) -> None:
        file = Path(self.environ["TICKETFEED_SOURCE_REFRESH_TOKEN_FILE"])
        wanted = {
            "grant_type": "refresh_token",
            "refresh_token": file.read_text().strip(),
            "client_id": self.environ["TICKETFEED_SOURCE_CLIENT_ID"],
            "client_secret": self.environ["TICKETFEED_SOURCE_CLIENT_SECRET"],
            "expires_in": 3600,
        }
        attempt = 0
        while True:
            attempt += 1
            status, headers, body = 0, {}, b""
            try:
                headers = {"Content-Type": "application/json"}
                status, headers, body = self.send("POST", "/oauth/tokens", headers, json.dumps(wanted))
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if attempt > 1:
                    raise GiveUp(str(error)) from None
            if status == 200 or (status == 201 and self.bug != "wants_status_200"):
                break
            if self.bug == "parses_token_errors":
                json.loads(body)
            if self.bug == f"gives_up_at_{status}":
                raise GiveUp(f"status {status}")
            if self.bug == "renews_at_once":
                continue
            if status not in (0, 429, 500, 502, 503, 504) or attempt >= ATTEMPTS:
                raise GiveUp(f"no token: status {status}")
            self.pause(self.wait(status, headers, body, attempt))
        tokens = json.loads(body)
        self.access = tokens["access_token"]
        self.expires_at = time.time() + tokens.get("expires_in", 0)
        if self.bug != "forgets_refresh_token":
            file.write_text(tokens["refresh_token"])


# Each bug with the scenario that finds it.
BUGS = {
    "stops_at_empty_page": "empty-page",
    "stops_at_short_page": "empty-page",
    "trusts_start_time": "busy-second",
    "drops_last_second": "busy-second",
    "saves_cursor_first": "killed-mid-walk",
    "writes_at_the_end": "killed-mid-walk",
    "saves_time_not_cursor": "end-of-stream-early",
    "takes_missing_end_for_end": "end-of-stream-missing",
    "waits_for_end": "end-of-stream-never",
    "reads_next_page": "missing-after-url",
    "needs_after_url": "missing-after-url",
    "needs_absolute_url": "after-url-without-host",
    "ends_at_null_cursor": "null-cursor",
    "ends_without_cursor": "missing-cursor",
    "follows_stuck_cursor": "stuck-cursor",
    "ends_at_repeated_cursor": "repeated-cursor",
    "ends_at_known_ticket": "duplicate-records",
    "keeps_first_state": "moving-ticket",
    "compares_updated_at": "system-burst",
    "ignores_deleted": "deletes-while-paging",
    "hashes_custom_fields": "custom-field-list",
    "strips_custom_fields": "custom-field-number",
    "knows_all_keys": "unknown-key",
    "cuts_long_lines": "huge-ticket",
    "refuses_other_clocks": "clock-skew",
    "never_retries": "reset-before-answer",
    "ends_at_broken_connection": "cut-inside-body",
    "dies_of_IncompleteRead": "cut-before-body",
    "dies_of_RemoteDisconnected": "closed-between-requests",
    "trusts_gzip": "truncated-gzip",
    "dies_of_gzip": "truncated-gzip",
    "quits_at_no_json": "html-with-200",
    "dies_of_TimeoutError": "slow-first-byte",
    "hurries_bodies": "slow-drip",
    "gives_up_at_429": "rate-limit-storm",
    "quits_at_429": "rate-limit-text",
    "reads_429_body": "rate-limit-edge",
    "needs_retry_after": "rate-limit-without-header",
    "retry_after_in_seconds_only": "rate-limit-date",
    "ignores_retry_after": "rate-limit-hour",
    "gives_up_at_503": "maintenance",
    "quits_at_504": "gateway-timeout",
    "repeats_504_at_once": "gateway-timeout-large-pages",
    "gives_up_at_502": "flaky-gateway",
    "repeats_401_at_once": "api-token-deactivated",
    "quits_at_403": "not-an-admin",
    "renews_for_ever": "refused-again-and-again",
    "renews_at_403": "scope-cut",
    "renews_at_once": "lapsed-refresh-token",
    "wants_status_200": "token-status-201",
    "parses_token_errors": "token-endpoint-429",
    "forgets_refresh_token": "token-endpoint-503",
    "quits_at_401": "token-expires-mid-walk",
    "takes_no_expiry_for_expired": "token-without-expires-in",
}


def main() -> int:
    bug, url, output, state = sys.argv[1:5]
    return Connector(url, os.environ, Path(output), Path(state), bug.replace("none", "")).run()


if __name__ == "__main__":
    sys.exit(main())
