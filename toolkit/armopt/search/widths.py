"""Solves for how many channels may stay: the widest model that meets the limits on speed, found before training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# Widths are solved for to this fraction of the whole; rounding to whole steps of channels makes fewer shapes of them.
LEVELS = 64

_GUESSES = 4


@dataclass(frozen=True)
class Probe:
    """One width that was tried.

    Attributes:
        width: share of the channels kept.
        load: its figure over its limit, the worst of them: up to 1 it meets them all.
    """

    width: float
    load: float


def widest(load_of: Callable[[float], float], levels: int = LEVELS) -> tuple[float | None, list[Probe]]:
    """The largest of `levels` widths whose load is at most 1, and every width that was tried.

    Args:
        load_of: what a width costs, over what it may; must not fall as the width grows.
        levels: number of widths, evenly spaced up to 1.

    Returns:
        The width, 1.0 where the whole model fits, None where even the narrowest does not; and the probes in order.
    """
    probes: list[Probe] = []

    def load(level: int) -> float:
        probes.append(Probe(level / levels, load_of(level / levels)))
        return probes[-1].load

    found = load(levels)
    if found <= 1:
        return 1.0, probes
    fits, over, level = 0, levels, levels
    while over - fits > 1:
        # Most of the work grows with the square of the width, so the first guesses are near; after them, by halves.
        guess = round(level / found**0.5) if found > 0 and len(probes) <= _GUESSES else (fits + over) // 2
        level = min(max(guess, fits + 1), over - 1)
        found = load(level)
        fits, over = (level, over) if found <= 1 else (fits, level)
    return (fits / levels if fits else None), probes
