"""AArch64 instruction words -> classes of `core.instructions`.

Encodings: Arm Architecture Reference Manual for A-profile (DDI 0487), chapter C4, 'A64 instruction set encoding';
each function is one of its tables. Words that a table leaves open count as 'other'.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from armopt.core.instructions import CLASSES


def _bits(word: int, high: int, low: int) -> int:
    return (word >> low) & ((1 << (high - low + 1)) - 1)


@cache
def class_counts(block: bytes) -> tuple[int, ...]:
    """Instructions of each class, in the order of `CLASSES`, in a block of little-endian instruction words."""
    found = Counter(map(instruction_class, struct.unpack(f"<{len(block) // 4}I", block)))
    return tuple(found[name] for name in CLASSES)


def count_classes(blocks: Sequence[bytes]) -> NDArray[np.int64]:
    """(blocks, len(CLASSES)) instructions of each class in each block of little-endian instruction words."""
    return np.array([class_counts(block) for block in blocks], np.int64).reshape(-1, len(CLASSES))


def ends_block(word: int) -> bool:
    """Whether the instruction may go on elsewhere than at the next one: a branch or a call of the system."""
    return instruction_class(word) == "branch" or _bits(word, 31, 24) == 0xD4


@cache
def instruction_class(word: int) -> str:
    """The class of one 32-bit instruction word."""
    group = _bits(word, 28, 25)
    if group in (0b1000, 0b1001):
        return "integer"
    if group in (0b1010, 0b1011):
        system = _bits(word, 31, 22) == 0b1101010100 or _bits(word, 31, 24) == 0xD4
        return "system" if system else "branch"
    if group & 0b0101 == 0b0100:
        return _memory(word)
    if group & 0b0111 == 0b0101:
        return _integer_register(word)
    if group & 0b0111 == 0b0111:
        return _fp_and_vector(word)
    return "sve" if group == 0b0010 else "other"


def _integer_register(word: int) -> str:
    if _bits(word, 28, 24) == 0b11011:
        return "multiply"
    two_source = _bits(word, 30, 21) == 0b0011010110
    return "divide" if two_source and _bits(word, 15, 11) == 0b00001 else "integer"


def _memory(word: int) -> str:
    vector, load = _bits(word, 26, 26), _bits(word, 22, 22)
    kind = _bits(word, 29, 27)
    way = "load" if load else "store"
    if vector and kind == 0b001:
        if _bits(word, 24, 24):
            return f"{way}_vector_lane"
        # One register of a multiple-structure instruction (opcode 0111) is a plain vector load or store.
        if _bits(word, 15, 12) == 0b0111:
            return f"{way}_vector_{128 if _bits(word, 30, 30) else 64}"
        return f"{way}_vector_many"
    if kind == 0b001:
        return "atomic"
    if kind == 0b011 and not _bits(word, 24, 24):  # load from a literal
        return f"load_vector_{128 if _bits(word, 31, 30) == 2 else 64}" if vector else "load"
    if kind == 0b101:
        if vector:
            return f"{way}_pair_vector_{128 if _bits(word, 31, 30) == 2 else 64}"
        return f"{way}_pair"
    return _single_register(word, vector)


def _single_register(word: int, vector: int) -> str:
    size, opc = _bits(word, 31, 30), _bits(word, 23, 22)
    if vector:
        width = 128 if size == 0 and opc & 2 else 64
        return f"{'load' if opc & 1 else 'store'}_vector_{width}"
    if not _bits(word, 24, 24) and _bits(word, 21, 21) and not _bits(word, 11, 10):
        return "atomic"
    if size == 3 and opc == 2:
        return "prefetch"
    return "load" if opc else "store"


def _fp_and_vector(word: int) -> str:
    if _bits(word, 28, 28):
        if _bits(word, 30, 30):
            return "vector_alu"  # the scalar forms of vector instructions
        moves = _bits(word, 24, 24) == 0 and (not _bits(word, 21, 21) or _bits(word, 15, 10) == 0)
        return "transfer" if moves else "fp_scalar"
    if _bits(word, 31, 31):
        return "other"
    if _bits(word, 24, 24):
        return _vector_immediate(word) if _bits(word, 10, 10) else _vector_by_element(word)
    if not _bits(word, 21, 21):
        return _vector_copy_and_extra(word)
    if _bits(word, 10, 10):
        return _three_same(word)
    if not _bits(word, 11, 11):
        return _three_different(word)
    return _two_register(word)


def _three_same(word: int) -> str:
    unsigned, opcode = _bits(word, 29, 29), _bits(word, 15, 11)
    if opcode >= 0b11000:
        widening = (opcode == 0b11101 and not unsigned) or (opcode == 0b11001 and unsigned)
        return "fp_mac" if widening or (opcode == 0b11001 and not unsigned) else "fp_vector"
    if opcode == 0b10010:
        return "int_mac"
    if opcode in (0b10011, 0b10110):
        return "int_multiply"
    return "vector_shift_register" if 0b01000 <= opcode <= 0b01011 else "vector_alu"


def _three_different(word: int) -> str:
    opcode = _bits(word, 15, 12)
    if 0b1000 <= opcode <= 0b1110:
        return "int_mac_long"
    return "vector_narrow" if opcode in (0b0100, 0b0110) else "vector_alu"


def _two_register(word: int) -> str:
    table, opcode = _bits(word, 20, 17), _bits(word, 16, 12)
    if table != 0b0000:
        return "vector_convert" if table == 0b1100 else "vector_alu"
    if opcode in (0b00010, 0b00110):  # pairwise long add and accumulate
        return "vector_shift"
    if opcode in (0b10010, 0b10011, 0b10100):
        return "vector_narrow"
    if 0b10110 <= opcode <= 0b11101:
        return "vector_convert"
    return "fp_vector" if 0b01100 <= opcode <= 0b01111 or opcode == 0b11111 else "vector_alu"


def _vector_copy_and_extra(word: int) -> str:
    op, low = _bits(word, 29, 29), _bits(word, 10, 10)
    if _bits(word, 15, 15) and low:  # three registers, extension
        opcode = _bits(word, 14, 11)
        if opcode in (0b0010, 0b0011, 0b1111):
            return "dot"
        if opcode in (0b0100, 0b0101):
            return "i8mm"
        return "int_multiply" if opcode <= 0b0001 else "fp_vector"
    if low and _bits(word, 22, 22):  # half-precision, three registers
        return "fp_mac" if not op and _bits(word, 13, 11) == 0b001 else "fp_vector"
    if low:
        general = not op and _bits(word, 14, 11) in (0b0001, 0b0011, 0b0101, 0b0111)
        return "transfer" if general else "permute"
    return "table" if not op and not _bits(word, 11, 11) else "permute"


def _vector_immediate(word: int) -> str:
    opcode = _bits(word, 15, 11)
    if _bits(word, 22, 19) == 0:  # no shift: move an immediate
        return "vector_alu"
    if 0b10000 <= opcode <= 0b10100:
        return "vector_narrow"
    return "vector_convert" if opcode in (0b11100, 0b11111) else "vector_shift"


def _vector_by_element(word: int) -> str:
    unsigned, opcode = _bits(word, 29, 29), _bits(word, 15, 12)
    if opcode in (0b1110, 0b1111):
        return "dot"
    if opcode in (0b0010, 0b0110, 0b0011, 0b0111, 0b1010, 0b1011):
        return "int_mac_long"
    if opcode in (0b0000, 0b0100):
        return "int_mac" if unsigned else "fp_mac"
    if opcode in (0b0001, 0b0101):
        return "fp_vector" if unsigned else "fp_mac"
    return "fp_vector" if opcode == 0b1001 else "int_multiply"
