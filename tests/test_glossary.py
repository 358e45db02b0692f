"""The glossary names what the code names."""

import ast
import re
from collections.abc import Iterator

from tests.test_docs import ROOT
from ticketfeed.protocol import errors

ROOMS = ("protocol", "storage", "export", "writing")
GLOSSARY = ROOT / "docs/reference/glossary.md"
# Words of English grammar, of Python and of the engines, which need no entry.
PLAIN = frozenset(
    re.findall(
        r"\w+",
        "as can for from in is many more no not of one or out the to with without all bad new next last first single "
        "own recent unreadable named parsed linked changed written generated translated "
        "sqlite postgres memory sql url id text integer number value file path log set ahead behind lazy transient",
    )
)


def words_of(name: str) -> Iterator[str]:
    """The words of a CamelCase or snake_case name, lower case and singular."""
    for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name):
        yield singular(word.lower())


def singular(word: str) -> str:
    if word.endswith(("ies", "ches")):
        return word[:-3] + "y" if word.endswith("ies") else word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us")) else word


def public_names() -> Iterator[str]:
    """Every public class and module-level function of the inner rooms, but for errors, which are named after their
    codes on the wire and stand on the page of errors."""
    for room in ROOMS:
        for path in (ROOT / "src/ticketfeed" / room).rglob("*.py"):
            for node in ast.parse(path.read_text("utf-8")).body:
                is_definition = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                if is_definition and not node.name.startswith("_") and node.name not in errors.__all__:
                    yield node.name


def test_names_are_made_of_the_glossarys_words() -> None:
    """Every public name is a word of the glossary, or made of such words."""
    entries = re.findall(r"^\| ([^|]+) \|", GLOSSARY.read_text("utf-8").lower(), re.MULTILINE)
    known = {singular(word) for word in re.findall(r"[a-z]+", " ".join(entries))} | {*map(singular, PLAIN)}
    unknown = {name: [word for word in words_of(name) if word not in known] for name in public_names()}
    assert {name: words for name, words in unknown.items() if words} == {}
