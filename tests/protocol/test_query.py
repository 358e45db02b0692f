"""The query string: every rule of the wire as rows of a table."""

from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import short
from ticketfeed.protocol.errors import InvalidCursor, InvalidValue, ParameterMissing, StartTimeTooRecent, WireError
from ticketfeed.protocol.model import INT64_MAX, Filters, Position
from ticketfeed.protocol.query import ExportRequest, parse_export_request, parse_query, parse_span_request

NOW = 1_700_000_000
CURSOR = "MTY5NTA2MjcyNC4wfHwxNTcxfA=="
AT_CURSOR = Position(1695062724, 1571)
NAMES = ["start_time", "cursor", "per_page", "include", "exclude_deleted", "support_type_scope", "page", "x"]


def parse(query: str, margin: int = 60) -> ExportRequest:
    return parse_export_request(parse_query(query), now=NOW, start_time_margin_seconds=margin)


AFTER = [
    # start_time: inclusive, so the position lies just before the first ticket of its second
    ("start_time=0", Position(0, -1)),
    ("start_time=1", Position(1, -1)),
    ("start_time=1332034771", Position(1332034771, -1)),
    ("start_time=1332034771.0", Position(1332034771, -1)),
    ("start_time=1332034771.999", Position(1332034771, -1)),
    ("start_time=1332034771.", Position(1332034771, -1)),
    ("start_time=0001332034771", Position(1332034771, -1)),
    ("start_time=" + "0" * 5000 + "7", Position(7, -1)),
    ("start_time=%20+1332034771%09", Position(1332034771, -1)),
    # exactly a minute ago, and a decimal whose floor is
    (f"start_time={NOW - 60}", Position(NOW - 60, -1)),
    (f"start_time={NOW - 61}", Position(NOW - 61, -1)),
    (f"start_time={NOW - 60}.999", Position(NOW - 60, -1)),
    # a cursor, percent-encoded or raw
    (f"cursor={CURSOR}", AT_CURSOR),
    (f"cursor={quote(CURSOR)}", AT_CURSOR),
    # cursor beats start_time, whatever that says
    (f"cursor={CURSOR}&start_time=0", AT_CURSOR),
    (f"start_time=0&cursor={CURSOR}", AT_CURSOR),
    (f"cursor={CURSOR}&start_time={NOW}", AT_CURSOR),
    (f"cursor={CURSOR}&start_time=soon", AT_CURSOR),
    # empty or undefined counts as absent
    ("cursor=&support_type_scope=&start_time=5", Position(5, -1)),
    ("cursor=undefined&start_time=5", Position(5, -1)),
    ("cursor&start_time=5", Position(5, -1)),
    (f"cursor={CURSOR}&start_time=undefined", AT_CURSOR),
    (f"cursor={CURSOR}&start_time=", AT_CURSOR),
    # the last of a repeated parameter wins
    ("start_time=5&start_time=6", Position(6, -1)),
    (f"cursor=broken&cursor={CURSOR}", AT_CURSOR),
    (f"cursor={CURSOR}&cursor=&start_time=6", Position(6, -1)),
    # what does not belong here is ignored
    ("start_time=5&page=2&page[size]=3&page%5Bafter%5D=x&end_time=9&utm_source=a&=b&&c", Position(5, -1)),
]


@pytest.mark.parametrize(("query", "after"), AFTER, ids=short)
def test_where_to_begin(query: str, after: Position) -> None:
    """A request begins behind its cursor, or at its start_time's second."""
    assert parse(query).after == after


PAGE_LIMITS = [
    ("", 1000),
    ("&per_page=", 1000),
    ("&per_page=undefined", 1000),
    ("&per_page=1", 1),
    ("&per_page=001", 1),
    ("&per_page=%20100%20", 100),
    ("&per_page=999", 999),
    ("&per_page=1000", 1000),
    ("&per_page=1001", 1000),
    ("&per_page=2000", 1000),
    ("&per_page=" + "9" * 5000, 1000),
    ("&per_page=0&per_page=7", 7),
]


