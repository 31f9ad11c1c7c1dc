"""What a running node does with secrets when it is asked through `$control`: JSON in, JSON out.

    {"op": "secret.set", "name": NAME, "value_base64": VALUE}   {"op": "secret.list"}
    {"op": "secret.remove", "name": NAME, "force": false}       {"op": "secret.changed"}

No answer, event or error has a value in it. Every one raises SecretError, whose `kind` is that of
a refusal.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection
from typing import Any

from drop.clock import time_text
from drop.secrets.provision import Provision
from drop.secrets.rotation import Changed
from drop.secrets.store import Entry, SecretStore
from drop.secrets.value import SECRET_BYTES_MAX, Secret, SecretError

Document = dict[str, Any]

REQUEST_BYTES_MAX = SECRET_BYTES_MAX * 4 // 3 + 4096
"""Of a `secret.set` with the largest value."""


class SecretOperations:
    def __init__(
        self,
        store: SecretStore,
        provision: Provision,
        pools: Callable[[], Collection[str]],
        replace: Callable[[str], None],
        report: Callable[..., None],
    ) -> None:
        """`pools`: the names of those that run. `replace` renews the workers of one, in turn.
        `report(level, event, **fields)` is the node's journal."""
        self._store = store
        self._provision = provision
        self._pools = pools
        self._replace = replace
        self._report = report

    def set(self, request: Document) -> Document:
        """Keep a value; workers that have an older one, or wait for one, are replaced."""
        name, value = _name(request), _value(request)
        changed = self._store.set(name, value)
        self._report("info", "secret_set", secret=name, changed=changed)
        return {"name": name, "size": len(value), "changed": changed, **self.changed({})}

    def list(self, request: Document) -> Document:
        entries = [describe(each) for each in self._store.entries()]
        for entry in entries:
            entry["used_by"] = list(self._provision.users(entry["name"]))
        missing = self._provision.missing(self._pools())
        return {
            "secrets": entries,
            "missing": [{"name": name, "used_by": list(by)} for name, by in missing.items()],
        }

    def remove(self, request: Document) -> Document:
        """Running workers keep what they have; so it is refused while there are some."""
        name = _name(request)
        exists = any(each.name == name for each in self._store.entries())
        users = [pool for pool in self._provision.users(name) if pool in self._pools()]
        if exists and users and request.get("force") is not True:
            text = (
                f"{name} is used by {', '.join(users)}, whose workers could not be started again: "
                "stop their flow first, or --force"
            )
            raise SecretError("conflict", text)
        self._store.remove(name)
        self._report("info", "secret_removed", secret=name)
        return {"name": name}

    def changed(self, request: Document) -> Document:
        """Compare what workers have with what there is, and replace those that have old values.

        For values that changed without the node: an env_file, or the store of a node at rest.
        """
        decision, kept = self._provision.changes(self._pools()), []
        for each in decision.replace:
            self._report("info", "workers_renewed", pool=each.pool, text=_text(each))
            self._replace(each.pool)
        for each in decision.keep:
            text = f"{self._provision.faults(each.items)}; the workers stay as they are"
            self._report("warning", "workers_not_renewed", pool=each.pool, text=text)
            kept.append({"pool": each.pool, "because": text})
        return {"restarting": [each.pool for each in decision.replace], "kept": kept}


def describe(entry: Entry) -> Document:
    """What may be shown of a secret, as JSON."""
    return {"name": entry.name, "size": entry.size, "changed": time_text(entry.changed)}


def _text(changed: Changed) -> str:
    return ", ".join(map(str, changed.items))


def _name(request: Document) -> str:
    name = request.get("name")
    if not isinstance(name, str):
        raise SecretError("bad_request", "`name`: expected a text")
    return name


def _value(request: Document) -> Secret:
    encoded = request.get("value_base64")
    if not isinstance(encoded, str):
        raise SecretError("bad_request", "`value_base64`: expected a text in base64")
    try:
        return Secret(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        raise SecretError("bad_request", "`value_base64`: it is not base64") from None
