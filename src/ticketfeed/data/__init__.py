"""Whole-store operations: import, load, integrity check, maintenance, simulation, status."""

__all__: list[str] = []
