"""The classes that AArch64 instructions are counted in, and the unit of a core that each class keeps busy."""

from __future__ import annotations

from typing import Literal, get_args

Unit = Literal["vector", "load", "store", "integer", "branch"]
UNITS: tuple[Unit, ...] = get_args(Unit)

# Order is the column order of `Counts.classes`. The names also appear in `instruction_classes` of result.json.
CLASS_UNIT: dict[str, Unit] = {
    "fp_mac": "vector",  # fmla, fmls on vectors: the float kernels' work
    "fp_vector": "vector",
    "fp_scalar": "vector",
    "int_mac_long": "vector",  # smlal and its kind: the INT8 kernels' work on cores without dot product
    "int_mac": "vector",  # mla, mls
    "int_multiply": "vector",  # mul, sqrdmulh, sqdmulh: requantisation
    "dot": "vector",  # sdot, udot (FEAT_DotProd)
    "i8mm": "vector",  # smmla, ummla, usmmla (FEAT_I8MM)
    "vector_alu": "vector",
    "vector_shift": "vector",
    "vector_shift_register": "vector",  # sshl, sqrshl and their kind: half the rate on a Cortex-A72
    "vector_narrow": "vector",  # narrowing and widening moves
    "vector_convert": "vector",
    "permute": "vector",
    "table": "vector",
    "transfer": "vector",  # between general and vector registers
    "sve": "vector",
    "load_vector_64": "load",  # 64 bits or less
    "load_vector_128": "load",
    "load_pair_vector_64": "load",
    "load_pair_vector_128": "load",
    "load_vector_many": "load",  # ld1 of 2-4 registers, ld2-ld4
    "load_vector_lane": "load",
    "load": "load",
    "load_pair": "load",
    "atomic": "load",
    "prefetch": "load",
    "store_vector_64": "store",
    "store_vector_128": "store",
    "store_pair_vector_64": "store",
    "store_pair_vector_128": "store",
    "store_vector_many": "store",
    "store_vector_lane": "store",
    "store": "store",
    "store_pair": "store",
    "integer": "integer",
    "multiply": "integer",  # madd and its kind
    "divide": "integer",
    "system": "integer",
    "other": "integer",
    "branch": "branch",
}
CLASSES: tuple[str, ...] = tuple(CLASS_UNIT)
CLASS_INDEX: dict[str, int] = {name: index for index, name in enumerate(CLASSES)}
