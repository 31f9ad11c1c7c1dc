"""`drop fun run` and `drop fun test`: a function at the terminal, and its cases."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from drop.cli import errors, output
from drop.cli.errors import CommandError, UsageError
from drop.cli.fun import reporting, settings_of, store_of
from drop.cli.fun_launch import launcher
from drop.flow.spec import Function
from drop.packages import check
from drop.packages.build import build
from drop.packages.conversation import WorkerFault
from drop.packages.manifest import FILE_NAME, Manifest, load_manifest
from drop.packages.names import parse_reference
from drop.packages.resolve import placed
from drop.packages.run import Launch, run


def fun_run(*, function: str, var_dir: Path | None = None, json: bool = False) -> int:
    """Runs one worker; each line of stdin is a message, each answer a line of stdout."""

    def show(answer: bytes) -> None:
        if json:
            output.write_json({"status": "ok", **output.field("answer", answer)})
        else:  # what an exec function writes is its answer to the last byte
            output.write_bytes(answer if raw else answer + b"\n", raw=True)

    with reporting():
        found = _find(function, var_dir)
        raw = found.function.effective_kind == "exec"
        try:
            with _launcher(found, var_dir) as start:
                run(found.function, start, show)
        except WorkerFault as fault:
            raise CommandError(str(fault), "failed") from None
    return errors.OK


def fun_test(*, function: str, var_dir: Path | None = None, json: bool = False) -> int:
    """Runs the cases of a function; 0 when all pass."""
    with reporting():
        found = _find(function, var_dir)
        cases = check.cases_of(found.manifest, found.directory)
        if not cases:
            raise CommandError(
                f"{function} has no cases: add some to `cases` in {FILE_NAME}, or files"
                f" {check.DIRECTORY}/NAME.in and NAME.out",
                "not_found",
                errors.USAGE,
            )
        results = []
        with _launcher(found, var_dir) as start:
            for case in cases:
                result = check.run_case(case, found.function, start)
                results.append(result)
                if not json:
                    _show(result)
    passed = sum(each.passed for each in results)
    if json:
        documents = [
            {"name": each.case.name, "passed": each.passed, "fault": each.fault} for each in results
        ]
        output.write_json({"package": str(found.manifest), "passed": passed, "cases": documents})
    else:
        print(f"{found.manifest}: {passed} of {len(results)} cases passed")
    return errors.OK if passed == len(results) else errors.FUNCTION


def _show(result: check.Result) -> None:
    print(f"{'ok    ' if result.passed else 'failed'}  {result.case.name}", flush=True)
    for line in result.fault.splitlines():
        print(f"        {line}", flush=True)


class _Found(NamedTuple):
    manifest: Manifest
    function: Function
    """With absolute paths."""
    directory: Path
    """Where its files are."""
    installed: bool


def _find(text: str, var_dir: Path | None) -> _Found:
    """A directory wins over a package of the same name."""
    directory = Path(text)
    if "/" in text or directory.is_dir():
        manifest = load_manifest(directory)
        build(manifest, directory)
        place = directory.absolute()
        return _Found(manifest, placed(manifest.function, str(place)), place, installed=False)
    reference = parse_reference(text)
    if reference is None:
        raise UsageError(f"{text!r}: expected a directory, or NAME or NAME:VERSION")
    installed = store_of(var_dir).find(reference)
    function = placed(installed.package.manifest.function, str(installed.files))
    return _Found(installed.package.manifest, function, installed.files, installed=True)


def _launcher(found: _Found, var_dir: Path | None) -> AbstractContextManager[Launch]:
    return launcher(found.function, settings_of(var_dir), as_me=not found.installed)
