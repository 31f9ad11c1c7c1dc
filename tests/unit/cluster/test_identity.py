"""Who the node is, over restarts, clones, damage and clocks that jump."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from drop.cluster.identity import Identity, IdentityFile
from drop.errors import ConfigurationError

WALL = 1_700_000_000_000


class World:
    """A node's directory on a machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "node-id"
        self.machine_id = directory / "machine-id"
        self.machine_id.write_text("0123456789abcdef0123456789abcdef\n")
        self.told: list[str] = []

    def start(self, wall_ms: int = WALL) -> IdentityFile:
        return IdentityFile.load_or_make(
            str(self.directory),
            wall_ms,
            lambda level, event, **fields: self.told.append(fields["text"]),
            machine_id=str(self.machine_id),
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_first_start(world: World) -> None:
    own = world.start().identity
    assert len(own.node_id) == 16
    assert any(own.node_id)
    assert own.incarnation == WALL
    assert stat.S_IMODE(world.file.stat().st_mode) == 0o600
    assert "0123456789abcdef" not in world.file.read_text()  # the machine's id is not for others
    assert world.told == []


def test_the_id_stays_and_the_incarnation_grows(world: World) -> None:
    starts = [world.start(wall).identity for wall in (WALL, WALL + 5000, WALL, 0, WALL + 9000)]
    assert len({each.node_id for each in starts}) == 1
    grown = [each.incarnation - WALL for each in starts]
    assert grown == [0, 5000, 5001, 5002, 9000]
    assert world.told == []


def test_it_is_on_the_disk_before_it_is_used(world: World) -> None:
    own = world.start().identity
    fields = json.loads(world.file.read_text())
    assert (fields["id"], fields["incarnation"]) == (own.node_id.hex(), own.incarnation)


def test_a_cloned_machine_gets_an_id_of_its_own(world: World) -> None:
    before = world.start().identity
    world.machine_id.write_text("f" * 32)
    after = world.start().identity
    assert after.node_id != before.node_id
    assert after.incarnation > before.incarnation
    assert "this machine is a copy of another one" in world.told[0]
    assert world.start().identity.node_id == after.node_id


@pytest.mark.parametrize("text", ["", "uninitialized\n", None])
def test_a_machine_without_an_id_says_nothing(world: World, text: str | None) -> None:
    before = world.start().identity
    if text is None:
        world.machine_id.unlink()
    else:
        world.machine_id.write_text(text)
    assert world.start().identity.node_id == before.node_id
    world.machine_id.write_text("f" * 32)
    assert world.start().identity.node_id != before.node_id  # the old one was remembered


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"id": "00", "incarnation": 1, "machine": ""}',
        b'{"id": "%s", "incarnation": 1, "machine": ""}' % (b"00" * 16),
        b'{"id": "%s", "incarnation": 0, "machine": ""}' % (b"11" * 16),
        b'{"id": "%s", "incarnation": 1e400, "machine": ""}' % (b"11" * 16),
        b'{"id": "%s", "incarnation": 9223372036854775808, "machine": ""}' % (b"11" * 16),
        b'{"id": "%s", "incarnation": null, "machine": ""}' % (b"11" * 16),
        b'{"id": "%s"}' % (b"11" * 16),
        b"[" * 4097,
    ],
)
def test_a_damaged_file_is_like_none(world: World, data: bytes) -> None:
    world.file.write_bytes(data)
    assert world.start().identity.incarnation == WALL
    assert world.told == [f"{world.file} is damaged: the node has a new id"]
    world.start()
    assert len(world.told) == 1


def test_a_file_that_cannot_be_read(world: World) -> None:
    world.file.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read: it is not a regular file"):
        world.start()


def test_a_pipe_in_its_place_does_not_hang_the_node(world: World) -> None:
    os.mkfifo(world.file)
    with pytest.raises(ConfigurationError, match="cannot be read: it is not a regular file"):
        world.start()


def test_nothing_is_written_through_a_symbolic_link(world: World, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious")
    os.symlink(tmp_path / "theirs", world.file)
    with pytest.raises(ConfigurationError, match="is a symbolic link"):
        world.start()
    assert (tmp_path / "theirs").read_text() == "precious"


def test_another_id_when_two_have_this_one(world: World) -> None:
    it = world.start()
    before = it.identity
    after = it.renew()
    assert after.node_id != before.node_id
    assert it.identity == after
    assert world.start().identity.node_id == after.node_id


def test_above_the_clones_incarnation(world: World) -> None:
    it = world.start()
    own = it.identity
    assert it.raise_above(5) == Identity(own.node_id, WALL + 1, own.machine)
    assert it.raise_above(WALL + 100).incarnation == WALL + 101
    assert world.start().identity.incarnation == WALL + 102
    assert it.raise_above((1 << 64) - 1).node_id != own.node_id  # there is nothing above that
