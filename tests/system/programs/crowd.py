"""Many clients in one process: `crowd.py PORT COUNT POOL`.

Each connection says HELLO and makes one call, all of them before the first answer is read. Says
`answered N` when every answer is right, and holds the connections until its stdin ends.
"""

import resource
import socket
import sys


def frame(kind: int, code: int, id: int, body: bytes) -> bytes:
    head = (12 + len(body)).to_bytes(4, "big") + bytes((kind, 0, code, 0))
    return head + id.to_bytes(8, "big") + body


def read(client: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = client.recv(length - len(data))
        if not piece:
            raise SystemExit(f"closed after {data!r}")
        data += piece
    return data


def read_frame(client: socket.socket) -> tuple[int, bytes]:
    head = read(client, 16)
    return head[4], read(client, int.from_bytes(head[:4], "big") - 12)


port, count, pool = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
clients = []
for number in range(count):
    client = socket.create_connection(("127.0.0.1", port), 30)
    client.sendall(frame(1, 0, 0, b"DROP\1\1\0\0"))
    body = b"\0\0\0\0" + pool + b"%d" % number
    client.sendall(frame(2, len(pool), number, body))
    clients.append(client)
for number, client in enumerate(clients):
    welcome, answer = read_frame(client), read_frame(client)
    if welcome[0] != 0x81 or answer != (0x82, b"%d" % number):
        raise SystemExit(f"connection {number}: {welcome} {answer}")
print("answered", count, flush=True)
sys.stdin.read()
