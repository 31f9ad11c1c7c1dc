#!/bin/sh
# Runs the example; `make run` calls this with the private environment first in PATH.
exec python3 "$(dirname "$0")/run.py" "$@"
