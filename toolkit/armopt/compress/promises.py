"""Pairs the constraints of a model with the values its kernels have: what the audit looks for in the file."""

from __future__ import annotations

from typing import Any

from armopt.compress.audit import Promise
from armopt.compress.constraints import Constraints
from armopt.compress.kernels import kernels_of


def promises_of(model: Any, constraints: Constraints) -> dict[str, Promise]:
    """Promises by kernel key, with the values of `model`, fake-quant models included."""
    return {
        kernel.key: Promise(kernel.kind, kernel.variable.numpy(), constraints[kernel.key])
        for kernel in kernels_of(model)
        if kernel.key in constraints
    }
