"""What is asked for. Every case asks for the same pages, by the same cursors, in another form.

All of them ask for the tickets of people and of AI agents alike, so that N thousand tickets are N full pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CASES", "RAW", "Case"]

PATH = "/api/v2/incremental/tickets/cursor"


@dataclass(frozen=True, slots=True)
class Case:
    """One form of a page. `fixed` are the parameters beside the cursor. `peer`: the plain application has it too."""

    name: str
    title: str
    tickets: int
    fixed: str = "support_type_scope=all"
    gzip: bool = False
    peer: bool = True

    @property
    def headers(self) -> dict[str, str]:
        return {"Accept-Encoding": "gzip"} if self.gzip else {}

    @property
    def file_suffix(self) -> str:
        """What nginx wants behind the name of a file that it sends compressed."""
        return ".gz" if self.gzip else ""

    def api_targets(self, cursors: Sequence[str | None]) -> list[str]:
        """Where each page is at the endpoint; the first page has no cursor."""
        starts = [f"cursor={cursor}" if cursor else "start_time=0" for cursor in cursors]
        return [f"{PATH}?{start}&{self.fixed}" for start in starts]

    def file_targets(self, count: int) -> list[str]:
        """Where each page is as a file."""
        return [f"/{self.name}/{number:05}.json" for number in range(count)]


RAW = Case("raw", "1000 tickets", 1000)
CASES = (
    RAW,
    Case("gzip", "1000 tickets, gzip", 1000, gzip=True, peer=False),
    Case(
        "include",
        "1000 tickets + sideloads",
        1000,
        fixed="support_type_scope=all&include=users,groups,organizations",
        peer=False,
    ),
    Case("small", "100 tickets", 100, fixed="support_type_scope=all&per_page=100"),
)
