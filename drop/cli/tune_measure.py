"""`drop tune --measure`: a node of its own under the load of `drop bench`, before and after.

A node of its own, because buffers and queues of a socket are those of the moment it was made: each
run starts one anew, with a function that echoes, and nobody else's node is disturbed. All of it is
on the loopback interface, so what only a long or lossy link shows is not seen; the report says so.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drop.cli import bench, errors, output, tune_table
from drop.cli.errors import CommandError
from drop.cli.tune_scene import Scene, ask, need_root
from drop.client.address import Address, parse_address
from drop.host.tuning.advice import Profile
from drop.host.tuning.judgement import MEASURED, METRICS, PAIRS_MIN, Metric
from drop.host.tuning.parameters import BY_KEY
from drop.host.tuning.plan import writes
from drop.host.tuning.trial import Trial, Trials

PR_SET_PDEATHSIG = 1
START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 15.0
RUN_SECONDS = 1.0  # behind the warm-up of 0.3 s
OUTPUT_BYTES_MAX = 4096  # of what a node that failed has said

FLOW = "name: tuning\nfunc:\n  - {name: echo, cmd: cat, num: 2, inflight: 64}\n"
# Many calls of some size fill buffers; one at a time is what a caller waits for.
LOADS = {
    Profile.THROUGHPUT: {"connections": 8, "depth": 32, "size": 2048},
    Profile.LATENCY: {"connections": 1, "depth": 1, "size": 100},
    Profile.EDGE: {"connections": 8, "depth": 8, "size": 512},
}
LIMITS = (
    "measured on the loopback interface with a node of its own: values for long links, floods and"
    " disks may be right although they did not show here; `drop tune --apply` writes all"
)


def measure(scene: Scene) -> int:
    """Writes, measures, keeps or puts back, group by group."""
    rows, metric = scene.rows(), METRICS[scene.profile]
    need_root(rows, "--measure")
    todo = [each for each in writes(rows) if BY_KEY[each.key].group in MEASURED]
    groups = len({BY_KEY[each.key].group for each in todo})
    seconds = round(groups * PAIRS_MIN * 2 * (RUN_SECONDS + bench.WARMUP_S + 1))
    if not scene.as_json and todo:
        keys = {each.key for each in todo}
        print(tune_table.brief([row for row in rows if row.key in keys]))
    if todo:
        what = f"Write and measure {len(todo)} value(s) in {groups} group(s), about {seconds} s?"
        ask(scene, what, "--measure")
    trials = Trials(scene.sysctls, scene.store, scene.profile, PAIRS_MIN)

    def run() -> float:
        return figure(scene.profile, metric)

    def tell(trial: Trial) -> None:
        if not scene.as_json:
            print(text_of(trial, metric), flush=True)

    with scene.store.locked(), _terminated_like_interrupted():
        found = trials.all(scene.rows(), metric, run, tell)
    return _report(scene, found, metric)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM and a terminal that goes away put everything back, too."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(each, signal.default_int_handler) for each in numbers]
    try:
        yield
    finally:
        for each, handler in zip(numbers, before, strict=True):
            signal.signal(each, handler)


def _report(scene: Scene, found: list[Trial], metric: Metric) -> int:
    failed = any(trial.failed for trial in found)
    if scene.as_json:
        document = {
            "profile": scene.profile,
            "ok": not failed,
            "metric": metric.name,
            "groups": [_document(trial) for trial in found],
            "notes": [LIMITS],
        }
        output.write_json(document)
    else:
        kept = sum(trial.verdict.helped for trial in found)
        print(f"{kept} of {len(found)} group(s) kept" if found else "nothing to measure")
        print(f"note: {LIMITS}")
    return errors.FUNCTION if failed else errors.OK


def _document(trial: Trial) -> dict[str, Any]:
    return {
        "group": trial.group,
        "kept": trial.verdict.helped,
        "values": [asdict(each) for each in trial.writes],
        "before": list(trial.before),
        "after": list(trial.after),
        "median_before": trial.verdict.before,
        "median_after": trial.verdict.after,
        "spread": trial.verdict.spread,
        "failed": tune_table.outcome_documents(trial.failed),
    }


def text_of(trial: Trial, metric: Metric) -> str:
    """The figures of one group, for people."""
    failed = [tune_table.outcomes_text(trial.failed)] if trial.failed else []
    if not trial.writes:
        return "\n".join([f"{trial.group}: not measured, for nothing could be written", *failed])
    verdict = trial.verdict
    keys = ", ".join(each.key for each in trial.writes)
    percent = 100 * (verdict.after / verdict.before - 1)
    lines = [
        f"{trial.group}: {'kept' if verdict.helped else 'put back'} ({keys})",
        f"  {metric.name}: {verdict.before:,.1f} -> {verdict.after:,.1f} ({percent:+.1f} %),"
        f" spread {verdict.spread:,.1f}, better in {verdict.wins} of {verdict.pairs} pairs",
        f"  before: {_figures(trial.before)}",
        f"  after:  {_figures(trial.after)}",
    ]
    return "\n".join([*lines, *failed])


def _figures(values: tuple[float, ...]) -> str:
    return "  ".join(f"{value:,.1f}" for value in values)


# -- one run --------------------------------------------------------------------------------------


def figure(profile: Profile, metric: Metric, seconds: float = RUN_SECONDS) -> float:
    """What a node that is started for this reaches. Raises DropError, CommandError."""
    load = LOADS[profile]
    payload = (bench.ALPHABET * (load["size"] // len(bench.ALPHABET) + 1))[: load["size"]]
    plan = bench.Plan("echo", payload, load["connections"], load["depth"], seconds, 10_000, False)
    with _node() as address, ExitStack() as stack:
        sockets = bench.open_connections(address, b"", plan, stack)
        measured = bench.run_load(plan, sockets, quiet=True, whole=True)
    bench.judge(address, plan, measured)
    if metric.higher_is_better:
        return float(measured["messages"] / max(measured["seconds"], 1e-9))
    return float(measured["p50"] * 1e6)


@contextmanager
def _node() -> Iterator[Address]:
    """A node in a directory of its own, ended with its workers however this ends."""
    with tempfile.TemporaryDirectory(prefix="drop-tune-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # its workers run as another user
        (directory / "flow.yaml").write_text(FLOW)
        port = _free_port()
        ready, ready_of_node = os.pipe()
        try:
            with (directory / "output").open("wb") as told:
                process = _start(directory, port, ready_of_node, told.fileno())
            os.close(ready_of_node)
            try:
                _wait_ready(ready, directory)
                yield parse_address(f"127.0.0.1:{port}")
            finally:
                _stop(process)
        finally:
            os.close(ready)


def _start(directory: Path, port: int, ready: int, told: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "drop.cli.node", "run", "--var-dir", str(directory)]
    command += ["--flow", str(directory / "flow.yaml"), "--ready-fd", str(ready)]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DROP_")}
    config = directory / "drop.yaml"  # not the one of this machine
    config.write_text(f"listen: ['127.0.0.1:{port}']\ndiscovery: {{enabled: false}}\n")
    return subprocess.Popen(
        [*command, "--config", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=told,
        stderr=told,
        pass_fds=[ready],
        env=environ,
        start_new_session=True,  # Ctrl-C is ours: the values go back, then it is ended
        preexec_fn=_end_with_parent(),
    )


def _end_with_parent() -> Callable[[], None]:
    """For the child: be ended in order when the parent dies, even by SIGKILL."""
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(126)

    return prepare


def _free_port() -> int:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError as error:
            text = f"127.0.0.1 cannot be used ({error.strerror}): is the interface lo up?"
            raise CommandError(text, "failed") from None
        return int(probe.getsockname()[1])


def _wait_ready(ready: int, directory: Path) -> None:
    readable, _, _ = select.select([ready], [], [], START_SECONDS_MAX)
    if readable and os.read(ready, 16) == b"ready\n":
        return
    said = (directory / "output").read_bytes()[-OUTPUT_BYTES_MAX:].decode(errors="replace")
    raise CommandError(f"the node to measure with did not start:\n{said}", "failed")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
