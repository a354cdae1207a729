"""In which order the nodes of a graph run, and what becomes of those that need one that failed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nipype.pipeline.plugins.base import PluginBase
from nipype.pipeline.plugins.tools import report_crash

if TYPE_CHECKING:
    from collections.abc import Callable


class DepthFirst(PluginBase):  # type: ignore[misc]
    """Run nodes one after the other, each as soon as what it needs is there, and first what the last one made possible.

    nipype's own serial plugin goes through a graph in its breadth: of many analyses of a run, all would be written at
    the end, and the windows of all would wait on the disk until then. Here an analysis is written before the next
    begins, and scratch goes with the last node that reads it. What needs a node that failed is not run; the rest is.

    Parameters
    ----------
    at : callable
        Called with the name of each node as it starts.
    scratch : callable
        Called with each node whose followers have all ended: nobody reads its file any more.

    Attributes
    ----------
    lost : dict of str to (Node, Exception)
        Nodes that failed or were not run, by name: the node that failed, and how.
    """

    def __init__(self, at: Callable[[str], None], scratch: Callable[[Any], None]) -> None:
        super().__init__({})
        self.at = at
        self.scratch = scratch
        self.lost: dict[str, tuple[Any, Exception]] = {}

    def run(self, graph: Any, config: Any, updatehash: bool = False) -> None:  # noqa: ANN401, ARG002, FBT001, FBT002 - nipype's
        """Run a graph (networkx's) of nodes."""
        here = Path.cwd()
        needs = {node: set(graph.predecessors(node)) for node in graph}
        readers = {node: set(graph.successors(node)) for node in graph}
        ready = [node for node in graph if not needs[node]][::-1]
        gone: set[Any] = set()
        while ready:
            node = ready.pop()
            if node in gone:
                continue
            failed = self._run(node)
            ended = {node}
            if failed is not None:
                ended = _in_vain(graph, node, gone)
                gone |= ended
                self.lost |= {str(one.name): (node, failed) for one in ended}
            for before in [before for one in ended for before in graph.predecessors(one)]:
                readers[before] -= ended
                if not readers[before]:
                    self.scratch(before)
            if failed is None:
                following = list(graph.successors(node))
                for one in following:
                    needs[one].discard(node)
                # the first of them last: it is the next to be taken
                ready += [one for one in following if not needs[one]][::-1]
        # nodes change it
        os.chdir(here)

    def _run(self, node: Any) -> Exception | None:  # noqa: ANN401 - nipype's Node
        """Run one node; its failure otherwise."""
        self.at(str(node.name))
        try:
            node.run(updatehash=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, what does not need this node goes on
            report_crash(node)
            return error
        return None


def _in_vain(graph: Any, node: Any, gone: set[Any]) -> set[Any]:  # noqa: ANN401 - networkx's graph, nipype's node
    """List a node that failed, all that need it, and all that nothing needs now; not those that had gone before."""
    found, waiting = {node}, [node]
    while waiting:
        new = set(graph.successors(waiting.pop())) - found
        found |= new
        waiting += new
    while idle := {
        one for one in set(graph) - found - gone if graph.out_degree(one) and set(graph.successors(one)) <= found | gone
    }:
        found |= idle
    return found - gone
