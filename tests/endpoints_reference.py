"""Makes docs/reference/http-api.md from the table of operations: `python -m tests.references`."""

from ticketfeed.server.api.operations import OPERATIONS, PARAMETERS
from ticketfeed.server.api.write_operations import WRITE_OPERATIONS

__all__ = ["render"]


def render() -> str:
    """The page."""
    lines = [
        "# All addresses",
        "",
        "Below `/api/v2`, each also with `.json` behind it, to `GET` and `HEAD` unless another method is told.",
        "This page is made from the code.",
    ]
    for tag in dict.fromkeys(operation.tag for operation in OPERATIONS.values()):
        lines += ["", f"## {tag}", "", "| address | what it gives | parameters | for |", "|---|---|---|---|"]
        for path, operation in OPERATIONS.items():
            if operation.tag == tag:
                names = ", ".join(f"`{name}`" for name in operation.parameters)
                lines.append(f"| `{path}` | {operation.summary} | {names} | {operation.role} |")
        for (method, path), write in WRITE_OPERATIONS.items():
            if write.tag == tag:
                names = ", ".join(
                    [f"`{name}`" for name in write.parameters] + [f"body: `{key}`" for key in write.takes]
                )
                lines.append(f"| `{method} {path}` | {write.summary} | {names} | {write.role} |")
    lines += ["", "## Parameters", "", "| name | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, (_, text) in PARAMETERS.items()]
    lines += ["", "How true each is to the original: [fidelity](compatibility-matrix.md)."]
    return "\n".join(lines) + "\n"
