"""Leaves out of a wheel what running a model does not need: tests, headers, tools, accelerators of other hardware.

Members are stored, not compressed: the file is the same to the byte whatever zlib wrote it, so that its checksum can
stand in the lock, and the connection compresses on the way.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

# Tried by importing the interpreter and running a model with what is left. Licences stay.
_LEFT_OUT = (
    r"(^|/)(tests|include)/",
    r"\.(pyi|a|pxd)$",
    r"\.dist-info/RECORD$",  # it would list what is not there
    r"^numpy/(f2py|distutils|_pyinstaller|doc)/",
    r"^numpy/_?core/_(simd|operand_flag_tests|rational_tests|struct_ufunc_tests|umath_tests)\.",
    r"^ai_edge_litert/(aot|tools|tflite)/",
    r"^ai_edge_litert/(libLiteRtWebGpuAccelerator\.so|schema_py_generated\.py|descriptor_pb2\.py)$",
)
_PATTERN = re.compile("|".join(_LEFT_OUT))
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold

# A lock made by other rules has other checksums.
RULES = hashlib.sha256("\n".join(_LEFT_OUT).encode()).hexdigest()[:16]


def is_wanted(member: str) -> bool:
    """Whether a wheel's member goes to the board."""
    return not member.endswith("/") and _PATTERN.search(member) is None


def slim(wheel: Path, out: Path) -> None:
    """Write the wanted members of `wheel` to the zip `out`, the same bytes every time."""
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for member in sorted(filter(is_wanted, source.namelist())):
            info = zipfile.ZipInfo(member, _DATE)
            info.create_system, info.external_attr = 3, 0o644 << 16  # as Unix writes it, on any system
            target.writestr(info, source.read(member))