@pytest.mark.parametrize(("query", "page_limit"), PAGE_LIMITS, ids=short)
def test_page_limit(query: str, page_limit: int) -> None:
    """A page holds per_page tickets: 1000 when unsaid, and never more."""
    assert parse("start_time=0" + query).page_limit == page_limit


INCLUDES = [
    ("", ()),
    ("&include=", ()),
    ("&include=undefined", ()),
    ("&include=,%20,", ()),
    ("&include=users", ("users",)),
    ("&include=users,groups", ("users", "groups")),
    ("&include=users%2Cgroups", ("users", "groups")),
    ("&include=groups,users", ("groups", "users")),
    ("&include=%20users%20,%20groups,,", ("users", "groups")),
    ("&include=users,groups,users", ("users", "groups")),
    ("&include=comment_events,comments,last_audits", ("comment_events", "comments", "last_audits")),
    ("&include=users&include=groups", ("groups",)),
]


@pytest.mark.parametrize(("query", "include"), INCLUDES)
def test_include(query: str, include: tuple[str, ...]) -> None:
    """`include` is a list with commas: spaces stripped, each name once, unknown names no error."""
    assert parse("start_time=0" + query).include == include


FILTERS = [
    ("", Filters()),
    ("&exclude_deleted=true", Filters(exclude_deleted=True)),
    ("&exclude_deleted=TRUE", Filters(exclude_deleted=True)),
    ("&exclude_deleted=1", Filters(exclude_deleted=True)),
    ("&exclude_deleted=false", Filters()),
    ("&exclude_deleted=0", Filters()),
    ("&exclude_deleted=", Filters()),
    ("&exclude_deleted=undefined", Filters()),
    ("&exclude_deleted=true&exclude_deleted=false", Filters()),
    ("&support_type_scope=", Filters(support_type_scope="agent")),
    ("&support_type_scope=agent", Filters(support_type_scope="agent")),
    ("&support_type_scope=ai_agent", Filters(support_type_scope="ai_agent")),
    ("&support_type_scope=all", Filters(support_type_scope="all")),
]


@pytest.mark.parametrize(("query", "filters"), FILTERS)
def test_filters(query: str, filters: Filters) -> None:
    """Deleted tickets are in, and those of AI agents out, unless the request says otherwise."""
    assert parse("start_time=0" + query).filters == filters


KEPT: list[tuple[str, tuple[tuple[str, str], ...]]] = [
    ("start_time=0", ()),
    ("start_time=0&page=2&x=y", ()),
    ("start_time=0&include=&per_page=undefined&exclude_deleted=", ()),
    ("per_page=2000&start_time=0", (("per_page", "2000"),)),
    ("start_time=0&include=users,nonsense", (("include", "users,nonsense"),)),
    (
        f"support_type_scope=all&per_page=5&include=users&exclude_deleted=false&cursor={CURSOR}",
        (("exclude_deleted", "false"), ("include", "users"), ("per_page", "5"), ("support_type_scope", "all")),
    ),
    ("start_time=0&per_page=5&per_page=6", (("per_page", "6"),)),
]


@pytest.mark.parametrize(("query", "kept"), KEPT)
def test_kept_parameters(query: str, kept: tuple[tuple[str, str], ...]) -> None:
    """What the next address must repeat is kept as it was sent, by alphabet; start_time never."""
    assert parse(query).repeated == kept


