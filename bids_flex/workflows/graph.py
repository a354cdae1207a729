"""The stages of a run as a nipype graph: coarse nodes that hand each other files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, isdefined, traits
from nipype.pipeline.engine import Node, Workflow

from bids_flex.errors import BidsFlexError
from bids_flex.workflows import stages
from bids_flex.workflows.derivatives import write_derivatives

if TYPE_CHECKING:
    from collections.abc import Callable

FAILURE = "failure.txt"
"""Where a node leaves the reason of a failure that we foresaw; nipype itself hands on a traceback as text only."""


class _Outputs(TraitedSpec):  # type: ignore[misc]
    out_file = File(exists=True)


class _JobInputs(BaseInterfaceInputSpec):  # type: ignore[misc]
    job = traits.Any(mandatory=True)


class _CleanInputs(_JobInputs):
    parcellated = File(exists=True, mandatory=True)


class _ConnectInputs(_JobInputs):
    cleaned = File(exists=True, mandatory=True)


class _SearchInputs(_ConnectInputs):
    connectivity = File(exists=True, mandatory=True)


class _MeasureInputs(_ConnectInputs):
    communities = File(exists=True, mandatory=True)


class _WriteInputs(_MeasureInputs):
    parcellated = File(exists=True, mandatory=True)
    measures = File(exists=True, mandatory=True)


class _Stage(SimpleInterface):  # type: ignore[misc]
    """A plain function of :mod:`bids_flex.workflows.stages` as a node: files in, one file out."""

    output_spec = _Outputs
    stage: ClassVar[Callable[..., Path]]

    def _run_interface(self, runtime: Any) -> Any:  # noqa: ANN401 - nipype's own type
        folder = Path(runtime.cwd)
        given = {name: value for name, value in self.inputs.get().items() if isdefined(value)}
        files = {name: Path(value) if name != "job" else value for name, value in given.items()}
        try:
            self._results["out_file"] = str(self._call(folder, files))
        except BidsFlexError as error:
            (folder / FAILURE).write_text(str(error), encoding="utf8")
            raise
        return runtime

    def _call(self, folder: Path, files: dict[str, Any]) -> Path:
        """Call the stage, which leaves its file in the node's folder."""
        return type(self).stage(folder=folder, **files)


class Parcellate(_Stage):
    """Images to one series per region."""

    input_spec = _JobInputs
    stage = staticmethod(stages.parcellate_run)


class Clean(_Stage):
    """Regional series without confounds, drift and what lies outside the band."""

    input_spec = _CleanInputs
    stage = staticmethod(stages.clean_run)


class Connect(_Stage):
    """Connectivity in every window."""

    input_spec = _ConnectInputs
    stage = staticmethod(stages.connect_run)


class Search(_Stage):
    """Communities in every window."""

    input_spec = _SearchInputs
    stage = staticmethod(stages.search_run)


class Measure(_Stage):
    """How much the communities change, region by region."""

    input_spec = _MeasureInputs
    stage = staticmethod(stages.measure_run)


class Write(_Stage):
    """Derivatives, the sidecar with the settings' hash last."""

    input_spec = _WriteInputs

    def _call(self, folder: Path, files: dict[str, Any]) -> Path:  # noqa: ARG002 - it writes to the output folder
        return write_derivatives(**files)


def build_graph(job: stages.Job, base_dir: Path) -> Workflow:
    """Connect the stages of one run.

    Parameters
    ----------
    job : Job
        The run and its settings.
    base_dir : Path
        Folder that the graph may fill.

    Returns
    -------
    nipype.Workflow
        To be run with the Linear plugin.
    """
    graph = Workflow(name="run", base_dir=str(base_dir))
    nodes = {
        "parcellate": Node(Parcellate(job=job), name="parcellate"),
        "clean": Node(Clean(job=job), name="clean"),
        "connectivity": Node(Connect(job=job), name="connectivity"),
        "communities": Node(Search(job=job), name="communities"),
        "flexibility": Node(Measure(job=job), name="flexibility"),
        "write": Node(Write(job=job), name="write"),
    }
    for source, target, field in (
        ("parcellate", "clean", "parcellated"),
        ("clean", "connectivity", "cleaned"),
        ("clean", "communities", "cleaned"),
        ("connectivity", "communities", "connectivity"),
        ("clean", "flexibility", "cleaned"),
        ("communities", "flexibility", "communities"),
        ("parcellate", "write", "parcellated"),
        ("clean", "write", "cleaned"),
        ("communities", "write", "communities"),
        ("flexibility", "write", "measures"),
    ):
        graph.connect(nodes[source], "out_file", nodes[target], field)
    return graph
