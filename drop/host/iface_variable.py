"""DROP_IFACE: the interface that somebody named for this node, wherever they wrote it.

In the process's environment; else in /etc/drop-env (`DROP_IFACE=eth1`, with or without `export`);
else in an `export DROP_IFACE=eth1` line of the service user's .bashrc, which no service ever reads
by itself: there `echo 'export DROP_IFACE=eth1' | tee -a /home/drop-core/.bashrc` leaves it. Files
are read here and never given to a shell; in each the last line wins, and an empty value names none.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from drop.errors import ConfigurationError
from drop.host.interfaces import NAME_BYTES_MAX, Wanted
from drop.host.regular import read_regular

VARIABLE = "DROP_IFACE"
ENV_FILE = "/etc/drop-env"
SERVICE_USER = "drop-core"
FILE_BYTES_MAX = 1 << 20  # of a .bashrc; what stands behind it is not read

EXPECTED = f"an interface's name as `ip link` shows it: 1 to {NAME_BYTES_MAX} bytes without / and :"
SHOWN_MAX = 40  # characters of a wrong name in a text


@dataclass(frozen=True, slots=True)
class Found:
    wanted: Wanted | None
    warnings: tuple[ConfigurationError, ...]
    """Files that could not be read: what they name is not known."""


def wanted(
    environ: Mapping[str, str], env_file: str = ENV_FILE, home: str | None = None
) -> Wanted | None:
    """What `find` finds, without its warnings."""
    return find(environ, env_file, home).wanted


def find(environ: Mapping[str, str], env_file: str = ENV_FILE, home: str | None = None) -> Found:
    """Who names an interface; the first that does is taken. `home`: of the service user."""
    if value := environ.get(VARIABLE, "").strip():
        return Found(_checked(value, "environment", None), ())
    warnings = []
    for path, exported in zip(files(home, env_file), (False, True), strict=True):
        try:
            text = _read(path)
        except OSError as error:
            warnings.append(_unreadable(path, error))
            continue
        if (named := named_in(text, path, exported=exported)) is not None:
            return Found(named, tuple(warnings))
    return Found(None, tuple(warnings))


def files(home: str | None = None, env_file: str = ENV_FILE) -> tuple[str, str]:
    """Those that are read, in their order; whether they are there or not."""
    return env_file, os.path.join(service_home() if home is None else home, ".bashrc")


def service_home() -> str:
    """Of the user drop-core where there is one, else of the user that this process runs as."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SERVICE_USER).pw_dir
    with contextlib.suppress(KeyError):  # a container may run under a uid without an account
        return pwd.getpwuid(os.geteuid()).pw_dir
    return "/"


def named_in(text: str, path: str, *, exported: bool) -> Wanted | None:
    """What the last line of a file that sets the variable makes of it."""
    found: Wanted | None = None
    for number, line in enumerate(text.split("\n"), 1):
        value = _value(line, exported)
        if value is not None:
            found = _checked(value, path, number) if value else None
    return found


def _value(line: str, exported: bool) -> str | None:
    """What a line sets the variable to; None when it does not. `exported`: only if it says so."""
    line = line.strip().lstrip("\ufeff")  # also the \r of a file from elsewhere
    if VARIABLE not in line or line.startswith("#"):
        return None
    try:
        words = _words(line)
    except ValueError:  # a quote that is not closed: what would a shell make of it?
        words = line.split()
    if words[:1] == ["export"]:
        words = words[1:]
    elif exported:
        return None
    values = [word.partition("=") for word in words]
    return next((value for name, is_, value in reversed(values) if name == VARIABLE and is_), None)


def _words(line: str) -> list[str]:
    """Those of the first command of a line, without quotes and comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set(";&|"):
            break
        words.append(word)
    return words


def _checked(name: str, path: str, line: int | None) -> Wanted:
    origin = path if line is None else f"{path}:{line}"
    reason = _wrong(name)
    if reason is None:
        return Wanted(name, origin)
    shown = name if len(name) <= SHOWN_MAX else f"{name[:SHOWN_MAX]}..."
    fault = ConfigurationError(reason, file=path, line=line, key=VARIABLE, expected=EXPECTED)
    return Wanted(ascii(shown)[1:-1], origin, fault)


def _wrong(name: str) -> str | None:
    """What the kernel does not take as a name; reads behind the name."""
    if len(name.encode(errors="surrogateescape")) > NAME_BYTES_MAX:
        return f"is longer than an interface's name can be ({NAME_BYTES_MAX} bytes)"
    if name in (".", ".."):
        return "can be no interface's name"
    wrong = sorted({each for each in name if each in "/:\"'`$\\" or each.isspace()})
    if wrong or not name.isprintable():
        shown = " ".join("a blank" if each.isspace() else each for each in wrong)
        return f"can be no interface's name: it has {shown or 'bytes that are no text'}"
    return None


def _read(path: str) -> str:
    """Its text; empty when there is no such file. Raises OSError."""
    try:
        return read_regular(path, FILE_BYTES_MAX).decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _unreadable(path: str, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot be read: {error.strerror}; if it names an interface, that is not known",
        file=path,
        key=VARIABLE,
        expected=f"a file that this user may read: `ls -l {Path(path)}`",
    )
