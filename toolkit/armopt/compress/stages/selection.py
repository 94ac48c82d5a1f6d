"""Which kernels of a model a stage may change, by the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from armopt.compress.ends import first_layers, last_layers
from armopt.compress.kernels import Kernel, is_spared, kernels_of
from armopt.core.profile import StageSettings

T = TypeVar("T")

SELECTION_SETTINGS = frozenset({"depthwise", "spare", "first_layer", "last_layer"})


def prunable(model: Any, settings: StageSettings) -> list[Kernel]:
    """Kernels that the settings let a stage prune or cluster, in the model's order.

    Depthwise ones only when asked, spared layers never, first and last layers unless the settings leave them out.
    """
    left: set[str] = set()
    if not settings.first_layer:
        left |= first_layers(model)
    if not settings.last_layer:
        left |= last_layers(model)
    return [
        kernel
        for kernel in kernels_of(model)
        if (settings.depthwise or kernel.kind != "depthwise")
        and not is_spared(kernel, settings.spare)
        and kernel.key not in left
    ]


def strength_of(kernel: Kernel, by_layer: Mapping[str, T], otherwise: T) -> T:
    """What the first pattern that names the kernel's layer or key asks for, or what is asked for of all others."""
    return next((value for pattern, value in by_layer.items() if is_spared(kernel, (pattern,))), otherwise)
