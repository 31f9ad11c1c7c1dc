"""What the kernel knows of a process and its threads: CPU time, context switches, memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REACTOR = "drop-reactor-0"


@dataclass(frozen=True)
class Usage:
    """Since the start of whatever it describes; subtract two of them."""

    cpu_ns: int = 0
    switches: int = 0  # voluntary and not

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_ns + other.cpu_ns, self.switches + other.switches)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.cpu_ns - other.cpu_ns, self.switches - other.switches)


def threads(pid: int) -> dict[str, Usage]:
    """Usage of each thread by its name; the first thread is "main". Threads may come and go."""
    found: dict[str, Usage] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = "main" if task.name == str(pid) else (task / "comm").read_text().strip()
            usage = _usage(task)
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[name] = found.get(name, Usage()) + usage
    return found


def total(pids: list[int]) -> Usage:
    """Usage of whole processes."""
    return sum((usage for pid in pids for usage in threads(pid).values()), Usage())


def rss_bytes(pid: int) -> int:
    return int(_status(Path(f"/proc/{pid}"))["VmRSS"].split()[0]) * 1024


def _usage(task: Path) -> Usage:
    cpu_ns = int((task / "schedstat").read_text().split()[0])
    status = _status(task)
    switches = int(status["voluntary_ctxt_switches"]) + int(status["nonvoluntary_ctxt_switches"])
    return Usage(cpu_ns, switches)


def _status(directory: Path) -> dict[str, str]:
    lines = (directory / "status").read_text().splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name: value.strip() for name, _, value in pairs}
