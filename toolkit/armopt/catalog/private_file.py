"""Configuration files that armopt writes: whole or not at all, one writer at a time, readable by the user only."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from armopt.core.errors import StoreError

_WAIT_S = 10.0


@contextlib.contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Meanwhile no other armopt writes `path`; its folder is made if need be.

    Raises:
        StoreError: the folder can't be written, or another writer did not finish within 10 s.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + ".lock"), timeout=_WAIT_S)
        lock.acquire()
    except Timeout as error:
        raise StoreError(f"{path}: another armopt is writing it", "try again when it is done") from error
    except OSError as error:
        raise StoreError(f"{path}: can't be written ({error.strerror or error})", "make room or permit it") from error
    try:
        yield
    finally:
        lock.release()


def write_private(path: Path, text: str) -> None:
    """Put `text` in place of the file's content, atomically, readable by the user only (0600); links are followed.

    Raises:
        StoreError: it can't be written; the old content is still there.
    """
    target = path.resolve()
    try:
        handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(beside).unlink()
            raise
    except OSError as error:
        raise StoreError(f"{path}: can't be written ({error.strerror or error})", "make room or permit it") from error
