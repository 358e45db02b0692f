"""The SQLite store: one file."""

__all__: list[str] = []
