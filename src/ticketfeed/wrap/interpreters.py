"""The certificate files of a command's Python and Java, found without running them."""

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["find_certificates", "find_interpreter", "find_java_roots"]

HEAD_BYTES_MAX = 4096
# Of a command, with those of a shell's script in it.
WORDS_MAX = 200

# Below the folder that an interpreter's bin is in: Debian's folders of packages are called dist-packages; conda has
# a bundle for OpenSSL, too.
_BUNDLES = ("lib*/python3*/*-packages/certifi/cacert.pem", "ssl/cacert.pem", "ssl/cert.pem")


def find_certificates(command: Sequence[str], environ: Mapping[str, str]) -> list[Path]:
    """The bundles of every Python that the command may run: those of programs that its words name, as after `env` or
    `sh -c`, the active environment's, and that on PATH.
    """
    path = environ.get("PATH", os.defpath)
    interpreters = [*(find_interpreter(word, path) for word in _words(command)), shutil.which("python3", path=path)]
    prefixes = [Path(each).parent.parent for each in interpreters if each]
    prefixes += [Path(os.path.realpath(each)).parent.parent for each in interpreters if each]
    prefixes += [Path(environ["VIRTUAL_ENV"])] if environ.get("VIRTUAL_ENV") else []
    prefixes += [Path(".venv"), Path(environ.get("HOME", "/"), ".local")]
    if Path("/usr") in prefixes:
        prefixes.append(Path("/usr/local"))
    found = [file for prefix in dict.fromkeys(prefixes) for pattern in _BUNDLES for file in prefix.glob(pattern)]
    folders = filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))
    return [*found, *(file for each in folders if os.path.exists(file := Path(each, "certifi", "cacert.pem")))]


def find_java_roots(command: Sequence[str], environ: Mapping[str, str]) -> list[Path]:
    """The file `cacerts` of every JDK that the command may run: its own, that of JAVA_HOME, and that on PATH."""
    path = environ.get("PATH", os.defpath)
    programs = [shutil.which(name, path=path) for name in (*_words(command), "java")]
    homes = [Path(os.path.realpath(each)).parent.parent for each in programs if each and Path(each).name == "java"]
    homes += [Path(environ["JAVA_HOME"])] if environ.get("JAVA_HOME") else []
    files = (home / part / "security" / "cacerts" for home in homes for part in ("lib", "jre/lib"))
    return [file for file in files if os.path.exists(file)]


def find_interpreter(program: str, path: str) -> str | None:
    """The Python that runs a program: the program itself, or the one that its first line names."""
    found = shutil.which(program, path=path)
    if found is None or _is_python(found):
        return found
    try:
        with open(found, "rb") as file:
            lines = file.read(HEAD_BYTES_MAX).decode("utf-8", "surrogateescape").splitlines()
        words = next(_named(lines), [])
    except (OSError, ValueError):  # a quote without an end
        return None
    return next((shutil.which(word, path=path) for word in words if _is_python(word)), None)


def _words(command: Sequence[str]) -> list[str]:
    """The words of a command, and those of its words."""
    found: dict[str, None] = {}
    for word in command:
        found |= dict.fromkeys([word, *word.split()])
    return list(found)[:WORDS_MAX]


def _named(lines: Sequence[str]) -> Iterator[list[str]]:
    """The interpreter line of a script, as words. pip writes a path that is too long into the second line."""
    if lines and lines[0].startswith("#!"):
        if len(lines) > 1 and lines[1].startswith("'''exec'"):
            yield shlex.split(lines[1])
        yield lines[0].removeprefix("#!").split()


def _is_python(word: str) -> bool:
    return os.path.basename(word).startswith(("python", "pypy"))
