"""Cycles of basic blocks by llvm-mca: LLVM's scheduling model of a core, run on the block as the body of a loop.

Taken is the steady state: the cycles that one more iteration adds once the pipeline is full. llvm-mca assumes that all
loads hit the first cache level, that branches are predicted, and that decoding never stalls.
(https://llvm.org/docs/CommandGuide/llvm-mca.html)
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armopt.core.decode import instruction_class
from armopt.core.errors import DeviceError

# Raised whenever what is asked of llvm-mca changes, so that cycles of the old way are not taken from a cache.
METHOD = 1
# The first LLVM whose models of Neoverse N1 and V1, and whose options used here, were tried.
OLDEST_MAJOR = 19

# Far above the reorder buffers of the modelled cores (128 to 256): a cut changes nothing in the middle of a long block.
LONGEST_PIECE = 512
# Instructions to fill the pipeline with, and then to measure over: both in whole iterations. 1,024 keep the figure of a
# block of one instruction within 0.001 cycles.
FILL_INSTRUCTIONS = 512
MEASURED_INSTRUCTIONS = 1024
LEAST_FILL, LEAST_MEASURED = 4, 12
# As cache files hold them, so that a run gives the same figures whether it found them there or not.
DECIMALS = 4
PIECES_PER_PROCESS = 250
TIMEOUT_S = 120

_VERSION = re.compile(r"LLVM version (\d+)(\.[\d.]+)?")
_LISTED = re.compile(r"\s*(?P<text>.+?)\s*//.*encoding: \[(?P<bytes>(?:0x[0-9a-f]{2},?){4})\]")
_LEAVES_THE_CODE = re.compile(r"(bl|br|ret)")
# LLVM's Cortex-A57 model, which Cortex-A72 and A73 borrow, gives the address that `ldr q0, [x1], #16` writes back the
# latency of the load (5 cycles; one was measured), but not that of `ldr q0, [x1, #16]!`, which is the same work.
_POST_INDEXED = re.compile(r"(?P<load>ldr\s+[bhsdq]\d+, \[\w+)\], (?P<step>#-?\d+)$")
_NOP, _BRANCH = "nop", "b #4"


@dataclass(frozen=True)
class LlvmMca:
    """The two programs of one LLVM: `disassembler` is llvm-mc, `analyser` is llvm-mca; `version` like '19.1.7'."""

    disassembler: str
    analyser: str
    version: str

    def block_cycles(self, blocks: Sequence[bytes], scheduler: str) -> NDArray[np.float64]:
        """(blocks,) cycles of one execution of each block on the core that LLVM calls `scheduler`.

        A block with an instruction that LLVM's model of the core does not know is NaN.

        Raises:
            DeviceError: a program failed, or LLVM knows no such core.
        """
        if not any(blocks):
            return np.zeros(len(blocks))
        text = self._assembly({word for block in blocks for word in _words(block)})
        pieces: dict[int, list[tuple[int, list[str]]]] = defaultdict(list)
        for row, block in enumerate(blocks):
            lines = [text[word] for word in _words(block)]
            for start in range(0, len(lines), LONGEST_PIECE):
                piece = lines[start : start + LONGEST_PIECE]
                # Lengths in powers of two share a process. How long a piece runs follows from its own length alone.
                pieces[(len(piece) - 1).bit_length()].append((row, piece))
        cycles = np.zeros(len(blocks))
        for size, alike in pieces.items():
            fill = max(LEAST_FILL, FILL_INSTRUCTIONS >> size)
            measured = max(LEAST_MEASURED, MEASURED_INSTRUCTIONS >> size)
            for start in range(0, len(alike), PIECES_PER_PROCESS):
                rows, bodies = zip(*alike[start : start + PIECES_PER_PROCESS], strict=True)
                less = self._total_cycles(bodies, scheduler, fill)
                more = self._total_cycles(bodies, scheduler, fill + measured)
                np.add.at(cycles, list(rows), (more - less) / measured)
        return np.round(cycles, DECIMALS)

    def _assembly(self, words: Iterable[int]) -> dict[int, str]:
        """What stands for each word in llvm-mca's input: one instruction each."""
        found = {}
        asked = [word for word in sorted(words) if instruction_class(word) not in ("system", "other")]
        lines = "".join(" ".join(f"{byte:#04x}" for byte in struct.pack("<I", word)) + "\n" for word in asked)
        command = [self.disassembler, "--disassemble", "-triple=aarch64", "-mattr=+all", "-show-encoding"]
        # Words that are no instructions leave no line, so lines are told apart by the encoding that they repeat.
        for match in map(_LISTED.match, _run(command, lines).splitlines()):
            if match:
                word = int.from_bytes(bytes(int(byte, 16) for byte in match["bytes"].split(",")), "little")
                leaves = instruction_class(word) == "branch" and _LEAVES_THE_CODE.match(match["text"])
                # Calls and returns get a made-up latency from llvm-mca; what runs after them is in the next block.
                found[word] = _BRANCH if leaves else _POST_INDEXED.sub(r"\g<load>, \g<step>]!", match["text"])
        # System instructions wait for what no block shows; the core's time for them is not in LLVM's models.
        return {word: found.get(word, _NOP) for word in words}

    def _total_cycles(self, bodies: Sequence[list[str]], scheduler: str, iterations: int) -> NDArray[np.float64]:
        """(bodies,) cycles of `iterations` runs of each; NaN where llvm-mca left an instruction out."""
        # The last region is there because llvm-mca fails where it has to leave out all of them.
        regions = "\n".join(
            "\n".join([f"# LLVM-MCA-BEGIN {row}", *lines, "# LLVM-MCA-END", ""])
            for row, lines in enumerate([*bodies, [_NOP]])
        )
        command = [self.analyser, "-mtriple=aarch64", f"-mcpu={scheduler}", "-mattr=+all", f"-iterations={iterations}"]
        command += ["-instruction-info=0", "-resource-pressure=0", "--skip-unsupported-instructions=any", "--json"]
        told = _run(command, regions)
        cycles = np.full(len(bodies), np.nan)
        try:
            for region in json.loads(told)["CodeRegions"]:
                row = int(region["Name"])
                if row < len(bodies) and len(region["Instructions"]) == len(bodies[row]):
                    cycles[row] = region["SummaryView"]["TotalCycles"]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise DeviceError(f"{self.analyser} printed something else than expected ({error!r})", _MEND) from error
        return cycles


_MEND = "install Debian's llvm-19"


def find_llvm_mca() -> LlvmMca | None:
    """llvm-mca and llvm-mc of LLVM 19 or newer on PATH; None where they are missing or too old.

    Raises:
        DeviceError: the program is there but does not run.
    """
    for suffix in (f"-{OLDEST_MAJOR}", ""):
        disassembler, analyser = (shutil.which(name + suffix) for name in ("llvm-mc", "llvm-mca"))
        if disassembler and analyser:
            version = _VERSION.search(_run([analyser, "--version"], ""))
            if version and int(version[1]) >= OLDEST_MAJOR:
                return LlvmMca(disassembler, analyser, version[1] + (version[2] or ""))
    return None


def _words(block: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(block) // 4}I", block)


def _run(command: list[str], text: str) -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{command[0]} did not run ({error})", _MEND) from error
    if unknown := re.search(r"'([^']*)' is not a recognized processor", done.stderr):
        raise DeviceError(f"llvm-mca knows no core {unknown[1]!r}", "correct 'scheduler' in the core's file")
    if done.returncode:
        cause = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[0]
        raise DeviceError(f"{command[0]} failed: {cause[:300]}", _MEND)
    return done.stdout
