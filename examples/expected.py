"""What the flow must find, computed without it: the whole table in one process, by other code."""

import csv
import gzip
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"


@dataclass(frozen=True)
class Findings:
    carriers: dict[str, str]  # name of the airline: late flights/flights
    hours: dict[str, str]  # hour at JFK, as 07h: mean delay at departure in minutes
    cancelled: dict[str, int]  # airport: flights


def records() -> list[bytes]:
    """The lines of the table, without its header."""
    with gzip.open(DATA / "flights-2013-01.csv.gz") as table:
        return table.read().splitlines()[1:]


def expected() -> Findings:
    with gzip.open(DATA / "flights-2013-01.csv.gz", "rt") as table:
        flights = list(csv.DictReader(table))
    landed = [flight for flight in flights if flight["arr_delay"] != "NA"]

    everything = Counter(flight["carrier"] for flight in landed)
    late = Counter(flight["carrier"] for flight in landed if float(flight["arr_delay"]) >= 15)
    with open(DATA / "airlines.csv") as table:
        names = {row["carrier"]: row["name"] for row in csv.DictReader(table)}

    delays = defaultdict(list)
    for flight in landed:
        if flight["origin"] == "JFK":
            delays[flight["sched_dep_time"].zfill(4)[:2] + "h"].append(int(flight["dep_delay"]))

    return Findings(
        carriers={names[code]: f"{late[code]}/{everything[code]}" for code in everything},
        hours={hour: f"{sum(delay) / len(delay):.1f}" for hour, delay in delays.items()},
        cancelled=Counter(flight["origin"] for flight in flights if flight["dep_delay"] == "NA"),
    )


def read(carrier_report: str, hour_report: str, cancelled: str) -> Findings:
    """The same out of the flow's last answers."""
    carriers = [cell.split("  ") for cell in carrier_report.split(" | ")[1:]]
    hours = [cell.split() for cell in hour_report.split(" | ")[2:]]
    airports = [cell.split("=") for cell in cancelled.split()[1:]]
    return Findings(
        carriers={name: flights for _, flights, name in carriers},
        hours=dict(hours),
        cancelled={airport: int(count) for airport, count in airports},
    )
