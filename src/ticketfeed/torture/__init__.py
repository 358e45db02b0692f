"""Tests of a connector, which is a command, against fault scenarios: each in an account of its own, with a verdict."""

__all__: list[str] = []
