class SpawnError(OSError):
    step: str
    executing: bool

def spawn(
    argv: list[bytes],
    *,
    env: list[bytes],
    cwd: bytes | None,
    stdin: int,
    stdout: int,
    stderr: int,
    uid: int = -1,
    gid: int = -1,
) -> tuple[int, int]: ...

class Recipe:
    slots: int

    def __init__(
        self,
        argv: list[bytes],
        *,
        env: list[bytes],
        cwd: bytes | None,
        number_variable: bytes | None = None,
        uid: int = -1,
        gid: int = -1,
        no_new_privileges: bool = False,
        no_capabilities: bool = False,
        limits: dict[int, int] | None = None,
        oom_score_adjust: int = 0,
        network_none: bool = False,
        private: list[bytes] | None = None,
        private_options: bytes = b"",
        kept: list[bytes] | None = None,
        read_only: bool = False,
        landlock: bool = False,
        writable: list[bytes] | None = None,
        groups: list[bytes] | None = None,
        slots: int = 0,
    ) -> None: ...
    def spawn(self, slot: int, *, stdin: int, stdout: int, stderr: int) -> tuple[int, int]: ...
    def kill_slot(self, slot: int) -> None: ...
    def oom_kills(self, slot: int) -> int: ...
    def capsule(self) -> object: ...
