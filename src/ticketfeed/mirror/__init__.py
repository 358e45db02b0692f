"""Mirrors: accounts that are copies of a source, walked within its request budget."""

__all__: list[str] = []
