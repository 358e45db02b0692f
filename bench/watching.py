"""`python -m bench.watching URL AUTHORIZATION`: look at the page and scrape the metrics every second, until SIGTERM."""

import sys
import time
import urllib.request


def main(url: str, authorization: str) -> None:
    due = time.monotonic()
    while True:
        for path in ("", "consumers", "metrics"):
            request = urllib.request.Request(f"{url}/_ticketfeed/{path}", headers={"Authorization": authorization})
            with urllib.request.urlopen(request) as answer:
                answer.read()
        due += 1
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main(*sys.argv[1:])
