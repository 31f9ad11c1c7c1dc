"""Where DROP_IFACE is looked for, and what lines as people write them mean."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from as_nobody import as_nobody
from drop.host.iface_variable import FILE_BYTES_MAX, files, find, named_in, service_home, wanted


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def names(home: Path, environ: dict[str, str] | None = None) -> str | None:
    found = wanted(environ or {}, str(home / "drop-env"), str(home))
    return found.name if found else None


def test_the_line_that_the_manual_tells_to_append(home: Path) -> None:
    (home / ".bashrc").write_text(
        "# ~/.bashrc\nalias ll='ls -l'\nif [ -t 1 ]; then\n  PS1='$ '\nfi\n"
    )
    command = "echo 'export DROP_IFACE=eth1' | tee -a .bashrc"
    subprocess.run(["sh", "-c", command], cwd=home, check=True, capture_output=True)
    found = wanted({}, str(home / "drop-env"), str(home))
    assert found is not None
    assert (found.name, found.origin, found.fault) == ("eth1", f"{home}/.bashrc:6", None)


def test_the_environment_wins_then_the_file_then_the_shell_profile(home: Path) -> None:
    assert names(home) is None
    (home / ".bashrc").write_text("export DROP_IFACE=eth3\n")
    assert names(home) == "eth3"
    (home / "drop-env").write_text("DROP_IFACE=eth2\n")
    assert names(home) == "eth2"
    assert names(home, {"DROP_IFACE": "eth1"}) == "eth1"
    assert names(home, {"DROP_IFACE": ""}) == "eth2"
    (home / "drop-env").write_text("DROP_IFACE=\n")
    assert names(home) == "eth3"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("export DROP_IFACE=eth1", "eth1"),  # no newline at the end
        ("export DROP_IFACE=eth1\r\n", "eth1"),
        ("  export  DROP_IFACE=eth1  \n", "eth1"),
        ("export\tDROP_IFACE=eth1;\n", "eth1"),
        ("export DROP_IFACE=eth1; echo hello\n", "eth1"),
        ("export DROP_IFACE=eth1 && echo hello\n", "eth1"),
        ("export DROP_IFACE=eth1 # the second one\n", "eth1"),
        ("export DROP_IFACE='eth1'\n", "eth1"),
        ('export DROP_IFACE="eth1"\r\n', "eth1"),
        ('export "DROP_IFACE=eth1"\n', "eth1"),
        ("export A=1 DROP_IFACE=eth1 B=2\n", "eth1"),
        ("export DROP_IFACE=eth1\nexport DROP_IFACE=eth2\n", "eth2"),
        ("export DROP_IFACE=a/b\nexport DROP_IFACE=eth2\n", "eth2"),  # corrected further down
        ("export DROP_IFACE=eth1\nexport DROP_IFACE=\n", None),
        ("export DROP_IFACE=enp0s31f6.100\n", "enp0s31f6.100"),
        ("\ufeffexport DROP_IFACE=eth1\n", "eth1"),
        ("# export DROP_IFACE=eth1\n", None),
        ("export DROP_IFACES=eth1\n", None),
        ("export MY_DROP_IFACE=eth1\n", None),
        ("export DROP_IFACE\n", None),
        ("echo export DROP_IFACE=eth1\n", None),
        ("echo 'DROP_IFACE=eth1\n", None),
        ("", None),
    ],
)
def test_lines_of_a_shell_profile(text: str, name: str | None) -> None:
    found = named_in(text, "f", exported=True)
    assert (found.name if found else None) == name
    assert found is None or found.fault is None


def test_the_file_of_the_service_needs_no_export_and_a_profile_does() -> None:
    text = "A=1\nDROP_IFACE=eth1\n"
    found = named_in(text, "/etc/drop-env", exported=False)
    assert found is not None
    assert (found.name, found.origin) == ("eth1", "/etc/drop-env:2")
    assert named_in(text, ".bashrc", exported=True) is None
    assert named_in("export DROP_IFACE=eth1", "f", exported=False) is not None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("averyverylongnam", "longer than an interface's name"),
        ("é" * 8, "longer"),
        ("eth/1", "it has /"),
        ("eth0:1", "it has :"),
        ('"eth 1"', "it has a blank"),
        ("$(id>/tmp/x)", "it has $"),
        ("`id`", "it has `"),
        ("'eth1", "it has '"),  # not closed
        ("..", "no interface's name"),
        ("eth\x00", "no text"),
    ],
)
def test_a_name_that_cannot_be_is_a_fault_with_its_place(value: str, reason: str) -> None:
    found = named_in(f"\nexport DROP_IFACE={value}\n", "/home/drop-core/.bashrc", exported=True)
    assert found is not None
    assert found.fault is not None
    text = str(found.fault)
    assert text.startswith("/home/drop-core/.bashrc:2: DROP_IFACE: ")
    assert "expected an interface's name as `ip link` shows it" in text
    assert reason in text
    assert found.name.isprintable()


def test_a_wrong_name_in_the_environment_is_a_fault_too(home: Path) -> None:
    found = wanted({"DROP_IFACE": "x" * 5000}, str(home / "drop-env"), str(home))
    assert found is not None
    assert str(found.fault).startswith("environment: DROP_IFACE: is longer")
    assert len(found.name) < 100


def test_nothing_is_run_by_a_shell(home: Path) -> None:
    (home / ".bashrc").write_text(
        f"export DROP_IFACE=$(touch {home}/ran)\nexport X=`touch {home}/ran`\n"
    )
    names(home)
    assert not (home / "ran").exists()


def test_a_file_that_may_not_be_read_is_a_warning_and_the_next_is_asked(var_dir: Path) -> None:
    (var_dir / "drop-env").write_text("DROP_IFACE=eth2\n")
    (var_dir / "drop-env").chmod(0)
    (var_dir / ".bashrc").write_text("export DROP_IFACE=eth3\n")
    (var_dir / ".bashrc").chmod(0o644)
    var_dir.chmod(0o755)

    def ask() -> tuple[str, list[str]]:
        found = find({}, str(var_dir / "drop-env"), str(var_dir))
        return found.wanted.name if found.wanted else "", [str(each) for each in found.warnings]

    name, warnings = as_nobody(ask)
    assert name == "eth3"
    assert "drop-env: DROP_IFACE: cannot be read: Permission denied" in warnings[0]


def test_what_is_no_regular_file_is_not_waited_for(home: Path) -> None:
    os.mkfifo(home / "drop-env")
    (home / ".bashrc").mkdir()
    found = find({}, str(home / "drop-env"), str(home))
    assert found.wanted is None
    assert [Path(each.file).name for each in found.warnings] == ["drop-env", ".bashrc"]


def test_bytes_that_are_no_text_do_no_harm(home: Path) -> None:
    (home / ".bashrc").write_bytes(b"\xff\xfe export\nexport DROP_IFACE=eth1\n\xff")
    assert names(home) == "eth1"
    (home / ".bashrc").write_bytes(b"export DROP_IFACE=\xff\xfe\n")
    found = wanted({}, str(home / "drop-env"), str(home))
    assert found is not None
    assert found.fault is not None
    assert str(found.fault).isprintable()


def test_a_huge_file_is_read_so_far_and_no_further(home: Path) -> None:
    with (home / ".bashrc").open("wb") as file:
        file.write(b"export DROP_IFACE=eth1\n")
        file.truncate(FILE_BYTES_MAX * 1000)
    assert names(home) == "eth1"


def test_the_files_that_are_read_are_told_to_who_watches_them(home: Path) -> None:
    assert files(str(home), "/etc/drop-env") == ("/etc/drop-env", f"{home}/.bashrc")


def test_there_is_always_a_home() -> None:
    assert service_home().startswith("/")
