"""The stages of a run as a nipype graph: coarse nodes that hand each other files, shared by all its analyses."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, isdefined, traits
from nipype.pipeline.engine import Node, Workflow

from bids_flex.errors import BidsFlexError, RunError
from bids_flex.multiverse import steps_of
from bids_flex.workflows import engine_stages, sources, stages
from bids_flex.workflows.derivatives import write_derivatives
from bids_flex.workflows.engines import ENGINES, engines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from bids_flex.config import EngineName
    from bids_flex.multiverse import Steps

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


PARTS = ("communities", "measures", "nulls")
"""What each engine hands to the writing."""


class _WriteInputs(_JobInputs):
    parcellated = File(exists=True, mandatory=True)
    cleaned = File(exists=True, mandatory=True)


for _name in [f"{part}_{engine}" for part in PARTS for engine in ENGINES]:
    # an input for each: nipype gathers the files of several nodes in one list only by a node of its own
    _WriteInputs.add_class_trait(_name, File(exists=True))


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
    return Path(value)


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
        job = given["job"]
        names = [engine.name for engine in engines_of(job.science)]
        parts = {part: [given[f"{part}_{name}"] for name in names] for part in PARTS}
        return write_derivatives(job, given["parcellated"], given["cleaned"], **parts)


def remove_windows(node: Node) -> None:
    """Remove the windows of connectivity that nobody reads any more; they are the largest scratch by far."""
    if isinstance(node.interface, Connect):
        (Path(node.output_dir()) / "connectivity.npy").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The graph of one run, and for each of its analyses the name of the node that writes it."""

    workflow: Workflow
    writers: tuple[str, ...]


def build_graph(jobs: Sequence[stages.Job], base_dir: Path, threads: int = 1) -> Graph:
    """Connect the stages of one run: those that analyses share, a chain for each engine, and the writing of each.

    Parameters
    ----------
    jobs : sequence of Job
        The run and its settings; several of one run share every step whose settings are the same.
    base_dir : Path
        Folder that the graph may fill.
    threads : int
        For restarts and surrogates; no number depends on it.

    Returns
    -------
    Graph
        To be run with :class:`~bids_flex.workflows.order.DepthFirst`.
    """
    made = _Nodes(Workflow(name="run", base_dir=str(base_dir)), threads)
    return Graph(made.workflow, tuple(made.write(job) for job in jobs))


class _Nodes:
    """The nodes of a run's graph so far, by what they do with which settings."""

    def __init__(self, workflow: Workflow, threads: int) -> None:
        self.workflow = workflow
        self.threads = threads
        self.made: dict[Hashable, Node] = {}
        self.names: Counter[str] = Counter()

    def once(self, step: Hashable, name: str, interface: Callable[[], _Stage], **inputs: Node) -> Node:
        """Give the node of a step, which is made when its first analysis asks for it."""
        if step not in self.made:
            self.names[name] += 1
            number = self.names[name]
            node = self.made[step] = Node(interface(), name=name if number == 1 else f"{name}_{number}")
            for given, before in inputs.items():
                self.workflow.connect(before, "out_file", node, given)
        return self.made[step]

    def write(self, job: stages.Job) -> str:
        """Add what an analysis needs that is not there yet, and give the name of the node that writes it."""
        inputs: dict[str, Node] = {}
        for engine in engines_of(job.science):
            inputs |= self._follow(job, engine.name, steps_of(job.science, engine.name))
        node = self.once(("write", job.settings_hash), "write", partial(Write, job=job), **inputs)
        return str(node.name)

    def _follow(self, job: stages.Job, name: EngineName, steps: Steps) -> dict[str, Node]:
        """Add the chain of one engine, and give what of it is written."""
        here = {"job": job, "engine": name}
        # the same words may name another file's atlas or strategy elsewhere, but not within one call
        parcellate = self.once((Parcellate, steps.parcellate), "parcellate", partial(Parcellate, job=job))
        clean = self.once((Clean, steps.clean), "clean", partial(Clean, job=job), parcellated=parcellate)
        connect = self.once((Connect, steps.connect), f"connectivity_{name}", partial(Connect, **here), cleaned=clean)
        found = {"cleaned": clean, "connectivity": connect}
        searching = partial(Search, **here, threads=self.threads)
        search = self.once((Search, steps.search), f"communities_{name}", searching, **found)
        measure = self.once(
            (Measure, steps.search), f"flexibility_{name}", partial(Measure, **here), cleaned=clean, communities=search
        )
        holding = partial(Hold, **here, threads=self.threads)
        hold = self.once((Hold, steps.hold), f"surrogates_{name}", holding, **found, communities=search)
        return {
            "parcellated": parcellate,
            "cleaned": clean,
            f"communities_{name}": search,
            f"measures_{name}": measure,
            f"nulls_{name}": hold,
        }
