"""A node as its unit runs it: a user of its own with a few capabilities, workers another user.

`setpriv` stands for systemd here; the capabilities are read from the unit, so these are enough.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from as_nobody import NOBODY, needs_root
from drop.client import Client
from drop.errors import CallTimeout
from drop.host.capabilities import effective
from node_tools import flow, info, pids, processes, shell, until
from running_node import RunningNode

UNIT = Path(__file__).resolve().parents[2] / "packaging/systemd/drop-core.service"
SERVICE_USER = 64_999
"""Nobody's number, as that of drop-core is on a new machine."""
OVERRIDE = 1 << 1
IN_FORCE = 1 << 7 | 1 << 6 | 1 << 5 | 1 << 0 | 1 << 21 | 1 << 12
NEEDED = IN_FORCE | OVERRIDE

pytestmark = [
    pytest.mark.system,
    needs_root,
    pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv (util-linux)"),
    pytest.mark.skipif(effective() & NEEDED != NEEDED, reason="root has too few capabilities here"),
]


def ambient() -> list[str]:
    lines = re.findall(r"^AmbientCapabilities=(.*)$", UNIT.read_text(), re.M)
    return [name.removeprefix("CAP_").lower() for line in lines for name in line.split()]


def as_service(capabilities: list[str]) -> list[str]:
    named = ",".join(f"+{name}" for name in capabilities)
    rights = f"-all,{named}" if named else "-all"
    return [
        *("setpriv", f"--reuid={SERVICE_USER}", f"--regid={SERVICE_USER}", "--clear-groups"),
        *(f"--inh-caps={rights}", f"--ambient-caps={rights}", f"--bounding-set={rights}"),
    ]


class ServiceNode(RunningNode):
    capabilities: list[str]

    def _command(self, ready_fd: int) -> list[str]:
        return [*as_service(self.capabilities), *super()._command(ready_fd)]


class Service:
    """Starts nodes of the service's user, in a directory that is theirs."""

    def __init__(self, var_dir: Path) -> None:
        self.var_dir = var_dir
        self.node: ServiceNode | None = None

    def __call__(
        self, *flows: str, capabilities: list[str] | None = None, user: str | None = "nobody"
    ) -> ServiceNode:
        environment = {"DROP_WORKER_USER": user} if user else {}
        self.node = ServiceNode(self.var_dir, 0, flows, environment)
        self.node.capabilities = ambient() if capabilities is None else capabilities
        self.node.start()
        return self.node


@pytest.fixture
def service(var_dir: Path) -> Iterator[Service]:
    reachable = [*as_service([]), sys.executable, "-c", "import drop"]
    if subprocess.run(reachable, capture_output=True, cwd="/").returncode != 0:
        pytest.skip(f"another user cannot run {sys.executable}")
    os.chown(var_dir, SERVICE_USER, SERVICE_USER)
    var_dir.chmod(0o751)
    place = var_dir / "node"
    place.mkdir()
    os.chown(place, SERVICE_USER, SERVICE_USER)
    made = Service(place)
    yield made
    if made.node is not None:
        made.node.finish()


def contained(name: str, script: str, **keys: object) -> dict[str, object]:
    return shell(name, script, **{"cwd": "/", "contain": {}, **keys})


SHOW_RIGHTS = (
    "(id -u; id -G; grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status | cut -f 2 | uniq)"
    " | tr '\\n' '|'"
)
RIGHTS = f"while read m; do {SHOW_RIGHTS}; echo; done"


@pytest.mark.parametrize("contain", [{}, "off"])
def test_a_worker_is_another_user_without_rights(service: Service, contain: object) -> None:
    node = service(
        flow(
            "f",
            contained("p", RIGHTS, contain=contain),
            contained("e", SHOW_RIGHTS, kind="exec", contain=contain),
        )
    )
    with Client(node.socket_address) as client:
        for pool in ("p", "e") * 2:  # also of the second: the first has left the node as it was
            said = client.call(pool, b"x").decode().split("|")[:3]
            assert said == [str(NOBODY), "65534", "0" * 16]
            if pool == "p":
                before = pids(client)
                client.control("worker.kill", target="p/1")
                until(lambda before=before: pids(client) and pids(client) != before)


def test_the_node_keeps_its_rights_to_itself(service: Service) -> None:
    node = service(flow("f", contained("p", "cat")))
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    rights = dict(re.findall(r"^Cap(\w+):\t(\w+)$", status, re.M))
    assert rights["Prm"] == rights["Bnd"] == f"{NEEDED:016x}"
    assert rights["Eff"] == f"{IN_FORCE:016x}"  # it opens no file that is not its own
    assert rights["Amb"] == rights["Inh"] == "0" * 16


SPAWN = """
import ctypes, os
from drop._fast.spawn import Recipe
from drop.host.linux import keep_capabilities
if {keep}:
    keep_capabilities()
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # not dumpable, as while another child changes users
reading, writing = os.pipe()
null = os.open(os.devnull, os.O_RDWR)
argv = [b"grep", b"-E", b"Cap(Inh|Prm|Eff|Amb)", b"/proc/self/status"]
recipe = Recipe(
    argv, env=[b"PATH=/usr/bin:/bin"], cwd=b"/", uid=65534, gid=65534, {options}
)
recipe.spawn(0, stdin=null, stdout=writing, stderr=null)
os.close(writing)
print(open(reading).read())
"""


