"""Which user workers run as, and who may say so."""

import os
import pwd

import pytest

from as_nobody import NOBODY, as_nobody, needs_root
from drop.host import accounts
from drop.host.accounts import Account, UnknownUser, fault_of, find, for_workers


def test_by_name_and_by_number() -> None:
    root = find("root")
    assert (root.uid, root.gid, root.name) == (0, 0, "root")
    assert find("0") == root


def test_home_that_does_not_exist_is_the_root_directory() -> None:
    entry = pwd.getpwuid(NOBODY)
    assert find("nobody").home == (entry.pw_dir if os.path.isdir(entry.pw_dir) else "/")


def test_number_without_an_account() -> None:
    assert find("123456789") == Account("123456789", 123456789, accounts.NO_GROUP, "/")


def test_nobody_of_that_name() -> None:
    with pytest.raises(UnknownUser, match="no user 'no-such-user'; useradd --system no-such-user"):
        find("no-such-user")


@needs_root
def test_root_chooses_another_user() -> None:
    assert for_workers("nobody", "root").name == "nobody"
    assert for_workers(None, "nobody").name == "nobody"
    assert for_workers("root", None).uid == 0
    assert for_workers(None, None).name in (accounts.WORKER_USER, accounts.LAST_RESORT)


@needs_root
def test_last_resort_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "WORKER_USER", "no-such-user")
    assert for_workers(None, None).name == "nobody"
    assert accounts.default_is_shared(None)
    assert not accounts.default_is_shared("nobody")  # somebody wants it so


@needs_root
def test_plain_user_runs_workers_as_itself() -> None:
    assert as_nobody(lambda: for_workers(None, "root").uid) == NOBODY
    assert as_nobody(lambda: fault_of("nobody")) == ""
    told = as_nobody(lambda: fault_of("root"))
    assert "workers cannot run as 'root': the node runs as nobody" in told
    assert "no user 'no-such-user'" in as_nobody(lambda: fault_of("no-such-user"))
