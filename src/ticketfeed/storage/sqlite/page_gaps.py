"""Overwrites what SQLite leaves of rows in the unused parts of pages.

`secure_delete` overwrites a row that is deleted. But when SQLite moves rows from one page to another to balance a tree,
the old copy stays in the gap between the cell pointers and the cells of the page, out of reach of any statement. So
after an erasure the gaps are overwritten in the file itself: a page's unused bytes may have any value, which is why
readers need not be kept away. The format is documented at https://www.sqlite.org/fileformat.html, section 1.6.

The file is opened through SQLite's own VFS: a descriptor of our own would drop SQLite's locks when it is closed.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apsw

__all__ = ["overwrite_gaps"]

FILE_HEADER_BYTES = 100
# The first byte of a page of a tree -> the bytes of its header. An overflow page begins with the number of the next
# one, so its first byte is 0 in a file of less than 2^24 pages.
_HEADER_BYTES = {2: 12, 5: 12, 10: 8, 13: 8}
PAGES_MAX = 1 << 24


class _Range(NamedTuple):
    """Bytes of a page that are unused."""

    begin: int
    end: int


def overwrite_gaps(path: Path) -> int:
    """Overwrite the unused bytes of all pages with zeros; returns how many pages had any.

    The caller holds the write lock, and the write-ahead log is empty.
    """
    with _opened(path) as file:
        head = file.xRead(FILE_HEADER_BYTES, 0)
        size = int.from_bytes(head[16:18], "big")
        page_bytes = 65536 if size == 1 else size
        usable = page_bytes - head[20]
        pages = file.xFileSize() // page_bytes
        if pages >= PAGES_MAX:
            return 0
        free = _free_pages(file, page_bytes, int.from_bytes(head[32:36], "big"), pages)
        count = 0
        for number in range(pages):
            page = file.xRead(page_bytes, number * page_bytes)
            unused = [_Range(0, usable)] if number + 1 in free else _unused(page, number == 0, usable)
            dirty = [each for each in unused if page.count(0, each.begin, each.end) != each.end - each.begin]
            for begin, end in dirty:
                file.xWrite(bytes(end - begin), number * page_bytes + begin)
            count += bool(dirty)
        if count:
            file.xSync(apsw.SQLITE_SYNC_FULL)
        return count


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[apsw.VFSFile]:
    flags = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE
    file = apsw.VFSFile("", str(path.resolve()), [flags, 0])
    try:
        yield file
    finally:
        file.xClose()


def _free_pages(file: apsw.VFSFile, page_bytes: int, trunk: int, pages: int) -> set[int]:
    """The numbers of free pages, but for those that list them."""
    free: set[int] = set()
    for _ in range(pages):
        if not 0 < trunk <= pages:
            break
        page = file.xRead(page_bytes, (trunk - 1) * page_bytes)
        count = min(int.from_bytes(page[4:8], "big"), page_bytes // 4 - 2)
        free.update(int.from_bytes(page[at : at + 4], "big") for at in range(8, 8 + 4 * count, 4))
        trunk = int.from_bytes(page[:4], "big")
    return free


def _unused(page: bytes, is_first: bool, usable: int) -> list[_Range]:
    """The gap of a page of a tree, and its free blocks; nothing of any other page."""
    base = FILE_HEADER_BYTES if is_first else 0
    header = _HEADER_BYTES.get(page[base])
    if header is None:
        return []
    cells = int.from_bytes(page[base + 3 : base + 5], "big")
    content = int.from_bytes(page[base + 5 : base + 7], "big") or 65536
    gap = _Range(base + header + 2 * cells, content)
    if not gap.begin <= gap.end <= usable:
        return []  # not a page of a tree
    return [gap, *_free_blocks(page, base, usable)]


def _free_blocks(page: bytes, base: int, usable: int) -> Iterator[_Range]:
    """Each begins with the place of the next one and its own size, two bytes each; they are in ascending order."""
    at, before = int.from_bytes(page[base + 1 : base + 3], "big"), 0
    while before < at <= usable - 4:
        size = int.from_bytes(page[at + 2 : at + 4], "big")
        if at + size > usable:
            return
        yield _Range(at + 4, at + size)
        before, at = at, int.from_bytes(page[at : at + 2], "big")
