"""What binds each operator on an Ethos-U, and whether shorter weight streams would make it faster. Pure.

Vela takes an operation's time from the slowest of its units (regor, compiler/network_performance.cpp). Zeros and few
codes shorten the weight stream; scales and biases beside it, multiplications and activations stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from armopt.core.graph import GraphOperator
from armopt.core.npu import NpuBound, NpuLayer
from armopt.core.npu_operation import NpuOperation

_TOLD: dict[NpuBound, str] = {
    "mac": "multiplying",
    "weights": "reading weights",
    "activations": "making and moving activations",
}
# Less than this is not worth a sentence: an estimate of unknown error does not tell a twentieth from nothing.
_WORTH = 0.05
# Depthwise kernels multiply each value with few weights, whatever the model (Ethos-U55 feeds 4 of them at a time).
_FEW_PRODUCTS = ("DEPTHWISE_CONV_2D", "MEAN", "AVERAGE_POOL_2D", "MAX_POOL_2D")


def npu_layers(
    operations: Sequence[NpuOperation],
    graph: Sequence[GraphOperator],
    macs_per_cycle: int,
    why_on_cpu: Mapping[str, str],
) -> tuple[NpuLayer, ...]:
    """What takes the time, operator by operator of the .tflite; the cycles add up to the operations'.

    Args:
        operations: of the compiled network.
        graph: the .tflite's operators.
        macs_per_cycle: of the NPU.
        why_on_cpu: reasons by the output's name.
    """
    total = sum(operation.cycles for operation in operations) or 1
    known: dict[int | None, GraphOperator] = {operator.index: operator for operator in graph}
    grouped: dict[object, list[NpuOperation]] = {}
    for operation in operations:
        grouped.setdefault(operation.source if operation.source in known else operation.name, []).append(operation)
    return tuple(
        _layer(parts, known.get(parts[0].source), total, macs_per_cycle, why_on_cpu)
        for parts in grouped.values()
        if any(part.on_cpu or part.cycles for part in parts)
    )


def _layer(
    parts: list[NpuOperation],
    operator: GraphOperator | None,
    total: int,
    macs_per_cycle: int,
    why_on_cpu: Mapping[str, str],
) -> NpuLayer:
    cycles = sum(part.cycles for part in parts)
    on_cpu = any(part.on_cpu for part in parts)
    name = operator.name if operator else parts[-1].name
    layer = NpuLayer(
        index=operator.index if operator else None,
        kind=operator.kind if operator else parts[0].kind,
        name=name,
        shape=operator.shape if operator else (),
        on_cpu=on_cpu,
        cycles=cycles,
        share=cycles / total,
        mac_cycles=sum(part.mac_cycles for part in parts),
        weight_cycles=sum(part.weight_cycles for part in parts),
        scale_cycles=sum(part.scale_cycles for part in parts),
        activation_cycles=sum(part.activation_cycles for part in parts),
        macs=sum(part.macs for part in parts),
        encoded_weight_bytes=sum(part.weight_bytes for part in parts),
        bound=None if on_cpu else _bound(parts),
        winnable_cycles=sum(_winnable(part) for part in parts),
    )
    reason = why_on_cpu.get(name, "") if on_cpu else ""
    return layer.model_copy(update={"advice": _advice(layer, macs_per_cycle, reason)})


def _bound(parts: Iterable[NpuOperation]) -> NpuBound:
    """The bound of the operations that take most of the cycles."""
    cycles: dict[NpuBound, int] = {}
    for part in parts:
        # What another operation's time hides of a transfer binds nothing.
        binding = part.weight_cycles if _winnable(part) >= _WORTH * part.cycles else part.scale_cycles
        units: dict[NpuBound, int] = {
            "mac": part.mac_cycles, "weights": binding, "activations": part.activation_cycles
        }  # fmt: skip
        slowest = max(units, key=lambda unit: units[unit])
        cycles[slowest] = cycles.get(slowest, 0) + part.cycles
    return max(cycles, key=lambda unit: cycles[unit])


def _winnable(part: NpuOperation) -> int:
    if not part.weight_bytes:
        return 0
    return max(0, part.cycles - max(part.mac_cycles, part.activation_cycles, part.scale_cycles))


def _advice(layer: NpuLayer, macs_per_cycle: int, reason: str) -> str:
    if layer.on_cpu:
        return "the Cortex-M runs it, and its time is not estimated" + (f": {reason}" if reason else "")
    won = layer.winnable_cycles / layer.cycles
    if layer.bound == "weights" and won >= _WORTH:
        return f"more zeros or fewer codes can save up to {won:.0%} of it, then {_TOLD[_next(layer)]} binds"
    if layer.bound == "weights":
        return "its scales and biases take the time: fewer output channels; zeros and codes win nothing"
    if layer.bound == "activations":
        return "a smaller picture or fewer channels; zeros and codes win nothing"
    share = layer.macs / (layer.cycles * macs_per_cycle)
    busy = f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"
    if layer.kind in _FEW_PRODUCTS:
        return f"few products go into a value ({busy} of the multipliers are busy): fewer channels"
    more = f"; more zeros or fewer codes save {won:.0%} at most" if won >= _WORTH else "; zeros and codes win nothing"
    return f"fewer channels ({busy} of the multipliers are busy){more}"


def _next(layer: NpuLayer) -> NpuBound:
    others: dict[NpuBound, int] = {
        "mac": layer.mac_cycles, "activations": layer.activation_cycles, "weights": layer.scale_cycles
    }  # fmt: skip
    return max(others, key=lambda unit: others[unit])


def bound_shares(layers: Sequence[NpuLayer]) -> dict[NpuBound, float]:
    """Share of the cycles that each bound takes, the largest first."""
    shares: dict[NpuBound, float] = {}
    for layer in layers:
        if layer.bound is not None:
            shares[layer.bound] = shares.get(layer.bound, 0.0) + layer.share
    return dict(sorted(((bound, round(share, 4)) for bound, share in shares.items()), key=lambda item: -item[1]))


def winnable_share(layers: Sequence[NpuLayer]) -> float:
    """Share of the cycles that more zeros or fewer codes can save at most."""
    total = sum(layer.cycles for layer in layers)
    return round(sum(layer.winnable_cycles for layer in layers) / total, 4) if total else 0.0


def model_advice(shares: Mapping[NpuBound, float], winnable: float) -> str:
    """What would make the whole model faster, in a sentence without a full stop; '' where the NPU does nothing."""
    if not shares:
        return ""
    bound, share = next(iter(shares.items()))
    binds = f"{_TOLD[bound]} binds {share:.0%} of the cycles"
    if bound == "weights" and winnable >= _WORTH:
        return f"{binds}: more zeros or fewer clusters can save up to {winnable:.0%} of all"
    saves = f"can save {winnable:.0%} at most" if winnable >= _WORTH else "save nothing that is worth it"
    return f"{binds}: fewer channels help, more zeros or fewer clusters {saves}"
