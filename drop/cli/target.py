"""Which node a command talks to, and with which token."""

from __future__ import annotations

from pathlib import Path

from drop.cli.errors import UsageError
from drop.client import Client, default_address, default_token
from drop.client.address import Address, parse_address


def address_of(address: str | None) -> Address:
    """The --address, or the default. Raises UsageError."""
    try:
        return parse_address(address or default_address())
    except ValueError as error:
        raise UsageError(str(error)) from None


def token_of(token_file: Path | None) -> bytes:
    """The token in --token-file without the newline at its end, else DROP_TOKEN, else none."""
    if token_file is None:
        return default_token()
    try:
        return token_file.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise UsageError(f"--token-file {token_file}: {error.strerror}") from None


def open_client(
    address: str | None, token_file: Path | None, timeout: float | None = None
) -> Client:
    """A client that gives up at the first sign of trouble: the user decides what happens next."""
    where = str(address_of(address))
    seconds = 30.0 if timeout is None else timeout
    if not seconds > 0:
        raise UsageError(f"--timeout {seconds:g}: expected more than 0 seconds")
    return Client(where, token=token_of(token_file), timeout=seconds, reconnect=False)
