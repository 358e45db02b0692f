"""The imitated API: everything below /api/v2."""

__all__: list[str] = []
