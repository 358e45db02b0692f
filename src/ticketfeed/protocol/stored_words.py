"""Words that are searched for in stored bytes, to see whether anything is left of what was erased."""

import re
from collections.abc import Iterator

from ticketfeed.protocol.person_erasure import encode_text

__all__ = ["StoredWords", "parse_words"]

# A character beyond 16 bits, as two escapes.
CHAR_BYTES_MAX = 12


class StoredWords:
    """Words, each with its number in their list, found in any case and as JSON may spell them."""

    def __init__(self, words: dict[int, str]) -> None:
        self.count = len(words)
        self.bytes_max = CHAR_BYTES_MAX * max(map(len, words.values()))
        longest_first = sorted(words, key=lambda number: -len(words[number]))
        patterns = (b"(?P<w%d>%s)" % (number, _pattern(words[number])) for number in longest_first)
        self._pattern = re.compile(b"|".join(patterns), re.IGNORECASE)

    def find(self, value: object) -> Iterator[tuple[int, int]]:
        """(number, place) of each word in a stored value."""
        data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        for match in self._pattern.finditer(data):
            yield int(str(match.lastgroup)[1:]), match.start()


def _pattern(word: str) -> bytes:
    """Each character in both cases and in every spelling."""
    cases = ({char, char.lower(), char.upper()} for char in word)
    spelled = ({form for char in chars for form in encode_text(char)} for chars in cases)
    return b"".join(b"(?:%s)" % b"|".join(sorted(map(re.escape, forms))) for forms in spelled)


def parse_words(text: str) -> dict[int, str]:
    """The words of a file, one a line, by the number of their line; empty lines are left out."""
    return {number: line.strip() for number, line in enumerate(text.splitlines(), 1) if line.strip()}
