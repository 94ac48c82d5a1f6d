"""Cycles of blocks that llvm-mca was asked for before: text files of `hash,cycles`, sorted, below a line of origin."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

from armopt.catalog.search_path import cache_dir
from armopt.latency.llvm_mca import METHOD

HASH_DIGITS = 16
_SHIPPED = Path(__file__).parent / "block_cycles"


def block_hash(block: bytes) -> str:
    """The first 16 hex digits of the SHA-256 of the block's bytes."""
    return hashlib.sha256(block).hexdigest()[:HASH_DIGITS]


def shipped_path(scheduler: str) -> Path:
    """The file that comes with the package; its first line names the LLVM that it was made with."""
    return _SHIPPED / f"{scheduler}.csv"


def user_path(scheduler: str, version: str) -> Path:
    """The file of what this machine's LLVM of that version was asked for."""
    return cache_dir() / "block-cycles" / f"{scheduler}-llvm-{version}-{METHOD}.csv"


def origin_line(scheduler: str, version: str) -> str:
    """The first line of a file."""
    return f"# llvm-mca {version} -mcpu={scheduler}, method {METHOD}: first 16 digits of a block's sha256, cycles"


def read_cycles(path: Path) -> dict[str, float]:
    """Cycles by block hash; NaN for a block that llvm-mca can't judge. Empty where there is no such file.

    A line that is not `hash,cycles` is passed over: what it held is asked for again.
    """
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    cycles = {}
    for line in lines:
        name, comma, figure = line.partition(",")
        if comma and len(name) == HASH_DIGITS and not name.startswith("#"):
            try:
                cycles[name] = float(figure)
            except ValueError:
                continue
    return cycles


def write_cycles(path: Path, cycles: Mapping[str, float], *, scheduler: str, version: str) -> None:
    """Replace the file in one step: a reader sees the old one or the new one.

    Raises:
        OSError: the folder can't be written.
    """
    lines = [origin_line(scheduler, version), *(f"{name},{cycles[name]:.10g}" for name in sorted(cycles))]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False, encoding="ascii") as part:
        part.write("\n".join(lines) + "\n")
    written = Path(part.name)
    written.chmod(0o644)  # a temporary file is its owner's alone; a shipped one is everybody's
    written.replace(path)
