"""The files that an isolated command sees in place of the system's: hosts, name service, and trusted certificates.

The real files are untouched; the private ones are bound over them in the command's own mount namespace.
"""

import itertools
import os
import ssl
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ticketfeed.wrap.authority import root_hash
from ticketfeed.wrap.hosts import ZENDESK, is_zendesk
from ticketfeed.wrap.interpreters import find_certificates, find_java_roots
from ticketfeed.wrap.trust import SYSTEM_FILES, encode_java_roots, read_file

__all__ = ["PrivateFiles", "write_private_files"]

HOSTS, NAME_SERVICES, RESOLVER = Path("/etc/hosts"), Path("/etc/nsswitch.conf"), Path("/etc/resolv.conf")
# Name caches that libc queries before it reads a file.
_NAME_CACHES = ("/run/nscd/socket", "/var/run/nscd/socket")
_FOLDERS = ("/etc/ssl/certs", "/etc/pki/tls/certs")
# Further names are looked up like those of other hosts.
HOSTS_MAX = 1000
_JAVA_FILES = ("/etc/ssl/certs/java/cacerts", "/etc/pki/java/cacerts")


class PrivateFiles(NamedTuple):
    """Pairs of what is put in place of what: files, and folders whose entries come before those of the real one."""

    files: Sequence[tuple[str, str]]
    folders: Sequence[tuple[str, str]]


def write_private_files(
    folder: Path,
    root_pem: bytes,
    accounts: Collection[str],
    command: Sequence[str],
    environ: Mapping[str, str],
) -> PrivateFiles:
    """Write them into an empty folder."""
    contents = {
        **_certificate_files(root_pem, command, environ),
        **{Path(os.path.realpath(file)): text for file, text in _name_files(accounts).items()},
    }
    files = []
    for number, (target, text) in enumerate(contents.items()):
        private = folder / str(number)
        private.write_bytes(text)
        files.append((str(private), str(target)))
    files += [(os.devnull, cache) for cache in _NAME_CACHES if os.path.exists(cache)]
    return PrivateFiles(files, list(_certificate_folders(folder / "certs", root_pem)))


def _name_files(accounts: Collection[str]) -> dict[Path, bytes]:
    """The hosts file has the accounts; every other name is looked up at 127.0.0.1 (see `names`)."""
    lines = [f"127.0.0.1 {account}.{ZENDESK}" for account in itertools.islice(accounts, HOSTS_MAX)]
    lines += (line for line in _lines(HOSTS) if not any(map(is_zendesk, line.lower().split("#")[0].split())))
    services = [line for line in _lines(NAME_SERVICES) if not line.lstrip().startswith("hosts:")]
    texts = {
        HOSTS: lines,
        NAME_SERVICES: [*services, "hosts: files dns"],
        RESOLVER: ["nameserver 127.0.0.1"],
    }
    return {
        file: "".join(f"{line}\n" for line in text).encode() for file, text in texts.items() if os.path.exists(file)
    }


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _certificate_files(root_pem: bytes, command: Sequence[str], environ: Mapping[str, str]) -> dict[Path, bytes]:
    """Bundles of the system, and those of the command's own Python and Java, each with our root at its end."""
    bundles = [*map(Path, (*SYSTEM_FILES, ssl.get_default_verify_paths().openssl_cafile))]
    bundles += find_certificates(command, environ)
    found = {file: read_file(file) for file in _real(bundles)}
    texts = {file: b"\n".join([text, root_pem]) for file, text in found.items() if text}
    stores = list(_real([*map(Path, _JAVA_FILES), *find_java_roots(command, environ)]))
    if stores:
        roots = next(iter(texts.values()), root_pem)
        texts |= dict.fromkeys(stores, encode_java_roots(roots))
    return texts


def _certificate_folders(private: Path, root_pem: bytes) -> Iterator[tuple[str, str]]:
    """Folders in which OpenSSL looks for a root by the hash of its name."""
    private.mkdir()
    (private / f"{root_hash(root_pem)}.0").write_bytes(root_pem)
    for folder in _real([*map(Path, _FOLDERS), Path(ssl.get_default_verify_paths().openssl_capath)]):
        yield str(private), str(folder)


def _real(paths: Iterable[Path]) -> Iterable[Path]:
    """Those that exist, each once, whatever links lead there."""
    return dict.fromkeys(Path(os.path.realpath(path)) for path in paths if os.path.exists(path))
