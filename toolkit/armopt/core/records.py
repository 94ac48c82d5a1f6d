"""Records that travel between rooms and into `result.json`: frozen, units in names, None where not observed."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from armopt.core.comparison_record import Comparison
from armopt.core.npu import NpuEstimate, NpuLayer
from armopt.core.record import Record as Record
from armopt.core.search_record import SearchRecord

SCHEMA_VERSION = 1

Evidence = Literal["measured", "modelled", "estimated", "functional"]
RunnerName = Literal["ssh", "local", "qemu", "vela", "fvp"]
VerdictName = Literal["met", "missed", "inconclusive", "unstable"]
Percentile = Literal["p50", "p90", "p95", "max"]


class Latency(Record):
    """Latency of one inference in milliseconds. A modelled figure has `p50` only; the rest are None."""

    p50: float
    p90: float | None = None
    p95: float | None = None
    max: float | None = None
    runs: int | None = Field(None, description="number of timed inferences; None where nothing was timed")


Bound = Literal["multiply", "load", "store", "permute", "vector", "issue", "scalar", "bandwidth", "overhead"]


class OperatorTime(Record):
    """Where a modelled latency goes: one operator of the graph, or the row 'runtime' for what is no operator's.

    The rows of one measurement add up to its p50. An operator that the runtime fused into another or left out has no
    kernel and takes no time.
    """

    index: int | None = Field(description="position in the file; None for the row 'runtime'")
    kind: str = Field(description="for example CONV_2D; 'runtime' is the caller, the interpreter and the delegate")
    name: str = Field("", description="of its output tensor")
    shape: tuple[int, ...] = Field((), description="of its output")
    macs: int | None = Field(None, description="multiply-accumulates of one inference")
    kernel: str | None = Field(None, description="the function that executed the most of its instructions")
    run_by: Literal["xnnpack", "runtime"] | None = Field(None, description="whose kernel it is; None where none ran")
    latency_ms: float
    share: float = Field(description="of the whole")
    core_ms: float = Field(description="the core at work, all loads hitting the first cache level")
    cache_ms: float = Field(description="waiting for lines that the first level lacks and a later one has")
    memory_ms: float = Field(description="waiting for lines that cross the last cache level")
    overhead_ms: float = Field(description="the runtime's cost of an operator that instructions do not show")
    instructions: int
    instruction_classes: dict[str, int] = Field(default_factory=dict, description="the most frequent ones")
    bound: Bound | None = Field(
        None, description="what limits it: a unit of the core, its front end (issue), bandwidth, or overhead"
    )
    advice: str = Field("", description="what would make it faster; '' where nothing is known or nothing is to be won")


class SustainedPoint(Record):
    """Some seconds of a run without pauses: the end of them since its start, and what was seen in them."""

    seconds: float
    p50_ms: float
    p95_ms: float
    runs: int
    mhz: float | None = None
    temperature_c: float | None = None


class Score(Record):
    """A metric on so many labelled samples."""

    metric: str
    value: float
    samples: int
    higher_is_better: bool | None = Field(None, description="None where the document does not say")


class Measurement(Record):
    """One artifact on one device: what was observed, and how well it is known."""

    device: str
    host: str | None = Field(None, description="the board's name; None where it was emulated")
    runner: RunnerName
    evidence: Evidence
    runtime: str = Field(description="runtime and version, for example 'litert 2.1.6'")
    threads: int
    freq_mhz: int
    latency_ms: Latency | None = None
    interval_ms: tuple[float, float] | None = Field(
        None, description="where the latency's `percentile` lies; None where its error is not known"
    )
    percentile: Percentile = Field("p50", description="what `interval_ms` speaks of; p50 unless measured")
    interval_source: str | None = Field(None, description="where the interval comes from, or why there is none")
    instructions: int | None = Field(None, description="instructions per inference, counted under emulation")
    sparse_instructions: int | None = Field(
        None, description="of these in kernels that skip zero weights; 0 where none of them ran"
    )
    instruction_classes: dict[str, int] | None = None
    cycles: int | None = Field(None, description="modelled cycles per inference")
    operators: tuple[OperatorTime, ...] | None = Field(None, description="where the time goes; None if not asked for")
    npu: NpuEstimate | None = Field(None, description="of an Ethos-U's compiler")
    npu_layers: tuple[NpuLayer, ...] | None = Field(None, description="its operators; None for all other devices")
    raw_ms: tuple[float, ...] = ()
    rounds: tuple[tuple[float, ...], ...] = Field(
        (), description="milliseconds of every timed inference, in order: one list for each fresh process"
    )
    stable: bool | None = Field(None, description="whether the rounds agree with one another; None if not measured")
    unstable_reason: str | None = None
    load_ms: float | None = Field(None, description="to load the model, in the median over the processes")
    peak_memory_kib: int | None = Field(None, description="largest resident memory of a process")
    temperature_c: tuple[float | None, float | None] | None = Field(
        None, description="hottest sensor before the first round and after the last one"
    )
    round_temperature_c: tuple[float | None, ...] = Field((), description="hottest sensor after each round")
    round_mhz: tuple[float | None, ...] = Field((), description="clock at the end of each round, while it worked")
    throttled: bool | None = Field(None, description="whether the board held its clock back; None if it can't tell")
    outputs_compared: int = Field(0, description="samples whose device output was compared with the host interpreter's")
    outputs_equal: bool | None = None
    output_difference: str | None = Field(None, description="what differs and by how much, where outputs are not equal")
    sustained: tuple[SustainedPoint, ...] = Field((), description="how latency went on without a pause, if asked for")
    score: Score | None = Field(None, description="of the board's outputs on labelled samples, if asked for")
    environment: dict[str, str] = Field(default_factory=dict)
    seconds: float = Field(description="wall time that this measurement took on the host")


class Metric(Record):
    """The task's metric: its name, and in which direction it is better."""

    name: str
    higher_is_better: bool = True

    def drop(self, source: float, value: float) -> float:
        """How much worse `value` is than `source`, in the metric's own unit; negative where it is better."""
        return source - value if self.higher_is_better else value - source


