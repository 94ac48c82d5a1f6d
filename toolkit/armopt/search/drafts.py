"""What a leaf will cost, known before anything is trained: its shape is exported with the weights as they are.

Latency and instructions on a CPU depend on shapes and number formats, not on what weights were trained to. Compressed
sizes (of the file, and of an Ethos-U's weight stream, which can bind its latency) depend on how many weights are zero
and how many codes there are, which one-shot pruning and clustering tell nearly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from armopt.core.events import Doing, Listener
from armopt.core.npu import NpuEstimate
from armopt.core.records import Measurement
from armopt.core.stages import FACTS
from armopt.core.target import Target
from armopt.core.tree import FIRST_STAGES
from armopt.search.builder import Built, Scoring
from armopt.search.nodes import NodeBuilder

# Nothing is trained, nothing is scored, and a few samples set the ranges of activations: no figure here needs better.
UNTRAINED: dict[str, object] = {"epochs": 0, "min_steps": 0, "distill": 0.0}
UNSCORED = Scoring(splits=(), float_models=False, calibration_samples=8)

# Trained files came out at most this much smaller than their drafts: benchmarks/drafts.py.
SIZE_MARGIN = 0.05
# The same of an Ethos-U's latency and memory: benchmarks/ethos_u.py.
NPU_MARGIN = 0.05

Measure = Callable[[Built], Measurement]
Drafting = Callable[[dict[str, object]], NodeBuilder]
"""A builder of nodes whose settings are over all others."""


@dataclass(frozen=True)
class Draft:
    """What is known of a leaf that was not trained.

    Attributes:
        gz_bytes: of the untrained file.
        measured: on the device; None where only the size was asked for.
    """

    gz_bytes: int
    measured: Measurement | None = None


class Drafts:
    """Drafts of one run's leaves on one device.

    Args:
        builder: makes builders that train nothing.
        measure: runs a built file on the device.
        listener: told what is being drafted.
        felt: stages whose weights the device's speed depends on.
    """

    def __init__(
        self, builder: Drafting, measure: Measure, listener: Listener, felt: frozenset[str] = frozenset()
    ) -> None:
        self._builder, self._measure, self._listener, self._felt = builder, measure, listener, felt

    def speed(self, path: str, settings: dict[str, object] | None = None) -> Draft:
        """Latency and instructions of the leaf at `path`; `settings` (such as a width) go over the profile's.

        Raises:
            ModelError: a stage can't work on this model.
            ConversionError: the converter refused it.
            DeviceError: the device failed.
        """
        return self._draft(speed_path(path, self._felt), settings or {}, measured=True)

    def size(self, path: str, settings: dict[str, object] | None = None) -> Draft:
        """Compressed size of the leaf at `path`; raises as `speed` does."""
        return self._draft(path, settings or {}, measured=False)

    def _draft(self, path: str, settings: dict[str, object], measured: bool) -> Draft:
        told = "".join(f", {name} {value}" for name, value in settings.items() if name == "width")
        self._listener(Doing(f"{path}: drafting it untrained{told}"))
        built = self._builder({**UNTRAINED, **settings}).build(path)
        assert built.audit is not None
        return Draft(built.audit.gz_bytes, self._measure(built) if measured else None)


def speed_path(path: str, felt: frozenset[str] = frozenset()) -> str:
    """The path that is as fast as `path` and costs least to draft.

    Stages that only change weights are left out, but for those that the device feels.
    """
    *inner, leaf = path.split("/")
    numbers = FACTS[leaf].numbers
    if FACTS[leaf].preserves and not FACTS[leaf].trains:
        return path  # how fast it is depends on the weights that it preserves
    plain = next(name for name, facts in FACTS.items() if facts.numbers == numbers and not facts.trains)
    return "/".join([*(stage for stage in inner if stage in FIRST_STAGES | felt), plain])


def known_interval(measured: Measurement, target: Target) -> tuple[float, float] | None:
    """Where the latency lies that the target may be held against; None where that is not known."""
    npu = measured.npu
    if npu is not None and npu.fallback_ops and npu.cycles and target.allow_fallback:
        return npu.npu_ms, npu.npu_ms
    return measured.interval_ms


def why_too_slow(measured: Measurement, target: Target) -> str | None:
    """Why a leaf that costs this can't meet the target, whatever is trained; None where it may."""
    if measured.npu is not None:
        return _why_npu_fails(measured.npu, target)
    limit, most = target.max_latency_ms, target.max_instructions
    if limit is not None and measured.interval_ms and measured.latency_ms and measured.interval_ms[0] > limit:
        low, high = measured.interval_ms
        figure = f"{measured.latency_ms.p50:.3g} ms ({low:.3g} to {high:.3g}, {measured.evidence})"
        return f"takes {figure} before any training, over {limit:g} ms, and training does not change that"
    if most is not None and measured.instructions is not None and measured.instructions > most:
        return f"takes {measured.instructions:,} instructions before any training, over {most:,}"
    return None


def _why_npu_fails(npu: NpuEstimate, target: Target) -> str | None:
    limit = target.max_latency_ms
    if limit is not None and npu.fallback_ops and not (target.allow_fallback and npu.cycles):
        return f"leaves {npu.fallback_words} to the CPU, and what that takes is not estimated: no latency can be judged"
    wins = f"; training wins {NPU_MARGIN:.0%} at most"
    if limit is not None and npu.npu_ms * (1 - NPU_MARGIN) > limit:
        return f"takes {npu.npu_ms:.3g} ms (estimated) before any training, over {limit:g} ms{wins}"
    memories = (("SRAM", npu.sram_bytes, target.max_sram_bytes), ("flash", npu.flash_bytes, target.max_flash_bytes))
    for name, taken, most in memories:
        if most is not None and taken is not None and taken * (1 - NPU_MARGIN) > most:
            return f"takes {taken:,} bytes of {name} before any training, over {most:,}{wins}"
    return None


def why_too_large(gz_bytes: int, target: Target) -> str | None:
    """Why a leaf whose draft is this large can't meet the target; None where it may."""
    limit = target.max_gz_bytes
    if limit is None or gz_bytes * (1 - SIZE_MARGIN) <= limit:
        return None
    return f"has {gz_bytes:,} bytes (gzip) before any training, over {limit:,}; training wins {SIZE_MARGIN:.0%} at most"


def shaping_node(path: str) -> str | None:
    """Path of the node on the way to `path` that changes the model's shape; None where there is none."""
    parts = path.split("/")
    return next(("/".join(parts[: depth + 1]) for depth, stage in enumerate(parts) if stage in FIRST_STAGES), None)
