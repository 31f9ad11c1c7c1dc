"""`drop tune` on real keys of a private network namespace and on copies of the global ones."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node_tools import processes, until
from system.tuned_host import TunedHost, why_not

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]

PERSISTED = "90-drop.conf"
LIMITS = "drop-core.service.d/limits.conf"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[TunedHost]:
    with TunedHost(tmp_path) as host:
        yield host


def test_the_table_changes_nothing(host: TunedHost) -> None:
    before = host.values()
    rows = host.rows()
    assert rows["vm.swappiness"]["current"] == "60"
    assert rows["vm.swappiness"]["direction"] == "lowers"
    assert rows["net.ipv4.tcp_tw_recycle"]["status"] == "gone"
    assert rows["net.core.netdev_max_backlog"]["status"] == "absent"
    assert rows["net.core.rmem_max"]["status"] in ("read-only", "absent", "change")
    assert host.tune().returncode == 0
    assert host.values() == before
    assert list(host.var.iterdir()) == []


def test_apply_then_check_then_revert(host: TunedHost) -> None:
    before = host.values()
    applied = host.document("--apply", "--yes", code=applied_code(host))
    done = {each["key"] for each in applied["outcomes"] if each["state"] == "done"}
    assert {"vm.swappiness", "kernel.panic", "fs.file-max", "net.ipv4.tcp_fin_timeout"} <= done
    values = host.values()
    assert values["vm.swappiness"] == "10\n"
    assert values["kernel.panic"] == "10\n"
    assert values["net.ipv4.tcp_fin_timeout"] == "30\n"
    assert {key for key in values if values[key] != before[key]} == done
    reverted = host.document("--revert")
    assert {each["key"] for each in reverted["outcomes"]} == done
    assert host.values() == before
    assert not host.record.exists()
    assert host.tune("--revert").returncode == 0


def applied_code(host: TunedHost) -> int:
    """1 where some keys can only be looked at, as net.core.rmem_max in a namespace."""
    rows = host.rows().values()
    return int(any(row["status"] == "read-only" for row in rows))


def test_check_tells_what_drifted_and_nothing_else(host: TunedHost) -> None:
    host.tune("--apply", "--yes")
    rest = {row["key"] for row in host.document("--check", code=1)["drifted"]}
    assert rest <= {
        "ulimit -n",
        *(f"net.core.{x}mem_{y}" for x in "rw" for y in ("max", "default")),
    }
    host.must("sh", "-c", "echo 77 > /proc/sys/vm/swappiness")
    host.must("sh", "-c", "echo 55 > /proc/sys/net/ipv4/tcp_fin_timeout")
    found = host.tune("--check")
    assert found.returncode == 1
    assert "was set to 10 by `drop tune`" in found.stdout
    assert "vm.dirty_ratio" not in found.stdout
    drifted = {row["key"] for row in host.document("--check", code=1)["drifted"]}
    assert drifted - rest == {"vm.swappiness", "net.ipv4.tcp_fin_timeout"}


def test_check_is_content_when_all_is_as_recommended(host: TunedHost) -> None:
    """With limits of buffers that are here (as copies), and a limit of descriptors that is high."""
    host.must("sh", "-c", COVER_BUFFERS, "sh", str(host.directory))
    done = host.tune("--apply", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    script = 'ulimit -n 65536 2>/dev/null || exit 99; exec "$@"'
    checked = host.run("sh", "-c", script, "sh", *host.tune_command("--check"))
    if checked.returncode == 99:  # CAP_SYS_RESOURCE is missing: the limit is what it is
        drifted = host.document("--check", code=1)["drifted"]
        assert [row["key"] for row in drifted] == ["ulimit -n"]
    else:
        assert checked.stdout == "as applied, profile throughput\n"
        assert checked.returncode == 0


COVER_BUFFERS = """
for key in rmem_max wmem_max rmem_default wmem_default; do
    [ -e /proc/sys/net/core/$key ] || continue
    echo 212992 > "$1/$key" && mount --bind "$1/$key" /proc/sys/net/core/$key || exit
