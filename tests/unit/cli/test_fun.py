"""`drop fun`: what its commands print and how they end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drop.cli import main
from drop.secrets.store import SecretStore
from drop.secrets.value import Secret
from packages_tools import archive, file_entry, make_directory, member

Fun = Callable[..., int]
Capture = pytest.CaptureFixture[str]

YAML = """name: greet
version: {version}
description: Greets.
cmd: sh ./main.sh
env: {{WORD: hello}}
cases:
  - {{name: one, input: [world], output: ["hello, world"]}}
"""
MAIN = b'while IFS= read -r line; do echo "$WORD, $line"; done\n'


@pytest.fixture
def fun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fun:
    """Runs `drop fun ...` in a directory of its own, which is the node's too."""
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DROP_VAR_DIR", str(tmp_path / "var"))
    return lambda *words: main.run(["fun", *words])


def make(version: str = "1.0.0", text: bytes = MAIN, yaml: str = YAML) -> str:
    make_directory(Path("greet"), {"main.sh": text}, yaml=yaml.format(version=version))
    return "greet"


def flow(text: str) -> None:
    """A stored flow."""
    Path("var/flows").mkdir(parents=True, exist_ok=True)
    Path("var/flows/f.yaml").write_text(text)


def test_from_nothing_to_an_installed_function(fun: Fun, capfd: Capture) -> None:
    assert fun("init", "hello", "--lang", "bash") == 0
    assert fun("test", "hello") == 0
    assert fun("pack", "hello") == 0
    assert fun("install", "hello-0.1.0.dropfn") == 0
    assert fun("test", "hello:0.1.0") == 0
    assert fun("list") == 0
    assert fun("remove", "hello:0.1.0") == 0
    out = capfd.readouterr().out.splitlines()
    assert out[0].startswith("hello: edit it")
    assert out[1:3] == ["ok      it greets", "hello:0.1.0: 1 of 1 cases passed"]
    assert out[3].startswith("hello-0.1.0.dropfn  sha256=")
    assert out[4] == "hello:0.1.0 installed"
    assert out[7].split() == ["name", "version", "kind", "files", "bytes", "description"]
    assert out[8].split()[:4] == ["hello", "0.1.0", "line", "2"]
    assert out[9] == "hello:0.1.0 removed"


def test_documents(fun: Fun, capfd: Capture) -> None:
    """The same with --json."""
    make()
    for words in (
        ("pack", "greet", "--output", "g.dropfn"),
        ("install", "g.dropfn"),
        ("install", "greet"),
        ("list",),
        ("info", "greet", "--verify"),
        ("test", "greet"),
        ("remove", "greet:1.0.0"),
    ):
        assert fun(*words, "--json") == 0
    documents: list[dict[str, Any]] = list(map(json.loads, capfd.readouterr().out.splitlines()))
    packed, new, again, listed, info, tested, removed = documents
    assert (packed["file"], packed["package"], len(packed["sha256"])) == (
        "g.dropfn",
        "greet:1.0.0",
        64,
    )
    assert (new["new"], again["new"]) == (True, False)
    assert [each["name"] for each in listed["packages"]] == ["greet"]
    assert (info["cmd"], info["env"], info["damaged"]) == (
        ["sh", "./main.sh"],
        {"WORD": "hello"},
        [],
    )
    assert tested["cases"] == [{"name": "one", "passed": True, "fault": ""}]
    assert removed == {"package": "greet:1.0.0", "removed": True}


def test_the_digest_of_what_is_installed(fun: Fun, capfd: Capture) -> None:
    fun("pack", make(), "-o", "g")
    digest = capfd.readouterr().out.strip().rpartition("=")[2]
    assert fun("install", "g", "--sha256", "0" * 64) == 2
    assert fun("install", "greet", "--sha256", "0" * 64) == 2
    assert "it is another package" in capfd.readouterr().err
    assert fun("install", "greet", "--sha256", digest) == 0
    assert fun("install", f"file://{os.getcwd()}/g#sha256={digest}") == 0


