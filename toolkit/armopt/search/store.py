"""Where finished nodes are kept: content-addressed, written at once or not at all, safe for several runs."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from armopt.core.errors import StoreError

_RECORD = "node.json"
# A half-written folder older than this belongs to a run that died.
_STALE_S = 24 * 3600.0


def key_of(*parts: object) -> str:
    """SHA-256 over parts that JSON can hold: equal inputs, equal key, on every machine."""
    text = json.dumps(parts, sort_keys=True, default=sorted)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A finished node on disk.

    Attributes:
        key: its content address.
        path: its folder.
        record: what `node.json` holds.
    """

    key: str
    path: Path
    record: dict[str, Any]

    @property
    def node(self) -> str:
        """Path of the node in its tree."""
        return str(self.record.get("node", ""))

    @property
    def model(self) -> str:
        """Name of the model it was made from."""
        return str(self.record.get("model", ""))

    @property
    def seconds(self) -> float:
        """Wall time that building it took."""
        return float(self.record.get("seconds", 0.0))

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.path.iterdir())

    @property
    def last_used(self) -> float:
        """Seconds since the epoch."""
        return (self.path / _RECORD).stat().st_mtime


class Store:
    """Nodes by key under one folder. Every method may be called by several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def open(cls) -> Store:
        """The user's store, in the cache folder."""
        from armopt.catalog.search_path import cache_dir

        return cls(cache_dir() / "store")

    def get(self, key: str) -> Entry | None:
        """The entry, if it is there and undamaged. A damaged one (any file's SHA-256 differs) is removed."""
        folder = self._folder(key)
        try:
            record = json.loads((folder / _RECORD).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
            return None
        for name, digest in record["files"].items():
            file = folder / name
            if not file.is_file() or _sha256(file) != digest:
                shutil.rmtree(folder, ignore_errors=True)
                return None
        with contextlib.suppress(OSError):
            os.utime(folder / _RECORD)
        return Entry(key, folder, record)

    def put(self, key: str, write: Callable[[Path], dict[str, Any]]) -> Entry:
        """Let `write` fill a fresh folder and return its record, then move the folder into place.

        Raises:
            StoreError: the disk is full or not writable; nothing finished is touched.
        """
        part = self.root / f".part-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            part.mkdir(parents=True)
            record = write(part)
            record["files"] = {file.name: _sha256(file) for file in sorted(part.iterdir())}
            (part / _RECORD).write_text(json.dumps(record, indent=1))
            folder = self._folder(key)
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(part, folder)
            except OSError as error:
                # Another run finished the same node first: its result is ours.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        except OSError as error:
            raise StoreError(
                f"the store '{self.root}' can't be written: {error.strerror or error}",
                "make room (armopt store gc) and run the same command again: finished nodes are kept",
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        entry = self.get(key)
        if entry is None:
            raise StoreError(f"node {key[:12]} vanished from the store '{self.root}'", "run the same command again")
        return entry

    @contextlib.contextmanager
    def lock(self, key: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold the right to build a node; `on_wait` is called once if another run has it. A dead run's lock is free."""
        from filelock import FileLock, Timeout

        try:
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the store '{self.root}' can't be written: {error.strerror or error}",
                "check ARMOPT_CACHE_DIR and the folder's rights",
            ) from error
        lock = FileLock(self.root / "locks" / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_wait()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def entries(self) -> list[Entry]:
        """All entries, last used first."""
        found = []
        for record in self.root.glob(f"??/*/{_RECORD}"):
            with contextlib.suppress(OSError, ValueError):
                found.append(Entry(record.parent.name, record.parent, json.loads(record.read_text())))
        return sorted(found, key=lambda entry: entry.last_used, reverse=True)

    def remove(self, keys: list[str]) -> int:
        """Remove entries and the leftovers of dead runs; returns the number of entries removed."""
        removed = 0
        for key in keys:
            folder = self._folder(key)
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
        for part in self.root.glob(".part-*"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _STALE_S:
                    shutil.rmtree(part, ignore_errors=True)
        return removed

    def _folder(self, key: str) -> Path:
        return self.root / key[:2] / key


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
