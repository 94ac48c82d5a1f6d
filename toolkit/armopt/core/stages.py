"""What is known of every stage without importing TensorFlow: its place in a tree, and what numbers its file holds.

The work itself is in `compress.stages`, one module a stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

NumberFormat = Literal["int8", "16x8", "dynamic", "float16", "float32", "sparse"]
"""What a .tflite computes with.

`int8`: INT8 weights and activations. `16x8`: INT8 weights, INT16 activations. `dynamic`: INT8 weights of large kernels,
float32 activations that kernels may quantize as they run. `float16`: weights stored as float16, computed in float32 or,
on cores that can, in float16. `float32`: as trained; no leaf is, but the shapes that are timed on boards are.
`sparse`: float32, kernels stored without their zeros, which XNNPACK may run with kernels that skip zeros.
"""
NUMBER_FORMATS: tuple[NumberFormat, ...] = get_args(NumberFormat)


@dataclass(frozen=True)
class StageFacts:
    """One stage's.

    Attributes:
        trains: it fine-tunes.
        numbers: what its .tflite holds; None where it makes no file: an inner node of the tree.
        preserves: stages that have to stand above it, since its name says that it keeps what they achieved.
    """

    trains: bool
    numbers: NumberFormat | None = None
    preserves: frozenset[str] = frozenset()


# PQAT, CQAT and PCQAT are quantization-aware training under whatever the ancestors promised: one mechanism, and
# names that say which promises there are.
FACTS: MappingProxyType[str, StageFacts] = MappingProxyType(
    {
        "channels": StageFacts(trains=True),
        "prune": StageFacts(trains=True),
        "cluster": StageFacts(trains=True),
        "ptq": StageFacts(trains=False, numbers="int8"),
        "qat": StageFacts(trains=True, numbers="int8"),
        "pqat": StageFacts(trains=True, numbers="int8", preserves=frozenset({"prune"})),
        "cqat": StageFacts(trains=True, numbers="int8", preserves=frozenset({"cluster"})),
        "pcqat": StageFacts(trains=True, numbers="int8", preserves=frozenset({"prune", "cluster"})),
        "16x8": StageFacts(trains=False, numbers="16x8"),
        "dynamic": StageFacts(trains=False, numbers="dynamic"),
        "float16": StageFacts(trains=False, numbers="float16"),
        "sparse": StageFacts(trains=False, numbers="sparse", preserves=frozenset({"prune"})),
    }
)

LEAF_STAGES = frozenset(name for name, facts in FACTS.items() if facts.numbers is not None)
TRAINING_STAGES = frozenset(name for name, facts in FACTS.items() if facts.trains)
PRESERVES: MappingProxyType[str, frozenset[str]] = MappingProxyType(
    {name: facts.preserves for name, facts in FACTS.items() if facts.preserves}
)
# Leaves that may stand beside each `ptq` on request: they are made from the same model without training.
# What people call a leaf that has another name here. A float16 file is computed in half precision wherever cores can.
OTHER_NAMES: MappingProxyType[str, str] = MappingProxyType({"fp16": "float16"})
FURTHER_LEAVES = tuple(name for name, facts in FACTS.items() if facts.numbers not in (None, "int8"))
