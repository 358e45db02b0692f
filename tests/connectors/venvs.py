"""Connectors from the package index, each in a virtual environment of its own, made once and kept.

They pin old versions of what we use, and must run as their users run them; so nothing of ours is in there.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

__all__ = ["connector_bin", "site_packages"]

HOME = Path(__file__).parents[2] / ".venv" / "connectors"
SECONDS_MAX = 240.0


def connector_bin(name: str, *requirements: str) -> Path:
    """The folder of programs of an environment with these requirements."""
    wanted = "\n".join([sys.version, *requirements])
    folder = HOME / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may ask at once
        done = folder / "done"
        if not done.exists():
            _run(sys.executable, "-m", "venv", "--clear", str(folder))
            _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements)
            done.touch()
    return folder / "bin"


def site_packages(bin: Path) -> Path:
    """The folder of packages of an environment, by its folder of programs."""
    [folder] = bin.parent.glob("lib/python*/site-packages")
    return folder


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
