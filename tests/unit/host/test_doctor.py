"""What `drop doctor` says about this machine, as root and as a plain user."""

import pytest

from as_nobody import as_nobody, needs_root
from drop.host import accounts, doctor
from drop.host.doctor import Protection, examine


def by_name(found: list[Protection]) -> dict[str, Protection]:
    return {each.name: each for each in found}


def test_every_protection_is_there_once_and_what_is_off_has_a_reason() -> None:
    found = examine()
    assert len(by_name(found)) == len(found) == 13
    assert all(each.detail for each in found)
    assert all(each.on for each in found if each.name in ("own session", "death with the node"))


@needs_root
def test_plain_user_is_told_what_is_off_and_what_to_do() -> None:
    found = by_name(as_nobody(examine))
    for name in ("separate user", "private /tmp", "network: none", "limit of memory"):
        assert not found[name].on
        assert found[name].remedy
    assert found["separate user"].detail.startswith("the node would run as nobody")
    assert found["no new privileges"].on
    assert found["limit of processes"].on
    assert "count of all tasks of this user" in found["limit of processes"].detail


@needs_root
def test_user_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert by_name(examine("nobody"))["separate user"].detail == "workers run as nobody"
    assert not by_name(examine("root"))["separate user"].on
    assert "no user 'no-such-user'" in by_name(examine("no-such-user"))["separate user"].detail
    monkeypatch.setattr(accounts, "WORKER_USER", "no-such-user")
    found = by_name(examine())["separate user"]
    assert found.on
    assert found.detail.startswith("no user drop; nobody is used")
    assert found.remedy.startswith("useradd")


def test_group_that_cannot_be_had_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = f"no memory controller; {doctor.cgroups.DELEGATE}"
    monkeypatch.setattr(doctor.cgroups, "survey", lambda: {"memory": reason, "cpu": "it is so"})
    found = by_name(examine())
    assert (found["limit of memory"].on, found["limit of memory"].remedy) == (False, "")
    assert found["weight of the CPU"].remedy == doctor.RUN_AS_ROOT
    assert found["limit of processes"].on
