"""A runtime of the Lambda Runtime API by the standard library only. Its handler does what the event
names: echoes, tells, ends, refuses to end, answers twice or in chunks."""

import http.client
import json
import os
import signal
import sys
from collections.abc import Iterator

API = "/2018-06-01/runtime"


class Runtime:
    def __init__(self) -> None:
        self.connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

    def request(self, method: str, path: str, body: object = None, **headers: str) -> bytes:
        """The body of the reply; `status` and `headers` tell more."""
        self.connection.request(method, f"{API}/{path}", body, headers)  # type: ignore[arg-type]
        reply = self.connection.getresponse()
        self.status, self.headers = reply.status, reply.headers
        return reply.read()

    def run(self) -> None:
        while True:
            event = self.request("GET", "invocation/next")
            self.identity = self.headers["Lambda-Runtime-Aws-Request-Id"]
            word = event.split(b" ", 1)[0].decode("ascii", "replace")
            handler = getattr(self, f"do_{word}", None)
            self.respond(event if handler is None else handler())

    def respond(self, body: object, kind: str = "response", **headers: str) -> bytes:
        return self.request("POST", f"invocation/{self.identity}/{kind}", body, **headers)

    def do_environment(self) -> bytes:
        return json.dumps(dict(os.environ)).encode()

    def do_headers(self) -> bytes:
        return json.dumps(dict(self.headers)).encode()

    def do_print(self) -> bytes:
        print("printed to stdout", flush=True)
        return b""

    def do_pid(self) -> bytes:
        return str(os.getpid()).encode()

    def do_stubborn(self) -> bytes:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return b""

    def do_end(self) -> bytes:
        os._exit(3)

    def do_last(self) -> bytes:
        self.respond(b"the last words")
        os._exit(0)

    def do_kill(self) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    def do_hang(self) -> bytes:
        signal.pause()
        return b""

    def do_chunks(self) -> Iterator[bytes]:
        return iter((b"one ", b"two ", b"three"))

    def do_twice(self) -> bytes:
        """Answers, then tells in the next invocation what a second answer got."""
        self.respond(b"first")
        refusals = []
        for identity in (self.identity, "x"):
            self.identity = identity
            refusals.append((self.respond(b"second").decode(), self.status))
        self.request("GET", "invocation/next")
        self.identity = self.headers["Lambda-Runtime-Aws-Request-Id"]
        return json.dumps(refusals).encode()


if len(sys.argv) > 1:  # a report of what went wrong at the start
    runtime = Runtime()
    runtime.request(
        "POST", "init/error", sys.argv[1], **{"Lambda-Runtime-Function-Error-Type": "Runtime.Test"}
    )
    sys.exit(1)
Runtime().run()
