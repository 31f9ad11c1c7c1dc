"""The node's settings: which source wins, what is refused and with which words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drop.config import Settings, defaults, load_settings
from drop.config_model import Endpoint, keys
from drop.errors import ConfigurationError

USER = 54321  # a uid without an account


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's home; nothing of the machine's own configuration is seen from it."""
    return tmp_path


def settings(home: Path, text: str | None = None, **environ: str) -> Settings:
    config = None
    if text is not None:
        config = str(home / "drop.yaml")
        Path(config).write_text(text)
    return load_settings(
        config=config, environ={"HOME": str(home), **environ}, uid=USER, host_name="host.example"
    )


def fault(home: Path, text: str | None = None, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        settings(home, text, **environ)
    return str(caught.value).replace(str(home), "~")


def token_file(home: Path, content: bytes = b"0123456789abcdef\n", mode: int = 0o600) -> Path:
    path = home / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_defaults_of_a_user(home: Path) -> None:
    got = settings(home)
    state = f"{home}/.local/state/drop"
    assert (got.var_dir, got.flow_dir, got.log_dir) == (state, f"{state}/flows", f"{state}/logs")
    assert (got.unix_socket, got.name, got.token) == (f"{state}/drop.sock", "host.example", b"")
    assert got.listen == (Endpoint("127.0.0.1", 8085),)
    limits = got.limits
    assert (limits.payload_max, limits.connections_max, limits.calls_max) == (1 << 26, 16384, 65536)
    assert (limits.slow_client_ms, limits.memory_max, got.grace_ms) == (10_000, 1 << 30, 10_000)
    assert (got.logs.file_bytes_max, got.logs.files) == (8 << 20, 5)
    assert (got.config_file, got.warnings) == (None, ())


def test_xdg_directories(home: Path) -> None:
    (home / "etc/drop").mkdir(parents=True)
    (home / "etc/drop/drop.yaml").write_text("name: from-xdg\n")
    got = settings(
        home,
        XDG_CONFIG_HOME=f"{home}/etc",
        XDG_STATE_HOME=f"{home}/state",
        XDG_RUNTIME_DIR=f"{home}/run",
    )
    assert (got.name, got.var_dir) == ("from-xdg", f"{home}/state/drop")
    assert got.unix_socket == f"{home}/run/drop/drop.sock"
    assert settings(home, XDG_STATE_HOME="relative").var_dir == f"{home}/.local/state/drop"


def test_defaults_of_the_system_service() -> None:
    got = defaults({"HOME": "/root", "XDG_STATE_HOME": "/x"}, 0)
    assert (got.config_file, got.var_dir) == ("/etc/drop/drop.yaml", "/var/lib/drop")
    assert got.run_dir == "/run/drop"


def test_the_command_lines_directory_holds_the_socket_too(home: Path) -> None:
    environ = {"HOME": str(home), "XDG_RUNTIME_DIR": f"{home}/run"}
    got = load_settings(var_dir=f"{home}/v", environ=environ, uid=USER)
    assert (got.var_dir, got.unix_socket) == (f"{home}/v", f"{home}/v/drop.sock")


def test_a_file_with_everything(home: Path) -> None:
    token_file(home)
    got = settings(
        home,
        "name: edge-1\nlisten: ['0.0.0.0:9000', '[::1]:0', localhost:1]\nunix_socket: s.sock\n"
        "token_file: token\nvar_dir: var\nflow_dir: /flows\nlog_dir: logs\ngrace_ms: 5\n"
        "limits: {payload_max: 1 MiB, connections_max: 10, calls_max: 20, slow_client_ms: 100,\n"
        "  memory_max: 64MiB}\nlogs: {file_bytes_max: 65536, files: 2}\nx-note: mine\n",
    )
    assert [str(each) for each in got.listen] == ["0.0.0.0:9000", "[::1]:0", "127.0.0.1:1"]
    assert (got.name, got.grace_ms, got.token) == ("edge-1", 5, b"0123456789abcdef")
    assert (got.unix_socket, got.var_dir) == (f"{home}/s.sock", f"{home}/var")
    assert (got.flow_dir, got.log_dir) == ("/flows", f"{home}/logs")
    assert (got.limits.payload_max, got.limits.memory_max) == (1 << 20, 64 << 20)
    assert got.logs.files == 2
    assert "0123456789abcdef" not in repr(got)


def test_the_environment_wins_over_the_file(home: Path) -> None:
    text = "name: a\nlisten: 127.0.0.1:1\nlimits: {calls_max: 1, connections_max: 2}\n"
    got = settings(
        home, text, DROP_NAME="7", DROP_LISTEN="127.0.0.1:2, [::1]:3", DROP_LIMITS_CALLS_MAX="9"
    )
    assert (got.name, [str(each) for each in got.listen]) == ("7", ["127.0.0.1:2", "[::1]:3"])
    assert (got.limits.calls_max, got.limits.connections_max) == (9, 2)
    assert settings(home, text, DROP_NAME="").name == "a"
    assert settings(home, DROP_CONFIG=f"{home}/drop.yaml").name == "a"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "~"])
