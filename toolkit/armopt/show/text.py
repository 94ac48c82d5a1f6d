"""Text from models, files and devices made safe for a terminal: it may hold escapes that move, hide or retitle."""

from __future__ import annotations

import re
import unicodedata

_MAX_CHARACTERS = 2000

# ECMA-48: CSI sequences, then OSC, DCS, SOS, PM and APC strings up to their terminator, then two-character escapes; in
# their 7-bit form (ESC and a letter) and their 8-bit form (one C1 character). Removed whole, or their letters stay.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?"
)


def clean(text: object, limit: int = _MAX_CHARACTERS) -> str:
    """`text` on one line without escapes, control or direction-changing characters, cut after `limit` characters.

    Whitespace of any kind becomes a single space. Unpaired surrogates, which a terminal can't encode, become `?`.
    """
    plain = _ESCAPE.sub("", str(text))
    # Cc: control, Cf: format (among them the direction overrides of CVE-2021-42574), Cs: surrogate, Co: private use.
    kept = "".join(_kept(character) for character in plain)
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _kept(character: str) -> str:
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if category == "Cs":
        return "?"
    return "" if category in ("Cc", "Cf", "Co") else character
