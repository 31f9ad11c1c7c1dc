"""The `drop` command: picks the way in, and turns what went wrong into a text and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from drop.cli import errors, output, quick
from drop.errors import DropError


def main() -> None:
    """The console script."""
    output.open_missing_streams()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit code."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json = "--json" in options
    try:
        code = (quick.parse(arguments) or _by_typer(arguments, as_json))()
        sys.stdout.flush()  # what cannot be written any more is told here, and not at exit
        return code
    except (DropError, errors.UsageError, errors.CommandError) as error:
        return errors.report(error, as_json=as_json)
    except BrokenPipeError:
        output.discard_stdout()  # who reads our output has seen enough
        return errors.OK
    except OSError as error:
        output.discard_stdout()
        sys.stderr.write(f"drop: cannot read or write: {error.strerror or error}\n")
        return errors.FUNCTION
    except KeyboardInterrupt:
        return errors.INTERRUPTED
    except ImportError as error:
        # An extension that is not built, or a part that is not installed, says so itself.
        sys.stderr.write(f"drop: {error}\n")
        return errors.FUNCTION


def _by_typer(arguments: list[str], as_json: bool) -> Callable[[], int]:
    """What to run. Only chosen by typer, which has its own mind about EPIPE and Ctrl-C."""
    try:
        from drop.cli.commands import build
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        raise ModuleNotFoundError(
            f"{error.name} is not installed; `pip install 'drop-platform[cli]'`", name=error.name
        ) from None
    chosen: list[Callable[[], int]] = []
    code: object = errors.OK
    stdout = os.dup(1)  # rich leads 1 elsewhere when it cannot write
    try:
        # Not standalone: a mistake comes here, where it becomes a document for programs.
        build(chosen.append)(arguments, prog_name="drop", standalone_mode=not as_json)
    except SystemExit as exit_:
        code = exit_.code
    except Exception as error:
        tell = getattr(error, "format_message", None)  # typer does not export its base class
        if tell is None:
            raise
        raise errors.UsageError(tell()) from None
    finally:
        unread = output.nobody_reads(stdout)
        os.close(stdout)
    if chosen:
        return chosen[0]
    if code == errors.FUNCTION and unread:  # the help of `drop --help | head`
        raise BrokenPipeError
    return lambda: code if isinstance(code, int) else errors.USAGE


if __name__ == "__main__":
    main()
