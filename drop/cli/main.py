"""The `drop` command: picks the way in, and turns what went wrong into a text and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from drop.cli import errors, output, quick
from drop.errors import DropError


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit code."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json = "--json" in options
    try:
        return (quick.parse(arguments) or _by_typer(arguments))()
    except (DropError, errors.UsageError, errors.CommandError) as error:
        return errors.report(error, as_json=as_json)
    except BrokenPipeError:
        output.discard_stdout()  # who reads our output has seen enough
        return errors.OK
    except KeyboardInterrupt:
        return errors.INTERRUPTED
    except ImportError as error:
        # An extension that is not built, or a part that is not installed, says so itself.
        sys.stderr.write(f"drop: {error}\n")
        return errors.FUNCTION


def _by_typer(arguments: list[str]) -> Callable[[], int]:
    try:
        from drop.cli.commands import build
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        raise ModuleNotFoundError(
            f"{error.name} is not installed; `pip install 'drop-platform[cli]'`", name=error.name
        ) from None

    def run_app() -> int:
        try:
            build()(arguments, prog_name="drop")
        except SystemExit as exit_:
            return exit_.code if isinstance(exit_.code, int) else errors.USAGE
        return errors.OK

    return run_app


if __name__ == "__main__":
    main()
