"""A figure on the page: as people read it, and as `result.json` has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from armopt.core.records import Latency, Metric, Node, Result
from armopt.show import figures
from armopt.show.text import clean


@dataclass(frozen=True)
class Figure:
    """A named figure.

    Attributes:
        name: what it is.
        text: rounded, with its unit; empty where nothing was observed.
        exact: the number as `result.json` has it, for programs; empty where the text is no number.
        remark: what belongs to it, such as its interval.
    """

    name: str
    text: str = ""
    exact: str = ""
    remark: str = ""


def figure(name: str, value: float | None, words: Callable[..., str], remark: str = "") -> Figure:
    """The figure in words; one without words where it was not observed."""
    return Figure(name) if value is None else Figure(name, words(value), repr(value), remark)


def metric_figure(node: Node, metric: Metric, source: float | None) -> Figure:
    """The task's metric on the test split: of the file, else of the Keras model."""
    name, value = clean(metric.name, 24), node.accuracy.int8
    if value is None:
        return figure(name, node.accuracy.keras, figures.metric_value, "float")
    return figure(name, value, figures.metric_value, "" if source is None else figures.change(value, source))


def latency_figure(node: Node) -> Figure:
    """The median latency, with its interval."""
    bounds = "" if node.interval_ms is None else figures.interval(node.interval_ms)
    return figure("latency p50", node.latency_ms.p50 if node.latency_ms else None, figures.milliseconds, bounds)


def table_figures(node: Node, result: Result) -> tuple[Figure, ...]:
    """What the table of nodes shows of each, in its order."""
    return (
        metric_figure(node, result.metric, result.source_accuracy),
        figure("gzip", node.gz_bytes, figures.size),
        figure("zeros", node.sparsity, figures.share),
        figure("codes", node.max_codes, str),
        latency_figure(node),
        figure("instructions", node.instructions, figures.count),
    )


def all_figures(node: Node, result: Result) -> tuple[Figure, ...]:
    """Everything that was observed of a node."""
    name, on = clean(result.metric.name, 24), node.accuracy
    latency = node.latency_ms or Latency(p50=0.0)
    bounds = "" if node.interval_ms is None else figures.interval(node.interval_ms)
    found = (
        figure(f"{name}, Keras model", on.keras, figures.metric_value),
        figure(f"{name}, .tflite", on.int8, figures.metric_value, _change(on.int8, result.source_accuracy)),
        figure(f"{name}, on the device", on.device, figures.metric_value),
        figure("size", node.size_bytes, figures.size),
        figure("compressed (gzip)", node.gz_bytes, figures.size),
        figure("zeros", node.sparsity, figures.share),
        figure("distinct codes", node.max_codes, str),
        figure("latency p50", latency.p50 if node.latency_ms else None, figures.milliseconds, bounds),
        figure("latency p90", latency.p90, figures.milliseconds),
        figure("latency p95", latency.p95, figures.milliseconds),
        figure("latency max", latency.max, figures.milliseconds),
        figure("timed inferences", latency.runs, "{:,}".format),
        figure("instructions", node.instructions, "{:,}".format),
        *_of_npu(node),
        Figure("evidence", node.evidence or ""),
        figure("time to build", node.seconds, figures.seconds),
    )
    return tuple(one for one in found if one.text)


def _of_npu(node: Node) -> tuple[Figure, ...]:
    npu = node.npu
    if npu is None:
        return ()
    return (
        figure("cycles of the NPU", npu.cycles, "{:,}".format),
        figure("weights as the NPU reads them", npu.encoded_weight_bytes, figures.size),
        figure("SRAM", npu.sram_bytes, figures.size),
        figure("flash", npu.flash_bytes, figures.size),
        figure("DRAM", npu.dram_bytes, figures.size),
    )


def _change(value: float | None, source: float | None) -> str:
    return "" if value is None or source is None else figures.change(value, source)
