"""What the supervision of a pool is told, and what it asks for: plain values. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from drop.workers.breaker import BreakerLimits
from drop.workers.health import Health


class Restart(StrEnum):
    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Policy:
    """How the workers of one pool are kept running. All times in seconds."""

    pool: str
    command: str
    """For people; never executed."""
    log: str
    """Where its stderr goes; for people."""
    workers: int = 1
    restart: Restart = Restart.ALWAYS
    ready: str | None = None
    """A worker is ready when its stdout has a line that begins with this; None: when it runs."""
    start_seconds: float = 30.0
    """For a worker to say so."""
    health: Health | None = None
    source: bool = False
    """It has no messages to finish; the pool has drained when its workers have ended."""
    surge: bool = False
    """A roll-out begins with one worker more than `workers`, so that no old one is taken away
    before a new one is ready. Not for a function of which two cannot run side by side."""
    settle_seconds: float = 0.5
    """Without `ready`: a new version that has run so long is taken for one that starts."""
    drain_seconds: float = 10.0
    """For the answers that one worker owes when it is replaced or no longer wanted."""
    close_seconds: float = 2.0
    """From end of file on stdin to SIGTERM: a function may want to write its last results."""
    term_seconds: float = 2.0
    """From SIGTERM to SIGKILL."""
    leave_seconds: float = 0.5
    """A worker that closed a pipe is usually about to exit; its own exit code tells more than our
    SIGKILL would. After this long it is broken, not leaving."""
    backoff_seconds: float = 0.1
    """The first wait before a restart; doubled by each fruitless end in a row."""
    backoff_seconds_max: float = 30.0
    breaker: BreakerLimits = field(default_factory=BreakerLimits)


# --- told ---


@dataclass(frozen=True, slots=True)
class Start:
    pass


@dataclass(frozen=True, slots=True)
class Update:
    """Another number of workers, another way to start them."""

    policy: Policy
    replace: bool
    """What runs is out of date; replaced one worker after the other."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Start workers anew, one after the other; those that wait for their next start, at once."""

    slots: frozenset[int] | None = None
    """None: all."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Finish what was accepted, within the grace."""

    grace_seconds: float


@dataclass(frozen=True, slots=True)
class Kill:
    """Stop at once, whatever is lost."""


@dataclass(frozen=True, slots=True)
class Spawned:
    slot: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    slot: int
    error: str
    """The command, errno and what was tried, for people."""
    hopeless: bool
    """No retry can help until somebody changes something: not found, not executable ..."""


@dataclass(frozen=True, slots=True)
class Ready:
    slot: int


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    slot: int
    outcome: str
    """`ok`; `busy`: it had work and was not asked; `wrong`."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The reactor has closed the worker's pipes."""

    slot: int
    reason: str
    unanswered: int
    answered: int


@dataclass(frozen=True, slots=True)
class Drained:
    slot: int
    answered: int = 0


@dataclass(frozen=True, slots=True)
class Exited:
    slot: int
    status: str
    """`exit code 3`, `killed by SIGSEGV`."""
    clean: bool
    """It ended with exit code 0."""


@dataclass(frozen=True, slots=True)
class SlotTimer:
    slot: int


@dataclass(frozen=True, slots=True)
class PoolTimer:
    pass


@dataclass(frozen=True, slots=True)
class BreakerTimer:
    pass


@dataclass(frozen=True, slots=True)
class HealthTimer:
    pass


@dataclass(frozen=True, slots=True)
class RollOutTimer:
    pass


@dataclass(frozen=True, slots=True)
class PoolDrained:
    pass


Timer = PoolTimer | BreakerTimer | HealthTimer | RollOutTimer
SlotInput = Spawned | SpawnFailed | Ready | HealthAnswer | Gone | Drained | Exited | SlotTimer
Input = Start | Update | Renew | Stop | Kill | Timer | PoolDrained | SlotInput

# --- asked for ---


@dataclass(frozen=True, slots=True)
class Spawn:
    slot: int


@dataclass(frozen=True, slots=True)
class CancelSpawn:
    slot: int


@dataclass(frozen=True, slots=True)
class RemoveWorker:
    slot: int
    drain: bool


@dataclass(frozen=True, slots=True)
class TellExited:
    """The reactor should read what the dead worker left behind, and be done with it."""

    slot: int


@dataclass(frozen=True, slots=True)
class Signal:
    """To the whole process group."""

    slot: int
    kill: bool


TimerKey = int | str
"""A slot's number, or one of TIMERS."""

TIMERS: dict[TimerKey, Timer] = {
    "pool": PoolTimer(),
    "breaker": BreakerTimer(),
    "health": HealthTimer(),
    "rollout": RollOutTimer(),
}


def timer_event(key: TimerKey) -> Timer | SlotTimer:
    """What is told when it fires."""
    return SlotTimer(key) if isinstance(key, int) else TIMERS[key]


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask an idle worker whether it is well."""

    slot: int
    health: Health


@dataclass(frozen=True, slots=True)
class SetTimer:
    """One timer per key: a new one replaces the old one."""

    key: TimerKey
    seconds: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    key: TimerKey


@dataclass(frozen=True, slots=True)
class DrainPool:
    pass


@dataclass(frozen=True, slots=True)
class Refuse:
    """Messages for the pool get `no_worker` with this text; None: they are taken again."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """A line for the node's own log."""

    level: str
    event: str
    text: str
    slot: int | None = None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class RolledOut:
    """A roll-out is complete; or (with an error) it has met a new worker that failed, leaves the
    old ones alone and tries again."""

    replaced: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PoolStopped:
    """No process of the pool lives; it can be removed. The last action there is."""


Action = (
    Spawn
    | CancelSpawn
    | RemoveWorker
    | TellExited
    | Signal
    | SetTimer
    | CancelTimer
    | DrainPool
    | Refuse
    | Probe
    | Report
    | RolledOut
    | PoolStopped
)
