"""Which pools and subscriptions flows make, which flows cannot run together, what a reload does."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drop.errors import ConfigurationError
from drop.flow.load import parse_flow
from drop.flow.plan import (
    CreatePool,
    RemovePool,
    Subscribe,
    Subscription,
    Unsubscribe,
    UpdatePool,
    Wiring,
    changes,
    wiring,
)
from drop.flow.spec import LoadedFlow


def flow(functions: str, name: str = "n") -> LoadedFlow:
    """A flow of functions that are given as `- {...}` lines, from line 3 of /flows/NAME.yaml on."""
    lines = "".join(f"  {line}\n" for line in functions.splitlines())
    return parse_flow(f"name: {name}\nfunc:\n{lines}".encode(), f"/flows/{name}.yaml")


def faults(*flows: LoadedFlow) -> str:
    with pytest.raises(ConfigurationError) as caught:
        wiring(flows)
    return str(caught.value)


def test_a_pool_has_all_that_is_needed_to_run_it() -> None:
    made = wiring(
        [
            flow(
                "- name: a\n  cmd: ./a x/y\n  num: {min: 2, max: 4}\n  inflight: 8\n  queue: 9\n"
                "  overflow: block\n  timeout: 10\n  newline: ncm\n  retries: 2\n"
                "  restart: on-failure\n  env: {B: 2, A: 1}\n  kind: line"
            )
        ]
    )
    pool = made.pools["a"]
    assert (pool.name, pool.workers, pool.restart) == ("a", 2, "on-failure")
    assert (pool.launch.flow, pool.launch.argv) == ("n", ("/flows/a", "x/y"))
    assert (pool.launch.cwd, pool.launch.env) == ("/flows", (("A", "1"), ("B", "2")))
    box = pool.mailbox
    assert (box.kind, box.inflight, box.queue, box.overflow) == ("line", 8, 9, "block")
    assert (box.timeout_ms, box.newline, box.retries) == (10, "ncm", 2)


@pytest.mark.parametrize(
    ("cmd", "cwd", "program", "directory"),
    [
        ("cat", "", "cat", "/flows"),
        ("./cat", "", "/flows/cat", "/flows"),
        ("../bin/cat", "", "/flows/../bin/cat", "/flows"),
        ("/bin/cat", "", "/bin/cat", "/flows"),
        ("./cat", "cwd: sub", "/flows/sub/cat", "/flows/sub"),
        ("./cat", "cwd: /srv", "/srv/cat", "/srv"),
    ],
)
def test_a_program_is_found_from_the_workers_directory(
    cmd: str, cwd: str, program: str, directory: str
) -> None:
    launch = wiring([flow(f"- name: a\n  cmd: {cmd}\n  {cwd}")]).pools["a"].launch
    assert (launch.argv[0], launch.cwd) == (program, directory)


def test_subscriptions_may_cross_flows() -> None:
    first = flow("- {name: a, cmd: x}", "first")
    second = flow(
        "- {name: b, cmd: x, sub: [{name: a, filter: é, type: all}, {name: c}]}\n"
        "- {name: c, cmd: x}",
        "second",
    )
    assert wiring([first, second]).subscriptions == {
        Subscription("a", "b", "é".encode(), "all"),
        Subscription("c", "b", b"", "one"),
    }


def test_an_unknown_source_has_a_place_and_a_neighbour() -> None:
    one = flow("- {name: validator, cmd: x}\n- {name: b, cmd: x, sub: [{name: validater}]}")
    assert faults(one) == (
        "/flows/n.yaml:4:36: func[1].sub[0].name: no flow has a pool 'validater' (did you mean "
        "'validator'?); expected a pool of this or of a running flow"
    )


def test_names_are_unique_among_flows() -> None:
    first, second = flow("- {name: a, cmd: x}", "first"), flow("- {name: a, cmd: x}", "second")
    assert faults(first, second) == (
        "/flows/second.yaml:3:12: func[0].name: the flow 'first' has a pool 'a' already "
        "(/flows/first.yaml:3); expected another name"
    )
    other = parse_flow(b"name: first\nfunc: [{name: b, cmd: x}]", "/flows/other.yaml")
    assert faults(first, other) == (
        "/flows/other.yaml:1:7: name: there is a flow 'first' already (/flows/first.yaml:1); "
        "expected another name"
    )


def test_every_conflict_is_reported() -> None:
    first = flow("- {name: a, cmd: x, delivery: durable}\n- {name: b, cmd: x, sub: [{name: zz}]}")
    assert len(faults(first, flow("- {name: a, cmd: x}", "m")).splitlines()) == 3


def chain(*edges: str, **overflow: str) -> LoadedFlow:
    """Pools named by one letter, with a subscription for each edge: "ab" is a -> b."""
    lines = []
    for name in sorted(set("".join(edges))):
        subs = ", ".join(f"{{name: {edge[0]}}}" for edge in edges if edge[1] == name)
        policy = overflow.get(name, "default")
        lines.append(f"- {{name: {name}, cmd: x, overflow: {policy}, sub: [{subs}]}}")
    return flow("\n".join(lines))


def test_a_cycle_that_waits_is_an_error_that_prints_it() -> None:
    assert faults(chain("ab", "bc", "ca", "ad")) == (
        "/flows/n.yaml:3:55: func[0].sub[0].name: the subscriptions form a cycle in which every "
        "pool waits for the next: a -> b -> c -> a; expected overflow: reject or drop-oldest for "
        "one of them, or no cycle"
    )
    assert "next: a -> a;" in faults(chain("aa"))


def test_each_cycle_is_reported() -> None:
    text = faults(chain("ab", "ba", "cd", "dc"))
    assert "a -> b -> a" in text
    assert "c -> d -> c" in text
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize("policy", ["reject", "drop-oldest"])
def test_a_cycle_with_a_pool_that_does_not_wait_is_allowed(policy: str) -> None:
    assert len(wiring([chain("ab", "bc", "ca", b=policy)]).subscriptions) == 3
    assert "a -> a" in faults(chain("ab", "bc", "ca", "aa", b=policy, c="block"))


def test_a_long_chain_is_no_problem() -> None:
    lines = [
        f"- {{name: p{i}, cmd: x, sub: [{f'{{name: p{i - 1}}}' if i else ''}]}}"
        for i in range(2000)
    ]
    assert len(wiring([flow("\n".join(lines))]).subscriptions) == 1999


def between(old: str, new: str) -> list[tuple[str, str]]:
    """The kinds of action and their pools from one flow to another."""
    runs = wiring([flow(old)]) if old else Wiring()
    shall = wiring([flow(new)]) if new else Wiring()
    shown = []
    for action in changes(runs, shall):
        match action:
            case Subscribe(each) | Unsubscribe(each):
                shown.append((type(action).__name__, f"{each.source}->{each.target}"))
            case UpdatePool(pool, replace_workers):
                shown.append(("UpdatePool", pool.name + " replace" * replace_workers))
            case CreatePool(pool) | RemovePool(pool):
                shown.append((type(action).__name__, pool.name))
    return shown


BOTH = "- {name: a, cmd: x}\n- {name: b, cmd: x, sub: [{name: a}]}"


def test_start_and_stop() -> None:
    assert between("", BOTH) == [
        ("CreatePool", "a"),
        ("CreatePool", "b"),
        ("Subscribe", "a->b"),
    ]
    assert between(BOTH, "") == [
        ("Unsubscribe", "a->b"),
        ("RemovePool", "a"),
        ("RemovePool", "b"),
    ]


@pytest.mark.parametrize(
    ("new", "actions"),
    [
        (BOTH, []),
        ("- {name: b, cmd: x, sub: [{name: a}]}\n- {name: a, cmd: x}", []),
        (BOTH.replace("a, cmd: x", "a, cmd: x, num: 2"), [("UpdatePool", "a")]),
        (BOTH.replace("a, cmd: x", "a, cmd: x, restart: never"), [("UpdatePool", "a")]),
        (BOTH.replace("a, cmd: x", "a, cmd: y"), [("UpdatePool", "a replace")]),
        (BOTH.replace("a, cmd: x", "a, cmd: x, env: {A: 1}"), [("UpdatePool", "a replace")]),
        (
            BOTH.replace("a, cmd: x", "a, cmd: x, inflight: 2"),
            [
                ("Unsubscribe", "a->b"),
                ("RemovePool", "a"),
                ("CreatePool", "a"),
                ("Subscribe", "a->b"),
            ],
        ),
        (
            BOTH.replace("{name: a}", "{name: a, filter: x}"),
            [("Unsubscribe", "a->b"), ("Subscribe", "a->b")],
        ),
        (BOTH + "\n- {name: c, cmd: x}", [("CreatePool", "c")]),
    ],
)
def test_a_reload_touches_only_what_differs(new: str, actions: list[tuple[str, str]]) -> None:
    assert between(BOTH, new) == actions


def test_a_pool_that_moves_to_another_flow_gets_new_workers() -> None:
    runs, shall = wiring([flow(BOTH, "first")]), wiring([flow(BOTH, "second")])
    assert [type(each) for each in changes(runs, shall)] == [UpdatePool, UpdatePool]


POOLS = "abcd"
EDGES = [f"{x}{y}" for x, y in itertools.product(POOLS, POOLS) if x < y]


@st.composite
def wirings(draw: st.DrawFn) -> Wiring:
    names = draw(st.sets(st.sampled_from(POOLS)))
    lines = []
    for name in sorted(names):
        sources = [e[0] for e in EDGES if e[1] == name and e[0] in names and draw(st.booleans())]
        keys = draw(st.sampled_from(["cmd: x", "cmd: y", "cmd: x, num: 2", "cmd: x, queue: 2"]))
        subs = ", ".join(f"{{name: {each}}}" for each in sources)
        lines.append(f"- {{name: {name}, {keys}, sub: [{subs}]}}")
    return wiring([flow("\n".join(lines))]) if lines else Wiring()


@settings(max_examples=200, deadline=None)
@given(wirings(), wirings())
def test_the_actions_lead_from_one_wiring_to_the_other(runs: Wiring, shall: Wiring) -> None:
    pools, subscriptions = dict(runs.pools), set(runs.subscriptions)
    for action in changes(runs, shall):
        match action:
            case Subscribe(each):
                assert {each.source, each.target} <= set(pools)
                subscriptions.add(each)
            case Unsubscribe(each):
                subscriptions.remove(each)
            case RemovePool(pool):
                assert all(pool.name not in (e.source, e.target) for e in subscriptions)
                del pools[pool.name]
            case CreatePool(pool):
                assert pool.name not in pools
                pools[pool.name] = pool
            case UpdatePool(pool):
                assert pools[pool.name].mailbox == pool.mailbox
                pools[pool.name] = pool
    assert pools == dict(shall.pools)
    assert subscriptions == set(shall.subscriptions)
