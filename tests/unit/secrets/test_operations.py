"""The operations of `$control` about secrets, and that nothing they say has a value in it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from drop.secrets.credentials import Credentials
from drop.secrets.operations import REQUEST_BYTES_MAX, SecretOperations
from drop.secrets.provision import NotProvided, Provision, Wants
from drop.secrets.store import SecretStore
from drop.secrets.value import SECRET_BYTES_MAX, Secret, SecretError

HUNTER = b"hunter2"


class Node:
    def __init__(self, directory: Path) -> None:
        self.pools = {"p", "q"}
        self.replaced: list[str] = []
        self.told: list[Any] = []
        self.store = SecretStore(str(directory))
        credentials = Credentials(str(directory), [str(directory / "run")])
        self.provision = Provision(self.store, credentials, self.told.append)
        self.operations = SecretOperations(
            self.store,
            self.provision,
            lambda: self.pools,
            self.replaced.append,
            lambda level, event, **fields: self.told.append((level, event, fields)),
        )

    def set(self, name: object, value: bytes) -> dict[str, Any]:
        encoded = base64.b64encode(value).decode()
        return self.operations.set({"name": name, "value_base64": encoded})


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_setting_replaces_the_workers_that_use_it(node: Node) -> None:
    node.set("A", b"old")
    node.provision.for_worker("p", 1, Wants(("A",)))
    node.provision.for_worker("q", 1, Wants())
    assert node.set("A", HUNTER) == {
        "name": "A",
        "size": 7,
        "changed": True,
        "restarting": ["p"],
        "kept": [],
    }
    assert node.replaced == ["p"]
    assert node.set("A", HUNTER)["changed"] is False


def test_setting_starts_who_waits_for_it(node: Node) -> None:
    with pytest.raises(NotProvided):
        node.provision.for_worker("p", 1, Wants(("A",)))
    assert node.operations.list({}) == {
        "secrets": [],
        "missing": [{"name": "A", "used_by": ["p"]}],
    }
    assert node.set("A", HUNTER)["restarting"] == ["p"]


def test_the_list(node: Node) -> None:
    node.set("A", HUNTER)
    node.set("B", HUNTER)
    node.provision.for_worker("p", 1, Wants(("A",)))
    reply = node.operations.list({})
    assert [(each["name"], each["size"], each["used_by"]) for each in reply["secrets"]] == [
        ("A", 7, ["p"]),
        ("B", 7, []),
    ]
    assert all(each["changed"].endswith("Z") for each in reply["secrets"])


def test_removing_what_is_used_needs_force(node: Node) -> None:
    node.set("A", HUNTER)
    node.provision.for_worker("p", 1, Wants(("A",)))
    with pytest.raises(SecretError, match=r"A is used by p, .*--force") as told:
        node.operations.remove({"name": "A"})
    assert told.value.kind == "conflict"
    assert node.operations.remove({"name": "A", "force": True}) == {"name": "A"}
    reply = node.operations.changed({})
    assert reply["restarting"] == []
    assert reply["kept"][0]["pool"] == "p"
    assert "`drop secret set A`" in reply["kept"][0]["because"]
    node.set("A", b"x")
    node.pools.discard("p")  # stopped
    assert node.operations.remove({"name": "A"}) == {"name": "A"}


@pytest.mark.parametrize(
    "request_",
    [
        {"value_base64": "aHVudGVyMg=="},
        {"name": 7, "value_base64": "aHVudGVyMg=="},
        {"name": "A=hunter2", "value_base64": "aHVudGVyMg=="},
        {"name": "A"},
        {"name": "A", "value_base64": "hunter2!"},
        {"name": "A", "value_base64": "grüße hunter2"},
        {"name": "A", "value_base64": ["hunter2"]},
        {"name": "A", "value_base64": ""},
    ],
)
def test_requests_that_are_refused(node: Node, request_: dict[str, Any]) -> None:
    with pytest.raises(SecretError) as told:
        node.operations.set(request_)
    assert told.value.kind == "bad_request"
    assert "hunter2" not in str(told.value)


def test_nothing_that_is_said_has_a_value(node: Node) -> None:
    said = [node.set("A", HUNTER)]
    node.provision.for_worker("p", 1, Wants(("A",)))
    said += [node.operations.list({}), node.set("A", b"hunter22"), node.operations.changed({})]
    said += [node.operations.remove({"name": "A", "force": True}), node.operations.changed({})]
    text = json.dumps([said, node.told])
    assert "hunter2" not in text
    assert base64.b64encode(HUNTER).decode().rstrip("=") not in text
    assert "secret_set" in text


def test_the_largest_value_fits_into_a_request() -> None:
    encoded = base64.b64encode(b"x" * SECRET_BYTES_MAX).decode()
    request = {"op": "secret.set", "name": "A" * 128, "value_base64": encoded}
    assert len(json.dumps(request)) <= REQUEST_BYTES_MAX
    assert len(Secret(b"x" * SECRET_BYTES_MAX)) == SECRET_BYTES_MAX
