"""One operation of a network that was compiled for an Ethos-U: what runs, as the compiler costs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NpuOperation:
    """An operator of the .tflite makes one of these, or several. Cycles of units overlap; the slowest binds.

    Attributes:
        source: position of the .tflite's operator that it comes from; None where it comes from none.
        operation: the compiler's name of it.
        kind: the compiler's name of the operator that it comes from.
        name: of its output tensor.
        cycles: in all, with what could not be hidden of a transfer before it.
        mac_cycles: multiplying.
        weight_cycles: bringing weights, scales and biases.
        scale_cycles: of these, scales and biases.
        activation_cycles: the slowest of reading, making and writing activations.
        macs: padding included.
        weight_bytes: of its compressed weights.
    """

    source: int | None
    operation: str
    kind: str
    name: str
    cycles: int
    mac_cycles: int
    weight_cycles: int
    scale_cycles: int
    activation_cycles: int
    macs: int
    weight_bytes: int

    @property
    def on_cpu(self) -> bool:
        """Whether it is left to the Cortex-M."""
        return self.operation == "Passthrough"
