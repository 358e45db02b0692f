"""The docs say what is so: links lead somewhere, commands exist, examples look like the real thing."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.errors_reference import provoked_errors
from tests.references import FOLDER
from tests.references import PAGES as MADE_PAGES
from ticketfeed.cli import make_app
from ticketfeed.protocol import errors
from ticketfeed.protocol.embedded_sideloads import EMBEDDED
from ticketfeed.protocol.query import REPEATED_PARAMETERS
from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.protocol.sideloads import SIDELOADED_KINDS
from ticketfeed.server.api.parameters import PARAMETERS
from ticketfeed.server.api.routes import API_ROUTES
from ticketfeed.settings import RULES

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")])
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Every relative link leads to a file."""
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_every_page_is_reached() -> None:
    """Every page below docs/ is linked from the README or from another page."""
    linked = {(page.parent / link).resolve() for page in PAGES for link in LINK.findall(page.read_text())}
    assert [page for page in PAGES if ROOT / "docs" in page.parents and page.resolve() not in linked] == []


@pytest.mark.parametrize("name", MADE_PAGES)
def test_made_pages(name: str) -> None:
    """A page of the reference that is made from the code is what the code says: `python -m tests.references`."""
    assert (FOLDER / name).read_text() == MADE_PAGES[name]()


def test_every_error_is_told() -> None:
    """The page of errors has every error of the wire that there is."""
    all_errors = [getattr(errors, name) for name in errors.__all__]
    wire_errors = {e for e in all_errors if isinstance(e, type) and issubclass(e, errors.WireError)}
    assert wire_errors - {errors.WireError} == {type(error) for _, error in provoked_errors()}


def test_site(tmp_path: Path) -> None:
    """The documentation builds as a site, with every page in its navigation, and loads nothing from elsewhere."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site/pictures/overview.png").exists()
    loading = re.compile(r'<(?:script|img|link)[^>]*(?:src|href)="https?://')
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len([page for page in PAGES if ROOT / "docs" in page.parents])
    assert [page.name for page in pages if loading.search(page.read_text())] == []


def _commands() -> list[str]:
    lines = []
    for page in PAGES:
        text = page.read_text()
        lines += re.findall(r"`(ticketfeed [^`]+)`", text)
        lines += re.findall(r"^\s*\$ [^#\n]*?(ticketfeed [^#\n]*)", text, re.M)
    commands = (line.removeprefix("ticketfeed ").partition("#")[0].partition("|")[0].strip() for line in lines)
    return sorted({command for command in commands if command})


@pytest.mark.parametrize("line", _commands())
def test_commands_exist(line: str) -> None:
    """Every `ticketfeed ...` in the docs names a command and options that there are."""
    command: Any = typer.main.get_command(make_app())
    words = shlex.split(line.partition(" -- ")[0])  # what follows is a command of its own
    if words[0] == "--config":
        words = words[2:]
    while words and words != ["..."] and hasattr(command, "commands"):
        name = words.pop(0)
        if name not in command.commands and command.name == "mirror":  # whose argument may come without `run`
            name = "run"
        assert name in command.commands, f"no command {name}"
        command = command.commands[name]
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_endpoint_page() -> None:
    """The endpoint's page names every parameter, sideload and error code there is."""
    text = (ROOT / "docs/reference/tickets-cursor-export.md").read_text()
    for name in ("start_time", "cursor", *REPEATED_PARAMETERS, *SIDELOADED_KINDS, *EMBEDDED):
        assert f"`{name}`" in text
    wire_errors = [getattr(errors, name) for name in errors.__all__]
    statuses = {str(e.status) for e in wire_errors if isinstance(e, type) and issubclass(e, errors.WireError)}
    assert statuses <= set(re.findall(r"\d{3}", "".join(re.findall(r"^\| ([\d, ]+) \|", text, re.M))))


def test_compatibility_matrix() -> None:
    """The compatibility matrix names every address that is served, every parameter and every sideload."""
    text = (ROOT / "docs/reference/compatibility-matrix.md").read_text()
    words = set(re.findall(r"`([^`]+)`", text))
    listed = {resource.path for resource in RESOURCES.values() if resource.is_listed}
    assert listed <= words
    reads = {route.template for route in API_ROUTES if route.method == "GET"}
    others = {path for path in reads if not any(path.startswith(base) for base in listed)}
    assert others <= words
    assert {*PARAMETERS, *SIDELOADED_KINDS, *EMBEDDED} <= words


def test_rules_page() -> None:
    """The page on limits has every rule with its values, its unit and what it is."""
    text = (ROOT / "docs/how-to/test-against-rate-limits.md").read_text()
    for name, rule in RULES.items():
        values = f"{rule.profiles['open']} | {rule.profiles['zendesk']}"
        assert f"| `{name}` | {values} | {rule.unit} | {rule.help} |" in text


def test_connectors_that_were_tried() -> None:
    """The compatibility page has each connector that the tests install, with the version."""
    page = (ROOT / "docs/why/compatibility.md").read_text()
    tests = "".join(path.read_text() for path in sorted((ROOT / "tests/connectors").glob("*.py")))
    pinned = re.findall(r'"(?:@[a-z]+/)?([a-z-]+)(?:\[[a-z]+\])?(?:==|@)([0-9.]+)"', tests)
    assert len(pinned) >= 6
    assert [row for row in pinned if not re.search(rf"^\| \[{row[0]}\].*\| {row[1]} \|", page, re.M)] == []
