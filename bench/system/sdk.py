"""Each SDK beside the loop that one would write without it, in the same language, on bare pipes.

One message outstanding shows what an SDK costs, 64 what its batches save. A shell reads a byte at a
time, with the SDK or without: there is nothing to save. CPU time is the function's own, system
calls included; it is the steadier figure.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from bench.build import ROOT, program
from bench.system.figures import Bar, Row, Sample, at_least, median
from bench.system.setting import Setting

WORKERS = Path("bench/workers/sdk")
LOCKSTEP, WINDOW = 1, 64
COST = at_least(0.9)
GAIN = at_least(1.5)

# SDK: the interpreter, what runs without and with it, and the bar of a window.
Case = tuple[str, list[str], list[str], Bar | None]


def sdk(setting: Setting) -> list[Row]:
    """Rates of every language that is here."""
    rows = []
    for name, (interpreter, plain, ours, gain) in _cases().items():
        if interpreter and not shutil.which(interpreter):
            print(f"no {interpreter} in PATH: {name} is left out", file=sys.stderr)
            continue
        cost = None if name.endswith("async") else COST
        for window, bar in ((LOCKSTEP, cost), (WINDOW, gain)):
            case = f"sdk {name}, w{window}"
            samples = setting.alternate(
                case,
                plain=partial(_drive, plain, window, setting.seconds),
                ours=partial(_drive, ours, window, setting.seconds),
            )
            for key, figure in (("rate", "messages/s"), ("cpu_us", "CPU us each")):
                ours_is, plain_is = (median(samples[side], key) for side in ("ours", "plain"))
                rows.append(Row(case, figure, ours_is, plain_is, bar if key == "rate" else None))
    return rows


def _cases() -> dict[str, Case]:
    def script(name: str) -> str:
        return str(ROOT / WORKERS / name)

    python, javascript = [sys.executable], ["node"]
    plain_python = [*python, str(ROOT / "bench/workers/echo.py")]
    plain_javascript = [*javascript, script("plain.js")]
    plain_c = str(program("sdk-plain", [str(WORKERS / "plain.c")]))
    c = str(program("sdk-header", [str(WORKERS / "sdk.c")], f"-I{ROOT / 'sdk/c'}"))
    return {
        "python": ("", plain_python, [*python, script("sdk.py")], GAIN),
        "python async": ("", plain_python, [*python, script("sdk.py"), "async"], None),
        "c": ("", [plain_c], [c], GAIN),
        "bash": ("bash", ["bash", script("plain.sh")], ["bash", script("sdk.sh")], None),
        "dash": ("dash", ["dash", script("plain.sh")], ["dash", script("sdk.sh")], None),
        "node": ("node", plain_javascript, [*javascript, script("sdk.js")], GAIN),
        "node async": ("node", plain_javascript, [*javascript, script("sdk.js"), "async"], None),
    }


def _drive(command: list[str], window: int, seconds: float) -> Sample:
    driver = program("sdk-drive", [str(WORKERS / "drive.c")])
    done = subprocess.run(
        [driver, str(window), str(seconds), *command], check=True, capture_output=True, text=True
    )
    sample: dict[str, float] = json.loads(done.stdout)
    return sample
