from collections.abc import Sequence
from typing import Final, TypedDict

DONE: Final[int]
CLOSED: Final[int]
GOAWAY: Final[int]
UNEXPECTED: Final[int]
ALTERED: Final[int]
SYSTEM: Final[int]
DEPTH_MAX: Final[int]

class Measured(TypedDict):
    end: int  # one of the constants
    errno: int
    status: int
    text: str
    seconds: float
    messages: int
    errors: dict[int, int]  # by status
    unanswered: int
    reads: int
    writes: int
    max: float
    mean: float
    p50: float
    p99: float
    p999: float

class Load:
    def __init__(
        self,
        fds: Sequence[int],
        pool: bytes,
        payload: bytes,
        *,
        depth: int,
        seconds: float,
        warmup: float = 0.3,
        timeout_ms: int = 0,
        verify: bool = False,
    ) -> None: ...
    def run(self) -> Measured: ...
    def stop(self) -> None: ...
    @property
    def progress(self) -> int: ...
