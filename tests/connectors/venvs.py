"""Connectors from the package index, each in an environment of its own, made once and kept.

They pin old versions of what we use, and must run as their users run them; so nothing of ours is in there. `python -m
tests.connectors.venvs` makes those that `make test` needs, several at once; a test makes what is missing then.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["AIRBYTE", "NODE", "PYTHON", "connector_bin", "node_modules", "site_packages"]

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".venv" / "connectors"
SECONDS_MAX = 240.0
# npm trusts a list of its own, where everything else here trusts that of the system.
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
AIRBYTE = "airbyte-source-zendesk-support==4.9.1"
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Environment -> what pip is told to install.
PYTHON: dict[str, tuple[str, ...]] = {
    "aiohttp": ("aiohttp>=3.11,<4",),
    "airbyte-schemas": ("--no-deps", "--ignore-requires-python", AIRBYTE),
    "authlib": ("authlib==1.9.10", "requests"),
    # A new requirement of ours makes a new environment.
    "dlt": (
        "dlt[duckdb,filesystem,parquet]>=1.20,<2",
        *_PROJECT["dependencies"],
        *_PROJECT["optional-dependencies"]["export"],
        *("-e", str(ROOT)),
    ),
    "requests": ("requests>=2.32,<3",),
    "tap-zendesk": ("tap-zendesk==2.8.2",),
    "target-jsonl": ("target-jsonl==0.1.4", "setuptools<81"),
    "unstructured-ingest": ("unstructured-ingest[zendesk]==1.12.0",),
    # Not part of `make test`.
    "airbyte": (AIRBYTE,),
    "zendesk-mcp": ("zendesk-mcp==0.1.6",),
}
# Folder of packages -> what npm is told to install.
NODE = {
    "node": ("zendesk-node-api@1.3.0", "node-zendesk@6.0.1"),
    # Not part of `make test`.
    "zcli": ("@zendesk/zcli-core@2.0.0",),
}
_LATER = {"airbyte", "zendesk-mcp", "zcli"}


def connector_bin(name: str, *requirements: str) -> Path:
    """The folder of programs of a virtual environment, of `PYTHON` if no requirements are given."""
    wanted = requirements or PYTHON[name]

    def make(folder: Path) -> None:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted)

    return _kept(name, (sys.version, *wanted), make) / "bin"


def site_packages(bin: Path) -> Path:
    """The folder of packages of a virtual environment, by its folder of programs."""
    [folder] = bin.parent.glob("lib/python*/site-packages")
    return folder


def node_modules(name: str, *packages: str) -> Path:
    """A folder of packages for NODE_PATH, those of `NODE` if none are given."""
    wanted = packages or NODE[name]

    def make(folder: Path) -> None:
        quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        trusted = {"NODE_EXTRA_CA_CERTS": str(SYSTEM_CERTIFICATES)} if SYSTEM_CERTIFICATES.exists() else {}
        _run("npm", "install", *quiet, "--prefix", str(folder), *wanted, env={**trusted, **os.environ})

    return _kept(name, wanted, make) / "node_modules"


def _kept(name: str, wanted: tuple[str, ...], make: Callable[[Path], None]) -> Path:
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    folder = HOME / f"{name}-{digest[:12]}"
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may ask at once
        done = folder / "done"
        if not done.exists():
            make(folder)
            done.touch()
    return folder


def _run(*command: str, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False, env=env)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"


def _make(make: Callable[[str], Path], name: str) -> None:
    try:
        make(name)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        print(f"{name}: {error}", file=sys.stderr)


def main() -> None:
    """Make every environment of `make test`. One that cannot be made is told, and fails the tests that need it."""
    with ThreadPoolExecutor(4) as pool:  # they mostly wait for the package index
        for name in PYTHON.keys() - _LATER:
            pool.submit(_make, connector_bin, name)
        if shutil.which("npm"):
            for name in NODE.keys() - _LATER:
                pool.submit(_make, node_modules, name)


if __name__ == "__main__":
    main()
