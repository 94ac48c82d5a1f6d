"""What a board may say in place of the truth: `python hostile_board.py LIE` answers whatever sshd was asked to run.

Without a lie it answers as an honest board does that has all files and times a model in four rounds.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import shlex
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

ROUNDS = 4
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31m\n\r\x9b1m"
TOLD = {"runtime": "litert 2.1.6", "numpy": "2.0.0"}
OUTPUT = {"scale": 0.1, "dtype": "int8", "shape": [16]}


def event(name: str, **values: Any) -> bytes:
    return json.dumps({"event": name, **values}).encode() + b"\n"


def a_round(index: Any, raw_ms: Any = (1.0,) * 20, **more: Any) -> bytes:
    return event("round", index=index, told=[{**TOLD, "raw_ms": raw_ms, **more}])


def outputs(**lies: Any) -> bytes:
    return event("outputs", told=[{**TOLD, "outputs": [{**OUTPUT, **lies}], "raw_ms": [1.0] * 4}])


def run(*events: bytes) -> list[bytes]:
    return [outputs(), *events, event("end", ok=True)]


def rounds() -> list[bytes]:
    return [a_round(index) for index in range(ROUNDS)]


def npy(content: bytes, header: str = "{'descr': '|i1', 'fortran_order': False, 'shape': (4, 16), }") -> bytes:
    padded = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode() + content


def npz(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def file(content: bytes, **lies: Any) -> list[bytes]:
    announced = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), **lies}
    return [event("file", **announced), content]


def bomb() -> bytes:
    return npz(("a0.npy", npy(bytes(20_000_000))), compression=zipfile.ZIP_DEFLATED)


def small_bomb() -> bytes:
    """Says in the archive's directory that its member is as small as it should be."""
    return bomb().replace(struct.pack("<I", 20_000_128), struct.pack("<I", 192))


def dripping(chunk: bytes, stream: Any = None) -> Iterable[bytes]:
    while True:
        time.sleep(0.2)
        if stream is not None:
            stream.write(chunk)
            stream.flush()
        else:
            yield chunk


def silence() -> Iterable[bytes]:
    time.sleep(3600)
    return []


