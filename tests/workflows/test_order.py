"""In which order nodes run, what a failure takes with it, and when scratch may go."""

import networkx as nx
import pytest

from bids_flex.workflows import order


class Node:
    def __init__(self, name, log, fails=False):
        self.name, self.log, self.fails = name, log, fails

    def run(self, updatehash=False):
        self.log.append(self.name)
        if self.fails:
            raise ValueError(self.name)


@pytest.fixture(autouse=True)
def _no_crash_files(monkeypatch):
    monkeypatch.setattr(order, "report_crash", lambda _node: None)


def go(edges, fails=()):
    """Run a graph; give the order of the nodes, those that were lost and why, and when each one's file was free."""
    log, free = [], []
    nodes = {name: Node(name, log, name in fails) for name in dict.fromkeys("".join(edges))}
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes.values())
    graph.add_edges_from((nodes[a], nodes[b]) for a, b in edges)
    plugin = order.DepthFirst(lambda _name: None, lambda node: free.append((node.name, len(log))))
    plugin.run(graph, {})
    return "".join(log), {name: node.name for name, (node, _) in plugin.lost.items()}, dict(free)


def test_what_a_node_made_possible_comes_first():
    # p -> a -> b, c; p -> d -> e, f: one branch is finished before the other begins
    ran, lost, free = go(["pa", "pd", "ab", "ac", "de", "df"])
    assert ran == "pabcdef"
    assert lost == {}
    # a's file is free once its two readers have run, p's once both branches have begun
    assert free["a"] == 4
    assert free["p"] == 5
    assert free["d"] == 7


def test_a_node_waits_for_all_that_it_needs():
    assert go(["ac", "bc", "cd", "bd"])[0] == "abcd"


def test_a_failure_takes_with_it_what_needs_it_and_nothing_else():
    ran, lost, free = go(["pa", "ab", "ac", "pd", "de"], fails="a")
    assert ran == "pade"
    assert lost == {"a": "a", "b": "a", "c": "a"}
    assert free["p"] == 3


def test_what_nothing_needs_any_more_is_not_run():
    # w needs a, which fails, and b, which only w reads; the other branch goes on
    ran, lost, _ = go(["pa", "pb", "aw", "bw", "px", "xy"], fails="a")
    assert ran == "paxy"
    assert lost == dict.fromkeys("abw", "a")


def test_every_failure_has_its_own_reason():
    _, lost, _ = go(["pa", "ab", "pc", "cd", "pe"], fails="ac")
    assert lost == {"a": "a", "b": "a", "c": "c", "d": "c"}