def test_images(fun: Fun, capfd: Capture) -> None:
    assert fun("install", "image:team/validator:0.1.0") == 0
    assert fun("install", "image:validator:latest") == 2
    assert fun("run", "validator") == 2
    assert fun("info", "validator") == 0
    out, err = capfd.readouterr()
    assert "team/validator:0.1.0" in out
    assert "the tag 'latest' of validator is no version" in err
    assert "drop: unsupported: validator needs a container" in err


def test_hostile_archives(fun: Fun, capfd: Capture) -> None:
    Path("x").write_bytes(archive([file_entry("../evil", b"x")], [member("files/../evil", b"x")]))
    assert fun("install", "x") == 2
    assert capfd.readouterr().err == (
        "drop: bad package: x: the path '../evil' leads out of the package (..)\n"
    )
    assert os.listdir("var/functions") == []


def test_other_content_under_the_same_version(fun: Fun, capfd: Capture) -> None:
    assert fun("install", make()) == 0
    assert fun("install", make()) == 0
    assert fun("install", make(text=b"exit 1\n")) == 2
    out, err = capfd.readouterr()
    assert out.endswith("was installed already, with the same content\n")
    assert "drop: conflict: greet:1.0.0 is installed with other content" in err


def test_a_package_in_use_is_not_removed(fun: Fun, capfd: Capture) -> None:
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        fun("install", make(version))
    flow("name: f\nfunc: [{name: a, package: 'greet:1.0.0'}, {name: b, package: greet}]\n")
    assert fun("remove", "greet") == 2
    assert fun("remove", "greet:1.0.0") == 2
    assert fun("remove", "greet:2.0.0") == 2
    assert fun("remove", "greet:1.1.0") == 0
    assert fun("remove", "greet:1.1.0") == 2
    assert fun("remove", "greet:2.0.0", "--force") == 0
    assert fun("info", "greet:1.0.0") == 0
    out, err = capfd.readouterr()
    assert "which version? expected greet:VERSION; installed: 1.0.0, 1.1.0, 2.0.0" in err
    assert "greet:1.0.0 is used by the flow f: change or remove that first, or --force" in err
    assert "there is no package greet:1.1.0; installed of greet: 1.0.0, 2.0.0" in err
    assert "used_by      f" in out


def test_whether_it_is_used_cannot_be_told(fun: Fun, capfd: Capture) -> None:
    fun("install", make())
    flow("name: [")
    assert fun("remove", "greet:1.0.0") == 2
    assert "f.yaml: not valid YAML" in capfd.readouterr().err
    assert fun("remove", "greet:1.0.0", "--force") == 0


def test_damage(fun: Fun, capfd: Capture) -> None:
    fun("install", make())
    main_file = Path("var/functions/greet/1.0.0/files/main.sh")
    main_file.chmod(0o644)
    main_file.write_bytes(b"evil")
    assert fun("info", "greet") == 0
    assert fun("info", "greet", "--verify") == 1
    Path("var/functions/greet/1.0.0/manifest.json").unlink()
    assert fun("info", "greet") == 1
    assert fun("list") == 0
    out, err = capfd.readouterr()
    assert "not as it was installed (1 files: main.sh); remove it and install it again" in err
    assert "manifest.json cannot be read: No such file or directory" in err
    assert "damaged: " in out
    assert fun("remove", "greet:1.0.0") == 0


def test_secrets_are_names(fun: Fun, capfd: Capture) -> None:
    """A package cannot hold more of a secret than its name, so nothing can show more."""
    os.environ["DB_PASSWORD"] = "hunter2"
    try:
        assert fun("install", make(yaml=YAML + "secrets: [DB_PASSWORD]\n")) == 0
        assert fun("info", "greet") == 0
        assert fun("info", "greet", "--json") == 0
    finally:
        del os.environ["DB_PASSWORD"]
    out = capfd.readouterr().out
    assert "DB_PASSWORD" in out
    assert "hunter2" not in out
    assert fun("test", "greet") == 1  # the environment of who asks is not where they come from
    assert "DB_PASSWORD" in capfd.readouterr().err


