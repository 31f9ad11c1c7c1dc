"""What the end of a worker means: whose fault it was, in which words, and what follows. Pure."""

from __future__ import annotations

from dataclasses import replace

from drop.workers import events as ev
from drop.workers.breaker import BreakerLimits
from drop.workers.slot import SlotState
from drop.workers.slots import Slot

FAULTS = {
    "timeout": "did not answer within its timeout",
    "unasked": "wrote to stdout without being asked",
    "too_large": "wrote an answer that is too large",
    "garbled": "wrote what its kind does not allow",
    "memory": "needed more memory than the node may use",
}
"""Why the reactor gives a worker up. Any other reason: the worker closed a pipe, or we asked."""

WRONG_HEALTH = "answered its health check with something else"


def fault(reason: str, slot: Slot, policy: ev.Policy) -> str:
    """Empty when the reactor's reason names no fault of the worker's."""
    if reason == "timeout" and slot.unfit:
        return "did not answer its health check within its timeout"
    if reason == "garbled" and slot.state is SlotState.READYING:
        return f"its first line on stdout does not begin with {policy.ready!r}"
    return FAULTS.get(reason, "")


def late_start(policy: ev.Policy) -> str:
    return (
        f"did not say it was ready within {policy.start_seconds:g} s; "
        f"expected a line that begins with {policy.ready!r} on stdout"
    )


def late_health(slot: Slot) -> str:
    assert slot.health is not None
    return f"did not answer its health check within {slot.health.every_seconds:g} s"


def restarts(slot: Slot, policy: ev.Policy) -> bool:
    if slot.stand_in:  # it is there to show that the new version works
        return True
    failed = not slot.clean or bool(slot.fault)
    restart = policy.restart
    return restart is ev.Restart.ALWAYS or (restart is ev.Restart.ON_FAILURE and failed)


def fruitful(slot: Slot, policy: ev.Policy, now: float) -> bool:
    """It answered, or nobody asked it and it lived long enough to show that it starts. Who was
    never ready or failed its health check has shown the opposite."""
    if slot.serving_since is None or slot.unfit:
        return False
    lived = now - slot.serving_since >= policy.breaker.proven_seconds
    return slot.answered > 0 or (lived and not slot.unanswered)


def breaker_limits(policy: ev.Policy) -> BreakerLimits:
    """A worker that is given 30 s to start fails twice in a minute at most, and one that is asked
    every 30 s how it is likewise: the breaker has to look back as far as that takes."""
    slow = policy.start_seconds if policy.ready is not None else 0.0
    slow += policy.health.every_seconds if policy.health else 0.0
    limits = policy.breaker
    return replace(limits, window_seconds=limits.window_seconds + limits.fruitless_max * slow)


def end_text(slot: Slot) -> str:
    """For people: what ended, and how."""
    if not slot.pid:  # never started: the launcher's text names the command
        return slot.error
    how = f"{slot.fault} ({slot.error})" if slot.fault else slot.error
    if slot.serving_since is None and not slot.fault:
        how += ", before it was ready"
    return f"{slot.command}: {how}"


def end_report(slot: Slot) -> ev.Report:
    level = "warning" if slot.wanted and not slot.renew else "info"
    event = "worker_ended" if slot.pid else "spawn_failed"
    counts = f"answered {slot.answered}, unanswered {slot.unanswered}" if slot.pid else ""
    text = "; ".join(filter(None, (end_text(slot), counts)))
    return ev.Report(level, event, text, slot.number, slot.pid or None)


def refusal(*, all_stopped: bool, policy: ev.Policy, last_error: str) -> str:
    what = "it fails, and is only tried again from time to time"
    if all_stopped:
        what = f"it ended, and is not started again (restart: {policy.restart})"
    return f"{what}: {last_error}; its log: {policy.log}"
