"""parse: one CSV record of the flights table in, one line of named fields out.

The first word of an answer says what became of the flight (`flown`, `cancelled`, `diverted`, or
`invalid:` with a reason), so that subscribers choose with a plain substring filter.
"""

import sys

COLUMNS = (
    "day", "sched_dep_time", "dep_delay", "arr_delay", "carrier",
    "flight", "origin", "dest", "air_time", "distance",
)  # fmt: skip
UNKNOWN = "NA"  # how the table writes a value that does not exist


def parse(record: str) -> str:
    fields = record.split(",")
    if len(fields) != len(COLUMNS):
        return f"invalid: {len(fields)} fields, expected {len(COLUMNS)}: {','.join(COLUMNS)}"
    flight = dict(zip(COLUMNS, fields, strict=True))
    route = "carrier={carrier} origin={origin} dest={dest}".format_map(flight)
    if flight["dep_delay"] == UNKNOWN:
        return f"cancelled {route}"
    if flight["arr_delay"] == UNKNOWN:
        return f"diverted {route}"
    try:
        hour = int(flight["sched_dep_time"]) // 100  # 1755 is 17:55
        numbers = " ".join(
            f"{name}={int(flight[name])}"
            for name in ("dep_delay", "arr_delay", "air_time", "distance")
        )
    except ValueError as error:
        return f"invalid: {error}"
    return f"flown {route} hour={hour} {numbers}"


# Bytes, not text: text mode would also end a line at a carriage return, and then one message
# would get two answers.
for line in sys.stdin.buffer:
    answer = parse(line.rstrip(b"\n").decode(errors="replace"))
    sys.stdout.buffer.write(answer.encode() + b"\n")
    sys.stdout.buffer.flush()
