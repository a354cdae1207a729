"""The stages of a run as a nipype graph: coarse nodes that hand each other files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, isdefined, traits
from nipype.interfaces.utility import Merge
from nipype.pipeline.engine import Node, Workflow

from bids_flex.errors import BidsFlexError, RunError
from bids_flex.workflows import engine_stages, sources, stages
from bids_flex.workflows.derivatives import write_derivatives
from bids_flex.workflows.engines import engines_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bids_flex.workflows.engines import Engine

FAILURE = "failure.txt"
"""Where a node leaves the reason of a failure that we foresaw; nipype itself hands on a traceback as text only."""


class _Outputs(TraitedSpec):  # type: ignore[misc]
    out_file = File(exists=True)


class _JobInputs(BaseInterfaceInputSpec):  # type: ignore[misc]
    job = traits.Any(mandatory=True)


class _CleanInputs(_JobInputs):
    parcellated = File(exists=True, mandatory=True)


class _ConnectInputs(_JobInputs):
    engine = traits.Str(mandatory=True)
    cleaned = File(exists=True, mandatory=True)


class _SearchInputs(_ConnectInputs):
    threads = traits.Int(mandatory=True)
    connectivity = File(exists=True, mandatory=True)


class _MeasureInputs(_ConnectInputs):
    communities = File(exists=True, mandatory=True)


class _HoldInputs(_SearchInputs):
    communities = File(exists=True, mandatory=True)


class _WriteInputs(_JobInputs):
    parcellated = File(exists=True, mandatory=True)
    cleaned = File(exists=True, mandatory=True)
    communities = traits.List(File(exists=True), mandatory=True)
    measures = traits.List(File(exists=True), mandatory=True)
    nulls = traits.List(File(exists=True), mandatory=True)


class _Stage(SimpleInterface):  # type: ignore[misc]
    """A plain function of :mod:`bids_flex.workflows.stages` as a node: files in, one file out."""

    output_spec = _Outputs
    stage: ClassVar[Callable[..., Path]]

    def _run_interface(self, runtime: Any) -> Any:  # noqa: ANN401 - nipype's own type
        folder = Path(runtime.cwd)
        given = {name: value for name, value in self.inputs.get().items() if isdefined(value)}
        try:
            self._results["out_file"] = str(self._call(folder, {name: _as_paths(name, given[name]) for name in given}))
        except BidsFlexError as error:
            (folder / FAILURE).write_text(str(error), encoding="utf8")
            raise
        except MemoryError as error:
            told = f"there is not enough memory ({error}): give the job more, or lower --nprocs"
            (folder / FAILURE).write_text(told, encoding="utf8")
            raise RunError(told) from error
        return runtime

    def _call(self, folder: Path, given: dict[str, Any]) -> Path:
        """Call the stage, which leaves its file in the node's folder."""
        return type(self).stage(folder=folder, **given)


def _as_paths(name: str, value: Any) -> Any:  # noqa: ANN401 - whatever nodes are given
    """Turn nipype's names of files into paths."""
    if name in {"job", "engine", "threads"}:
        return value
    return [Path(one) for one in value] if isinstance(value, list) else Path(value)


class Parcellate(_Stage):
    """Images to one series per region."""

    input_spec = _JobInputs
    stage = staticmethod(sources.parcellate_or_read)


class Clean(_Stage):
    """Regional series without confounds, drift and what lies outside the band."""

    input_spec = _CleanInputs
    stage = staticmethod(sources.clean_or_take)


class Connect(_Stage):
    """Connectivity in every window of an engine."""

    input_spec = _ConnectInputs
    stage = staticmethod(engine_stages.connect_run)


class Search(_Stage):
    """Communities in every window."""

    input_spec = _SearchInputs
    stage = staticmethod(engine_stages.search_run)


class Measure(_Stage):
    """How much the communities change."""

    input_spec = _MeasureInputs
    stage = staticmethod(engine_stages.measure_run)


class Hold(_Stage):
    """The measures beside those of surrogates."""

    input_spec = _HoldInputs
    stage = staticmethod(engine_stages.hold_run)


class Write(_Stage):
    """Derivatives, the sidecar with the settings' hash last."""

    input_spec = _WriteInputs

    def _call(self, folder: Path, given: dict[str, Any]) -> Path:  # noqa: ARG002 - it writes to the output folder
        return write_derivatives(**given)


def build_graph(job: stages.Job, base_dir: Path, threads: int = 1) -> Workflow:
    """Connect the stages of one run: those that engines share, a chain for each engine, and the writing of all.

    Parameters
    ----------
    job : Job
        The run and its settings.
    base_dir : Path
        Folder that the graph may fill.
    threads : int
        For restarts and surrogates; no number depends on it.

    Returns
    -------
    nipype.Workflow
        To be run with the Linear plugin.
    """
    graph = Workflow(name="run", base_dir=str(base_dir))
    parcellate = Node(Parcellate(job=job), name="parcellate")
    clean = Node(Clean(job=job), name="clean")
    write = Node(Write(job=job), name="write")
    graph.connect(parcellate, "out_file", clean, "parcellated")
    graph.connect(parcellate, "out_file", write, "parcellated")
    graph.connect(clean, "out_file", write, "cleaned")
    engines = engines_of(job.science)
    gathered = {name: Node(Merge(len(engines)), name=f"all_{name}") for name in ("communities", "measures", "nulls")}
    for name, node in gathered.items():
        graph.connect(node, "out", write, name)
    for place, engine in enumerate(engines, start=1):
        for name, node in _follow(graph, job, engine, clean, threads).items():
            graph.connect(node, "out_file", gathered[name], f"in{place}")
    return graph


def _follow(graph: Workflow, job: stages.Job, engine: Engine, clean: Node, threads: int) -> dict[str, Node]:
    """Add the chain of one engine, and give the nodes whose files are written."""
    name = engine.name
    connect = Node(Connect(job=job, engine=name), name=f"connectivity_{name}")
    search = Node(Search(job=job, engine=name, threads=threads), name=f"communities_{name}")
    measure = Node(Measure(job=job, engine=name), name=f"flexibility_{name}")
    hold = Node(Hold(job=job, engine=name, threads=threads), name=f"surrogates_{name}")
    for node in (connect, search, measure, hold):
        graph.connect(clean, "out_file", node, "cleaned")
    for node in (search, hold):
        graph.connect(connect, "out_file", node, "connectivity")
    for node in (measure, hold):
        graph.connect(search, "out_file", node, "communities")
    return {"communities": search, "measures": measure, "nulls": hold}
