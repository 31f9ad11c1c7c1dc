"""What this kernel and user can do is found out by doing it."""

import errno
import os
import resource
from pathlib import Path

import pytest

from as_nobody import NOBODY, as_nobody, needs_root
from drop.host import confinement
from drop.host.confinement import (
    directories_named,
    directories_of_path,
    probe,
    tasks_of,
    why,
)
from drop.host.linux import Failure, try_confinement

NOT_ROOT = "the node does not run as root, nor as the system service"
NAMES = {
    confinement.OTHER_USER,
    confinement.NO_NEW_PRIVILEGES,
    confinement.PRIVATE_TMP,
    confinement.READ_ONLY,
    confinement.LANDLOCK,
    confinement.NO_NETWORK,
    confinement.MEMORY_PRIORITY,
}


def test_probing_changes_nothing_here() -> None:
    before = (sorted(os.listdir("/proc/self/fd")), Path("/proc/self/mountinfo").read_text())
    offers = probe()
    assert (sorted(os.listdir("/proc/self/fd")), Path("/proc/self/mountinfo").read_text()) == before
    assert set(offers.missing) <= NAMES
    assert offers.uid == os.geteuid()
    assert offers.temporary == ("/tmp", "/var/tmp")


@needs_root
def test_plain_user_lacks_what_needs_root() -> None:
    offers = as_nobody(probe)
    assert offers.uid == NOBODY
    needs = {
        confinement.OTHER_USER,
        confinement.PRIVATE_TMP,
        confinement.READ_ONLY,
        confinement.NO_NETWORK,
    }
    assert needs <= set(offers.missing)
    assert {offers.missing[name] for name in needs} == {NOT_ROOT}
    assert not {confinement.NO_NEW_PRIVILEGES, confinement.MEMORY_PRIORITY} & set(offers.missing)


def test_failing_step_is_named() -> None:
    failure = try_confinement(limits={resource.RLIMIT_NOFILE: 1 << 31})
    assert failure == Failure(
        errno.EPERM, "cannot set the resource limits: Operation not permitted"
    )


def test_reasons_in_words() -> None:
    old = Failure(errno.ENOSYS, "cannot do it: Function not implemented")
    assert why(confinement.READ_ONLY, old).endswith("; Linux 5.12 is needed")
    denied = Failure(errno.EPERM, "cannot do it: Operation not permitted")
    text = why(confinement.PRIVATE_TMP, denied)
    assert text == NOT_ROOT or "as in a container" in text


def test_directories_that_a_command_names(tmp_path: Path) -> None:
    script = tmp_path / "bin" / "script"
    script.parent.mkdir()
    script.touch()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "bin")
    found = directories_named(["sh", str(script), "/no/such/file", "--x", str(link)], str(link))
    assert found == (str(tmp_path / "bin"),)
    assert directories_named(["sh", "a\0b", "/a\0b"], None) == ()


def test_tasks_of_a_user() -> None:
    assert tasks_of(os.getuid()) >= 1
    assert tasks_of(0xFFFF_FFF0) == 0


@pytest.mark.parametrize("name", ["HOME", "PATH"])
def test_trial_needs_no_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name, raising=False)
    assert try_confinement(no_new_privileges=True) is None


def test_a_linked_program_brings_its_installation(tmp_path: Path) -> None:
    """An environment's python is a link; what makes it one lies around it."""
    program = tmp_path / "environment" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.symlink_to("/bin/sh")
    around = (str(program.parent), str(tmp_path / "environment"))
    assert set(around) < set(directories_named([str(program)], None))
    assert directories_of_path(f"{program.parent}:/no/such:relative") == around