def test_a_file_without_values_is_fine(home: Path, text: str) -> None:
    assert settings(home, text).name == "host.example"


def test_an_empty_list_listens_on_the_unix_socket_only(home: Path) -> None:
    assert settings(home, "listen: []").listen == ()


def test_the_file_drop_id_names_the_node(home: Path) -> None:
    (home / "v").mkdir()
    (home / "v/drop-id").write_text("node-7\n")
    assert settings(home, DROP_VAR_DIR=f"{home}/v").name == "node-7"
    assert settings(home, DROP_VAR_DIR=f"{home}/v", DROP_NAME="b").name == "b"
    (home / "v/drop-id").write_text("a b")
    assert fault(home, DROP_VAR_DIR=f"{home}/v") == (
        "~/v/drop-id:1:1: found 'a b'; expected a node's name: 1 to 64 of A-Z a-z 0-9 _ - ."
    )


def test_a_host_name_is_made_a_node_name(home: Path) -> None:
    environ = {"HOME": str(home)}
    assert load_settings(environ=environ, uid=USER, host_name="bücher host").name == "b-cher-host"


ENDPOINT = "ADDRESS:PORT, such as 127.0.0.1:8085 or '[::1]:8085'"
LOOPBACK = "a token_file, or an address of the loopback interface (127.0.0.1, ::1)"

FAULTS = [
    ("- a", "~/drop.yaml:1:1: found a list; expected a mapping"),
    ("nmae: a", "~/drop.yaml:1:1: nmae: unknown key (did you mean 'name'?)"),
    ("name: a b", "~/drop.yaml:1:7: name: found the text 'a b'; expected a node's name: 1 to 64 of "
     "A-Z a-z 0-9 _ - ."),
    ("listen: 8085", "~/drop.yaml:1:9: listen: found the number 8085; expected a list of at most "
     "16 addresses"),
    ("listen: 127.0.0.1", f"~/drop.yaml:1:9: listen[0]: found the text '127.0.0.1'; expected "
     f"{ENDPOINT}"),
    ("listen: ['::1:80']", f"~/drop.yaml:1:10: listen[0]: found the text '::1:80'; expected "
     f"{ENDPOINT}"),
    ("listen: ['[127.0.0.1]:80']", "~/drop.yaml:1:10: listen[0]: found the text '[127.0.0.1]:80'; "
     f"expected {ENDPOINT}"),
    ("listen: ['127.0.0.1:65536']", "~/drop.yaml:1:10: listen[0]: found the text "
     f"'127.0.0.1:65536'; expected {ENDPOINT}"),
    ("listen: [example.org:80]", "~/drop.yaml:1:10: listen[0]: found the text 'example.org:80': "
     f"'example.org' is not an IP address; expected {ENDPOINT}"),
    ("listen: ['127.0.0.1:1', '0.0.0.0:2', '[::]:3']",
     "~/drop.yaml:1:25: listen[1]: 0.0.0.0:2 can be reached from the network, and the node has no "
     f"token; expected {LOOPBACK}\n"
     "~/drop.yaml:1:38: listen[2]: [::]:3 can be reached from the network, and the node has no "
     f"token; expected {LOOPBACK}"),
    ("limits: {payload_max: 1 GB}", "~/drop.yaml:1:23: limits.payload_max: found the text '1 GB'; "
     "expected bytes from 1 KiB to 1 GiB, as a number or with KiB, MiB or GiB"),
    ("limits: {payload_max: 12}", "~/drop.yaml:1:23: limits.payload_max: found the number 12; "
     "expected bytes from 1 KiB to 1 GiB, as a number or with KiB, MiB or GiB"),
    ("limits: {memory_max: 16 MiB}", "~/drop.yaml:1:22: limits.memory_max: found 16777216, with a "
     "payload_max of 67108864; expected at least twice payload_max: a message and its answer"),
    ("limits: 5", "~/drop.yaml:1:9: limits: found the number 5; expected a mapping"),
    ("logs: {files: 0}", "~/drop.yaml:1:15: logs.files: found the number 0; expected a whole "
     "number from 1 to 100"),
    ("grace_ms: 10s", "~/drop.yaml:1:11: grace_ms: found the text '10s'; expected a whole number "
     "from 0 to 3600000"),
    ("token_file: none", "~/drop.yaml:1:13: token_file: ~/none cannot be read: No such file or "
     "directory; expected a file with the token"),
    ("name: [\n", "~/drop.yaml:2:1: not valid YAML: did not find expected node content, while "
     "parsing a flow node that starts in line 2"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FAULTS)
def test_a_fault_of_a_file(home: Path, text: str, expected: str) -> None:
    assert fault(home, text) == expected


def test_faults_of_the_environment_name_the_variable(home: Path) -> None:
    assert fault(home, DROP_LISTEN="0.0.0.0:1") == (
        "environment: DROP_LISTEN: 0.0.0.0:1 can be reached from the network, and the node has no "
        f"token; expected {LOOPBACK}"
    )
    assert fault(home, DROP_LIMITS_CALLS_MAX="many", DROP_LISTEN="x") == (
        f"environment: DROP_LISTEN: found the text 'x'; expected {ENDPOINT}\n"
        "environment: DROP_LIMITS_CALLS_MAX: found the text 'many'; expected a whole number from 1 "
        "to 1048576"
    )


def test_faults_of_file_and_environment_come_together(home: Path) -> None:
    text = fault(home, "name: a b", DROP_GRACE_MS="x")
    assert [line.split(":")[0] for line in text.splitlines()] == ["~/drop.yaml", "environment"]


def test_a_variable_that_is_nearly_one_gets_a_warning(home: Path) -> None:
    got = settings(home, DROP_LISTN="x", DROP_TOKEN="t", DROP_ZZZZZZZZ="x", DROP_POOL="p")
    assert [str(each) for each in got.warnings] == [
        "environment: DROP_LISTN: unknown variable (did you mean 'DROP_LISTEN'?)"
    ]


def test_a_named_file_must_exist(home: Path) -> None:
    assert fault(home, DROP_CONFIG=f"{home}/none.yaml") == (
        "~/none.yaml: cannot be read: No such file or directory; expected a readable YAML file"
    )


def test_a_socket_path_must_fit_the_kernel(home: Path) -> None:
    text = fault(home, DROP_VAR_DIR="/" + "d" * 120)
    assert text.startswith("default: unix_socket: the path of the Unix socket has 131 bytes (/ddd")
    assert text.endswith("; expected at most 107, the kernel's limit: set unix_socket")


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_token_opens_the_network(home: Path, mode: int) -> None:
    path = token_file(home, mode=mode)
    got = settings(home, DROP_LISTEN="0.0.0.0:1", DROP_TOKEN_FILE=str(path))
    assert (got.token, len(got.listen)) == (b"0123456789abcdef", 1)


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        (b"0" * 16, 0o640, "has the mode 0640; expected 0600 or 0400: chmod 600 ~/token"),
        (b"0" * 16, 0o604, "has the mode 0604; expected 0600 or 0400: chmod 600 ~/token"),
        (b"0" * 15 + b"\n", 0o600, "holds 15 bytes; expected 16 to 1024 bytes in one line"),
        (b"0" * 1025, 0o600, "holds more than 1024 bytes; expected 16 to 1024 bytes in one line"),
        (b"0" * 16 + b"\n0", 0o600, "holds several lines; expected the token alone"),
    ],
)
def test_a_token_file_that_is_no_secret(
    home: Path, content: bytes, mode: int, expected: str
) -> None:
    path = token_file(home, content, mode)
    text = fault(home, DROP_LISTEN="0.0.0.0:1", DROP_TOKEN_FILE=str(path))
    assert text == f"environment: DROP_TOKEN_FILE: ~/token {expected}"


