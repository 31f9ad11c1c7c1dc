class SpawnError(OSError): ...

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
