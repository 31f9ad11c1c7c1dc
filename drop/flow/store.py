"""The flows that come back after a restart: files in the node's flow directory.

    flows/abcnews.yaml         the flow, as it was when it was started
    flows/abcnews.yaml.state   JSON, ours: where it came from, and whether it has been stopped

A file without a `.state` (put there by a person or a package) is started from this directory.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from drop.errors import ConfigurationError
from drop.flow.load import load_flow, parse_flow
from drop.flow.spec import LoadedFlow

SUFFIXES = (".yaml", ".yml")
STATE_BYTES_MAX = 16_384  # two paths


@dataclass(frozen=True, slots=True)
class State:
    file: str = ""
    """Where it was started from; empty: from here."""
    directory: str = ""
    """Where its relative paths start."""
    stopped: bool = False


class FlowStore:
    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)

    def files(self) -> list[Path]:
        """Hidden files are not flows: editors and our own unfinished writes leave such behind."""
        return sorted(
            path
            for path in self.directory.iterdir()
            if path.suffix in SUFFIXES and not path.name.startswith(".")
        )

    def state(self, file: Path) -> State:
        """Raises ConfigurationError if somebody has damaged it."""
        path = _state_path(file)
        try:
            with path.open("rb") as stream:
                fields = json.loads(stream.read(STATE_BYTES_MAX))
            return State(str(fields["file"]), str(fields["directory"]), fields["stopped"] is True)
        except FileNotFoundError:
            return State()
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ConfigurationError(
                f"cannot be read ({error})",
                file=str(path),
                expected="the file as the node wrote it, or no such file",
            ) from error

    def load(self, file: Path) -> LoadedFlow:
        """Raises ConfigurationError."""
        flow, state = load_flow(file), self.state(file)
        return replace(flow, directory=state.directory) if state.directory else flow

    def save(self, flow: LoadedFlow, data: bytes) -> Path:
        """Keep a flow that has been started from a file with these bytes. Raises OSError."""
        file = self.directory / f"{flow.name}.yaml"
        # The state goes first: a crash in between leaves an old flow or none, never a new one
        # with its relative paths in the wrong directory. An old one would be with the wrong
        # state; it is the same flow by name, and the error would show when its files are missing.
        self._write(_state_path(file), _dump(State(flow.source.file, flow.directory)))
        self._write(file, data)
        return file

    def set_stopped(self, file: Path, stopped: bool) -> None:
        """Raises OSError, ConfigurationError."""
        self._write(_state_path(file), _dump(replace(self.state(file), stopped=stopped)))

    def _write(self, path: Path, data: bytes) -> None:
        """All or nothing, and on the disk before anybody is told."""
        fd, name = tempfile.mkstemp(dir=self.directory, prefix=".")
        try:
            with open(fd, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def read_flow(file: str) -> tuple[LoadedFlow, bytes]:
    """A flow and exactly the bytes it was made of. Raises ConfigurationError."""
    load_flow(file)  # refuses what is not a file, is too large, cannot be read
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", file=file) from error
    return parse_flow(data, os.path.abspath(file)), data


def _state_path(file: Path) -> Path:
    return file.with_name(file.name + ".state")


def _dump(state: State) -> bytes:
    fields = {"file": state.file, "directory": state.directory, "stopped": state.stopped}
    return json.dumps(fields, indent=1).encode() + b"\n"
