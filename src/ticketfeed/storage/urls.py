"""What stands behind a store URL's scheme."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ticketfeed.protocol.errors import StoreError

__all__ = ["needs_driver", "sqlite_path"]


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:///FILE`, relative unless FILE begins with a slash. Raises StoreError."""
    name = url.removeprefix("sqlite:///")
    if name in ("", ":memory:"):
        raise StoreError("say sqlite:///FILE for a file, or memory: for none")
    return Path(name)


@contextlib.contextmanager
def needs_driver() -> Iterator[None]:
    """Around the import of what needs PostgreSQL's driver, which is an extra. Raises StoreError."""
    try:
        yield
    except ImportError as error:
        raise StoreError("PostgreSQL needs its driver: pip install 'ticketfeed[postgres]'") from error
