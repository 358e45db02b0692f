"""Changes asked for, carried out inside one write: find, decide by the rules, put."""

__all__: list[str] = []
