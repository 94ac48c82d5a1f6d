"""This machine in a board's place: the same scripts through child processes, without SSH."""

from __future__ import annotations

import contextlib
import math
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from armopt.core.errors import DeviceError
from armopt.runners.ssh.connection import Completed

_CHUNK = 1 << 16


class HereConnection:
    """What `connection.Connection` offers, on this machine."""

    def open(self) -> None:
        """Nothing to connect."""

    def close(self) -> None:
        """Nothing to give back."""

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | Iterable[bytes] = b"",
        silence_s: float = 30.0,
        within_s: float | None = None,
        most_bytes: int = 1 << 20,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Completed:
        """Run a program in the home folder; as `Connection.run`.

        Raises:
            DeviceError: the program is not there, says nothing for too long, or says too much.
        """
        chunks = [stdin] if isinstance(stdin, bytes) else stdin
        taken, said = bytearray(), 0
        with tempfile.TemporaryFile() as stderr:
            try:
                process = subprocess.Popen(
                    list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, cwd=Path.home()
                )
            except OSError as error:
                raise DeviceError(
                    f"this machine can't run {argv[0]!r}: {error.strerror}", "check hosts.toml"
                ) from error
            assert process.stdin is not None and process.stdout is not None
            feeder = threading.Thread(target=_feed, args=(process, chunks), daemon=True)
            feeder.start()
            end = time.monotonic() + within_s if within_s is not None else math.inf
            alarm = _alarm(process, silence_s)
            too_much = False
            try:
                while chunk := process.stdout.read1(_CHUNK):  # type: ignore[attr-defined]
                    alarm.cancel()
                    alarm = _alarm(process, min(silence_s, max(0.0, end - time.monotonic())))
                    said += len(chunk)
                    too_much = said > most_bytes
                    if too_much:
                        break
                    if on_stdout is None:
                        taken += chunk
                    else:
                        on_stdout(chunk)
            finally:
                alarm.cancel()
                if too_much:
                    process.kill()
                process.stdout.close()
                code = process.wait()
                feeder.join()
            stderr.seek(0)
            complaint = stderr.read(_CHUNK).decode(errors="replace")
        if too_much:
            raise DeviceError(f"this machine says more than {most_bytes:,} bytes", "run again")
        return Completed(code, bytes(taken), complaint)


def _alarm(process: subprocess.Popen[bytes], after_s: float) -> threading.Timer:
    """Ends the process then."""
    timer = threading.Timer(after_s, process.kill)
    timer.daemon = True
    timer.start()
    return timer


def _feed(process: subprocess.Popen[bytes], chunks: Iterable[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it ended before it read everything
        for chunk in chunks:
            process.stdin.write(chunk)
        process.stdin.close()