def spawn(rights: list[str], options: str, *, keep: bool) -> subprocess.CompletedProcess[str]:
    code = SPAWN.format(keep=keep, options=options)
    command = [*as_service(rights), sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd="/")


@pytest.mark.parametrize("dropped", [True, False])
def test_a_worker_gives_up_what_its_parent_would_hand_on(service: Service, dropped: bool) -> None:
    """Here the parent keeps nothing to itself: what it would hand on (inheritable, ambient) ends
    with the change of user, and `no_capabilities` takes the rest."""
    ran = spawn(ambient(), f"no_capabilities={dropped}", keep=False)
    rights = dict(re.findall(r"Cap(\w+):\t(\w+)", ran.stdout))
    assert rights.pop("Inh") == f"{0 if dropped else NEEDED:016x}"  # worth nothing by itself
    assert set(rights.values()) == {"0" * 16}


def test_the_priority_of_memory_while_another_child_changes_users(service: Service) -> None:
    options = "no_capabilities=True, oom_score_adjust=300"
    ran = spawn(ambient(), options, keep=True)
    assert set(re.findall(r"\t(\w+)", ran.stdout)) == {"0" * 16}, ran.stderr
    without = [name for name in ambient() if name != "dac_override"]
    assert "out-of-memory priority" in spawn(without, options, keep=True).stderr


def test_a_worker_cannot_read_what_is_the_nodes(service: Service) -> None:
    key = service.var_dir / "key"
    key.write_text("the key")
    key.chmod(0o600)
    os.chown(key, SERVICE_USER, SERVICE_USER)
    script = (
        f"read m; cat {key} {service.var_dir}/secrets/* 2>/dev/null && echo read; "
        "cat /proc/$PPID/environ >/dev/null 2>&1 && echo seen; ls /tmp | wc -l; cat"
    )
    node = service(flow("f", contained("p", script)))
    with Client(node.socket_address) as client:
        client.control("secret.set", name="OTHER", value="c2VjcmV0")
        assert client.call("p", b"x") == b"0"


def test_a_worker_reads_its_own_secrets(service: Service) -> None:
    script = "read m; cat $CREDENTIALS_DIRECTORY/MINE; ls -ld $CREDENTIALS_DIRECTORY >&2; echo; cat"
    # Before the first worker: set by the node's user, without a node.
    given = [*as_service([]), str(Path(sys.executable).with_name("drop")), "secret", "set", "MINE"]
    subprocess.run(
        [*given, "--var-dir", str(service.var_dir)],
        input=b"of mine",
        check=True,
        env={**os.environ, "HOME": str(service.var_dir)},
        cwd="/",
    )
    node = service(flow("f", contained("p", script, secrets=["MINE"])))
    with Client(node.socket_address) as client:
        assert client.call("p", b"x") == b"of mine"


def test_a_hung_worker_of_another_user_is_ended(marked: str, service: Service) -> None:
    hang = f"read m; exec sh -c 'trap \"\" TERM; while :; do read x; done' {marked} </dev/zero"
    node = service(flow("f", contained("p", hang, timeout=300)))
    with Client(node.socket_address) as client:
        with pytest.raises(CallTimeout):
            client.call("p", b"x", timeout=30.0)
        until(lambda: not processes(marked))


def test_read_only_without_a_network(service: Service) -> None:
    mine = f"drop-test-{os.getpid()}"
    script = (
        f"read m; (touch /var/lib/x 2>/dev/null && echo wrote; touch /tmp/{mine} && echo mine;"
        " tail -n +3 /proc/net/dev | cut -d : -f 1) | tr -d ' ' | tr '\\n' ' '; echo; cat"
    )
    contain = {"filesystem": "read-only", "network": "none"}
    node = service(flow("f", contained("p", script, contain=contain)))
    with Client(node.socket_address) as client:
        assert client.call("p", b"x") == b"mine lo "
    assert not Path("/tmp", mine).exists()


def test_no_function_of_it_is_ever_roots(service: Service) -> None:
    file = service.var_dir / "flow.yaml"
    file.write_text(flow("f", contained("p", "cat", user="root")))
    node = [*as_service(ambient()), str(Path(sys.executable).with_name("drop-node")), "run"]
    options = ["--var-dir", str(service.var_dir), "--flow", str(file)]
    environment = {**os.environ, "DROP_LISTEN": "127.0.0.1:0"}
    ran = subprocess.run(
        [*node, *options], env=environment, capture_output=True, text=True, cwd="/"
    )
    assert ran.returncode == 2
    assert "workers cannot run as root" in ran.stderr


def test_without_rights_workers_are_the_node_itself(service: Service) -> None:
    node = service(flow("f", contained("p", RIGHTS)), capabilities=[], user=None)
    with Client(node.socket_address) as client:
        said = client.call("p", b"x").decode().split("|")
        assert said[:3] == [str(SERVICE_USER), str(SERVICE_USER), "0" * 16]
        assert info(client, "f")["state"] == "running"


def test_without_rights_for_namespaces_it_says_what_is_off(service: Service) -> None:
    few = [name for name in ambient() if name not in ("sys_admin", "net_admin")]
    contain = {"network": "none"}
    node = service(flow("f", contained("p", RIGHTS, contain=contain)), capabilities=few)
    with Client(node.socket_address) as client:
        assert client.call("p", b"x").decode().startswith(f"{NOBODY}|")
    assert "given too few capabilities" in node.output
