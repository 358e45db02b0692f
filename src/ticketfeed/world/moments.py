"""Spans of time in seconds."""

__all__ = ["DAY", "HOUR", "YEAR"]

HOUR = 3600
DAY = 24 * HOUR
YEAR = 365 * DAY