done
"""


def test_applying_twice_keeps_the_first_originals(host: TunedHost) -> None:
    before = host.values()
    host.tune("--apply", "--yes")
    first = json.loads(host.record.read_bytes())["values"]
    host.tune("--apply", "--yes", "--profile", "latency")
    second = json.loads(host.record.read_bytes())["values"]
    assert second["vm.swappiness"] == {"before": "60", "written": "1"}
    assert {key: each["before"] for key, each in first.items()}.items() <= {
        key: each["before"] for key, each in second.items()
    }.items()
    assert host.document("--revert")["ok"]
    assert host.values() == before


def test_what_the_operator_set_higher_stays(host: TunedHost) -> None:
    host.must("sh", "-c", "echo '8192 262144 67108864' > /proc/sys/net/ipv4/tcp_rmem")
    host.must("sh", "-c", "echo '4096 16384 67108864' > /proc/sys/net/ipv4/tcp_wmem")
    host.must("sh", "-c", "echo 9000000 > /proc/sys/fs/file-max")
    rows = host.rows()
    assert rows["net.ipv4.tcp_rmem"]["status"] == "ok"
    assert rows["net.ipv4.tcp_wmem"]["target"] == "4096 65536 67108864"
    assert rows["fs.file-max"]["status"] == "ok"
    host.tune("--apply", "--yes")
    values = host.values()
    assert values["net.ipv4.tcp_rmem"].split() == ["8192", "262144", "67108864"]
    assert values["net.ipv4.tcp_wmem"].split() == ["4096", "65536", "67108864"]
    assert values["fs.file-max"] == "9000000\n"


def test_it_asks_before_it_writes(host: TunedHost) -> None:
    before = host.values()
    done = host.tune("--apply")  # stdin is no terminal
    assert done.returncode == 2
    assert "add --yes" in done.stderr
    assert host.values() == before
    asked = host.run("script", "-qec", " ".join(host.tune_command("--apply")), "/dev/null",
                     stdin="n\n")  # fmt: skip
    assert "become lower)? [y/N]" in asked.stdout
    assert "nothing was changed" in asked.stdout
    assert host.values() == before


def test_persisting_and_taking_it_back(host: TunedHost) -> None:
    old = b"# an operator's own\nvm.swappiness = 33\n\n\xff"
    (host.etc / PERSISTED).write_bytes(old)
    (host.etc / PERSISTED).chmod(0o640)
    (host.etc / "95-other.conf").write_text("-vm/swappiness=1\n# vm.dirty_ratio = 5\n")
    before = host.values()
    done = host.tune("--apply", "--persist", "--yes")
    assert "95-other.conf sets vm.swappiness = 1 and is read later" in done.stdout
    assert done.stdout.count("is read later") == 1
    written = (host.etc / PERSISTED).read_text()
    assert "vm.swappiness = 10\n" in written
    assert "drop tune --revert" in written
    assert "rmem_max" not in written or "net.core.rmem_max" in host.values()
    limits = host.units / LIMITS
    if limits.exists():  # unless the limit was high enough already
        assert "[Service]\nLimitNOFILE=65536\n" in limits.read_text()
    again = host.tune("--apply", "--persist", "--yes")
    assert (host.etc / PERSISTED).read_text() == written, again.stdout
    assert host.document("--revert")["ok"]
    assert (host.etc / PERSISTED).read_bytes() == old
    assert (host.etc / PERSISTED).stat().st_mode & 0o777 == 0o640
    assert not limits.parent.exists()
    assert host.values() == before
    assert not host.record.exists()


def test_the_persisted_file_is_what_sysctl_understands(host: TunedHost) -> None:
    host.tune("--persist", "--yes")
    before = host.values()
    assert before["vm.swappiness"] == "60\n"  # --persist alone writes files only
    if host.run("sh", "-c", "command -v sysctl").returncode == 0:
        host.must("sysctl", "-p", str(host.etc / PERSISTED))
        assert host.values()["vm.swappiness"] == "10\n"
    assert host.document("--revert")["ok"]
    assert not (host.etc / PERSISTED).exists()


def test_an_edited_file_is_kept_beside(host: TunedHost) -> None:
    host.tune("--persist", "--yes")
    path = host.etc / PERSISTED
    path.write_text(path.read_text() + "vm.swappiness = 5\n")
    assert f"/etc/sysctl.d/{PERSISTED}: was edited" in host.document("--check", code=1)["files"]
    done = host.tune("--revert")
    assert f"{PERSISTED}.edited" in done.stdout
    assert not path.exists()
    assert "vm.swappiness = 5\n" in path.with_name(f"{PERSISTED}.edited").read_text()


# -- measured -------------------------------------------------------------------------------------


def test_measuring_one_group_with_a_real_node(host: TunedHost) -> None:
    """Only tcp_max_syn_backlog is left to try; whether it helps is the machine's to say."""
    host.tune("--apply", "--yes")
    host.record.unlink()
    host.must("sh", "-c", "echo 512 > /proc/sys/net/ipv4/tcp_max_syn_backlog")
    before = host.values()
    document = host.document("--measure", "--yes")
    (group,) = document["groups"]
    assert group["group"] == "backlog"
    assert [each["key"] for each in group["values"]] == ["net.ipv4.tcp_max_syn_backlog"]
    assert len(group["before"]) == len(group["after"]) == 5
    assert all(figure > 0 for figure in [*group["before"], *group["after"]])
    value = {"net.ipv4.tcp_max_syn_backlog": "8192\n"} if group["kept"] else {}
    assert host.values() == before | value
    assert host.record.exists() == group["kept"]


def at_work(host: TunedHost) -> bool:
    """The load of 8 connections is on: each is seen from both ends."""
    return host.established() >= 16


def begun(host: TunedHost) -> bool:
    return host.record.exists()


@pytest.mark.parametrize("moment", [begun, at_work])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_measuring_interrupted(
    host: TunedHost, number: signal.Signals, moment: Callable[[TunedHost], bool]
) -> None:
    before = host.values()
    command = host.command(*host.tune_command("--measure", "--yes"))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: moment(host))
        process.send_signal(number)
        _, told = process.communicate(timeout=20)
    finally:
        process.kill()  # one that is deaf does not outlive its test
    assert process.returncode == 130, told
    assert host.values() == before
    assert not host.record.exists()


def test_measuring_killed(host: TunedHost) -> None:
    """The node that it started ends with it; the values are put back by `--revert`."""
    before = host.values()
    host.directory.chmod(0o755)
    command = host.command("env", f"TMPDIR={host.directory}", *host.tune_command())
    process = subprocess.Popen([*command, "--measure", "--yes"], stdout=subprocess.DEVNULL)
    until(lambda: at_work(host))
    mark = f"{host.directory}/drop-tune-"
    assert processes(mark) != []
    process.kill()
    process.wait()
    until(lambda: processes(mark) == [])
    assert host.document("--revert")["ok"]
    assert host.values() == before
