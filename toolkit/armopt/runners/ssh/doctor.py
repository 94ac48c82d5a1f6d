"""What is wrong with a board, from its facts: what keeps it from running models, and what would make timings unsteady.

Pure. Each finding says how to mend it; what needs root on the board is for the user to run, armopt never does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from armopt.core.device import BoardKind
from armopt.core.errors import DeviceError
from armopt.core.host import Host
from armopt.runners.ssh.facts import Facts
from armopt.runners.ssh.finding import Finding, problem, warning
from armopt.runners.ssh.steadiness import unsteady
from armopt.runners.ssh.wheels import Plan

CLOCK_OFF_S = 60.0  # more, and ages of locks and dates of results mislead
LEAST_MEMORY = 256 << 20  # numpy and the runtime take 60 MB; a classifier of 100 MB with its tensors fits, too
LEAST_DISK = 64 << 20  # for models, samples and results
RUNTIME_ON_DISK = 2.1  # times what is sent: that, the same unpacked, and its bytecode (124 MB for 61 MB)
LEAST_INODES = 2000  # the runtime's files and their bytecode are 500
SWAPPING_PAGES_PER_S = 100.0  # 0.4 MB/s to or from a card that does some MB/s of small pages
# By these the runtime chooses kernels (XNNPACK's src/configs/hardware-config.c); other features make no difference.
KERNEL_FEATURES = frozenset({"asimddp", "i8mm", "fphp", "asimdhp", "bf16", "sve", "sve2", "svei8mm", "sme", "sme2"})


@dataclass(frozen=True)
class Examined:
    """A board with what it is held against; the arguments of `examine`."""

    facts: Facts
    kind: BoardKind
    host: Host
    clock_s: float
    plan: Plan | DeviceError


def examine(
    facts: Facts, kind: BoardKind, host: Host, *, clock_s: float, plan: Plan | DeviceError
) -> tuple[Finding, ...]:
    """What is wrong with a board.

    Args:
        facts: what it says of itself, with the runtime if there is a plan.
        kind: what it is registered as.
        host: as which it is registered.
        clock_s: this machine's time when the facts came, in seconds since the epoch.
        plan: the runtime that it should have; the error that says why there is none for it.
    """
    board = Examined(facts, kind, host, clock_s, plan)
    found = [finding for check in _CHECKS for finding in check(board)]
    found += unsteady(facts, kind)
    return tuple(sorted(found, key=lambda finding: finding.severity != "problem"))


def _runtime(board: Examined) -> Iterator[Finding]:
    if isinstance(board.plan, DeviceError):
        yield problem(board.plan.what, board.plan.mend)
        return
    installed, plan = board.facts.runtime, board.plan
    named = "" if plan.runtime == "litert" else f" --runtime {plan.runtime}"
    prepare = f"run: armopt hosts prepare {board.host.name}{named}"
    anew = f"remove {board.host.folder}/runtimes on the board, then {prepare}"
    if installed is None:
        yield problem(f"{plan.runtime} {plan.version} is not on the board", prepare)
    elif installed.error is not None:
        yield problem(f"the board's runtime can't be imported: {installed.error}", anew)
    else:
        has = (f"{installed.name} {installed.version}", f"numpy {installed.numpy}")
        wanted = (f"{plan.runtime} {plan.version}", f"numpy {plan.wheels[-1].version}")
        if has != wanted:
            yield problem(f"the board has {' and '.join(has)} in place of {' and '.join(wanted)}", anew)


def _cpu(board: Examined) -> Iterator[Finding]:
    core, groups = board.kind.core, [group for group in board.facts.cores if group.part is not None]
    mine = [group for group in groups if (group.implementer, group.part) == (core.implementer, core.part)]
    again = f"register it as what it is: armopt hosts add {board.host.name} --device KIND --ssh ... --replace"
    if groups and not mine:
        name = f" ({board.facts.board})" if board.facts.board else ""
        parts = ", ".join(sorted({f"{group.implementer or 0:#04x}/{group.part:#05x}" for group in groups}))
        wanted = f"{core.implementer:#04x}/{core.part:#05x}"
        yield problem(f"its CPU is {parts}{name}, and a {board.kind.name} has {core.title} ({wanted})", again)
    for group in mine:
        has, should = KERNEL_FEATURES & set(group.features), KERNEL_FEATURES & set(board.kind.cpu.features)
        if has != should:
            lacks, more = ", ".join(sorted(should - has)), ", ".join(sorted(has - should))
            what = "; ".join(filter(None, (lacks and f"lacks {lacks}", more and f"has {more}")))
            yield problem(f"its CPU {what}, unlike a {board.kind.name}: the runtime takes other kernels", again)
    there = sum(len(group.processors) for group in mine)
    if mine and there < board.kind.cpu.cores:
        yield warning(
            f"{there} of a {board.kind.name}'s {board.kind.cpu.cores} cores are online",
            "see /sys/devices/system/cpu/offline there, and maxcpus= in /proc/cmdline",
        )


def _time(board: Examined) -> Iterator[Finding]:
    ahead_s = board.facts.wall_s - board.clock_s
    if abs(ahead_s) > CLOCK_OFF_S:
        side = "ahead of" if ahead_s > 0 else "behind"
        yield warning(
            f"its clock is {_duration(abs(ahead_s))} {side} this machine's",
            "run there: sudo timedatectl set-ntp true (or, without a network: sudo date -s 'YYYY-MM-DD HH:MM:SS')",
        )


def _memory(board: Examined) -> Iterator[Finding]:
    memory, load = board.facts.memory, board.facts.load
    if memory is None:
        return
    if memory.available_bytes is not None and memory.available_bytes < LEAST_MEMORY:
        yield warning(f"{memory.available_bytes >> 20} MiB of memory are free", "stop what is not needed there")
    total, free = memory.swap_total_bytes or 0, memory.swap_free_bytes or 0
    rate = load.swap_pages_per_s if load else 0.0
    if rate > SWAPPING_PAGES_PER_S or (total and free < total / 2):
        rated = f", {rate:.0f} pages/s go to or from it" if rate > 0 else ""
        yield warning(
            f"{(total - free) >> 20} of {total >> 20} MiB of swap are in use{rated}",
            "stop what is not needed there, or restart the board",
        )


def _disk(board: Examined) -> Iterator[Finding]:
    place, folder = board.facts.folder, board.host.folder
    if place is None:
        return
    other = "or register the board with another --folder"
    if not place.writable:
        yield problem(f"this login can't write where {folder} is", f"permit it there, {other}")
    if place.noexec:
        yield problem(f"{folder} lies on a file system that runs no programs (noexec)", f"mount it without, {other}")
    needed = LEAST_DISK
    if isinstance(board.plan, Plan) and board.facts.runtime is None:
        needed += int(RUNTIME_ON_DISK * board.plan.size_bytes)
    if place.free_bytes < needed:
        yield problem(
            f"{place.free_bytes >> 20} MiB of disk are free for {folder}, {needed >> 20} are needed",
            f"make room there, {other}",
        )
    elif place.free_inodes is not None and place.free_inodes < LEAST_INODES:
        yield problem(f"{place.free_inodes} inodes are free for {folder}", f"remove files there, {other}")


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


_CHECKS: tuple[Callable[[Examined], Iterator[Finding]], ...] = (_runtime, _cpu, _time, _memory, _disk)
