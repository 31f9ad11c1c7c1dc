"""How a run measures: repetitions, lengths, yardsticks; and the alternation of ours with theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.system.figures import Sample
from bench.system.roofline import Roofline, own_worker

Measure = Callable[[], Sample]


@dataclass
class Setting:
    """What every case gets. `samples` keeps each single measurement for the record."""

    reps: int
    seconds: float
    quick: bool  # smaller memory cases
    roofline: Roofline | None
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def worker(self, name: str) -> list[str]:
        """The command of the function `c` or `python`: the yardstick's own where there is one."""
        return self.roofline.worker(name) if self.roofline else own_worker(name)

    def alternate(self, case: str, **measures: Measure) -> dict[str, list[Sample]]:
        """Takes the measures in turn, `reps` times: what drifts, drifts under all of them."""
        results: dict[str, list[Sample]] = {name: [] for name in measures}
        for _ in range(self.reps):
            for name, measure in measures.items():
                results[name].append(measure())
        for name, samples in results.items():
            self.samples[f"{case}: {name}"] = samples
        return results
