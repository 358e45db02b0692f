"""The table of resources: each row is whole, and agrees with the others."""

from ticketfeed.protocol.resources import KINDS, PAGE_KEYS, RESOURCES, SEARCH_TYPES
from ticketfeed.protocol.rows import LinkedTicketRow


def test_names_are_unique() -> None:
    """No two kinds share an address, a name in the singular or a name in a search."""
    rows = list(RESOURCES.values())
    for values in ([row.path for row in rows], [row.singular for row in rows], list(SEARCH_TYPES), list(KINDS)):
        assert len(set(values)) == len(values)
    assert len(PAGE_KEYS) == len(KINDS) + sum(len(row.page_keys) for row in rows)


def test_sideloads_follow_a_column() -> None:
    """A kind that tickets sideload names a column that a page reads, and no two name the same."""
    columns = [row.ticket_column for row in RESOURCES.values() if row.ticket_column is not None]
    assert set(columns) <= set(LinkedTicketRow._fields)
    assert len(set(columns)) == len(columns)


# Keys of a write that are stored under another key, or refused by name.
RESOLVED = {"users": {"identities", "organization"}}


def test_shapes_fit_their_types() -> None:
    """What is declared of a stored record or of a write is a key of the shape, or is named as an extra one."""
    for row in RESOURCES.values():
        if row.writes is not None:
            known = row.shape.keys() | row.writes.extra_keys
            specific = set(row.writes.input.__struct_fields__) if row.writes.input.__name__ != "RecordInput" else set()
            assert specific <= known | RESOLVED.get(row.kind, set()), row.kind
            assert set(row.writes.required) <= known
        derived = {key for key, default in row.shape.items() if default is None}
        assert derived <= {"id", "url", "created_at", "updated_at", *row.record.__struct_fields__}, row.kind


def test_only_a_listed_kind_is_written() -> None:
    """What clients write they can read, and an address with verbs finds records by more than their id."""
    for row in RESOURCES.values():
        assert row.is_listed or row.writes is None or "{" in row.path  # such as /users/{user_id}/identities
        if row.writes is not None and "create_or_update" in row.writes.verbs:
            assert row.has_external_id
