"""`drop secret`: sets, lists and removes the secrets of the node of this machine.

Through the node when one runs, so that workers get the new value at once; straight into its
directory when none does. A value comes from stdin, a file or a prompt, never from the command
line, which everybody on the machine can read; and it only goes to a node of this machine, because
a connection is not encrypted.
"""

from __future__ import annotations

import base64
import fcntl
import getpass
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drop.cli import errors, output
from drop.cli.errors import CommandError, UsageError
from drop.cli.flow import EXIT_CODES, control, print_table
from drop.cli.target import address_of
from drop.client import default_address
from drop.client.address import Address, parse_address
from drop.secrets.value import SECRET_BYTES_MAX, Secret, SecretError, check_name

Document = dict[str, Any]

CONNECT_SECONDS = 2.0  # to see whether there is a node, on this machine


def secret_set(
    *,
    name: str,
    value: str | None = None,
    file: Path | None = None,
    raw: bool = False,
    var_dir: Path | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Keeps a value; workers that use it are replaced in turn."""
    if value is not None:
        raise UsageError(
            "a value on the command line can be read by every user of this machine: give it on "
            "stdin, with --file, or when asked; and take another one, for this is no secret now"
        )
    with _refusals():
        check_name(name)
        secret = Secret(_read_value(name, file, raw))
        node = _node(address, var_dir)
        if node is None:
            with _store(var_dir) as store:
                reply: Document = {"ok": True, "name": name, "size": len(secret)}
                reply["changed"] = store.set(name, secret)
        else:
            _only_local(node)
            value_base64 = base64.b64encode(secret.reveal()).decode()
            reply = control(node, token_file, "secret.set", name=name, value_base64=value_base64)
    what = "set" if reply["changed"] else "is the same as before"
    return _done(reply, f"secret {name} {what} ({len(secret)} bytes)", json)


def secret_list(
    *,
    var_dir: Path | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Names, sizes, times and users of the secrets; no values."""
    reply = _list(address, var_dir, token_file)
    if json:
        output.write_json(reply)
        return errors.OK
    if reply["secrets"]:
        rows = [
            (each["name"], str(each["size"]), each["changed"], _names(each.get("used_by")))
            for each in reply["secrets"]
        ]
        print_table(("secret", "bytes", "changed", "used by"), rows)
    else:
        sys.stderr.write("no secrets: `drop secret set NAME` sets one\n")
    for each in reply.get("missing", []):
        sys.stderr.write(f"drop: warning: {each['name']} is not set, ")
        sys.stderr.write(f"and {_names(each['used_by'])} cannot start without it\n")
    return errors.OK


def secret_remove(
    *,
    name: str,
    force: bool = False,
    var_dir: Path | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Forgets a secret; refused while functions that run use it."""
    with _refusals():
        check_name(name)
        node = _node(address, var_dir)
        if node is None:
            with _store(var_dir) as store:
                store.remove(name)
            reply: Document = {"ok": True, "name": name}
        else:
            reply = control(node, token_file, "secret.remove", name=name, force=force)
    return _done(reply, f"secret {name} removed", json)


def secret_rotate(
    *, json: bool = False, address: str | None = None, token_file: Path | None = None
) -> int:
    """Replaces, in turn, the workers that have older values of secrets or files than there are."""
    reply = control(address, token_file, "secret.changed")
    none = "" if reply["restarting"] or reply["kept"] else "every worker has what there is"
    _done(reply, none, json)
    return errors.FUNCTION if reply["kept"] else errors.OK


# --- the value ---


def _read_value(name: str, file: Path | None, raw: bool) -> bytes:
    if file is not None:
        try:
            with file.open("rb") as stream:
                return stream.read(SECRET_BYTES_MAX + 1)
        except OSError as error:
            raise UsageError(f"--file {file}: {error.strerror}") from None
    if sys.stdin.isatty():
        return _ask(name)
    data = sys.stdin.buffer.read(SECRET_BYTES_MAX + 2)
    return data if raw else data.removesuffix(b"\n")


def _ask(name: str) -> bytes:
    """Without an echo, twice: nobody sees what was mistyped."""
    try:
        value = getpass.getpass(f"{name}: ")
        if getpass.getpass(f"{name}, once more: ") != value:
            raise UsageError("the two values differ; nothing was changed")
    except EOFError:
        raise UsageError("no value was given; nothing was changed") from None
    return value.encode("utf-8", "surrogateescape")


# --- the node, or its directory ---


def _node(address: str | None, var_dir: Path | None) -> str | None:
    """The address of the node to ask; None: no node runs, as far as can be told."""
    if address or os.environ.get("DROP_ADDRESS"):
        return str(address_of(address))
    if var_dir is not None:
        likely = f"unix:{(var_dir / 'drop.sock').absolute()}"
    else:
        likely = default_address()
    return likely if _somebody_listens(parse_address(likely)) else None


def _somebody_listens(address: Address) -> bool:
    family = socket.AF_UNIX if address.path else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_SECONDS)
        try:
            probe.connect(address.path or (address.host, address.port))
        except OSError:
            return False
    return True


def _only_local(node: str) -> None:
    host = address_of(node).host
    try:
        local = not host or host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise UsageError(
            f"{node} is another machine, and the connection to it is not encrypted: "
            "run this there (over ssh, for example)"
        )


def _list(address: str | None, var_dir: Path | None, token_file: Path | None) -> Document:
    with _refusals():
        node = _node(address, var_dir)
        if node is not None:
            return control(node, token_file, "secret.list")
        from drop.secrets.operations import describe

        with _store(var_dir) as store:
            return {"ok": True, "secrets": [describe(each) for each in store.entries()]}


@contextmanager
def _store(var_dir: Path | None) -> Iterator[Any]:
    """The store of a node that does not run, and will not start meanwhile."""
    from drop.secrets.store import SecretStore

    directory = _var_dir(var_dir)
    if not os.path.isdir(directory):
        raise CommandError(
            f"{directory} is not there: start the node once, or name its directory by --var-dir",
            "not_found",
            errors.USAGE,
        )
    lock = _lock(directory)
    try:
        if lock is not None and not _held(lock):
            raise CommandError(
                f"a node uses {directory} and is not where it is looked for: name it by --address",
                "conflict",
                errors.USAGE,
            )
        yield SecretStore(directory)
    finally:
        if lock is not None:
            os.close(lock)


def _var_dir(given: Path | None) -> str:
    if given is not None:
        return str(given.absolute())
    from drop.config import load_settings
    from drop.errors import ConfigurationError

    try:
        return load_settings().var_dir
    except ConfigurationError as error:
        raise UsageError(f"the node's directory is not known: {error}") from None


def _lock(directory: str) -> int | None:
    """The lock file of a directory; None: no node has ever run there."""
    from drop.host.lock import LOCK_FILE

    try:
        return os.open(os.path.join(directory, LOCK_FILE), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _held(lock: int) -> bool:
    """Takes it, so that no node starts while it is open; False when a node has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# --- words ---


@contextmanager
def _refusals() -> Iterator[None]:
    """What our own side refuses looks as if the node had."""
    try:
        yield
    except SecretError as error:
        code = EXIT_CODES.get(error.kind, errors.FUNCTION)
        raise CommandError(str(error), error.kind, code) from None


def _names(pools: list[str] | None) -> str:
    return ", ".join(pools) if pools else "-"


def _done(reply: Document, text: str, as_json: bool) -> int:
    if as_json:
        output.write_json(reply)
        return errors.OK
    if text:
        print(text)
    if reply.get("restarting"):
        print(f"workers are replaced in turn: {', '.join(reply['restarting'])}")
    for each in reply.get("kept", []):
        sys.stderr.write(f"drop: warning: {each['pool']} is left as it is: {each['because']}\n")
    return errors.OK