HONEST = npz(("a0.npy", npy(bytes(range(64)))))
ANSWERS: dict[str, Callable[[], Iterable[bytes]]] = {
    "take": lambda: [event("taken", broken="", broken_age_s=0.0)],
    "release": lambda: [event("released")],
    "keep": lambda: [event("kept", ours=True)],
    "have": lambda: [event("have", found=ARGUMENTS[2:])],
    "put": lambda: [event("stored")],
    "start": lambda: [event("running")],
    "follow": lambda: run(*rounds()),
    "fetch": lambda: file(HONEST),
    "stop": lambda: [event("stopped")],
    "forget": lambda: [event("forgotten")],
    "install": lambda: [event("installed", folder="/home/pi/.armopt/models/m/current", version=1, new=True)],
}
LIES: dict[str, tuple[str, Callable[[], Iterable[bytes]]]] = {
    # What any request may meet.
    "endless lines": ("take", lambda: itertools.repeat(b"y\n" * 5000)),
    "endless events": ("take", lambda: itertools.repeat(event("progress") * 500)),
    "an endless line": ("take", lambda: itertools.repeat(b"y" * 10_000)),
    "endless complaints": ("take", lambda: dripping(b"y" * 1_000_000, sys.stderr.buffer)),
    "dripping": ("take", lambda: dripping(b"y")),
    "dripping lines": ("take", lambda: dripping(b"y\n")),
    "dripping complaints": ("take", lambda: dripping(b"y", sys.stderr.buffer)),
    "silence": ("take", silence),
    "nothing": ("take", list),
    "half a line": ("take", lambda: [b'{"event": "taken"']),
    "deep nesting": ("take", lambda: [b"[" * 300_000 + b"\n", b'{"event":' * 50_000 + b"\n"]),
    "a long number": ("take", lambda: [b'{"event": "taken", "broken": ' + b"9" * 500_000 + b"}\n"]),
    "no object": ("take", lambda: [b"5\n", b'"taken"\n', b"null\n", b'{"event": ["taken"]}\n']),
    "escapes": ("take", lambda: [event("error", kind="os", text=ESCAPES + "x" * 100_000)]),
    "an escaping owner": ("take", lambda: [event("held", owner=ESCAPES + "x" * 100_000, age_s="x", token=["x"])]),
    "a dead token": ("take", lambda: [event("held", owner="me", age_s=float("nan"), token="../../etc/passwd")]),
    # What a run may meet.
    "a round too far": ("follow", lambda: run(a_round(0), a_round(3))),
    "a round below": ("follow", lambda: run(a_round(-1))),
    "a round of text": ("follow", lambda: run(a_round("../../x"))),
    "negative times": ("follow", lambda: run(a_round(0, [-1.0]))),
    "no number": ("follow", lambda: run(a_round(0, [float("nan")]))),
    "a huge time": ("follow", lambda: run(a_round(0, [1e308]))),
    "times of text": ("follow", lambda: run(a_round(0, ["fast"]))),
    "no times": ("follow", lambda: run(a_round(0, []))),
    "an odd runtime": ("follow", lambda: run(a_round(0, runtime=ESCAPES))),
    "an end at once": ("follow", lambda: [event("end", ok=True)]),
    "an end too soon": ("follow", lambda: run(a_round(0))),
    "dead again": ("follow", lambda: [event("dead")]),
    "a run of silence": ("follow", list),
    "alive for ever": ("follow", lambda: dripping(event("alive", offset=0))),
    "alive and gone": ("follow", lambda: [event("alive", offset=0)]),
    "progress for ever": ("follow", lambda: dripping(event("progress", done=10**30, samples="x"))),
    "cooling for ever": ("follow", lambda: dripping(event("cooling"))),
    "outputs for ever": ("follow", lambda: dripping(outputs())),
    "slices": ("follow", lambda: run(event("slice", told={"index": 0, "seconds": 1, "runs": 1, "raw_ms": [1.0]}))),
    "an odd failure": ("follow", lambda: [event("agent_failed", code=-(10**30), text=ESCAPES), event("end", ok=False)]),
    "more rounds than asked": ("follow", lambda: run(*rounds(), *(a_round(index) for index in range(ROUNDS, 50)))),
    # What is fetched.
    "a huge shape": ("follow", lambda: [outputs(shape=[1 << 30, 1 << 30]), *rounds(), event("end", ok=True)]),
    "a shape below": ("follow", lambda: [outputs(shape=[-1, 10**400]), *rounds(), event("end", ok=True)]),
    "objects": ("follow", lambda: [outputs(dtype="O"), *rounds(), event("end", ok=True)]),
    "no scale": ("follow", lambda: [outputs(scale=float("nan")), *rounds(), event("end", ok=True)]),
    "a huge file": ("fetch", lambda: file(b"x", size=1 << 62)),
    "a file without an end": ("fetch", lambda: [file(b"x", size=60_000)[0], *itertools.repeat(b"x" * 10_000, 100)]),
    "a file that drips": ("fetch", lambda: itertools.chain(file(b"x", size=60_000), dripping(b"x"))),
    "another file": ("fetch", lambda: file(HONEST, sha256="0" * 64)),
    "no archive": ("fetch", lambda: file(b"x" * 300)),
    "a bomb": ("fetch", lambda: file(bomb())),
    "a small bomb": ("fetch", lambda: file(small_bomb())),
    "a climbing member": ("fetch", lambda: file(npz(("../../owned", b"x"), ("/tmp/owned", b"x")))),
    "a pickle": ("fetch", lambda: file(npz(("a0.npy", npy(b"x", "{'descr': '|O', 'fortran_order': 0, 'shape': ()}"))))),
    "code": ("fetch", lambda: file(npz(("a0.npy", npy(b"x", "__import__('os').system('touch owned')"))))),
    "an odd installation": ("install", lambda: [event("installed", folder=ESCAPES, version=10**30, new=True)]),
}  # fmt: skip

if __name__ == "__main__":
    # PYTHON -I -B -c LOADER SIZE SHA256 ARGUMENTS...
    ARGUMENTS = shlex.split(os.environ["SSH_ORIGINAL_COMMAND"])[7:]
    where, lie = LIES.get(sys.argv[1], ("", list))
    if sys.argv[1] == "a banner":
        sys.stdout.buffer.write(b"Welcome!\n" + ESCAPES.encode() + b"\n" + b"x" * 100_000 + b"\n")
    for chunk in lie() if ARGUMENTS[0] == where else ANSWERS[ARGUMENTS[0]]():
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
