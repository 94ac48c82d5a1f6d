"""What the user asks for, and how it is written: `20ms@p95`, `200kB`, `12.5M`, `1%`."""

from __future__ import annotations

import math
import re

from pydantic import Field

from armopt.core.errors import UsageError
from armopt.core.records import Evidence, Record
from armopt.core.records import Percentile as Percentile

_LATENCY_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_BYTE_UNITS = {"": 1, "b": 1, "kb": 1_000, "mb": 1_000_000, "kib": 1024, "mib": 1024**2}
_COUNT_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"


class Target(Record):
    """Limits that a deployable node has to meet; a limit that is None is not asked for.

    `min_accuracy` and `max_drop` speak of the task's metric. For an error metric (lower is better) `min_accuracy`
    is the largest value allowed, and a drop is a rise.
    """

    max_latency_ms: float | None = Field(None, gt=0)
    percentile: Percentile = "p50"
    max_instructions: int | None = Field(None, gt=0)
    max_gz_bytes: int | None = Field(None, gt=0)
    max_sram_bytes: int | None = Field(None, gt=0, description="of an Ethos-U")
    max_flash_bytes: int | None = Field(None, gt=0, description="of an Ethos-U")
    min_accuracy: float | None = None
    max_drop: float | None = Field(None, ge=0)
    evidence: Evidence | None = Field(None, description="weakest evidence that may decide the latency")
    allow_fallback: bool = Field(
        False, description="judge an Ethos-U's latency without the operators that it leaves to the CPU"
    )

    @property
    def is_empty(self) -> bool:
        """True when no limit was given, so that there is nothing to judge."""
        others = (self.max_gz_bytes, self.min_accuracy, self.max_drop)
        return not self.limits_cost and all(limit is None for limit in others)

    @property
    def limits_cost(self) -> bool:
        """True where an untrained draft can miss it: limits on latency, instructions or an Ethos-U's memory."""
        limits = (self.max_latency_ms, self.max_instructions, self.max_sram_bytes, self.max_flash_bytes)
        return any(limit is not None for limit in limits)

    def describe(self) -> str:
        """The limits in words, for example 'latency at most 20 ms, drop at most 0.01'."""
        parts = []
        if self.max_latency_ms is not None:
            parts.append(
                f"latency at most {self.max_latency_ms:g} ms"
                + ("" if self.percentile == "p50" else f" at {self.percentile}")
            )
        if self.max_instructions is not None:
            parts.append(f"at most {self.max_instructions:,} instructions")
        if self.max_gz_bytes is not None:
            parts.append(f"at most {self.max_gz_bytes:,} bytes (gzip)")
        for limit, memory in ((self.max_sram_bytes, "SRAM"), (self.max_flash_bytes, "flash")):
            if limit is not None:
                parts.append(f"at most {limit:,} bytes of {memory}")
        if self.min_accuracy is not None:
            parts.append(f"metric no worse than {self.min_accuracy:g}")
        if self.max_drop is not None:
            parts.append(f"metric drops by at most {self.max_drop:g}")
        return ", ".join(parts) or "none"


def parse_latency(text: str) -> tuple[float, Percentile]:
    """`20ms`, `1.5s@p95` -> (milliseconds, percentile). The unit is demanded: 20 of what is not guessed.

    Raises:
        UsageError: not a latency.
    """
    match = re.fullmatch(_NUMBER + r"\s*(us|ms|s)(?:@(p50|p90|p95|max))?", text.strip())
    value = float(match[1]) * _LATENCY_UNITS_MS[match[2]] if match else 0.0
    if match is None or not 0 < value < math.inf:
        raise UsageError(f"'{text}' is not a latency", "write it like 20ms, 1.5s or 20ms@p95 (p50, p90, p95 or max)")
    percentile: Percentile = match[3] or "p50"  # type: ignore[assignment]
    return value, percentile


def parse_bytes(text: str) -> int:
    """`200kB` -> 200,000; `64KiB` -> 65,536; a bare number is bytes.

    Raises:
        UsageError: not a size.
    """
    return _scaled(text, _BYTE_UNITS, "a size", "write it like 250000, 250kB or 1.5MB")


def parse_count(text: str) -> int:
    """`12.5M` -> 12,500,000 instructions.

    Raises:
        UsageError: not a count.
    """
    return _scaled(text, _COUNT_UNITS, "a number of instructions", "write it like 16300000, 16.3M or 2G")


def parse_duration(text: str) -> float:
    """`30m`, `90s`, `1.5h` -> seconds. The unit is demanded.

    Raises:
        UsageError: not a duration.
    """
    match = re.fullmatch(_NUMBER + r"\s*([smh])", text.strip())
    value = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not 0 < value < math.inf:
        raise UsageError(f"'{text}' is not a duration", "write it like 90s, 30m or 1.5h")
    return value


def parse_fraction(text: str) -> float:
    """`0.01` or `1%` -> 0.01.

    Raises:
        UsageError: not a number.
    """
    match = re.fullmatch(r"(-?)" + _NUMBER + r"\s*(%?)", text.strip())
    if match is None or not math.isfinite(float(match[2])):
        raise UsageError(f"'{text}' is not a number", "write it like 0.01 or 1%")
    value = float(match[1] + match[2])
    return value / 100 if match[3] else value


def _scaled(text: str, units: dict[str, int], what: str, mend: str) -> int:
    match = re.fullmatch(_NUMBER + r"\s*([a-zA-Z]*)", text.strip())
    unit = units.get(match[2].lower()) if match else None
    value = float(match[1]) * unit if match and unit else 0.0
    if not 1 <= value < 2**63:
        raise UsageError(f"'{text}' is not {what}", mend)
    return round(value)
