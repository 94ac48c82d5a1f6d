"""Says before anything is trained why a node can't meet the target, and how many channels may stay so that it can."""

from __future__ import annotations

from armopt.core.errors import ConversionError, ModelError
from armopt.core.events import Listener, Note
from armopt.core.records import Measurement
from armopt.core.target import Target
from armopt.search.drafts import Drafts, known_interval, shaping_node, why_too_large, why_too_slow
from armopt.search.nodes import NodeBuilder
from armopt.search.widths import widest

# A trained file takes the same instructions as its draft but for some dozen: this much of a limit is left for them.
_SPARE = 0.001


class Outlook:
    """Looks ahead for one run.

    Args:
        builder: of the nodes; widths that are solved for become settings of its nodes.
        drafts: of its leaves.
        target: what to meet.
        solve: find how many channels may stay; False where the user named a width.
        listener: told what was solved for.
    """

    def __init__(self, builder: NodeBuilder, drafts: Drafts, target: Target, solve: bool, listener: Listener) -> None:
        self._builder, self._drafts, self._target, self._listener = builder, drafts, target, listener
        self._solve = solve and target.limits_cost
        self._of_shape: dict[str, str | None] = {}

    def why_not(self, path: str) -> str | None:
        """Why the leaf at `path` can't meet the target, with the figures; None where it may, or where it is not known.

        Raises:
            DeviceError: the device failed.
        """
        if self._target.is_empty:
            return None
        try:
            return self._why_shape_is_wrong(path) or self._why_draft_fails(path)
        except (ModelError, ConversionError):
            return None  # building the node will say so, and its siblings stay possible

    def _why_shape_is_wrong(self, path: str) -> str | None:
        node = shaping_node(path)
        if node is None or not self._solve:
            return None
        if node not in self._of_shape:
            self._of_shape[node] = self._solve_width(node, path)
        return self._of_shape[node]

    def _why_draft_fails(self, path: str) -> str | None:
        target = self._target
        reason = self.why_too_slow(path)
        if reason is None and target.max_gz_bytes is not None:
            reason = why_too_large(self._drafts.size(path, self._shape(path)).gz_bytes, target)
        return f"'{path}' {reason}" if reason else None

    def why_too_slow(self, path: str) -> str | None:
        """Why the leaf at `path` misses the limits on speed, whatever is trained; raises as `Drafts.speed` does."""
        return why_too_slow(self._speed(path, {}), self._target) if self._target.limits_cost else None

    def widest(self, node: str, leaf: str) -> tuple[float | None, str]:
        """The largest share of the channels with which the leaf below `node` meets the limits on speed, and how.

        None where even the narrowest does not; 1.0 where nothing has to go.
        """
        seen: dict[float, Measurement] = {}

        def load(width: float) -> float:
            seen[width] = self._speed(leaf, {"width": width})
            return _load(seen[width], self._target)

        width, probes = widest(load)
        if width is None:
            return None, f"'{leaf}' {_figures(seen[min(seen)], self._target)} even with the fewest channels"
        figures = _figures(seen[width], self._target)
        return width, f"an untrained draft {figures} ({len(probes)} widths tried)"

    def _solve_width(self, node: str, leaf: str) -> str | None:
        """Settle the width of the node at the widest that fits; why none does, or why there is nothing to prune."""
        width, words = self.widest(node, leaf)
        if width is None:
            return words
        if width == 1.0:
            return "the model as given meets the limits on speed with all its channels"
        self._builder.settle(node, {"width": width})
        self._listener(Note(f"{node}: {width:.0%} of the channels may stay: {words}"))
        return None

    def _speed(self, path: str, settings: dict[str, object]) -> Measurement:
        measured = self._drafts.speed(path, {**self._shape(path), **settings}).measured
        assert measured is not None
        return measured

    def _shape(self, path: str) -> dict[str, object]:
        """What shapes the leaf at `path`, as it stands."""
        node = shaping_node(path)
        if node is None:
            return {}
        settings = self._builder.settings(node)
        # How important each channel is changes how many there are only where one threshold parts all groups.
        cheaper = {} if settings.scope == "global" else {"importance": "l1"}
        return {"width": settings.width, **cheaper}


def _load(measured: Measurement, target: Target) -> float:
    """The worst of upper latency, instructions and memory, over its limit; infinite where the device said nothing."""
    interval, npu = known_interval(measured, target), measured.npu
    figures: list[tuple[float | None, float | None]] = [
        (interval[1] if interval else None, target.max_latency_ms),
        (measured.instructions, target.max_instructions),
        (npu.sram_bytes if npu else None, target.max_sram_bytes),
        (npu.flash_bytes if npu else None, target.max_flash_bytes),
    ]
    loads = [float("inf") if figure is None else figure / limit for figure, limit in figures if limit is not None]
    return max([0.0, *loads]) * (1 + _SPARE)


def _figures(measured: Measurement, target: Target) -> str:
    told = []
    interval = known_interval(measured, target)
    if target.max_latency_ms is not None and interval is not None:
        low, high = interval
        middle = measured.latency_ms.p50 if measured.latency_ms else low
        between = "(estimated)" if measured.npu else f"({low:.3g} to {high:.3g})"
        told.append(f"{middle:.3g} ms {between} for {target.max_latency_ms:g} ms")
    if target.max_instructions is not None and measured.instructions is not None:
        told.append(f"{measured.instructions:,} instructions for {target.max_instructions:,}")
    if measured.npu is not None and target.max_sram_bytes is not None:
        told.append(f"{measured.npu.sram_bytes:,} bytes of SRAM for {target.max_sram_bytes:,}")
    if measured.npu is not None and target.max_flash_bytes is not None and measured.npu.flash_bytes is not None:
        told.append(f"{measured.npu.flash_bytes:,} bytes of flash for {target.max_flash_bytes:,}")
    return f"takes {' and '.join(told)}" if told else "has no figure on this device"
