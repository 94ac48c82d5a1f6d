"""What it takes to repeat a run: the command, and the versions of what it ran with."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

# What decides the bytes of a node: all else only shows or transports them.
_PACKAGES = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-litert", "numpy")
# user:password@ of an address such as a tracking server's.
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


def environment_here() -> dict[str, str]:
    """This machine's system and processor, and the versions of Python and of the packages that build nodes."""
    found = {"system": platform.platform(), "machine": platform.machine(), "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # another one brings the same modules, such as a build for another processor
            continue
    return found


def now() -> str:
    """The time as it stands in a result: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def without_secrets(command: Iterable[str]) -> tuple[str, ...]:
    """The command line, with `***@` for the login of an address: results are shown to others."""
    return tuple(_LOGIN.sub("***@", word) for word in command)
