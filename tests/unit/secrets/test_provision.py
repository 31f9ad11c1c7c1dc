"""What a worker is given at its start, what keeps it from starting, and what has changed since."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from drop.secrets.credentials import Credentials
from drop.secrets.provision import Given, NotProvided, Provision, Wants
from drop.secrets.rotation import Changed, Item
from drop.secrets.store import SecretStore
from drop.secrets.value import Secret

A = Item("secret", "A")


class Node:
    """The parts that a node has of this, in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.warnings: list[str] = []
        self.store = SecretStore(str(directory))
        self.credentials = Credentials(str(directory), [str(directory / "run")])
        self.provision = Provision(self.store, self.credentials, self.warnings.append)

    def file(self, name: str, text: str) -> str:
        (self.directory / name).write_text(text)
        return str(self.directory / name)

    def start(self, *secrets: str, files: tuple[str, ...] = (), worker: int = 1) -> Given:
        wants = Wants(secrets, files, "flow.yml:3")
        return self.provision.for_worker("p", worker, wants)

    def changed(self) -> tuple[Changed, ...]:
        return self.provision.changes({"p"}).replace

    def kept(self) -> tuple[Changed, ...]:
        return self.provision.changes({"p"}).keep


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_function_that_wants_nothing(node: Node) -> None:
    given = node.start()
    assert given.environment({"X": "1"}) == {"X": "1"}
    assert given.directory is None
    given.release()
    assert os.listdir(node.directory) == []


def test_secrets_are_files_and_the_environment_only_has_their_place(node: Node) -> None:
    node.store.set("A", Secret(b"hunter2"))
    given = node.start("A")
    environment = given.environment({"X": "1", "CREDENTIALS_DIRECTORY": "/elsewhere"})
    assert environment == {"X": "1", "CREDENTIALS_DIRECTORY": given.directory}
    assert given.directory is not None
    assert Path(given.directory, "A").read_bytes() == b"hunter2"
    given.release()
    assert not os.path.exists(given.directory)


def test_later_files_win_and_the_flow_wins_over_files(node: Node) -> None:
    files = (node.file("one", "A=1\nB=1\nC=1\n"), node.file("two", "B=2\nC=2\n"))
    given = node.start(files=files)
    assert given.environment({"C": "3"}) == {"A": "1", "B": "2", "C": "3"}


def test_everything_that_is_missing_is_told_at_once(node: Node) -> None:
    node.store.set("BAD", Secret(b"hunter2"))
    os.chmod(Path(node.store.directory, "BAD"), 0o644)
    file = node.file("one", "A=hunter2\nhunter2\n\nA=1\n")
    with pytest.raises(NotProvided) as told:
        node.start("A", "BAD", "B", files=(file, str(node.directory / "absent")))
    text = str(told.value)
    assert "flow.yml:3: the secrets A, B are not set on this node: `drop secret set A` and" in text
    assert "BAD has the mode 0644" in text
    assert f"{file}:2: the line has no =" in text
    assert f"{file}:4: A: line 1 has this name already" in text
    assert "absent: cannot be read: No such file or directory" in text
    assert "hunter2" not in text
    assert not os.path.exists(node.directory / "run")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_no_env_file(node: Node, make: Callable[[Path], None]) -> None:
    make(node.directory / "odd")
    with pytest.raises(NotProvided, match=r"odd: (is not a file|cannot be read)"):
        node.start(files=(str(node.directory / "odd"),))


def test_a_new_value_concerns_workers_that_have_the_old_one(node: Node) -> None:
    node.store.set("A", Secret(b"1"))
    old = node.start("A")
    assert node.changed() == ()
    node.store.set("A", Secret(b"2"))
    assert node.changed() == (Changed("p", (A,)),)
    new = node.start("A")  # the successor starts before the old one has ended
    assert node.changed() == (Changed("p", (A,)),)
    old.release()
    assert node.changed() == ()
    node.store.set("A", Secret(b"1"))
    assert node.changed() == (Changed("p", (A,)),)
    new.release()
    assert node.changed() == ()


