"""The scripts that run on a board, as one text to send: a script with the modules of `board/` that it imports."""

from __future__ import annotations

import functools
from pathlib import Path

_FOLDER = Path(__file__).with_name("board")
# script -> the modules that it imports, in their order.
_MODULES = {
    "facts": ("system_files", "disturbances"),
    "files": ("board_common",),
    "lock": ("board_common",),
    "runs": ("board_common", "lock", "supervise"),
    "install": ("board_common",),
}
_LOADER = """import sys, types
for name, text in {modules!r}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
exec(compile({script!r}, {name!r}, "exec"))
"""


@functools.cache
def board_script(name: str) -> bytes:
    """The source of `board/NAME.py` and of what it imports, ready for `script.run_script`."""
    modules = [(module, _read(module)) for module in _MODULES[name]]
    return _LOADER.format(modules=modules, script=_read(name), name=name).encode()


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.py").read_text(encoding="utf-8")
