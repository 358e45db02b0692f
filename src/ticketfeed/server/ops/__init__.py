"""Operational parts: health, metrics, traces, usage tracking, jobs, rate limiter."""

__all__: list[str] = []
