"""Writes of tickets, records and jobs inside one transaction: find, apply the rules of protocol/, put."""

__all__: list[str] = []
