"""What makes a board faster at one time than at another: governor, limits of the clock, heat, voltage, other load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from armopt.core.device import BoardKind
from armopt.runners.ssh.facts import Facts, Policy
from armopt.runners.ssh.finding import Finding, problem, warning

WARM_C, HOT_C = 70.0, 80.0  # a Raspberry Pi lowers its clock from 80 on (config.txt: temp_limit, temp_soft_limit)
BUSY = 0.1  # of a core: so much of an inference's time may another process take
UNSEEN_BUSY = 0.3  # interrupts, and processes that come and go, make some of it on an idle board
SAME_CLOCK = 0.99  # boards round theirs: 1,495 for 1,500 MHz
_CPUFREQ = "/sys/devices/system/cpu/cpufreq"
_COOL = "cool it: a heat sink, a fan, no closed case"
# raspberrypi.com/documentation/computers/os.html#get_throttled; the same 16 bits higher: since the board was started.
_FLAGS = (
    ("its voltage is too low", "its voltage was too low", "give it a supply and a cable made for the board"),
    ("its clock is capped", "its clock was capped", f"{_COOL}; a supply made for the board"),
    ("it is throttled", "it was throttled", f"{_COOL}; a supply made for the board"),
    ("it is at its soft limit of temperature", "it was at its soft limit of temperature", _COOL),
)


def unsteady(facts: Facts, kind: BoardKind) -> Iterator[Finding]:
    """What would make timings unsteady, or slower than those of the board's kind."""
    yield from _governor(facts.policies)
    yield from _clock_limits(facts, kind)
    yield from _heat(facts)
    yield from _throttling(facts)
    yield from _other_load(facts)


def _governor(policies: Sequence[Policy]) -> Iterator[Finding]:
    others = sorted({policy.governor for policy in policies if policy.governor not in (None, "performance")} - {None})
    if others:
        yield warning(
            f"the governor is {', '.join(map(str, others))}: clocks rise and fall with the load",
            f"run there: echo performance | sudo tee {_CPUFREQ}/policy*/scaling_governor",
        )


def _clock_limits(facts: Facts, kind: BoardKind) -> Iterator[Finding]:
    for policy in facts.policies:
        now, most = policy.max_mhz, policy.hardware_max_mhz
        if now and most and now < SAME_CLOCK * most:
            yield warning(
                f"the clock of {policy.name} is limited to {now:.0f} of {most:.0f} MHz",
                f"run there: echo {1000 * most:.0f} | sudo tee {_CPUFREQ}/{policy.name}/scaling_max_freq",
            )
    # On a board with cores of two kinds, those of the board's kind count.
    parts = {cpu for group in facts.cores if group.part == kind.core.part for cpu in group.processors}
    mine = [policy for policy in facts.policies if parts & set(policy.cpus)] or facts.policies
    highest = max((policy.hardware_max_mhz for policy in mine if policy.hardware_max_mhz), default=None)
    if highest and highest < SAME_CLOCK * kind.cpu.freq_mhz:
        yield warning(
            f"its highest clock is {highest:.0f} MHz, that of a {kind.name} {kind.cpu.freq_mhz} MHz",
            f"raise it in the firmware (Raspberry Pi: arm_boost=1 in config.txt), or model with --freq {highest:.0f}",
        )


def _heat(facts: Facts) -> Iterator[Finding]:
    hottest = max(facts.temperatures, key=lambda zone: zone.celsius, default=None)
    if hottest is not None and hottest.celsius > WARM_C:
        say = problem if hottest.celsius > HOT_C else warning
        yield say(f"it is {hottest.celsius:.0f} °C warm ({hottest.name or 'unnamed'})", _COOL)


def _throttling(facts: Facts) -> Iterator[Finding]:
    flags = facts.throttled or 0
    for bit, (now, before, mend) in enumerate(_FLAGS):
        if flags >> bit & 1:
            yield problem(now, mend)
        elif flags >> (16 + bit) & 1:
            yield warning(f"{before} since it was started", f"{mend}; a restart clears the flag")
    for device in facts.cooling:
        if device.state > 0 and "cpufreq" in (device.name or ""):
            of = "" if device.most is None else f" of {device.most:.0f}"
            yield problem(f"its clock is lowered for heat ({device.name}: step {device.state:.0f}{of})", _COOL)


def _other_load(facts: Facts) -> Iterator[Finding]:
    if facts.load is None:
        return
    busy = [process for process in facts.load.processes if process.share > BUSY]
    for process in busy:
        yield warning(
            f"'{process.name}' (process {process.pid}) takes {process.share:.0%} of a core",
            f"stop it, or wait for its end; see it there: ps -fp {process.pid}",
        )
    unseen = facts.load.busy_cores - sum(process.share for process in facts.load.processes)
    if unseen > UNSEEN_BUSY and not busy:
        yield warning(f"others take {unseen:.0%} of a core", "see there what runs: top")
