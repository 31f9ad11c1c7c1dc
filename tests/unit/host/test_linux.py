"""The optional Linux calls on the kernel that runs the tests, in processes of their own."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from drop.host import linux

ORPHAN = """
import os, select, subprocess
from drop.host import linux
assert linux.set_child_subreaper(True)
reading, writing = os.pipe()
parent = subprocess.Popen(["sh", "-c", "sleep 0.01 & echo $!"], stdout=writing)
os.close(writing)
orphan = int(open(reading, "rb").read())  # to its end: the orphan has the pipe open until it ends
ended = os.pidfd_open(orphan)
select.select([ended], [], [], 30)
assert linux.reap_orphans({parent.pid, orphan}) == []
parent.wait()
assert linux.reap_orphans(set()) == [orphan]
assert linux.reap_orphans(set()) == []
"""


def test_orphans_are_reaped_but_known_children_are_not() -> None:
    assert subprocess.run([sys.executable, "-c", ORPHAN]).returncode == 0


def test_thread_gets_its_name() -> None:
    names: list[str] = []

    def rename() -> None:
        assert linux.set_thread_name("a name of more than fifteen bytes")
        names.append(Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text())

    thread = threading.Thread(target=rename)
    thread.start()
    thread.join()
    assert names == ["a name of more \n"]


def test_close_range_closes_what_it_says() -> None:
    if not linux.close_range(linux.NO_DESCRIPTOR, linux.NO_DESCRIPTOR):
        assert "close_range" in linux.missing()
        return
    first = os.dup(0)
    assert linux.close_range(first, first)
    assert not os.path.exists(f"/proc/self/fd/{first}")


def test_missing_names_calls_and_consequences() -> None:
    assert set(linux.missing()) <= {"close_range", "pidfd_open"}
