"""`drop fun`: functions as packages, from a template to what is installed on this machine."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drop.cli import errors, output
from drop.cli.errors import CommandError, UsageError
from drop.cli.flow import print_table
from drop.config import Settings, load_settings
from drop.errors import ConfigurationError
from drop.flow.store import FlowStore
from drop.packages import scaffold
from drop.packages.faults import PackageError
from drop.packages.install import install, pack
from drop.packages.names import Reference, parse_reference
from drop.packages.record import digest_of, manifest_values
from drop.packages.resolve import references, users
from drop.packages.store import Installed, PackageStore

#: Whose fault it is: everything else is the caller's.
CODES = {"build": errors.FUNCTION, "damaged": errors.FUNCTION, "unreachable": errors.UNREACHABLE}


@contextmanager
def reporting() -> Iterator[None]:
    """Faults of packages and of files become those of the command. Raises CommandError."""
    try:
        yield
    except PackageError as error:
        raise CommandError(str(error), error.kind, CODES.get(error.kind, errors.USAGE)) from None
    except ConfigurationError as error:
        raise CommandError(str(error), "bad_package", errors.USAGE) from None
    except PermissionError as error:
        text = f"{error.filename or error}: not permitted; run this as the node's user, or name"
        raise CommandError(f"{text} another --var-dir", "denied", errors.USAGE) from None
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise CommandError(f"{place}{error.strerror or error}", "error") from None


def fun_init(*, name: str, lang: str = "python", json: bool = False) -> int:
    """A directory NAME with a function that runs at once."""
    with reporting():
        manifest = scaffold.init(Path(name), lang)
    if tool := scaffold.missing_tool(manifest):
        sys.stderr.write(f"drop: warning: it needs {tool}, and there is none in PATH\n")
    if json:
        output.write_json({"name": manifest.name, "directory": os.path.abspath(name)})
    else:
        print(
            f"{name}: edit it, `drop fun run {name}` talks to it, `drop fun test {name}` tests it"
        )
    return errors.OK


def fun_pack(*, directory: str, output: Path | None = None, json: bool = False) -> int:
    """Builds what is in DIRECTORY and packs it; prints the digest of the archive."""
    with reporting():
        package, file, digest = pack(Path(directory), output)
    return _told(
        {"file": str(file), "package": str(package), "sha256": digest},
        f"{file}  sha256={digest}",
        json,
    )


def fun_install(
    *,
    source: str,
    sha256: str | None = None,
    var_dir: Path | None = None,
    json: bool = False,
) -> int:
    """Installs the package in a file, a directory, at a URL, or a container image."""
    with reporting():
        store = store_of(var_dir)
        installed, new = install(store, source, sha256)
    package = installed.package
    state = "installed" if new else "was installed already, with the same content"
    document = {"package": str(package), "directory": str(installed.files), "new": new}
    return _told(document, f"{package} {state}", json)


def fun_list(*, var_dir: Path | None = None, json: bool = False) -> int:
    """The packages on this machine, by name and version."""
    with reporting():
        store = store_of(var_dir)
        documents = [
            _summary(store, name, version)
            for name in store.names()
            for version in store.versions(name)
        ]
    if json:
        output.write_json({"directory": str(store.directory), "packages": documents})
    elif not documents:
        sys.stderr.write(
            f"no packages in {store.directory}: `drop fun install FILE|DIR|URL` installs one\n"
        )
    else:
        columns = ("name", "version", "kind", "files", "bytes", "description")
        rows = [tuple(str(each.get(key, "")) for key in columns) for each in documents]
        print_table(columns, rows)
    return errors.OK


def fun_info(
    *, function: str, verify: bool = False, var_dir: Path | None = None, json: bool = False
) -> int:
    """What an installed package says about itself; with `verify`, whether it is still so."""
    with reporting():
        store = store_of(var_dir)
        installed = store.find(_reference(function))
        damaged = store.damage(installed) if verify else []
        used = _users(store, installed.package.name, var_dir)[0]
    document = _details(installed)
    document["used_by"] = used.get(installed.package.version, [])
    if verify:
        document["damaged"] = damaged
    if json:
        output.write_json(document)
    else:
        _print_details(document)
    if damaged:
        names = ", ".join(damaged[:10]) + ("..." if len(damaged) > 10 else "")
        text = f"{installed.package} is not as it was installed ({len(damaged)} files: {names});"
        raise CommandError(f"{text} remove it and install it again", "damaged", errors.FUNCTION)
    return errors.OK


def fun_remove(
    *, function: str, force: bool = False, var_dir: Path | None = None, json: bool = False
) -> int:
    """Removes one version; refused while a stored flow uses it, unless `force`."""
    with reporting():
        store = store_of(var_dir)
        reference = _reference(function)
        if reference.version is None:
            there = ", ".join(store.versions(reference.name)) or "none"
            raise UsageError(
                f"{function}: which version? expected {function}:VERSION; installed: {there}"
            )
        if not force:
            _refuse_used(store, reference, var_dir)
        store.remove(reference.name, reference.version)
    return _told({"package": str(reference), "removed": True}, f"{reference} removed", json)


def store_of(var_dir: Path | None) -> PackageStore:
    """Where the node of this user has its packages. Raises ConfigurationError."""
    return PackageStore(settings_of(var_dir).var_dir)


def settings_of(var_dir: Path | None) -> Settings:
    """Those of a node that this user would start. Raises ConfigurationError."""
    return load_settings(var_dir=None if var_dir is None else str(var_dir))


def _told(document: dict[str, Any], text: str, as_json: bool) -> int:
    if as_json:
        output.write_json(document)
    else:
        print(text)
    return errors.OK


def _reference(text: str) -> Reference:
    reference = parse_reference(text)
    if reference is None:
        raise UsageError(f"{text!r}: expected NAME or NAME:VERSION of an installed package")
    return reference


def _summary(store: PackageStore, name: str, version: str) -> dict[str, Any]:
    """A damaged package is listed too: it is there, and it has to be removed."""
    try:
        package = store.find(Reference(name, version)).package
    except PackageError as error:
        return {"name": name, "version": version, "description": f"damaged: {error}"}
    return {
        "name": name,
        "version": version,
        "kind": package.manifest.kind,
        "files": len(package.content),
        "bytes": package.size,
        "description": package.manifest.keys.description,
    }


def _details(installed: Installed) -> dict[str, Any]:
    """Of secrets a package knows the names only; what they are is nowhere in it."""
    package = installed.package
    return {
        **manifest_values(package.manifest),
        "directory": str(installed.files),
        "digest": digest_of(package),
        "files": len(package.content),
        "bytes": package.size,
    }


def _print_details(document: dict[str, Any]) -> None:
    width = max(map(len, document))
    for key, value in document.items():
        if key == "cases":
            value = len(value)
        elif key == "cmd":
            value = shlex.join(value)
        elif key == "build":
            value = "; ".join(map(shlex.join, value))
        elif isinstance(value, dict):
            value = ", ".join(f"{name}={each}" for name, each in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value)) or "-"
        print(f"{key.ljust(width)}  {value}")


def _users(
    store: PackageStore, name: str, var_dir: Path | None
) -> tuple[dict[str, list[str]], list[str]]:
    """By version, the stored flows that use it; and the flow files that cannot be read."""
    settings = settings_of(var_dir)
    flows, unread = [], []
    flow_store = FlowStore(settings.flow_dir)
    for file in flow_store.files() if os.path.isdir(settings.flow_dir) else ():
        try:
            flow = flow_store.load(file)
            flows.append((flow.name, references(flow)))
        except ConfigurationError as error:
            unread.append(f"{file}: {error.message}")
    return users(flows, name, store.versions(name)), unread


def _refuse_used(store: PackageStore, reference: Reference, var_dir: Path | None) -> None:
    used, unread = _users(store, reference.name, var_dir)
    if by := used.get(str(reference.version)):
        raise PackageError(
            f"{reference} is used by the flow {', '.join(by)}: change or remove that first, or"
            " --force; `drop flow list` says where it is",
            "in_use",
        )
    if unread:
        raise PackageError(
            f"whether {reference} is used cannot be told ({unread[0]}): mend that flow, or --force",
            "in_use",
        )
