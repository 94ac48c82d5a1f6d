"""What of a board's run has arrived here: a rerun after a lost connection goes on with it, on this machine's disk."""

from __future__ import annotations

import json
import os
import time
import uuid
from typing import Any

from armopt.catalog.search_path import cache_dir
from armopt.core.errors import StoreError

# Rounds of longer ago are no part of the same measurement: a board is not what it was for ever.
_KEPT_S = 86400.0


class Journal:
    """A run that has begun and was not brought to its end: its name on the board, and its rounds so far.

    One line of JSON each; a line that was torn by a crash is dropped.

    Args:
        host: the board's name.
        key: tells runs of other files or settings apart.
    """

    def __init__(self, host: str, key: str) -> None:
        self._path = cache_dir() / "board-runs" / f"{host}-{key[:24]}.jsonl"
        self.rounds: list[dict[str, Any]] = []
        self.run = ""
        try:
            content = self._path.read_bytes() if self._is_recent() else b""
            whole = content[: content.rfind(b"\n") + 1]
            first, *rest = whole.splitlines() or [b"{}"]
            self.run = str(json.loads(first).get("run", ""))
            self.rounds = [json.loads(line) for line in rest]
            if whole != content:
                os.truncate(self._path, len(whole))  # or the next line would be a part of the torn one
        except (OSError, ValueError, AttributeError):
            self.run, self.rounds = "", []
        if not self.run:
            self.run = f"{key[:16]}-{uuid.uuid4().hex[:8]}"
            self._write({"run": self.run}, "w")

    def add(self, told: dict[str, Any]) -> None:
        """Keep the next round."""
        self.rounds.append(told)
        self._write(told, "a")

    def close(self) -> None:
        """The run came to its end: the next one is another."""
        self._path.unlink(missing_ok=True)

    def _is_recent(self) -> bool:
        return self._path.exists() and time.time() - self._path.stat().st_mtime < _KEPT_S

    def _write(self, line: dict[str, Any], mode: str) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open(mode, encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"'{self._path}' can't be written: {error.strerror or error}", "make room") from error
