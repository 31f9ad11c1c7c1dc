"""A `line` function as anyone would write it: a loop over the lines of stdin, a flush for each."""

import sys

for line in sys.stdin:
    sys.stdout.write(line)
    sys.stdout.flush()
