"""hour_report: the totals of by_hour as a bar chart and as each hour's mean delay in minutes.

`flights=9031 | ▂▂▁▄▄▃▃▄▆▄▇▆▅▆▇█▆▇▂ | 05h 3.8 | 06h 2.5 | ...`
It keeps nothing between messages, so it may have any number of workers.
"""

import sys

BARS = "▁▂▃▄▅▆▇█"


def report(totals: str) -> str:
    flights, *cells = totals.split()
    means = {}
    for cell in cells:
        hour, minutes, count = map(int, cell.replace("=", "/").split("/"))
        means[hour] = minutes / count
    largest = max(means.values(), default=0)
    chart = "".join(bar(mean, largest) for mean in means.values())
    table = [f"{hour:02}h {mean:.1f}" for hour, mean in means.items()]
    return " | ".join([flights, chart, *table])


def bar(mean: float, largest: float) -> str:
    return BARS[int((len(BARS) - 1) * mean / largest)] if mean > 0 else BARS[0]


for line in sys.stdin.buffer:  # bytes, as in parse.py
    try:
        answer = report(line.decode())
    except (ValueError, ZeroDivisionError) as error:
        answer = f"invalid: {error}"
    sys.stdout.buffer.write(answer.encode() + b"\n")
    sys.stdout.buffer.flush()
