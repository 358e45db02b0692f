"""Words that are searched for in stored bytes, to see whether anything is left of what was erased."""

import re
from collections.abc import Iterator

from ticketfeed.protocol.person_erasure import encode_text

__all__ = ["StoredWords", "parse_words"]


class StoredWords:
    """Words, each with its number in their list, found in any case and as JSON may spell them."""

    def __init__(self, words: dict[int, str]) -> None:
        self.count = len(words)
        forms = {form: number for number, word in words.items() for form in encode_text(word)}
        self._numbers = {form.lower(): number for form, number in forms.items()}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first)), re.IGNORECASE)
        self.bytes_max = max(map(len, forms))

    def find(self, value: object) -> Iterator[tuple[int, int]]:
        """(number, place) of each word in a stored value."""
        data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        for match in self._pattern.finditer(data):
            yield self._numbers[match[0].lower()], match.start()


def parse_words(text: str) -> dict[int, str]:
    """The words of a file, one a line, by the number of their line; empty lines are left out."""
    return {number: line.strip() for number, line in enumerate(text.splitlines(), 1) if line.strip()}
