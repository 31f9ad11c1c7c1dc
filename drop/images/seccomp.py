"""From the system calls that podman allows by default to what a runtime takes. Pure.

containers-common brings a profile for every machine and every set of capabilities; a runtime takes
one for this machine and these capabilities. An entry counts when all that it asks for is there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

PROFILES = ("/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json")
"""The machine's own one first."""

# As `uname -m` names the machine: what the profile calls it when it picks entries.
_ARCHITECTURES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What a container may ask of the kernel."""

    profile: Mapping[str, Any]
    """As the OCI format has it: the runtime makes a program of it, in 5 to 20 ms."""
    compiled: str | None = None
    """That program, in base64, for a runtime that takes it as it is."""


def runtime_profile(
    profile: Mapping[str, Any], machine: str, capabilities: Collection[str]
) -> dict[str, Any] | None:
    """None for a machine that is not known here. Raises KeyError or TypeError for a broken one."""
    if machine not in _ARCHITECTURES:
        return None
    short, name = _ARCHITECTURES[machine]
    subordinate = [
        each["subArchitectures"] or []
        for each in profile.get("archMap") or ()
        if each["architecture"] == name
    ]
    calls = [
        _call(entry)
        for entry in profile["syscalls"]
        if _applies(entry, short, frozenset(capabilities))
    ]
    made = {
        "defaultAction": profile["defaultAction"],
        "architectures": [name, *(each for group in subordinate for each in group)],
        "syscalls": calls,
    }
    if "defaultErrnoRet" in profile:
        made["defaultErrnoRet"] = profile["defaultErrnoRet"]
    return made


def _applies(entry: Mapping[str, Any], machine: str, capabilities: frozenset[str]) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    if includes.get("caps") and not capabilities.issuperset(includes["caps"]):
        return False
    if includes.get("arches") and machine not in includes["arches"]:
        return False
    if capabilities & set(excludes.get("caps") or ()):
        return False
    return machine not in (excludes.get("arches") or ())


def _call(entry: Mapping[str, Any]) -> dict[str, Any]:
    kept = {"names": entry["names"], "action": entry["action"]}
    if "errnoRet" in entry:
        kept["errnoRet"] = entry["errnoRet"]
    if entry.get("args"):
        keys = ("index", "value", "valueTwo", "op")
        kept["args"] = [
            {key: argument[key] for key in keys if key in argument} for argument in entry["args"]
        ]
    return kept
