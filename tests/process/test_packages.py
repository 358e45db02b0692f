"""What is handed out: a wheel with everything inside, a source archive that can be worked on, a core that is small."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.test_docs import ROOT


def run(*command: str, **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def sources() -> set[str]:
    """Every file that the repository has."""
    return set(run("git", "ls-files", cwd=ROOT).splitlines())


pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone: what belongs inside is git's to say")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", str(folder), cwd=ROOT)
    return folder


def test_wheel(built: Path) -> None:
    """The wheel has every file of the package, the plugin, the licence, and nothing else."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = Parser().parsestr(wheel.read("ticketfeed-0.1.0.dist-info/METADATA").decode())
        entry_points = wheel.read("ticketfeed-0.1.0.dist-info/entry_points.txt").decode()
    assert names == {name.removeprefix("src/") for name in sources() if name.startswith("src/")}
    assert {"all", "dashboard", "metrics", "page", "postgres", "telemetry", "tls"} <= set(
        metadata.get_all("Provides-Extra") or ()
    )
    assert "[pytest11]\nticketfeed = pytest_ticketfeed" in entry_points


def test_sdist(built: Path) -> None:
    """The source archive has every file of the repository."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert sources() - names == set()


def test_the_core_is_small(built: Path, tmp_path: Path) -> None:
    """Without any extra it is a dozen packages or so, and loads, serves and answers; what is missing is named."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    wheel = str(next(built.glob("*.whl")))
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    listed = run(python, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check").splitlines()
    packages = {line.partition("==")[0].lower() for line in listed} - {"pip", "setuptools", "ticketfeed"}
    assert not packages & {"jinja2", "prometheus-client", "psycopg", "cryptography", "opentelemetry-sdk", "pytest"}
    assert len(packages) <= 40, packages
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = [python, "-m", "ticketfeed"]
    run(*command, "generate", "50", cwd=tmp_path, env=env)
    page = run(*command, "get", "/api/v2/incremental/tickets/cursor?start_time=0&per_page=1", cwd=tmp_path, env=env)
    assert page.startswith('{"tickets":[{')
    told = subprocess.run([*command, "get", "/_ticketfeed/"], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert b"pip install 'ticketfeed[dashboard]'" in told.stdout
    done = subprocess.run([*command, "serve", "--tls"], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert (done.returncode, b"ticketfeed[tls]" in done.stderr) == (2, True)
    done = subprocess.run(
        [*command, "serve", "--telemetry", "--port", "0"], cwd=tmp_path, env=env, capture_output=True, check=False
    )
    assert (done.returncode, b"ticketfeed[telemetry]" in done.stderr) == (2, True)