def test_secrets_and_files_of_variables_are_given_as_by_a_node(
    fun: Fun, tmp_path: Path, capfd: Capture
) -> None:
    program = b'read -r x; echo "$A $B $(cat "$CREDENTIALS_DIRECTORY/DB_PASSWORD")"'
    yaml = (
        "name: greet\nversion: {version}\ncmd: sh main.sh\nsecrets: [DB_PASSWORD]\n"
        "env_file: defaults\nenv: {{A: yaml}}\n"
        "cases: [{{input: [x], output: [yaml file hunter2]}}]\n"
    )
    (tmp_path / "var").mkdir()
    SecretStore(str(tmp_path / "var")).set("DB_PASSWORD", Secret(b"hunter2"))
    make_directory(Path("greet"), {"defaults": b"A=file\nB=file\n"})
    assert fun("test", make(yaml=yaml, text=program)) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "greet:1.0.0: 1 of 1 cases passed"


def test_a_case_that_fails(fun: Fun, capfd: Capture) -> None:
    make(text=MAIN.replace(b", ", b"; "))
    assert fun("test", "greet") == 1
    assert capfd.readouterr().out.splitlines() == [
        "failed  one",
        "        --- expected",
        "        +++ answered",
        "        @@ -1 +1 @@",
        "        -hello, world",
        "        +hello; world",
        "greet:1.0.0: 0 of 1 cases passed",
    ]
    assert fun("test", "greet", "--json") == 1
    assert json.loads(capfd.readouterr().out)["passed"] == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["init", "x y"], 2, "cannot be the name of a function"),
        (["init", "x", "--lang", "cobol"], 2, "there are: bash, c,"),
        (["init", "greet"], 2, "greet is there already"),
        (["pack", "absent"], 2, "absent/function.yaml: cannot be read: No such file"),
        (["pack", "var"], 2, "the directory holds no function; expected a function.yaml"),
        (["pack", "greet", "-o", "absent/x"], 1, "No such file or directory"),
        (["install", "absent"], 2, "not found: absent cannot be read: No such file or directory"),
        (["install", "http://127.0.0.1:1/x"], 2, "expected https, or the digest"),
        (["install", "http://127.0.0.1:1/x", "--sha256", "0" * 64], 3, "Connection refused"),
        (["install", "greet", "--sha256", "x"], 2, "expected 64 digits of hex"),
        (["info", "../x"], 2, "expected NAME or NAME:VERSION"),
        (["info", "absent"], 2, "nothing is installed in"),
        (["run", "../x"], 2, "../x/function.yaml: cannot be read"),
        (["run", "a b"], 2, "expected a directory, or NAME or NAME:VERSION"),
        (["test", "absent"], 2, "there is no package absent"),
        (["list", "--var-dir", "/proc/1/x"], 0, "no packages in /proc/1/x/functions"),
        (["list", "--nope"], 2, "No such option"),
    ],
)
def test_mistakes(fun: Fun, words: list[str], code: int, told: str, capfd: Capture) -> None:
    make()
    Path("var").mkdir()
    assert fun(*words) == code
    assert told in capfd.readouterr().err


def test_faults_of_the_file_are_told_all_at_once(fun: Fun, capfd: Capture) -> None:
    make(yaml="name: greet\nversion: {version}\ncmd: cat\ntimeout: soon\nkidn: line\n")
    assert fun("pack", "greet") == 2
    assert capfd.readouterr().err.splitlines() == [
        "drop: bad package: greet/function.yaml:4:10: timeout: found the text 'soon'; expected"
        " milliseconds, a whole number from 0 to 86400000",
        "greet/function.yaml:5:1: kidn: unknown key (did you mean 'kind'?)",
    ]


def test_no_cases(fun: Fun, capfd: Capture) -> None:
    make(yaml="name: greet\nversion: {version}\ncmd: cat\n")
    assert fun("test", "greet") == 2
    assert "greet has no cases: add some to `cases` in function.yaml" in capfd.readouterr().err
