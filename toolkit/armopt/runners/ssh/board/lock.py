"""One user at a time: `take` and `release` the board's lock; runs keep it alive (`keep`).

The lock is a file that names its owner and is touched while it is used. Its age is told by the clock that nothing but a
reboot sets back. One that was left (not touched for long and no run of it alive, or from before a reboot) is broken.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from board_common import (  # type: ignore[import-not-found]
    alone,
    boot_id,
    private_folder,
    process_start,
    read_text,
    say,
    told_errors,
    write_whole,
)

STALE_S = 60.0


def now() -> float:
    """Seconds since boot, sleep included: setting the clock does not touch it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read(folder: Path) -> dict[str, Any]:
    """The lock; empty where there is none, or one that makes no sense."""
    try:
        told = json.loads(read_text(folder / "lock"))
        return {**told, "touched": float(told["touched"]), "since": float(told["since"])}
    except (ValueError, TypeError, KeyError):
        return {}


def is_used(lock: dict[str, Any]) -> bool:
    """Whether somebody still uses the board under this lock."""
    if not lock or lock.get("boot") != boot_id():
        return False
    run = lock.get("run")
    if run and process_start(int(run["pid"])) == run["start"]:
        return True
    return now() - float(lock["touched"]) < STALE_S


def take(folder: Path, token: str, owner: str, dead: str) -> None:
    """Take the lock from nobody, from one who left it, or from the holder of the token `dead`; else say who has it."""
    with alone(folder):
        held = read(folder)
        same = bool(held) and held["token"] in (token, dead)
        if is_used(held) and not same:
            told = {"owner": held["owner"], "age_s": now() - held["since"], "run": bool(held.get("run"))}
            say("held", token=held["token"], **told)
            return
        mine = {"token": token, "owner": owner, "boot": boot_id(), "since": now(), "touched": now()}
        if same and held.get("run"):
            mine["run"] = held["run"]  # it goes on, and keeps the lock alive as before
        write_whole(folder / "lock", json.dumps(mine).encode())
    left = held if held and not same and held.get("boot") == boot_id() else {}
    say("taken", broken=left.get("owner", ""), broken_age_s=now() - left["touched"] if left else 0.0)


def keep(folder: Path, token: str, run: dict[str, Any] | None = None) -> bool:
    """Say that the lock is still used, by a run too; False where it is another's by now."""
    with alone(folder):
        held = read(folder)
        if not held or held["token"] != token:
            return False
        held["touched"] = now()
        if run is not None:
            held["run"] = run
        write_whole(folder / "lock", json.dumps(held).encode())
        return True


def release(folder: Path, token: str) -> None:
    """Give the lock back, if it is the holder's."""
    with alone(folder):
        if read(folder).get("token") == token:
            (folder / "lock").unlink()
    say("released")


def main() -> None:
    """COMMAND FOLDER TOKEN [OWNER DEAD]: `take`, `keep` or `release`."""
    command, name, token, *rest = sys.argv[1:]
    with told_errors():
        folder = private_folder(name)
        if command == "take":
            take(folder, token, rest[0], rest[1])
        elif command == "keep":
            say("kept", ours=keep(folder, token))
        elif command == "release":
            release(folder, token)


if __name__ == "__main__":
    main()
