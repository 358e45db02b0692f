"""The PostgreSQL store."""

__all__: list[str] = []
