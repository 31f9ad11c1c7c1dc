"""What can go wrong while `drop tune` writes: refusals, kills, full disks, others at work.

Each ends in a state that is said, and that `--revert` brings back to what was there before.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.tuned_host import COPIES, TunedHost, why_not

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[TunedHost]:
    with TunedHost(tmp_path) as host:
        yield host


def test_a_value_that_the_kernel_refuses(host: TunedHost) -> None:
    """tcp_ecn in the place of tcp_max_syn_backlog: EINVAL for 8192, from the kernel itself."""
    script = "mount --bind /proc/sys/net/ipv4/tcp_ecn /proc/sys/net/ipv4/tcp_max_syn_backlog"
    host.must("sh", "-c", script)
    before = host.values()
    document = host.document("--apply", "--yes", code=1)
    outcomes = {each["key"]: each for each in document["outcomes"]}
    refused = outcomes["net.ipv4.tcp_max_syn_backlog"]
    assert refused["state"] == "failed"
    assert "Invalid argument" in refused["text"]
    assert outcomes["net.ipv4.tcp_fin_timeout"]["state"] == "done"  # comes behind it
    recorded = json.loads(host.record.read_bytes())
    assert "net.ipv4.tcp_max_syn_backlog" not in recorded["values"]
    assert recorded["complete"] is True
    drifted = {row["key"] for row in host.document("--check", code=1)["drifted"]}
    assert "net.ipv4.tcp_max_syn_backlog" in drifted
    assert host.document("--revert")["ok"]
    assert host.values() == before


def test_proc_sys_mounted_read_only(host: TunedHost) -> None:
    host.must("sh", "-c", "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys")
    before = host.values()
    rows = host.rows()
    assert rows["net.ipv4.tcp_fin_timeout"]["status"] == "read-only"
    assert "EROFS" in rows["net.ipv4.tcp_fin_timeout"]["note"]
    document = host.document("--apply", "--yes", code=1)
    assert {each["state"] for each in document["outcomes"]} == {"not tried"}
    assert host.values() == before
    assert not host.record.exists()


BECOMES_READ_ONLY = """
import subprocess, sys
from pathlib import Path
from drop.host.tuning import operations, plan, sysctl
from drop.host.tuning.advice import Profile
from drop.host.tuning.parameters import BY_KEY
from drop.host.tuning.saved import Store
from drop.host.tuning.sysctl import Sysctls
rows = plan.plan(sysctl.machine(), sysctl.readings(Sysctls(), BY_KEY), Profile.THROUGHPUT)
net = "/proc/sys/net"
subprocess.run(["mount", "--bind", net, net], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", net], check=True)
store = Store(Path(sys.argv[1]), ())
for each in operations.apply(Sysctls(), store, rows, "throughput"):
    print(each.key, each.state, each.text, sep=": ")
"""


def test_a_file_that_becomes_read_only_between_the_table_and_the_writing(host: TunedHost) -> None:
    before = host.values()
    done = host.python(BECOMES_READ_ONLY, str(host.var))
    assert "net.ipv4.tcp_fin_timeout: failed: Read-only file system" in done.stdout, done.stderr
    assert "vm.swappiness: done" in done.stdout
    host.must("umount", "/proc/sys/net")
    assert host.values() != before
    recorded = json.loads(host.record.read_bytes())["values"]
    assert {key.partition(".")[0] for key in recorded} == {"vm", "kernel", "fs"}
    assert host.document("--revert")["ok"]
    assert host.values() == before


def test_root_without_rights(host: TunedHost) -> None:
    """As in a container: root without CAP_DAC_OVERRIDE, and a file that is another user's."""
    host.must("chown", "65534", "/proc/sys/vm/swappiness")
    bound = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    before = host.values()
    done = host.run(*bound, *host.tune_command("--apply", "--yes", "--json"))
    assert done.returncode == 1, done.stderr
    outcomes = {each["key"]: each for each in json.loads(done.stdout)["outcomes"]}
    assert outcomes["vm.swappiness"]["state"] == "not tried"
    assert outcomes["vm.swappiness"]["text"] == "Permission denied, even to root"
    assert outcomes["vm.dirty_ratio"]["state"] == "done"
    assert host.document("--revert")["ok"]
    assert host.values() == before


KILLED = """
import os, signal, sys
from pathlib import Path
from drop.host.tuning import operations, plan, sysctl
from drop.host.tuning.advice import Profile
from drop.host.tuning.parameters import BY_KEY
from drop.host.tuning.persist import Files
from drop.host.tuning.saved import Store
from drop.host.tuning.sysctl import Sysctls

class Mortal(Sysctls):
    left = 3
    def write(self, key, text):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return super().write(key, text)

rows = plan.plan(sysctl.machine(), sysctl.readings(Sysctls(), BY_KEY), Profile.THROUGHPUT)
store = Store(Path(sys.argv[1]), Files().all)
operations.apply(Mortal(), store, rows, "throughput")
"""


def test_killed_between_two_writes(host: TunedHost) -> None:
    before = host.values()
    assert host.python(KILLED, str(host.var)).returncode == -signal.SIGKILL
    changed = [key for key, value in host.values().items() if value != before[key]]
    assert len(changed) == 3
    assert "was interrupted" in host.tune().stderr
    assert host.tune("--check").returncode == 1
    done = host.tune("--revert")
    assert done.returncode == 0, done.stdout
    assert host.values() == before
    assert not host.record.exists()


def test_killed_and_applied_again(host: TunedHost) -> None:
    before = host.values()
    host.python(KILLED, str(host.var))
    host.tune("--apply", "--yes")
    assert host.values()["net.ipv4.tcp_fin_timeout"] == "30\n"
    assert host.document("--revert")["ok"]
    assert host.values() == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is damaged"),
        ('{"version": 2}', "is of version 2"),
        ('{"version": 1, "profile": "x", "complete": true, "files": {}, "values": {}}',
         "is damaged"),
        ('{"version": 1, "profile": "edge", "complete": true, "files": {}, "values":'
         ' {"kernel.core_pattern": {"before": "|/tmp/x", "written": "1"}}}', "never writes"),
        ('{"version": 1, "profile": "edge", "complete": true, "values": {}, "files":'
         ' {"/etc/passwd": {"before_base64": null, "mode": 420, "written_base64": ""}}}',
         "names the file '/etc/passwd'"),
        ('{"version": 1, "profile": "edge", "complete": true, "files": {}, "values":'
         ' {"vm.swappiness": {"before": "sixty", "written": "1"}}}', "is damaged"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("options", [("--apply", "--yes"), ("--revert",)])
def test_a_corrupt_record(
    host: TunedHost, text: str, expected: str, options: tuple[str, ...]
) -> None:
    before = host.values()
    host.record.write_text(text)
    done = host.tune(*options)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Nothing was changed" in done.stderr
    assert host.values() == before
    assert host.record.read_text() == text


def test_a_record_of_somebody_else_is_not_root_s_to_follow(host: TunedHost) -> None:
    host.tune("--apply", "--yes")
    before = host.values()
    host.must("chown", "65534", str(host.record))
    done = host.tune("--revert")
    assert "belongs to the uid 65534" in done.stderr
    assert host.values() == before


def test_no_room_for_the_record(host: TunedHost) -> None:
    script = 'mount -t tmpfs -o size=16k none "$1" && { cat /dev/zero > "$1/full" || true; }'
    host.must("sh", "-c", f"({script}) 2>/dev/null", "sh", str(host.var))
    before = host.values()
    done = host.tune("--apply", "--yes")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "nothing was changed" in done.stderr
    assert host.values() == before
    host.must("rm", f"{host.var}/full")  # and then it can
    host.tune("--apply", "--yes")
    assert host.values()["vm.swappiness"] == "10\n"
    assert host.document("--revert")["ok"]
    assert host.values() == before


def test_two_at_a_time(host: TunedHost) -> None:
    holder = subprocess.Popen(
        host.command("flock", str(host.var / "tuning.lock"), "sh", "-c", "echo held; exec cat"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    done = host.tune("--apply", "--yes")
    holder.communicate()
    assert "another `drop tune` is at work" in done.stderr
    assert host.values()["vm.swappiness"] == f"{COPIES['vm.swappiness']}\n"
