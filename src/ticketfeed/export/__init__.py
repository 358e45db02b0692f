"""Exports: a page, from request to bytes."""

__all__: list[str] = []
