"""A compiled model as a C header, for firmware with TensorFlow Lite Micro and the Ethos-U driver."""

from __future__ import annotations

import re

# What Arm's ML Embedded Evaluation Kit tops Vela's figure up by, at least (docs/sections/memory_considerations.md):
# Vela does not know of the runtime's own structures.
RUNTIME_BYTES = 2048
_ALIGNMENT = 16  # the driver reads command streams and weights from addresses like that
_IN_A_LINE = 16

_TOP = """\
/* {told}
 *
 * The NPU reads this model where it lies: keep it in the memory that it was compiled for.
 */
#ifndef ARMOPT_MODEL_H
#define ARMOPT_MODEL_H

#include <stdint.h>

/* What Vela planned for activations, and with 2 KiB for the runtime's own structures: the least that a tensor arena
 * takes. Operators on the CPU need more. */
#define ARMOPT_MODEL_ACTIVATION_BYTES {activations}
#define ARMOPT_MODEL_ARENA_BYTES {arena}
/* SRAM that is for the NPU alone; 0: it works in the arena. */
#define ARMOPT_MODEL_CACHE_BYTES {cache}
#define ARMOPT_MODEL_BYTES {size}

#if defined(__cplusplus)
alignas({alignment})
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
_Alignas({alignment})
#else
__attribute__((aligned({alignment})))
#endif
static const uint8_t armopt_model[ARMOPT_MODEL_BYTES] = {{
"""
_END = "};\n\n#endif /* ARMOPT_MODEL_H */\n"


def header(model: bytes, activation_bytes: int, cache_bytes: int, told: str) -> str:
    """The text of `model.h`: aligned bytes, and how much memory they need beside them.

    Args:
        model: the compiled .tflite.
        activation_bytes: that its activations take.
        cache_bytes: SRAM for the NPU alone.
        told: one line on what it was made for.
    """
    activations = _aligned(activation_bytes)
    top = _TOP.format(
        told=re.sub(r"[^\w .,-]", "_", told),  # names of a user's vela.ini end no comment
        activations=activations,
        arena=activations + RUNTIME_BYTES,
        cache=_aligned(cache_bytes),
        size=len(model),
        alignment=_ALIGNMENT,
    )
    lines = (model[start : start + _IN_A_LINE] for start in range(0, len(model), _IN_A_LINE))
    return top + "".join("    " + ", ".join(f"0x{byte:02x}" for byte in line) + ",\n" for line in lines) + _END


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
