"""The verdict of a run in a sentence that a stranger understands."""

from __future__ import annotations

from pydantic import ValidationError

from armopt.core.records import Node, Result
from armopt.core.target import Target
from armopt.show import figures
from armopt.show.text import clean

_HEADLINE = {
    "met": "Target met",
    "missed": "Target missed",
    "inconclusive": "Inconclusive",
    "unstable": "Unstable",
}
_WHERE = {
    "qemu": "on an emulated {}",
    "ssh": "on a {}",
    "local": "on this machine, a {}",
    "vela": "compiled for {}",
    "fvp": "on a simulated {}",
}


def headline(result: Result) -> str:
    """'Target met', or 'Built' where none was given."""
    if result.verdict is not None:
        return _HEADLINE[result.verdict]
    return "Built" if result.chosen is not None else "Nothing was built"


def sentence(result: Result) -> str:
    """What the chosen node does, or why there is none."""
    chosen = chosen_node(result)
    asked = target_words(result)
    if chosen is None:
        of = clean(result.model, 60)
        return f"No node of '{of}' was found to meet the target ({asked}) {where(result)}."
    parts = []
    if chosen.latency_ms is not None:
        known = [chosen.evidence or "", figures.interval(chosen.interval_ms) if chosen.interval_ms else ""]
        remark = ", ".join(word for word in known if word)
        parts.append(f"takes {figures.milliseconds(chosen.latency_ms.p50)} ({remark}) {where(result)}")
    elif chosen.instructions is not None:
        parts.append(f"executes {figures.count(chosen.instructions)} instructions {where(result)}")
    if chosen.gz_bytes is not None:
        parts.append(f"is {figures.size(chosen.gz_bytes)} compressed")
    if chosen.accuracy.int8 is not None:
        parts.append(_metric(chosen.accuracy.int8, result))
    return f"'{clean(chosen.path, 80)}' {_joined(parts)}." if parts else f"'{clean(chosen.path, 80)}' was built."


def chosen_node(result: Result) -> Node | None:
    """The node that the run delivered."""
    return next((node for node in result.nodes if node.path == result.chosen), None)


def target_words(result: Result) -> str:
    """The limits, as `armopt deploy` tells them."""
    try:
        return Target.model_validate(result.target).describe()
    except ValidationError:  # of a version that knew other limits
        return clean(", ".join(f"{name} {value}" for name, value in result.target.items() if value is not None), 300)


def where(result: Result) -> str:
    """'on an emulated pi4', 'on a pi4 (mypi)'."""
    hosts = f" ({', '.join(clean(host, 64) for host in result.hosts[:4])})" if result.hosts else ""
    return _WHERE[result.runner].format(clean(result.device, 40)) + hosts


def _metric(value: float, result: Result) -> str:
    reached = f"{clean(result.metric.name, 24)} {figures.metric_value(value)}"
    if result.source_accuracy is None:
        return f"reaches {reached}"
    drop = result.metric.drop(result.source_accuracy, value)
    if abs(drop) < 5e-5:
        return f"reaches {reached}, as the model given"
    return f"reaches {reached}, {abs(drop):.4f} {'worse' if drop > 0 else 'better'} than the model given"


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