def test_an_edited_file_concerns_workers_that_have_the_old_one(node: Node) -> None:
    file = node.file("one", "A=1\n")
    node.start(files=(file,))
    node.file("one", "A=2\n")
    assert node.changed() == (Changed("p", (Item("env_file", file),)),)
    node.file("one", "A=1\n")
    assert node.changed() == ()


def test_workers_stay_when_new_ones_could_not_start(node: Node) -> None:
    file = node.file("one", "A=1\n")
    node.store.set("A", Secret(b"1"))
    node.start("A", files=(file,))
    node.file("one", "hunter2")
    node.store.set("A", Secret(b"2"))
    item = Item("env_file", file)
    assert (node.changed(), node.kept()) == ((), (Changed("p", (item,)),))
    assert node.provision.faults([item]).startswith(f"{file}:1: the line has no =")
    node.store.remove("A")
    assert node.kept() == (Changed("p", (item, A)),)
    assert "`drop secret set A`" in node.provision.faults([A])


def test_a_pool_that_waits_is_started_when_there_is_a_value(node: Node) -> None:
    for worker in (1, 2):
        with pytest.raises(NotProvided):
            node.start("A", worker=worker)
    assert node.provision.missing({"p"}) == {"A": ("p",)}
    assert node.provision.missing({"other"}) == {}
    assert node.changed() == ()
    node.store.set("A", Secret(b"1"))
    assert node.changed() == (Changed("p", (A,)),)
    assert node.changed() == ()  # that is settled; the workers are on their way


def test_a_second_attempt_settles_the_first(node: Node) -> None:
    with pytest.raises(NotProvided):
        node.start("A")
    node.store.set("A", Secret(b"1"))
    node.start("A")
    assert node.changed() == ()
    node.start("A", worker=2)
    with pytest.raises(NotProvided):
        node.start("B", worker=3)
    node.start(worker=3)  # the function does not want it any more
    assert node.provision.missing({"p"}) == {}


def test_a_pool_that_is_gone_is_forgotten(node: Node) -> None:
    node.store.set("A", Secret(b"1"))
    given = node.start("A")
    assert node.provision.users("A") == ("p",)
    assert node.provision.changes(set()).replace == ()
    assert node.provision.users("A") == ()
    given.release()


def test_the_disk_is_warned_of_once(node: Node) -> None:
    node.store.set("A", Secret(b"hunter2"))
    for _ in range(2):
        node.start("A")
    expected = int(node.credentials.on_disk)
    assert len(node.warnings) == expected
    assert "hunter2" not in "".join(node.warnings)


def test_what_cannot_be_removed_is_told(node: Node) -> None:
    node.store.set("A", Secret(b"1"))
    given = node.start("A")
    assert given.directory is not None
    os.chmod(given.directory, 0o700)
    os.mkdir(Path(given.directory, "mine"))
    given.release()
    assert f"secrets of a worker are left in {given.directory}" in node.warnings[-1]
    assert node.changed() == ()


def test_the_end_of_a_node_leaves_nothing(node: Node) -> None:
    node.provision.clear()
    node.store.set("A", Secret(b"1"))
    given = node.start("A")
    assert given.directory is not None
    node.provision.clear()
    assert not os.path.exists(os.path.dirname(given.directory))
    again = node.start("A")
    assert again.directory is not None
    os.chmod(again.directory, 0o700)
    os.mkdir(Path(again.directory, "mine"))
    node.provision.clear()
    assert "secrets of workers are left in" in node.warnings[-1]


def test_a_place_that_cannot_be_used_keeps_the_worker_from_starting(node: Node) -> None:
    node.store.set("A", Secret(b"hunter2"))
    node.file("run", "a file where a directory should be")
    with pytest.raises(NotProvided, match=r"flow.yml:3: secrets cannot be handed over: .*run: "):
        node.start("A")
