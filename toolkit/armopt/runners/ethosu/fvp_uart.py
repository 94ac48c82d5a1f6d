"""Reads what the inference runner says on the UART: cycles of the NPU's counters, or why there are none."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator

TOTAL = "NPU TOTAL"
"""The counter of all NPU cycles of an inference."""

# The FVP's CPU is not cycle-accurate, so nothing but the NPU's counters is taken.
_OF_THE_NPU = "NPU "
# As Arm's MLIA reads it: one line, JSON in base64.
_METRICS = re.compile(r"<metrics>([A-Za-z0-9+/=]*)</metrics>")
# As the evaluation kit's page shows it: "INFO - NPU TOTAL cycles: 34178".
_LINE = re.compile(r"(NPU [A-Z][A-Z0-9_ ]*?)(?: (?:cycles|beats))?: (\d{1,18})\s*$")
_TROUBLE = re.compile(r"^(?:\w+ - )?(?:ERROR\b|E: |.*\bfailed\b)", re.IGNORECASE)
_LICENSE = re.compile(r"\b(?:licen[cs]e|flexnet)\b", re.IGNORECASE)
_CONTROL = re.compile(r"[^\x20-\x7e]+")


def counters_of(told: str) -> dict[str, int]:
    """The NPU's counters by name; empty where it did not tell any that can be read."""
    found: dict[str, int] = {}
    for line in lines_of(told):
        if match := _METRICS.search(line):
            found.update(_encoded(match[1]))
        elif match := _LINE.search(line):
            found.setdefault(match[1], int(match[2]))
    return found


def _encoded(text: str) -> Iterator[tuple[str, int]]:
    try:
        groups = json.loads(base64.b64decode(text, validate=True))
        samples = [sample for group in groups for sample in group["samples"]]
        for sample in samples:
            name, value = str(sample["name"]), int(sample["value"][0])
            if name.startswith(_OF_THE_NPU) and value >= 0:
                yield name, value
    except (binascii.Error, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return


def trouble_of(told: str) -> str:
    """The last line that tells of an error, else the last one; '' where it said nothing."""
    lines = list(lines_of(told))
    errors = [line for line in lines if _TROUBLE.search(line)]
    return (errors or lines or [""])[-1][:200]


def license_trouble(told: str) -> str:
    """The line that tells of a license; '' where none does."""
    return next((line[:200] for line in lines_of(told) if _LICENSE.search(line)), "")


def lines_of(told: str) -> Iterator[str]:
    """Lines without control characters, and without what is no ASCII: a UART may say anything."""
    for line in told.splitlines():
        clean = _CONTROL.sub(" ", line).strip()
        if clean:
            yield clean
