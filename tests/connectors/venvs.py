"""Connectors from the package index, each in an environment of its own, made once and kept.

They pin old versions of what we use, and must run as their users run them; so nothing of ours is in there.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["AIRBYTE", "TAP_ZENDESK", "connector_bin", "node_modules", "site_packages"]

HOME = Path(__file__).parents[2] / ".venv" / "connectors"
SECONDS_MAX = 240.0
# npm trusts a list of its own, where everything else here trusts that of the system.
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
AIRBYTE = "airbyte-source-zendesk-support==4.9.1"
TAP_ZENDESK = "tap-zendesk==2.8.2"


def connector_bin(name: str, *requirements: str) -> Path:
    """The folder of programs of a virtual environment with these requirements."""

    def make(folder: Path) -> None:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements)

    return _kept(name, (sys.version, *requirements), make) / "bin"


def site_packages(bin: Path) -> Path:
    """The folder of packages of a virtual environment, by its folder of programs."""
    [folder] = bin.parent.glob("lib/python*/site-packages")
    return folder


def node_modules(name: str, *packages: str) -> Path:
    """A folder with these packages of npm, for NODE_PATH."""

    def make(folder: Path) -> None:
        quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        trusted = {"NODE_EXTRA_CA_CERTS": str(SYSTEM_CERTIFICATES)} if SYSTEM_CERTIFICATES.exists() else {}
        _run("npm", "install", *quiet, "--prefix", str(folder), *packages, env={**trusted, **os.environ})

    return _kept(name, packages, make) / "node_modules"


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
