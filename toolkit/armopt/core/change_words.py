"""Figures before and after, in words. Pure."""

from __future__ import annotations

NAME_LENGTH = 60  # of a name in a sentence: it comes from a model and may have no end


def relative_change(before: float, after: float) -> float | None:
    """(after - before) / before; None where it was 0."""
    return after / before - 1 if before else None


def by(before: float, after: float) -> str:
    """' (+5.3%)'."""
    relative = relative_change(before, after)
    return "" if relative is None else f" ({signed(relative)})"


def against(over: bool, allowed: float) -> str:
    """What follows a figure that is worse than allowed."""
    return f", more than the {share(allowed)} allowed" if over else ""


def signed(relative: float) -> str:
    """'+5.3%'; two digits of what is next to nothing; '0%' for nothing."""
    if relative == 0:
        return "0%"
    return f"{relative:+.1%}" if abs(relative) >= 0.0005 else f"{100 * relative:+.2g}%"


def share(value: float) -> str:
    """'1%', '0.25%'."""
    return f"{100 * value:.3g}%"
