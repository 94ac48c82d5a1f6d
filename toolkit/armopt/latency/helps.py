"""Which criteria a technique can help on a kind of board, and why it can't help the others. Pure.

Sources of the Ethos-U answers: Arm's Ethos-U85 technical overview (weights are compressed losslessly into a stream that
a decoder in the NPU reads, below 3 bits a weight where more than 75% are zero; pruning and clustering help it), Vela's
documentation (activations and weights must be quantized), Arm's forum, thread 49017 (16-bit activations halve the
multiply rate). Those of the further leaves on a Cortex-A: instructions counted under emulation (docs/adr/011 and 016).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from armopt.core.device import BoardKind, Kind
from armopt.core.errors import UsageError

Criterion = Literal["latency", "size", "accuracy", "instructions", "traffic", "sram", "flash"]
"""Of an Ethos-U: `traffic`: weights that it reads for one inference; `sram`, `flash`: that a model takes beside it."""
CRITERIA: frozenset[Criterion] = frozenset(get_args(Criterion))

Answer = tuple[frozenset[Criterion], str]

_NOTHING: frozenset[Criterion] = frozenset()
_SMALLER: frozenset[Criterion] = frozenset({"size"})
_RECOVERS: frozenset[Criterion] = frozenset({"accuracy"})
# Weights that are brought to SRAM before they are needed take less of it, too.
_LIGHTER: frozenset[Criterion] = frozenset({"size", "traffic", "latency", "sram", "flash"})
_THINNER: Answer = (
    frozenset({"latency", "instructions", "size", "traffic", "sram", "flash"}),
    "fewer channels are a smaller dense model: less to compute, to store and to read, at some accuracy",
)
_PLAIN: Answer = (_NOTHING, "INT8 itself is what speeds up and shrinks, and every leaf has it")
_SAME_FILE: Answer = (
    _RECOVERS,
    "its file has the size and the instructions of plain quantization; it can only win back accuracy",
)
_INT8_LEAVES: Mapping[str, Answer] = MappingProxyType(
    {"ptq": _PLAIN, "qat": _SAME_FILE, "pqat": _SAME_FILE, "cqat": _SAME_FILE, "pcqat": _SAME_FILE}
)
_BESIDE_CPU: Answer = (_NOTHING, "an Ethos-U computes in integers only: its float operators would all run on the CPU")

_CORTEX_A: Mapping[str, Answer] = MappingProxyType(
    {
        "channels": _THINNER,
        "prune": (_SMALLER, "zeros do not speed up dense INT8 kernels; they shrink the compressed file"),
        "cluster": (
            _SMALLER,
            "a CPU computes with every weight whatever its value; few values shrink the compressed file",
        ),
        **_INT8_LEAVES,
        "16x8": (
            _RECOVERS,
            "16-bit activations lose less accuracy, take twice the memory, and run in plain loops: ten times the "
            "instructions of INT8 and more",
        ),
        "dynamic": (
            _RECOVERS,
            "activations stay float: little accuracy is lost; their ranges are found anew at every inference, so it is "
            "somewhat slower than INT8, at its size",
        ),
    }
)

# Vela compresses the weight stream that the NPU decodes as it reads (Arm Ethos-U documentation, weight compression).
_WEIGHT_STREAM = "where reading weights binds a layer, not where its multiplications or activations do"
_ETHOS_U: Mapping[str, Answer] = MappingProxyType(
    {
        "channels": _THINNER,
        "prune": (_LIGHTER, f"zeros shorten the compressed weight stream: faster {_WEIGHT_STREAM}"),
        "cluster": (_LIGHTER, f"few codes shorten the compressed weight stream: faster {_WEIGHT_STREAM}"),
        **_INT8_LEAVES,
        "16x8": (
            _RECOVERS,
            "16-bit activations lose less accuracy, double the activations' traffic and halve the multiply rate",
        ),
        "dynamic": _BESIDE_CPU,
        "float16": _BESIDE_CPU,
        "sparse": _BESIDE_CPU,
    }
)

_FAMILIES: Mapping[str, Mapping[str, Answer]] = MappingProxyType({"cortex-a": _CORTEX_A, "ethos-u": _ETHOS_U})
FAMILIES: tuple[str, ...] = tuple(_FAMILIES)
"""Families of processors of which something is known without naming a board kind."""


def helps(place: Kind | str, stage_name: str) -> frozenset[Criterion]:
    """The criteria in which `stage_name` can improve a leaf on a board kind or family beyond plain INT8 quantization.

    Raises:
        UsageError: nothing is known of that stage, or of that family.
    """
    return _answer(place, stage_name)[0]


def why_not(place: Kind | str, stage_name: str) -> str:
    """One sentence, without a full stop, on what the stage can't help there and what it does instead.

    Raises:
        UsageError: nothing is known of that stage, or of that family.
    """
    return _answer(place, stage_name)[1]


def _answer(place: Kind | str, stage_name: str) -> Answer:
    family = place if isinstance(place, str) else place.family
    if family not in _FAMILIES:
        raise UsageError(f"nothing is known of processors '{family}'", "known: " + ", ".join(FAMILIES))
    known = dict(_FAMILIES[family])
    known.setdefault("float16", _float16(place))
    known.setdefault("sparse", _sparse(place))
    if stage_name not in known:
        raise UsageError(f"nothing is known of what stage {stage_name!r} helps", "known: " + ", ".join(known))
    return known[stage_name]


def _float16(place: Kind | str) -> Answer:
    """Half precision is arithmetic on some cores, and only a way of storing on others; Linux calls it asimdhp."""
    if isinstance(place, BoardKind) and "asimdhp" in place.cpu.features:
        computing = "computed in half precision, and slower than INT8"
    elif isinstance(place, str):
        computing = "widened to float32 on cores without half precision, and slower than INT8"
    else:
        computing = "widened to float32, since its cores have no half precision, and slower than INT8"
    return _RECOVERS, f"next to no accuracy is lost; weights take twice the bytes of INT8, are {computing}"


def _sparse(place: Kind | str) -> Answer:
    """Float kernels that skip zeros against INT8 ones: what INT8 takes depends on dot products (Linux: asimddp)."""
    if isinstance(place, BoardKind) and "asimddp" in place.cpu.features:
        words = (
            "float kernels that skip zeros lose no accuracy to rounding, but its cores have dot products: INT8 takes "
            "fewer instructions below 90% zeros, and a smaller file"
        )
        return _RECOVERS, words
    words = (
        "float kernels that skip zeros take fewer instructions than INT8 where 80% of the weights are zero, and lose "
        "no accuracy to rounding; they move more memory, so only a board can tell whether they take less time, and the "
        "file is larger"
    )
    return _RECOVERS | {"instructions", "latency"}, words