def test_a_token_file_of_somebody_else(home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = token_file(home)
    os.chown(path, USER, -1)
    assert fault(home, DROP_TOKEN_FILE=str(path)) == (
        f"environment: DROP_TOKEN_FILE: ~/token belongs to the uid {USER}; expected the node's "
        "user or root"
    )


def test_a_token_file_that_is_a_fifo(home: Path) -> None:
    os.mkfifo(home / "token", 0o600)
    assert "~/token is not a file" in fault(home, DROP_TOKEN_FILE=f"{home}/token")


def test_every_key_and_variable_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
    rows = [f"| `{'.'.join(key)}` | `DROP_{'_'.join(key).upper()}`" for key in keys()]
    assert [row for row in rows if row not in text] == []


def test_the_documented_samples_of_errors_are_real(home: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
    said = [fault(home, "listen: ['0.0.0.0:8085']")]
    said += fault(home, "name: a\nlimits: {payload_max: 1 GB}", DROP_LISTEN="x").splitlines()
    assert [each for each in said if each.replace("~", "/etc/drop", 1) not in text] == []


def test_defaults_of_discovery(home: Path) -> None:
    got = settings(home)
    assert (got.key_file, got.hosts_file) == (f"{got.var_dir}/key", f"{got.var_dir}/drop-hosts")
    found = got.discovery
    assert (found.group, found.group6, found.port) == ("239.255.80.86", "ff12::80:86", 8086)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("group: 10.0.0.1", "group: found the text '10.0.0.1': not a multicast address of IPv4"),
        (
            "group6: 239.1.1.1",
            "group6: found the text '239.1.1.1': not a multicast address of IPv6",
        ),
        ("group: x", "group: found the text 'x'; expected a multicast address such as 239"),
        ("suspect_ms: 1499", "suspect_ms: found 1499; expected at least three times interval_ms"),
        ("dead_ms: 2999", "dead_ms: found 2999; expected at least suspect_ms and two intervals: 3"),
        ("ttl: 256", "ttl: found the number 256"),
    ],
)
def test_a_discovery_that_cannot_work(home: Path, text: str, expected: str) -> None:
    assert expected in fault(home, f"discovery: {{{text}}}")
