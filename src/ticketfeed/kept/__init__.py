"""Pages kept as they were sent: pieces in a file, runs of them in feed order, pages out of runs."""

__all__: list[str] = []
