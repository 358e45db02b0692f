"""What a command is told of its account: placeholders in its words, and variables of its environment."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.scenarios import Scenario
from ticketfeed.wrap.hosts import ZENDESK

__all__ = ["PLACEHOLDERS", "CommandFacts", "fill", "find_output", "needs_oauth", "output_ending", "source_environment"]

PREFIX = "TICKETFEED_SOURCE_"
PLACEHOLDERS = {
    "url": "https://{subdomain}.zendesk.com, which only COMMAND can reach",
    "subdomain": "the name of the account",
    "email": "the email address of an admin",
    "token": "an API token of the admin",
    "client_id": "the identifier of an OAuth client that acts as the admin",
    "client_secret": "the secret of the OAuth client",
    "refresh_token_file": "a file with a refresh token, which each use replaces",
    "output": "a file for the tickets; what is in it afterwards is compared. An ending may follow: {output}.ndjson",
    "state": "a file for what the next run needs",
}
_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
_OUTPUT = re.compile(r"\{output\}((?:\.\w+)*/?)")


class CommandFacts(NamedTuple):
    """The values of the placeholders, for one scenario."""

    subdomain: str
    email: str
    token: str
    client_id: str
    client_secret: str
    folder: Path

    @property
    def refresh_token_file(self) -> Path:
        return self.folder / "refresh_token"

    def values(self) -> dict[str, str]:
        """By the names of the placeholders."""
        return {
            "url": f"https://{self.subdomain}.{ZENDESK}",
            "subdomain": self.subdomain,
            "email": self.email,
            "token": self.token,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "refresh_token_file": str(self.refresh_token_file),
            "output": str(self.folder / "output"),
            "state": str(self.folder / "state"),
        }


def fill(command: Sequence[str], facts: CommandFacts) -> list[str]:
    """The words of a command with their placeholders replaced; other braces stay."""
    values = facts.values()
    return [_PLACEHOLDER.sub(lambda found: values[found[1]], word) for word in command]


def output_ending(commands: Sequence[Sequence[str]]) -> str | None:
    """What follows {output} in the words of the commands; None if it is not in them. Raises BadInput for several."""
    endings = {found for command in commands for word in command for found in _OUTPUT.findall(word)}
    if len(endings) > 1:
        raise BadInput(f"COMMAND names several outputs: {', '.join(f'{{output}}{each}' for each in sorted(endings))}")
    return endings.pop() if endings else None


def find_output(commands: Sequence[Sequence[str]], facts: CommandFacts) -> Path | None:
    """The file that the commands write by their words; None if they name none. Raises BadInput for several."""
    ending = output_ending(commands)
    return None if ending is None else Path(f"{facts.values()['output']}{ending}")


def needs_oauth(scenario: Scenario) -> bool:
    """Whether only a command that uses OAuth meets the fault."""
    when = scenario.when
    is_token_endpoint = when.address.startswith("/oauth/")
    return is_token_endpoint or when.credential == "access_token" or when.grant_type is not None


def source_environment(environ: Mapping[str, str], scenario: Scenario, facts: CommandFacts) -> dict[str, str]:
    """The caller's environment with credentials of the account: of OAuth where the scenario is about it, else an API
    token. The caller's own credentials are left out.
    """
    values = facts.values()
    names = ("client_id", "client_secret", "refresh_token_file") if needs_oauth(scenario) else ("email", "token")
    own = {name: value for name, value in environ.items() if not name.startswith(PREFIX)}
    return {**own, **{f"{PREFIX}{name.upper()}": values[name] for name in names}}
