"""Fault injection: switches scenarios on, and does what they say to the answers of a server."""

__all__: list[str] = []