REFUSED: list[tuple[str, type[WireError]]] = [
    *(
        (query, ParameterMissing)
        for query in ("", "&&", "x=1", "start_time=", "cursor=", "cursor=undefined", "start_time=undefined", "page=1")
    ),
    ("start_time=5&start_time=", ParameterMissing),
    *(
        (f"start_time={text}", InvalidValue)
        for text in (
            "soon",
            "-1",
            "%2B5",
            "1e9",
            ".5",
            ".",
            "1.5.5",
            "1%202",
            "0x10",
            "1_000",
            "%20",
            "\u0665",
            "²",
            "⁵",
            "1,5",
        )
    ),
    ("start_time=2026-01-01T00:00:00Z", InvalidValue),
    ("start_time=NaN", InvalidValue),
    ("start_time=5%00", InvalidValue),
    (f"start_time={NOW - 59}", StartTimeTooRecent),
    (f"start_time={NOW - 59}.0", StartTimeTooRecent),
    (f"start_time={NOW}", StartTimeTooRecent),
    (f"start_time={NOW + 10**6}", StartTimeTooRecent),
    ("start_time=" + "9" * 5000, StartTimeTooRecent),
    *((f"cursor={text}", InvalidCursor) for text in ("null", "%20", CURSOR[:-1], "%FF", "1", f"{CURSOR}%20", "%00")),
    ("cursor=broken&start_time=0", InvalidCursor),
    *(
        (f"start_time=0&per_page={text}", InvalidValue)
        for text in ("0", "00", "-1", "-0", "%2B5", "1.0", "ten", "%20", "\u0665", "²", "1e2", "1%202", "1_0")
    ),
    (f"cursor={CURSOR}&per_page=0", InvalidValue),
    *((f"start_time=0&support_type_scope={text}", InvalidValue) for text in ("Agent", "human", "agent,ai_agent")),
]


@pytest.mark.parametrize(("query", "error"), REFUSED, ids=short)
def test_refused(query: str, error: type[WireError]) -> None:
    """A parameter that cannot be used is refused by the class of error that the wire has for it."""
    with pytest.raises(error):
        parse(query)


@pytest.mark.parametrize(
    ("start_time", "second"), [(NOW - 59, NOW - 59), (NOW, NOW), (NOW + 9999, NOW + 9999), (10**18, 10**18)]
)
def test_margin_of_zero_allows_any_start_time(start_time: int, second: int) -> None:
    """Where no margin is set, even the future is a place to begin."""
    assert parse(f"start_time={start_time}", margin=0).after == Position(second, -1)


SPANS: list[tuple[str, int | type[WireError]]] = [
    ("start_time=0", 0),
    ("start_time=5.9", 5),
    ("start_time=2026-01-31T12:00:00Z", 2026),
    ("start_time=7th", 7),
    (f"start_time={NOW - 59}", NOW - 59),
    (f"start_time={NOW - 58}", StartTimeTooRecent),
    (f"cursor={CURSOR}", ParameterMissing),
    ("start_time=soon", InvalidValue),
    ("start_time=-5", InvalidValue),
]


@pytest.mark.parametrize(("query", "expected"), SPANS, ids=short)
def test_start_of_a_span(query: str, expected: int | type[WireError]) -> None:
    """A time-based export begins at the leading digits of start_time, which may be a second newer than by cursor: its
    own next_page is."""
    asked = parse_query(query)
    if isinstance(expected, int):
        assert parse_span_request(asked, now=NOW, start_time_margin_seconds=60).start_time == expected
    else:
        with pytest.raises(expected):
            parse_span_request(asked, now=NOW, start_time_margin_seconds=60)


def test_missing_parameter_is_named() -> None:
    """A request without a place to begin is told which parameter it lacks, in Zendesk's words."""
    with pytest.raises(ParameterMissing, match=r"^Parameter start_time is required$"):
        parse("per_page=5")


queries: st.SearchStrategy[Any] = st.text() | st.lists(
    st.tuples(st.sampled_from(NAMES), st.text() | st.integers().map(str) | st.floats().map(str) | st.just(CURSOR))
).map(urlencode)


@given(queries, st.integers(0, 120))
def test_any_query_is_a_request_or_a_wire_error(query: str, margin: int) -> None:
    """Whatever stands behind the question mark ends as a request within bounds, or as an error of the wire."""
    try:
        request = parse(query, margin)
    except WireError:
        return
    assert 1 <= request.page_limit <= 1000
    assert request.after <= Position(INT64_MAX, INT64_MAX)
    assert all(name and name == name.strip() for name in request.include)
    assert len(set(request.include)) == len(request.include)
    assert list(request.repeated) == sorted(request.repeated)
    urlencode(request.repeated)
