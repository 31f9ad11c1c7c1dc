"""The example flow on a real node, with all of its real data, finds what is true.

What is true is computed twice without the flow: by examples/expected.py, and as a few figures that
were counted by hand (zcat, grep, wc) and stand here as numbers.
"""

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from drop.client import AsyncClient
from running_node import RunningNode

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))  # the examples are scripts, not a package

import expected  # noqa: E402
import toolchain  # noqa: E402
from feed import Feed  # noqa: E402
from node import Node, NodeFailed  # noqa: E402

pytestmark = pytest.mark.system

StartNode = Callable[..., RunningNode]


def flow(file: str) -> str:
    """A flow of the examples, for a node that has its flow files elsewhere."""
    flow = yaml.safe_load((EXAMPLES / file).read_text())
    for function in flow["func"]:
        function["cwd"] = str(EXAMPLES)
    return yaml.safe_dump(flow)


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    toolchain.main()


def test_the_independent_computation() -> None:
    """Guards the yardstick itself."""
    assert len(expected.records()) == 27_004
    findings = expected.expected()
    assert findings.cancelled == {"EWR": 238, "LGA": 183, "JFK": 100}
    assert len(findings.carriers) == 16
    assert findings.carriers["ExpressJet Airlines Inc."] == "1630/3964"
    assert findings.hours["05h"] == "3.8"


def test_a_taken_port_is_what_make_run_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("DROP_LISTEN", f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(NodeFailed, match="in use by another process"):
            Node(tmp_path).start(EXAMPLES / "flights.yml")


async def test_the_flow_finds_the_same(start_node: StartNode) -> None:
    node = start_node(flow("flights.yml"), PATH=toolchain.path())
    async with AsyncClient(node.address) as client:
        feed = Feed(client, expected.records())
        await feed.run()
    assert (feed.sent, feed.flown, feed.flown_from_jfk, feed.cancelled) == (
        27_004,
        26_398,
        9_031,
        521,
    )
    # Every message came out once: as many answers as flights, and the last total counts them all.
    assert feed.carriers.answers == feed.carriers.flights == feed.flown
    assert feed.hours.answers == feed.hours.flights == feed.flown_from_jfk
    assert feed.cancellations.answers == feed.cancellations.flights == feed.cancelled
    found = expected.read(feed.carriers.latest, feed.hours.latest, feed.cancellations.latest)
    assert found == expected.expected()


async def test_a_record_that_is_none_stays_out_of_the_totals(start_node: StartNode) -> None:
    node = start_node(flow("flights.yml"), PATH=toolchain.path())
    async with AsyncClient(node.address) as client:
        assert (await client.call("parse", b"no record")).startswith(b"invalid: 1 fields")
        feed = Feed(client, expected.records()[:100])
        await feed.run()
    assert feed.carriers.flights == feed.flown


async def test_hello_in_every_language(start_node: StartNode) -> None:
    node = start_node(flow("hello.yml"), PATH=toolchain.path())
    languages = {"bash": "bash", "python": "Python", "awk": "awk", "node": "Node.js", "c": "C"}
    async with AsyncClient(node.address) as client:
        for pool, language in languages.items():
            answer = await client.call(f"hello_{pool}", "Ada")
            assert answer.decode() == f"Hello, Ada, from {language}"