class Accuracy(Record):
    """The task's metric on the test split: of the Keras model, and of the .tflite on the host and on the device.

    `int8` is the .tflite's whatever it computes with: INT8, 16x8, dynamic range, float16 or float32.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    keras: float | None = Field(None, alias="float")
    int8: float | None = None
    device: float | None = None


class LayerAudit(Record):
    """What the .tflite holds for one weight tensor."""

    name: str
    kind: str = Field(description="operator that reads the tensor, for example CONV_2D")
    dtype: str
    shape: tuple[int, ...]
    sparsity: float = Field(description="share of weights that are exactly zero in real value")
    codes: int = Field(description="distinct codes in the tensor")
    codes_per_channel: int = Field(description="the largest number of distinct codes in one output channel")
    zeros_promised: int | None = Field(
        None, description="weights that an ancestor set to zero; None where none promised"
    )
    zeros_added: int | None = Field(None, description="further zeros that rounding made")
    codes_promised: int | None = None
    codes_scope: Literal["channel", "tensor"] | None = None
    constraint: str | None = Field(None, description="the Keras kernel whose promise was checked here")


class Audit(Record):
    """A .tflite as its own bytes tell it."""

    sha256: str
    size_bytes: int
    gz_bytes: int
    sparsity: float = Field(description="zeros over all weights of weight tensors")
    max_codes: int = Field(description="most distinct codes over clustered tensors; over all where none is clustered")
    layers: tuple[LayerAudit, ...]
    unproven: tuple[str, ...] = Field((), description="constrained kernels that the file holds in a form not checked")


NodeStatus = Literal["waiting", "trained", "met", "missed", "inconclusive", "unstable", "built", "skipped", "failed"]


class Node(Record):
    """One node of the deployment tree as `result.json` shows it; `trained` is an inner node, `built` unjudged."""

    path: str
    status: NodeStatus
    reason: str = ""
    work: str = Field("", description="what its stage does and how hard, for example 'prune to 50% zeros, 2 epochs'")
    accuracy: Accuracy = Accuracy()
    size_bytes: int | None = None
    gz_bytes: int | None = None
    sparsity: float | None = None
    max_codes: int | None = None
    latency_ms: Latency | None = None
    interval_ms: tuple[float, float] | None = None
    instructions: int | None = None
    npu: NpuEstimate | None = Field(None, description="for Ethos-U; None for all others")
    evidence: Evidence | None = None
    seconds: float | None = Field(None, description="wall time spent on the node when it was built")
    artifact: str | None = None


class Result(Record):
    """What one run of the deployment tree found: the document that `--json` prints and `result.json` holds."""

    schema_version: int = SCHEMA_VERSION
    armopt_version: str
    device: str
    hosts: tuple[str, ...] = Field((), description="the boards that it ran on; none where it was emulated")
    runner: RunnerName
    evidence: Evidence
    model: str
    data: str
    metric: Metric
    source_accuracy: float | None = Field(description="the metric of the model as given, on the test split")
    test_samples: int | None = Field(None, description="samples of the test split; None where it does not say")
    target: dict[str, bool | int | float | str | None]
    verdict: VerdictName | None
    reason: str
    chosen: str | None
    pareto: tuple[str, ...] = Field(
        (), description="built leaves that no other beats in metric, size and latency at once"
    )
    nodes: tuple[Node, ...]
    measurements: dict[str, Measurement] = Field(
        default_factory=dict,
        description="in full, by path, of the chosen leaf and of the first one built: operators, rounds, environment",
    )
    search: SearchRecord | None = Field(None, description="the search that found the strengths; None without one")
    comparison: Comparison | None = Field(None, description="with a baseline, if there was one")
    notes: tuple[str, ...] = Field((), description="what was assumed, inferred or could not be done as asked")
    out: str | None = Field(description="folder with model.tflite, result.json and run_model.py")
    command: tuple[str, ...] = Field((), description="the command line that asked for it; none where Python did")
    environment: dict[str, str] = Field(default_factory=dict, description="versions of what built the nodes")
    finished: str | None = Field(None, description="when the run ended: ISO 8601, UTC")
    seconds: float
