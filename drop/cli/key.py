"""`drop key`: makes, installs and exchanges the keys that nodes know each other by.

It works on the key file of the node of this machine, and tells the node when one runs. A key is
written to that file, or where `--output` says, and is shown nowhere else: people see fingerprints.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drop.cli import errors, output
from drop.cli.errors import CommandError, UsageError
from drop.cli.flow import control
from drop.errors import ConfigurationError, DropError

if TYPE_CHECKING:
    from drop.config import Settings

Document = dict[str, Any]

TELL_SECONDS = 5.0  # a node that has more to do reads the file by itself
_STDIO = Path("-")


def key_generate(
    *,
    output: Path | None = None,
    var_dir: Path | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """A new key: the node's own, or in a file to take elsewhere."""
    from drop.cluster import keys

    key = keys.generate()
    document: Document = {"fingerprint": keys.fingerprint(key)}
    if output == _STDIO:
        return _print_key(document, keys.dump([key]).decode(), json)
    with _reporting():
        settings = None if output else _settings(var_dir)
        path = str(output.absolute()) if output else _made_directory(settings)
        keys.write_new(path, key)
    document["file"] = path
    lines = [f"key {document['fingerprint']} written to {path}"]
    if settings is None:
        lines.append(f"`drop key install {output}` makes a node accept it")
    else:
        lines.append("copy the file to the other nodes, and run `drop key install FILE` there")
    return _done(document, lines, json, settings, address, token_file)


def key_install(
    *,
    source: str,
    var_dir: Path | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Accepts the key in a file, or on stdin; where there was none, it is the node's."""
    from drop.cluster import keys
    from drop.cluster.keys import Installed

    with _reporting():
        key = _read_key(source)
        settings = _settings(var_dir)
        path = _made_directory(settings)
        found = keys.install(path, key)
        now = keys.load(path)
    document = {"file": path, "fingerprint": keys.fingerprint(key), "installed": str(found)}
    signer = keys.fingerprint(now[0])
    text = {
        Installed.FIRST: "is this node's key",
        Installed.ADDED: f"is accepted from now on; {signer} signs until `drop key rotate`",
        Installed.SAME: "is here already",
    }[found]
    tell = None if found is Installed.SAME else settings
    return _done(
        document, [f"key {document['fingerprint']} {text}"], json, tell, address, token_file
    )


def key_rotate(
    *,
    finish: bool = False,
    var_dir: Path | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Signs with the second key from now on; `--finish` drops the one that no longer signs."""
    from drop.cluster import keys

    with _reporting():
        settings: Settings | None = _settings(var_dir)
        assert settings is not None
        path = settings.key_file
        if not os.path.lexists(path):
            raise ConfigurationError(
                "is not there, so there is no key to exchange",
                file=path,
                expected="a key: `drop key generate` makes one, `drop key install FILE` takes one",
            )
        dropped = keys.finish(path) if finish else None
        now = keys.load(path) if finish else keys.rotate(path)
    prints = [keys.fingerprint(key) for key in now]
    document: Document = {"file": path, "signs": prints[0], "accepted": prints}
    if not finish:
        text = f"key {prints[0]} signs from now on; {prints[1]} is accepted until `--finish`"
    elif dropped:
        document["dropped"] = keys.fingerprint(dropped)
        text = f"key {document['dropped']} is no longer accepted; {prints[0]} is the only one"
    else:
        settings = None
        text = f"key {prints[0]} is the only one; there is nothing to finish"
    return _done(document, [text], json, settings, address, token_file)


def key_show(*, var_dir: Path | None = None, json: bool = False) -> int:
    """The fingerprints of the node's keys, never the keys."""
    from drop.cluster import keys

    with _reporting():
        path = _settings(var_dir).key_file
        found = keys.load(path) if os.path.lexists(path) else ()
    prints = [keys.fingerprint(key) for key in found]
    if json:
        output.write_json(
            {"file": path, "signs": prints[0] if prints else None, "accepted": prints}
        )
    elif prints:
        print(f"{prints[0]}  signs, and is accepted")
        for each in prints[1:]:
            print(f"{each}  is accepted")
    else:
        sys.stderr.write(
            f"no key in {path}: `drop key generate` makes one, `drop key install FILE` takes one\n"
        )
    return errors.OK


# --- files ---


@contextmanager
def _reporting() -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        raise CommandError(str(error), "bad_key", errors.USAGE) from None


def _settings(var_dir: Path | None) -> Settings:
    """Those of the node that this user would start. Raises ConfigurationError."""
    from drop.config import load_settings

    return load_settings(var_dir=str(var_dir) if var_dir else None)


def _made_directory(settings: Settings | None) -> str:
    """The node's key file; before its first start there may be no directory for it."""
    assert settings is not None
    if os.path.dirname(settings.key_file) == settings.var_dir:
        try:
            os.makedirs(settings.var_dir, mode=0o751, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot be made: {error.strerror}",
                file=settings.var_dir,
                expected="the node's user, or root, to run this; or --var-dir DIRECTORY",
            ) from error
    return settings.key_file


def _read_key(source: str) -> bytes:
    """The one key in a file or on stdin. Raises UsageError, ConfigurationError."""
    from drop.cluster import keys

    limit = keys.FILE_BYTES_MAX + 1
    if source == "-":
        data, name = sys.stdin.buffer.read(limit), "stdin"
    else:
        name = source
        try:
            with open(source, "rb") as stream:
                data = stream.read(limit)
                mode = os.fstat(stream.fileno()).st_mode
        except OSError as error:
            raise UsageError(f"{source}: {error.strerror}") from None
        if stat.S_ISREG(mode) and mode & 0o077:
            sys.stderr.write(f"drop: warning: others can read {source}: remove it, or chmod 600\n")
    found = keys.parse(data, name)
    if len(found) > 1:
        raise UsageError(f"{name} holds {len(found)} keys: expected the one to install")
    return found[0]


# --- words ---


def _print_key(document: Document, line: str, as_json: bool) -> int:
    if as_json:
        output.write_json({**document, "key": line.rstrip("\n")})
    else:
        sys.stdout.write(line)
        sys.stdout.flush()
    return errors.OK


def _done(
    document: Document,
    lines: list[str],
    as_json: bool,
    settings: Settings | None,
    address: str | None,
    token_file: Path | None,
) -> int:
    """Says what was done, and tells the node; without settings, the node is not concerned."""
    told = _tell(settings, address, token_file) if settings else None
    if as_json:
        output.write_json({**document, "told": told is None} if settings else document)
    else:
        print("\n".join(lines))
        if told:
            print(told)
    return errors.OK


def _tell(settings: Settings, address: str | None, token_file: Path | None) -> str | None:
    """Why the node could not be told; None: it was, and has read the file."""
    where = address or f"unix:{settings.unix_socket}"
    try:
        control(where, token_file, "node.reload_keys", timeout=TELL_SECONDS)
        return None
    except CommandError as error:
        if error.kind != "bad_request":  # of a node that knows the request
            sys.stderr.write(f"drop: warning: the node does not take it: {error}\n")
            return None
    except DropError:
        pass
    return f"no node was told; one that uses {settings.key_file} reads it within a second"
